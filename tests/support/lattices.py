"""Lattices at random, and their paths listed one by one."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.tags.tagset import TagSet

TAGSETS = {
    "BIO": TagSet(("PER", "cell-line"), "BIO"),  # K = 5
    "BILUO": TagSet(("PER",), "BILUO"),  # K = 5
}
RAGGED = [0, 2, 4, 1, 0, 3, 1]

scheme = pytest.mark.parametrize("scheme", list(TAGSETS))


def make_lattice(
    tagset: TagSet, lengths: list[int], *, crf: bool, seed: int = 0, dtype: Any = torch.float32
) -> Lattice:
    k = len(tagset.tags)
    rng = torch.Generator().manual_seed(seed)
    shapes = [(sum(lengths), k), (k,), (k, k), (k,)]
    emissions, start, transitions, end = (
        2.0 * torch.randn(shape, generator=rng, dtype=dtype) for shape in shapes
    )
    if not crf:
        start, transitions, end = (torch.zeros_like(s) for s in (start, transitions, end))
    return Lattice(emissions, start, transitions, end, [np.arange(n) for n in lengths])


def split(lattice: Lattice, rows: Any) -> list[Any]:
    """Rows by document."""
    ends = np.cumsum(lattice.lengths)
    return [rows[end - n : end] for n, end in zip(lattice.lengths, ends, strict=True)]


def is_legal(tagset: TagSet, path: tuple[int, ...]) -> bool:
    """Whether a sequence is legal: I- and L- only inside an entity of their label, L- closes, and
    under BILUO nothing stays open."""
    inside = None
    for tag in (tagset.tags[i] for i in path):
        prefix, _, label = tag.partition("-")
        if prefix in "IL":
            if inside != label:
                return False
        elif inside is not None and tagset.scheme == "BILUO":
            return False
        inside = label if prefix in "BI" else None
    return inside is None or tagset.scheme == "BIO"


@cache
def every_path(scheme: str, n: int, *, legal: bool = False) -> np.ndarray:
    """All tag sequences of a length, or the legal ones; int64 [P, n]."""
    tagset = TAGSETS[scheme]
    paths = product(range(len(tagset.tags)), repeat=n)
    kept = [path for path in paths if not legal or is_legal(tagset, path)]
    return np.array(kept, dtype=np.int64).reshape(len(kept), n)


def path_scores(emissions: Tensor, lattice: Lattice, paths: np.ndarray) -> np.ndarray:
    """The score of each path, from the definition; 0 for the path of an empty document; [P]."""
    rows, start, between, end = (
        x.double().numpy() for x in (emissions, lattice.start, lattice.transitions, lattice.end)
    )
    n = paths.shape[1]
    if n == 0:
        return np.zeros(1)
    total = start[paths[:, 0]] + end[paths[:, -1]]
    total = total + sum(rows[t, paths[:, t]] for t in range(n))
    return total + sum(between[paths[:, t - 1], paths[:, t]] for t in range(1, n))


def log_sum(scores: np.ndarray) -> float:
    return float(np.log(np.exp(scores).sum()))


def random_allowed(tagset: TagSet, n: int, kind: str, seed: int = 0) -> np.ndarray:
    """Which tags gold allows: a random legal sequence, with some rows left open if "partial", with
    some sets of several tags if "negative"."""
    rng = np.random.default_rng(seed)
    paths = every_path(tagset.scheme, n, legal=True)
    path = paths[rng.integers(len(paths))]
    allowed = np.zeros((n, len(tagset.tags)), dtype=bool)
    allowed[np.arange(n), path] = True
    if kind != "full":
        allowed[rng.random(n) < 0.5] = True
    if kind == "negative":  # known not to be some tags, the right one aside
        barred = rng.random(allowed.shape) < 0.5
        allowed &= ~barred | (np.arange(len(tagset.tags)) == path[:, None])
    return allowed


def all_allowed(tagset: TagSet, lengths: list[int], kind: str, seed: int = 0) -> np.ndarray:
    rows = [random_allowed(tagset, n, kind, seed + i) for i, n in enumerate(lengths)]
    return np.concatenate(rows)


def probabilities(lattice: Lattice, document: int, paths: np.ndarray) -> np.ndarray:
    """The probability of each path of a document among these, from the definition; [P]."""
    emissions = split(lattice, lattice.emissions)[document]
    weights = np.exp(path_scores(emissions, lattice, paths))
    return weights / weights.sum()
