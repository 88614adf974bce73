"""Selection of texts to annotate next, by the doubt of a trained `bio_ner`.

`measuring` computes doubt while a pipeline annotates, `choice` turns it into scores and keeps the
best texts, and `selecting` does both for an input of any size.
"""

from .choice import STRATEGIES, Strategy, k_center
from .measuring import document_vectors, measuring
from .selecting import Selection, select

__all__ = [
    "STRATEGIES",
    "Selection",
    "Strategy",
    "document_vectors",
    "k_center",
    "measuring",
    "select",
]
