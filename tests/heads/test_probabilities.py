"""Probabilities of entities against a listing of all tag sequences."""

import numpy as np
import pytest
import torch

from spacy_bio_crf.heads.decode import decode_tags, entity_probabilities, temper
from spacy_bio_crf.heads.emitter import Head
from spacy_bio_crf.heads.lattice import restrict
from tests.support.lattices import (
    TAGSETS,
    every_path,
    make_lattice,
    probabilities,
    scheme,
    split,
)


@scheme
@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_probability_is_the_share_of_sequences_with_the_entity(scheme: str, crf: bool, seed: int):
    tagset = TAGSETS[scheme]
    head = Head(crf=crf)
    lattice = make_lattice(tagset, [4, 1, 2, 3], crf=crf, seed=seed)
    restricted = restrict(head, tagset, lattice)
    tags = decode_tags(head, restricted)
    spans = [tagset.decode(t) for t in split(lattice, tags)]
    found = entity_probabilities(tagset, restricted, tags, spans)
    assert sum(len(f) for f in found) > 0
    for i, (document, own) in enumerate(zip(spans, found, strict=True)):
        paths = every_path(scheme, lattice.lengths[i], legal=True)
        shares = probabilities(lattice, i, paths)
        entities = [tagset.decode(path) for path in paths]
        for span, probability in zip(document, own, strict=True):
            share = sum(p for p, there in zip(shares, entities, strict=True) if span in there)
            assert probability == pytest.approx(share, rel=1e-5)


def test_no_entity_has_no_probability():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [2, 0], crf=True)
    found = entity_probabilities(tagset, lattice, np.zeros(2, dtype=np.int64), [[], []])
    assert [f.shape for f in found] == [(0,), (0,)]


def test_temper_divides_all_scores():
    lattice = make_lattice(TAGSETS["BIO"], [3], crf=True)
    assert temper(lattice, 1.0) is lattice
    hot = temper(lattice, 2.0)
    for scores, divided in zip(lattice.scores, hot.scores, strict=True):
        torch.testing.assert_close(divided, scores / 2)
    assert hot.tokens is lattice.tokens
