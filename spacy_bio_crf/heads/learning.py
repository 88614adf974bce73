"""From gold annotation and a lattice to a loss and its gradient."""

from collections.abc import Sequence

import numpy as np

from ..gold import annotation as gold
from ..gold.annotation import Annotation
from ..tags.spans import rows_of_spans
from ..tags.tagset import TagSet
from . import losses
from .emitter import Head, Lattice


def annotated_tokens(annotations: Sequence[Annotation]) -> int:
    """How many tokens of a batch are annotated: what its loss is divided by.

    annotations (Sequence[Annotation]): The gold of each document.
    RETURNS (int): At least 1.
    """
    return max(1, sum(int(annotation.known.sum()) for annotation in annotations))


def batch_loss(
    annotations: Sequence[Annotation],
    lattice: Lattice,
    *,
    head: Head,
    tagset: TagSet,
    continued: bool,
    size: int,
) -> tuple[float, Lattice]:
    """The loss of some documents, or of a part of a batch.

    annotations (Sequence[Annotation]): The gold of each document.
    lattice (Lattice): What the network said of them.
    head (Head): The head's settings.
    tagset (TagSet): The tags.
    continued (bool): Whether a word's later sub-words continue its entity.
    size (int): What the loss is divided by: `annotated_tokens` of the whole batch, so that the
        gradient does not depend on how the batch is cut.
    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    """
    documents = list(zip(annotations, lattice.tokens, strict=True))
    allowed = np.concatenate(
        [gold.allowed_tags(a, tagset, tokens, continued=continued) for a, tokens in documents]
    )
    barred = [
        (i, *span)
        for i, (annotation, tokens) in enumerate(documents)
        for span in rows_of_spans(annotation.wrong, np.unique(tokens))
    ]
    return losses.loss(head, tagset, lattice, allowed, size=size, barred=barred)
