"""Rows of a lattice by document and by token."""

import numpy as np
import torch

from spacy_bio_crf.heads.lattice import Lattice


def lattice_of(tokens: list[list[int]]) -> Lattice:
    n = sum(map(len, tokens))
    arrays = [np.array(t, dtype=np.int64) for t in tokens]
    return Lattice(torch.zeros(n, 3), torch.zeros(3), torch.zeros(3, 3), torch.zeros(3), arrays)


def test_first_rows_of_tokens():
    lattice = lattice_of([[0, 0, 2], [], [0, 1, 1, 1, 3]])
    first, counts = lattice.first_rows()
    assert first.tolist() == [True, False, True, True, True, False, False, True]
    assert counts == [2, 0, 3] and lattice.lengths == [3, 0, 5]
    first, counts = lattice_of([]).first_rows()
    assert first.dtype == bool and first.shape == (0,) and counts == []


def test_rows_are_split_by_document():
    parts = lattice_of([[0, 1], [], [4]]).split(np.arange(6).reshape(3, 2))
    assert [part.tolist() for part in parts] == [[[0, 1], [2, 3]], [], [[4, 5]]]
    assert lattice_of([]).split(np.zeros(0)) == []


def test_the_order_of_the_scores():
    lattice = lattice_of([[0]])
    assert lattice.scores == (lattice.emissions, lattice.start, lattice.transitions, lattice.end)
    assert lattice.arguments == (lattice.emissions, [1], *lattice.scores[1:])
