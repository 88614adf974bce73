"""Closed paths, against the words of the schemes."""

import torch

from spacy_bio_crf.heads.constrain import NEVER, constrain
from tests.support.lattices import (
    TAGSETS,
    every_path,
    make_lattice,
    scheme,
)


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
