"""Labels of single tokens: best, marginals and k best, against the list of all paths."""

from itertools import product

import numpy as np
import pytest
import torch

from spacy_bio_crf.gold.token_labels import TokenLabels
from spacy_bio_crf.heads.decode import Reading, temper
from spacy_bio_crf.heads.emitter import build_crf_head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.token_tags import LabelSequence, find_label_sequences, find_labels
from spacy_bio_crf.tags.tagset import NO_SCHEME, TagSet
from tests.support.lattices import RAGGED, make_lattice, path_scores, split

TAGSET = TagSet(("NOUN", "VERB", "X"), NO_SCHEME)
HEADS = {"crf": build_crf_head(), "softmax": build_softmax_head()}
heads = pytest.mark.parametrize("name", list(HEADS))
temperatures = pytest.mark.parametrize("temperature", [1.0, 2.5])


def setting(name: str, temperature: float, seed: int = 0) -> tuple[Lattice, Reading]:
    lattice = make_lattice(TAGSET, RAGGED, crf=name == "crf", seed=seed)
    return lattice, Reading(TAGSET, HEADS[name], temperature)


def all_paths(lattice: Lattice, document: int, fixed: dict[int, int]) -> tuple:
    """All paths of a document with some tags fixed, and their probabilities."""
    n = lattice.lengths[document]
    paths = [
        p
        for p in product(range(len(TAGSET.tags)), repeat=n)
        if all(p[i] == tag for i, tag in fixed.items())
    ]
    rows = np.array(paths, dtype=np.int64).reshape(len(paths), n)
    emissions = split(lattice, lattice.emissions)[document]
    weights = np.exp(path_scores(emissions, lattice, rows))
    return rows, weights / weights.sum()


def presets_of(fixed: list[dict[int, int]]) -> list[TokenLabels | None]:
    """A document with a fixed tag has it as a preset, beside a label that is no tag's."""
    presets: list[TokenLabels | None] = []
    for n, own in zip(RAGGED, fixed, strict=True):
        labels = [TAGSET.tags[own[i]] if i in own else None for i in range(n)]
        known = np.array([label is not None for label in labels], dtype=bool)
        presets.append(TokenLabels([], known, labels=labels) if own else None)
    return presets


FIXED = [[{} for _ in RAGGED], [{}, {1: 2}, {0: 1, 3: 0}, {0: 2}, {}, {}, {}]]


@heads
@temperatures
@pytest.mark.parametrize("fixed", FIXED, ids=["free", "with presets"])
@pytest.mark.parametrize("seed", range(3))
def test_best_labels_and_their_probabilities(name, temperature, fixed, seed):
    lattice, reading = setting(name, temperature, seed)
    presets = presets_of(fixed)
    found = find_labels(lattice, presets, reading, scored=True)
    assert len(found) == len(RAGGED)
    for i, own in enumerate(found):
        paths, p = all_paths(temper(lattice, temperature), i, fixed[i])
        best = paths[p.argmax()]
        assert own.labels == [TAGSET.tags[tag] for tag in best]
        assert own.preset is presets[i]
        assert own.tokens.tolist() == list(range(RAGGED[i]))
        expected = [p[paths[:, t] == tag].sum() for t, tag in enumerate(best)]
        assert own.scores == pytest.approx(expected, rel=1e-4)
        assert all(type(score) is float and score <= 1.0 for score in own.scores)


@heads
def test_no_scores_unless_asked_for(name):
    lattice, reading = setting(name, 1.0)
    plain = find_labels(lattice, [None] * len(RAGGED), reading, scored=False)
    assert all(own.scores is None for own in plain)


@heads
@temperatures
@pytest.mark.parametrize("fixed", FIXED, ids=["free", "with presets"])
def test_k_best_sequences(name, temperature, fixed):
    lattice, reading = setting(name, temperature)
    found = find_label_sequences(lattice, presets_of(fixed), reading, k=4)
    for i, own in enumerate(found):
        paths, p = all_paths(temper(lattice, temperature), i, fixed[i])
        order = np.argsort(-p)[:4]
        assert [a.probability for a in own] == pytest.approx(p[order].tolist(), rel=1e-4)
        expected = [{t: TAGSET.tags[tag] for t, tag in enumerate(paths[j])} for j in order]
        assert [a.found for a in own] == expected


def test_a_preset_of_another_tag_set_stays_in_the_sequences():
    lattice, reading = setting("crf", 1.0)
    preset = TokenLabels([], np.array([True, False]), labels=["other", None])
    own = find_label_sequences(lattice, [None, preset, None, None, None, None, None], reading, k=2)[
        1
    ]
    assert [a.labels[0] for a in own] == ["other"] * 2
    assert all(a.labels[1] in TAGSET.tags for a in own)


def test_equal_paths_of_a_softmax_are_those_of_viterbi():
    lattice, reading = setting("softmax", 1.0)
    as_crf = Reading(TAGSET, HEADS["crf"])
    presets = presets_of(FIXED[1])
    one, two = (find_labels(lattice, presets, r, scored=True) for r in (reading, as_crf))
    for a, b in zip(one, two, strict=True):
        assert a.labels == b.labels
        assert a.scores == pytest.approx(b.scores, rel=1e-5)


def test_a_sequence_shows_its_labels():
    sequence = LabelSequence({0: "NOUN", 2: "X"}, 0.25)
    assert sequence.labels == ["NOUN", None, "X"]
    assert str(sequence) == "0.2500: 0/NOUN 2/X"
    assert repr(LabelSequence({}, 1.0)) == "LabelSequence(1.0000: no label)"


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_k_is_a_number_of_sequences(k):
    lattice, reading = setting("crf", 1.0)
    with pytest.raises(ValueError, match="^k: expected a whole number, 1 or more"):
        find_label_sequences(lattice, [None] * len(RAGGED), reading, k=k)


def test_nothing_is_written_to_the_lattice():
    lattice, reading = setting("crf", 2.0)
    before = [scores.clone() for scores in lattice.scores]
    find_labels(lattice, presets_of(FIXED[1]), reading, scored=True)
    assert all(torch.equal(a, b) for a, b in zip(before, lattice.scores, strict=True))
