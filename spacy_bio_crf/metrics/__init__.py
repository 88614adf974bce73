"""Scores of a pipeline, its mistakes, and the certainty of its scores.

`documents` puts gold and predicted entities on the same tokens. The other modules read these
`Document`s and need no spaCy: `matching` pairs entities that overlap; `averages`, `partial`,
`confusion`, `breakdowns` and `mistakes` count; `chance` computes intervals and tests; `calibration`
judges probabilities. `scorer` scores during training. `analysis` puts everything together as one
dict, and `tables` writes it as text.
"""

from .analysis import analyze, compare
from .documents import Document, make_examples, predict, read_corpus, read_documents

__all__ = [
    "Document",
    "analyze",
    "compare",
    "make_examples",
    "predict",
    "read_corpus",
    "read_documents",
]
