"""Strict precision, recall and F1: per label, micro, macro and weighted.

A prediction is right if its first token, last token and label are. The figures equal those of the
conlleval script and of seqeval's strict mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .documents import Document, labels_of
from .matching import strict_match

TP, FP, FN = range(3)


@dataclass(frozen=True, eq=False)
class StrictCounts:
    """Right, spurious and missed entities by document and label.

    labels (list[str]): The labels, sorted.
    counts (np.ndarray): TP, FP and FN of each document and label; int64 [n_documents, L, 3].
    """

    labels: list[str]
    counts: np.ndarray


def count_entities(
    documents: Sequence[Document], labels: Sequence[str] | None = None
) -> StrictCounts:
    """Count right and wrong entities of the labels; None stands for all labels that occur."""
    labels = labels_of(documents) if labels is None else list(labels)
    ids = {label: i for i, label in enumerate(labels)}
    # shape: (n_documents, L, 3)
    counts = np.zeros((len(documents), len(labels), 3), dtype=np.int64)
    for row, doc in zip(counts, documents, strict=True):
        for span, right in zip(doc.predicted, strict_match(doc.gold, doc.predicted), strict=True):
            row[ids[span[2]], TP if right else FP] += 1
        for _, _, label in doc.gold:
            row[ids[label], FN] += 1
        row[:, FN] -= row[:, TP]
    return StrictCounts(labels, counts)


def prf(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1; 0 where the denominator is 0.

    counts (np.ndarray): TP, FP and FN in the last axis; [..., 3].
    RETURNS (np.ndarray): P, R and F1 from 0 to 1; float64 [..., 3].
    """
    tp, fp, fn = (np.asarray(counts, dtype=np.float64)[..., i] for i in (TP, FP, FN))
    precision, recall = divide(tp, tp + fp), divide(tp, tp + fn)
    f1 = divide(2 * precision * recall, precision + recall)
    return np.stack([precision, recall, f1], axis=-1)


def divide(a: Any, b: Any) -> np.ndarray:
    """Divide a by b, with 0 where b is 0; float64 of their common shape."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.zeros(a.shape), where=b > 0)


def averages(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Micro, macro and weighted average over labels.

    The macro average is the mean over labels, the weighted average the mean weighted by gold
    entities. As in seqeval and scikit-learn, the F1 of both is a mean of F1 scores.

    counts (np.ndarray): TP, FP and FN; int [..., L, 3], L at least 1.
    RETURNS (dict[str, np.ndarray]): `micro`, `macro`, `weighted`: P, R and F1; float64 [..., 3].
    """
    scores = prf(counts)
    gold = counts[..., TP] + counts[..., FN]  # shape: (..., L)
    weighted = divide((scores * gold[..., None]).sum(-2), gold.sum(-1)[..., None])
    return {
        "micro": prf(counts.sum(-2)),
        "macro": scores.mean(-2),
        "weighted": weighted,
    }


def row_of(counts: np.ndarray) -> dict[str, Any]:
    """The figures of a label or an average with its TP, FP and FN; int [3].

    RETURNS (dict): `p`, `r`, `f` (None where nothing was counted), `gold` and `predicted` entities.
    """
    tp, fp, fn = (int(n) for n in counts)
    scores = prf(counts).tolist() if tp + fp + fn else [None] * 3
    return {**dict(zip("prf", scores, strict=True)), "gold": tp + fn, "predicted": tp + fp}


def strict_table(counted: StrictCounts) -> dict[str, Any]:
    """The strict figures of all labels and their averages.

    RETURNS (dict): `all` (micro), `macro`, `weighted` (None without any label) and, under
        `per_type`, each label: `p`, `r`, `f`, and except for `macro` and `weighted` also `gold` and
        `predicted`, the numbers of entities.
    """
    totals = counted.counts.sum(0)  # shape: (L, 3)
    means = averages(totals) if counted.labels else {}
    return {
        "all": row_of(totals.sum(0)),
        **{
            name: dict(zip("prf", means[name].tolist(), strict=True)) if means else None
            for name in ("macro", "weighted")
        },
        "per_type": {label: row_of(row) for label, row in zip(counted.labels, totals, strict=True)},
    }
