"""How good a pipeline is, where it fails, and how far its figures can be trusted.

`documents` puts gold and predicted entities on the same tokens; every other module reads these
`Document`s and knows nothing of spaCy: `matching` pairs entities that overlap, `averages`,
`partial`, `confusion`, `breakdowns` and `errors` count, `bootstrap` and `significance` say what
chance could have done, `confidence` looks at probabilities. `analysis` puts all of it together, and
`report` makes a page of it.
"""

from .analysis import ALL, analyse, compare
from .documents import Document, predict, read_documents

__all__ = ["ALL", "Document", "analyse", "compare", "predict", "read_documents"]
