"""Posteriors of claims and of their alternatives, against a listing of all paths."""

import math
from itertools import combinations

import numpy as np
import pytest

from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.heads import posterior
from spacy_bio_crf.heads.decode import Reading
from spacy_bio_crf.heads.emitter import Head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.posterior import judge_claims
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.lattices import (
    RAGGED,
    TAGSETS,
    every_path,
    make_lattice,
    path_scores,
    scheme,
    split,
)


def listed(tagset: TagSet, scheme: str, lattice: Lattice, temperature: float) -> list[list]:
    """Every legal analysis of each document, as a set of entities with its probability."""
    documents = []
    for i, emissions in enumerate(split(lattice, lattice.emissions)):
        paths = every_path(scheme, lattice.lengths[i], legal=True)
        weights = np.exp(path_scores(emissions, lattice, paths) / temperature)
        shares = (weights / weights.sum()).tolist()
        spans = [tagset.decode(path, repair="begin") for path in paths]
        documents.append([(set(s), p) for s, p in zip(spans, shares, strict=True)])
    return documents


def margin_at(tagset: TagSet, documents: list, n: int, token: int, tag: int) -> float:
    """The probability of the best other tag of a token, less that of this one."""
    shares = np.zeros(len(tagset.tags))
    for spans, p in documents:
        shares[tagset.encode(spans, n)[token]] += p
    return max(share for k, share in enumerate(shares) if k != tag) - shares[tag]


def touching(spans: set, start: int, end: int) -> set:
    return {span for span in spans if span[0] < end and span[1] > start}


def holds(spans: set, claim: tuple) -> bool:
    start, end, label = claim
    return claim in spans if label is not None else not touching(spans, start, end)


@scheme
@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("margin", [1, 2, 4])
def test_every_claim_about_every_stretch(scheme, crf, temperature, margin, monkeypatch):
    monkeypatch.setattr(posterior, "FIRST_MARGIN", margin)
    tagset = TAGSETS[scheme]
    reading = Reading(tagset, Head(crf=crf, constrained=False), temperature)
    lattice = make_lattice(tagset, RAGGED, crf=crf, seed=4)
    claims = [
        [(s, e, x) for s, e in combinations(range(n + 1), 2) for x in (None, *tagset.labels)]
        for n in RAGGED
    ]
    judged = judge_claims(lattice, [None] * len(RAGGED), reading, claims)
    alone = [
        {
            claim: judge_claims(lattice, [None] * len(RAGGED), reading, one)[i][0].contradiction
            for claim in claims[i]
            for one in [[[claim] if k == i else [] for k in range(len(RAGGED))]]
        }
        for i in range(len(RAGGED))
    ]
    analyses = listed(tagset, scheme, lattice, temperature)
    for i, n in enumerate(RAGGED):
        own, found, documents = claims[i], judged[i], analyses[i]
        assert [j.claim for j in found] == own
        for j in found:
            start, end, _ = j.claim
            wanted = math.fsum(p for spans, p in documents if holds(spans, j.claim))
            assert math.exp(j.log_posterior) == pytest.approx(wanted, abs=1e-6)
            other = set(j.spans)
            assert not holds(other, j.claim)
            tags = tagset.encode([j.claim] if j.claim[2] else [], n)
            hull = [t for s, e, _ in [*other, (start, end, "")] for t in range(s, e)]
            # Other claims of the document are none here but in `alone`.
            assert alone[i][j.claim] == pytest.approx(
                max(margin_at(tagset, documents, n, t, tags[t]) for t in hull), abs=1e-5
            )
            share = math.fsum(p for spans, p in documents if touching(spans, start, end) == other)
            assert math.exp(j.alternative_log_posterior) == pytest.approx(share, abs=1e-6)
            if start <= margin and n - end <= margin:  # the window is the document
                rivals = [(p, spans) for spans, p in documents if not holds(spans, j.claim)]
                best = max(rivals, key=lambda pair: pair[0])[1]
                assert other == touching(best, start, end)


@pytest.mark.parametrize("scheme", list(TAGSETS))
def test_a_window_grows_with_the_entity_in_it(scheme):
    tagset = TagSet(("PER",), scheme)
    n = 30
    lattice = make_lattice(tagset, [4, n], crf=True)
    tags = tagset.encode([(3, 26, "PER")], n)
    lattice.emissions[4:] = -20.0
    lattice.emissions[4:][np.arange(n), tags] = 20.0
    claims = [[], [(10, 12, "PER"), (10, 12, None), (3, 26, "PER")]]
    _, found = judge_claims(lattice, [None] * 2, Reading(tagset, Head(crf=True)), claims)
    for j in found[:2]:
        assert j.spans == [(3, 26, "PER")]
        assert j.alternative_log_posterior == pytest.approx(0.0, abs=1e-6)
        assert j.log_posterior < -30
    assert found[2].log_posterior == pytest.approx(0.0, abs=1e-6)
    assert (3, 26, "PER") not in found[2].spans


def test_tokens_without_a_row():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [3], crf=True)
    lattice = Lattice(*lattice.scores, [np.array([1, 2, 4])])
    dense = Lattice(*lattice.scores, [np.arange(3)])
    reading = Reading(tagset, Head(crf=True))
    claims = [[(0, 1, "PER"), (1, 4, "PER"), (2, 5, None)]]
    (found,) = judge_claims(lattice, [None], reading, claims)
    assert [j.claim for j in found] == claims[0][1:]
    (same,) = judge_claims(dense, [None], reading, [[(0, 2, "PER"), (1, 3, None)]])
    token = [1, 2, 4]
    for j, k in zip(found, same, strict=True):
        assert j.log_posterior == k.log_posterior
        assert j.spans == [(token[s], token[e - 1] + 1, x) for s, e, x in k.spans]


def test_what_is_preset_is_certain():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [3], crf=True)
    preset = Annotation([(0, 2, "PER")], np.array([True, True, False]))
    claims = [[(0, 2, "PER"), (1, 3, "PER"), (2, 3, None)]]
    (found,) = judge_claims(lattice, [preset], Reading(tagset, Head(crf=True)), claims)
    assert found[0].log_posterior == pytest.approx(0.0, abs=1e-6)
    assert found[0].spans is None and found[0].alternative_log_posterior == -math.inf
    assert found[1].log_posterior == -math.inf
    assert 0 > found[2].log_posterior > -math.inf


def test_no_claims():
    lattice = make_lattice(TAGSETS["BIO"], [2, 0], crf=True)
    reading = Reading(TAGSETS["BIO"], Head(crf=True))
    assert judge_claims(lattice, [None] * 2, reading, [[], []]) == [[], []]
