"""Doubt against a listing of every tag sequence."""

import math

import numpy as np
import pytest

from spacy_bio_crf.gold.annotation import Preset
from spacy_bio_crf.heads.decode import Reading
from spacy_bio_crf.heads.doubt import measure_doubt
from spacy_bio_crf.heads.emitter import Head
from spacy_bio_crf.heads.grouped import find_all_alternatives
from spacy_bio_crf.tags.groups import make_groups
from tests.heads.test_grouped import analyses_of, lattice_of, reading_of
from tests.support.lattices import (
    RAGGED,
    TAGSETS,
    every_path,
    make_lattice,
    path_scores,
    probabilities,
    scheme,
    split,
)


def entropy_of(p: np.ndarray) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


@scheme
@pytest.mark.parametrize("crf_head", [True, False])
def test_every_path_listed(scheme: str, crf_head: bool):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, RAGGED, crf=crf_head)
    found = measure_doubt(lattice, [None] * len(RAGGED), Reading(tagset, Head(crf=crf_head)))
    for i, (n, doubt) in enumerate(zip(RAGGED, found, strict=True)):
        paths = every_path(scheme, n, legal=True)
        p = probabilities(lattice, i, paths)
        ordered = sorted(p, reverse=True)
        assert doubt.tokens == n
        assert doubt.entropy == pytest.approx(entropy_of(p), abs=1e-5)
        assert doubt.best == pytest.approx(math.log(ordered[0]), abs=1e-5)
        if n:
            assert doubt.second == pytest.approx(math.log(ordered[1]), abs=1e-5)
        else:
            assert doubt.second is None
        for label in tagset.labels:
            counts = [sum(span[2] == label for span in tagset.decode(path)) for path in paths]
            assert doubt.expected[label] == pytest.approx(p @ np.array(counts), abs=1e-5)
        # H = log Z - E[score], the other form of it.
        scores = path_scores(split(lattice, lattice.emissions)[i], lattice, paths)
        log_z = math.log(np.exp(scores).sum())
        assert doubt.entropy == pytest.approx(log_z - p @ scores, abs=1e-5)


def test_softmax_without_constraints_is_a_sum_over_tokens():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, RAGGED, crf=False)
    reading = Reading(tagset, Head(crf=False, constrained=False))
    found = measure_doubt(lattice, [None] * len(RAGGED), reading)
    for rows, doubt in zip(split(lattice, lattice.emissions), found, strict=True):
        p = rows.double().softmax(dim=1).numpy()
        assert doubt.entropy == pytest.approx(sum(map(entropy_of, p)), abs=1e-5)


def test_temperature_counts():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [3], crf=True)
    one, two = (
        measure_doubt(lattice, [None], Reading(tagset, Head(crf=True), temperature))[0]
        for temperature in (1.0, 2.0)
    )
    assert two.entropy > one.entropy and two.best < one.best
    assert two.second is not None and one.second is not None
    assert two.best - two.second == pytest.approx((one.best - one.second) / 2.0, abs=1e-5)


def test_presets_leave_no_doubt():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [2], crf=True)
    preset = Preset([(0, 2, "PER")], np.array([True, True]))
    (doubt,) = measure_doubt(lattice, [preset], Reading(tagset, Head(crf=True)))
    assert (doubt.entropy, doubt.second) == (pytest.approx(0.0, abs=1e-6), None)
    assert doubt.expected == {"PER": pytest.approx(1.0), "cell-line": pytest.approx(0.0)}


@pytest.mark.parametrize("crf_head", [True, False])
def test_groups_listed(crf_head: bool):
    groups = make_groups({"a": ["PER", "ORG"], "b": ["LOC"]}, (), "BIO")
    lattice = lattice_of(groups, crf=crf_head)
    reading = reading_of(groups, crf=crf_head)
    sizes = lattice.lengths
    found = measure_doubt(lattice, [None] * len(sizes), reading)
    alternatives = find_all_alternatives(lattice, [None] * len(sizes), reading, k=2)
    for i, (doubt, best) in enumerate(zip(found, alternatives, strict=True)):
        analyses = analyses_of(lattice, groups, i)
        p = np.array([share for _, share in analyses])
        assert doubt.entropy == pytest.approx(entropy_of(p), abs=1e-5)
        assert math.exp(doubt.best) == pytest.approx(p[0], rel=1e-5)
        assert math.exp(doubt.best) == pytest.approx(best[0].probability, rel=1e-5)
        if len(p) > 1:
            assert doubt.second is not None
            assert math.exp(doubt.second) == pytest.approx(p[1], rel=1e-5)
        for label in ("PER", "ORG", "LOC"):
            counts = [sum(span[2] == label for span in spans) for spans, _ in analyses]
            assert doubt.expected[label] == pytest.approx(p @ np.array(counts), abs=1e-5)


def test_a_long_document_does_not_underflow():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [9000], crf=True)
    (doubt,) = measure_doubt(lattice, [None], Reading(tagset, Head(crf=True)))
    assert doubt.best < -800 and doubt.second is not None and doubt.second <= doubt.best
    assert math.isfinite(doubt.entropy)
