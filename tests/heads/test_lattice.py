"""Rows of a lattice by document and by token; closed paths, against the words of the schemes."""

import numpy as np
import torch

from spacy_bio_crf.heads.lattice import NEVER, Lattice, constrain, mean_lattice
from tests.support.lattices import TAGSETS, every_path, make_lattice, scheme


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


@scheme
def test_constrain_shuts_exactly_what_is_illegal(scheme: str):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, [1], crf=True)
    start, transitions, end = constrain(tagset, *lattice.scores[1:])
    k = len(tagset.tags)
    paths = {tuple(p) for n in (1, 2, 3, 4) for p in every_path(scheme, n, legal=True).tolist()}
    for i in range(k):
        assert (start[i] == NEVER) == (i not in {path[0] for path in paths})
        assert (end[i] == NEVER) == (i not in {path[-1] for path in paths})
        for j in range(k):
            seen = any((i, j) in zip(path, path[1:], strict=False) for path in paths)
            assert (transitions[i, j] == NEVER) == (not seen)
    for shut, before in zip((start, transitions, end), lattice.scores[1:], strict=True):
        assert torch.equal(shut[shut != NEVER], before[shut != NEVER])
        assert before.isfinite().all()


def test_the_mean_of_lattices_with_the_same_rows():
    tagset = TAGSETS["BIO"]
    one, two = (make_lattice(tagset, [2, 0, 3], crf=True, seed=seed) for seed in (0, 1))
    mean = mean_lattice([one, two, two])
    for found, a, b in zip(mean.scores, one.scores, two.scores, strict=True):
        assert torch.allclose(found, (a + 2 * b) / 3)
    assert mean.lengths == [2, 0, 3]


def test_a_row_that_some_lattices_lack_is_the_mean_of_the_others():
    one, two = lattice_of([[0, 2], [1]]), lattice_of([[0, 1], []])
    one.emissions[:] = torch.tensor([[1.0], [2.0], [3.0]])
    two.emissions[:] = torch.tensor([[5.0], [7.0]])
    mean = mean_lattice([one, two])
    assert [tokens.tolist() for tokens in mean.tokens] == [[0, 1, 2], [1]]
    assert mean.emissions[:, 0].tolist() == [3.0, 7.0, 2.0, 3.0]
