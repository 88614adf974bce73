"""Groups of labels against a listing of every pair of tag sequences, one for each group."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from spacy_bio_crf.gold.annotation import Annotation, Preset
from spacy_bio_crf.gold.layers import LayeredAnnotation
from spacy_bio_crf.heads.decode import Reading, find_entities
from spacy_bio_crf.heads.emitter import Head
from spacy_bio_crf.heads.grouped import (
    all_tag_marginals,
    close_all_paths,
    find_all_alternatives,
    find_all_entities,
    loss_of_groups,
)
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.loss import expected_counts
from spacy_bio_crf.tags.groups import TagGroups, make_groups
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.lattices import is_legal

LENGTHS = [3, 0, 1, 2]
CASES = [
    pytest.param(scheme, crf, groups, id=f"{scheme}-{'crf' if crf else 'softmax'}-{len(groups)}")
    for scheme, crf, groups in product(
        ("BIO", "BILUO"),
        (True, False),
        ({"a": ["PER"], "b": ["LOC"]}, {"a": ["PER", "ORG"], "b": ["LOC"]}),
    )
]
cases = pytest.mark.parametrize(("scheme", "crf", "members"), CASES)


def lattice_of(groups: TagGroups, *, crf: bool, seed: int = 0) -> Lattice:
    k = len(groups.tags)
    rng = torch.Generator().manual_seed(seed)
    shapes = [(sum(LENGTHS), k), (k,), (k, k), (k,)]
    scores = [2.0 * torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    if not crf:
        scores[1:] = [torch.zeros_like(s) for s in scores[1:]]
    emissions, start, transitions, end = scores
    return Lattice(emissions, start, transitions, end, [np.arange(n) for n in LENGTHS])


def paths_of(
    lattice: Lattice, groups: TagGroups, i: int, document: int, *, legal: bool = True
) -> list[tuple[tuple[int, ...], float]]:
    """All legal sequences of one group in one document, with their probabilities."""
    tagset, columns = groups.tagsets[i], groups.columns[i]
    first = sum(LENGTHS[:document])
    rows = lattice.emissions[first : first + LENGTHS[document], columns].tolist()
    start, end = lattice.start[columns].tolist(), lattice.end[columns].tolist()
    between = lattice.transitions[columns, columns].tolist()
    weights = {}
    for path in product(range(len(tagset.tags)), repeat=len(rows)):
        if legal and not is_legal(tagset, path):
            continue
        score = sum(row[tag] for row, tag in zip(rows, path, strict=True))
        score += sum(between[a][b] for a, b in zip(path, path[1:], strict=False))
        score += start[path[0]] + end[path[-1]] if path else 0.0
        weights[path] = math.exp(score)
    total = sum(weights.values())
    return [(path, w / total) for path, w in weights.items()]


def analyses_of(lattice: Lattice, groups: TagGroups, document: int) -> list[tuple[list, float]]:
    """All pairs of sequences, as entities with their probability, the most probable first."""
    lists = [paths_of(lattice, groups, i, document) for i in range(len(groups.names))]
    found = []
    for pair in product(*lists):
        spans = [
            span
            for tagset, (path, _) in zip(groups.tagsets, pair, strict=True)
            for span in tagset.decode(path)
        ]
        found.append((sorted(spans), math.prod(p for _, p in pair)))
    return sorted(found, key=lambda analysis: -analysis[1])


def reading_of(groups: TagGroups, *, crf: bool, temperature: float = 1.0) -> Reading:
    return Reading(TagSet(()), Head(crf=crf), temperature, groups)


@cases
@pytest.mark.parametrize("seed", range(3))
def test_best_analysis_and_probabilities(scheme: str, crf: bool, members: dict, seed: int):
    groups = make_groups(members, (), scheme)
    lattice = lattice_of(groups, crf=crf, seed=seed)
    reading = reading_of(groups, crf=crf)
    found = find_all_entities(lattice, [None] * len(LENGTHS), reading, scored=True)
    assert any(entities.found for entities in found)
    for document, entities in enumerate(found):
        analyses = analyses_of(lattice, groups, document)
        assert entities.found == analyses[0][0]
        assert entities.groups is groups
        for span, score in zip(entities.found, entities.scores or (), strict=True):
            share = sum(p for spans, p in analyses if span in spans)
            assert score == pytest.approx(share, rel=1e-5)


def test_entities_of_two_groups_overlap():
    groups = make_groups({"a": ["PER"], "b": ["LOC"]}, (), "BIO")
    emissions = torch.zeros(3, 6)
    emissions[0, 1] = emissions[1, 2] = emissions[2, 2] = emissions[1, 4] = 9.0
    zeros = torch.zeros(6)
    lattice = Lattice(emissions, zeros, torch.zeros(6, 6), zeros, [np.arange(3)])
    (entities,) = find_all_entities(lattice, [None], reading_of(groups, crf=True), scored=True)
    assert entities.found == [(0, 3, "PER"), (1, 2, "LOC")]


@cases
@pytest.mark.parametrize("k", [1, 4, 1000])
def test_k_best_analyses(scheme: str, crf: bool, members: dict, k: int):
    groups = make_groups(members, (), scheme)
    lattice = lattice_of(groups, crf=crf, seed=5)
    reading = reading_of(groups, crf=crf)
    k = min(k, 40)
    found = find_all_alternatives(lattice, [None] * len(LENGTHS), reading, k=k)
    for document, alternatives in enumerate(found):
        analyses = analyses_of(lattice, groups, document)[:k]
        assert len(alternatives) == len(analyses)
        for alternative, (spans, probability) in zip(alternatives, analyses, strict=True):
            assert alternative.probability == pytest.approx(probability, rel=1e-5)
            assert alternative.spans == spans


@cases
def test_marginals(scheme: str, crf: bool, members: dict):
    groups = make_groups(members, (), scheme)
    lattice = lattice_of(groups, crf=crf, seed=1)
    reading = reading_of(groups, crf=crf)
    found = all_tag_marginals(lattice, [None] * len(LENGTHS), reading, sizes=LENGTHS)
    for document, marginals in enumerate(found):
        expected = np.zeros((LENGTHS[document], len(groups.tags)))
        for i, columns in enumerate(groups.columns):
            for path, p in paths_of(lattice, groups, i, document):
                for row, tag in enumerate(path):
                    expected[row, columns.start + tag] += p
        np.testing.assert_allclose(marginals, expected, rtol=1e-4, atol=1e-6)


def test_the_temperature_divides_all_groups():
    groups = make_groups({"a": ["PER"], "b": ["LOC"]}, (), "BIO")
    lattice = lattice_of(groups, crf=True, seed=2)
    hot = reading_of(groups, crf=True, temperature=2.0)
    halved = Lattice(*(s / 2 for s in lattice.scores), lattice.tokens)
    presets = [None] * len(LENGTHS)
    tempered = find_all_entities(lattice, presets, hot, scored=True)
    expected = find_all_entities(halved, presets, reading_of(groups, crf=True), scored=True)
    for one, other in zip(tempered, expected, strict=True):
        assert one.found == other.found
        assert one.scores == pytest.approx(other.scores)


def gold_of(groups: TagGroups, *, unknown: bool, wrong: bool = False) -> list[LayeredAnnotation]:
    """Overlapping gold, with a token unknown to the second group alone."""
    spans = [{"a": [(0, 2, "PER")], "b": [(1, 3, "LOC")]}, {}, {"b": [(0, 1, "LOC")]}, {}]
    gold = []
    for n, own in zip(LENGTHS, spans, strict=True):
        layers = []
        for name in groups.names:
            known = np.ones(n, dtype=bool)
            if unknown and name == "b" and n == 2:
                known[1] = False
            barred = [(0, 1, "LOC")] if wrong and name == "b" and n == 2 else []
            layers.append(Annotation(own.get(name, []), known, barred))
        gold.append(LayeredAnnotation([], np.ones(n, bool), layers=tuple(layers)))
    return gold


def listed_loss(lattice: Lattice, groups: TagGroups, gold: list) -> float:
    """The negative log-likelihood of the gold of each group, by listing the sequences."""
    total = 0.0
    for document, annotation in enumerate(gold):
        for i, layer in enumerate(annotation.layers):
            n = LENGTHS[document]
            tags = groups.tagsets[i].encode(layer.spans, n)
            allowed = 0.0
            barred = 0.0
            for path, p in paths_of(lattice, groups, i, document, legal=False):
                if all(tag == tags[t] or not layer.known[t] for t, tag in enumerate(path)) and not (
                    # No entity continues into an unknown token behind a known one.
                    any(
                        not layer.known[t]
                        and groups.tagsets[i].tags[path[t]][0] in "IL"
                        and tags[t - 1] > 0
                        for t in range(1, n)
                    )
                ):
                    allowed += p
                if layer.wrong and layer.wrong[0] in groups.tagsets[i].decode(path):
                    barred += p
            total -= math.log(allowed)
            if layer.wrong:
                total -= math.log(1 - barred)
    return total / 6


@cases
@pytest.mark.parametrize("unknown", [False, True])
def test_loss_is_the_sum_of_those_of_the_groups(
    scheme: str, crf: bool, members: dict, unknown: bool
):
    groups = make_groups(members, (), scheme)
    lattice = lattice_of(groups, crf=crf, seed=3)
    gold = gold_of(groups, unknown=unknown)
    loss, _ = loss_of_groups(
        gold, lattice, head=Head(crf=crf), groups=groups, continued=False, size=6
    )
    assert loss == pytest.approx(listed_loss(lattice, groups, gold), rel=1e-6)


@cases
def test_gradient_by_finite_differences(scheme: str, crf: bool, members: dict):
    groups = make_groups(members, (), scheme)
    lattice = lattice_of(groups, crf=crf, seed=4)
    gold = gold_of(groups, unknown=True, wrong=True)
    settings = {"head": Head(crf=crf), "groups": groups, "continued": False, "size": 6}
    _, gradient = loss_of_groups(gold, lattice, **settings)
    own_blocks = torch.zeros(len(groups.tags), len(groups.tags), dtype=torch.bool)
    for columns in groups.columns:
        own_blocks[columns, columns] = True
    assert not gradient.transitions[~own_blocks].any()
    step = 1e-4
    for scores, found in zip(lattice.scores, gradient.scores, strict=True):
        flat = scores.view(-1)
        for place in range(0, len(flat), max(1, len(flat) // 12)):
            before = float(flat[place])
            losses = []
            for sign in (1, -1):
                flat[place] = before + sign * step
                losses.append(loss_of_groups(gold, lattice, **settings)[0])
            flat[place] = before
            slope = (losses[0] - losses[1]) / (2 * step)
            if crf or scores is lattice.emissions:
                assert float(found.view(-1)[place]) == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_weights_of_classes_count_in_their_group():
    groups = make_groups({"a": ["PER"], "b": ["LOC"]}, (), "BIO")
    lattice = lattice_of(groups, crf=True)
    gold = gold_of(groups, unknown=False)
    losses = [
        loss_of_groups(
            gold,
            lattice,
            head=Head(crf=True, class_weights=weights),
            groups=groups,
            continued=False,
            size=6,
        )[1]
        for weights in ((), (("LOC", 5.0),))
    ]
    first, second = groups.columns
    same = [a.part(first).emissions for a in losses]
    torch.testing.assert_close(*same)
    assert not torch.allclose(*(a.part(second).emissions for a in losses))


def test_presets_close_their_own_group_alone():
    groups = make_groups({"a": ["PER"], "b": ["LOC"]}, (), "BIO")
    lattice = lattice_of(groups, crf=True, seed=6)
    lattice.emissions[0, 4] = 50.0  # LOC in the first token
    known = np.array([True, True, True])
    preset = Preset([(0, 2, "PER")], known)  # the last token is blocked
    presets = [preset, None, None, None]
    found = find_all_entities(lattice, presets, reading_of(groups, crf=True), scored=True)
    assert (0, 1, "LOC") in found[0].found
    assert not any(label == "PER" for _, _, label in found[0].found)
    assert not any(end == 3 for _, end, _ in found[0].found)
    for one in find_all_alternatives(lattice, presets, reading_of(groups, crf=True), k=3)[0]:
        assert (0, 2, "PER") in one.spans
    marginals = all_tag_marginals(lattice, presets, reading_of(groups, crf=True), sizes=LENGTHS)
    assert marginals[0][0, 1] == pytest.approx(1.0)  # B-PER
    assert marginals[0][2, [0, 3]] == pytest.approx(1.0)  # O and O


def test_without_groups_nothing_changes():
    tagset = TagSet(("PER",))
    groups = make_groups({"a": ["PER"]}, (), "BIO")
    lattice = lattice_of(groups, crf=True)
    flat = Reading(tagset, Head(crf=True))
    presets = [None] * len(LENGTHS)
    expected = find_entities(lattice, presets, flat, scored=True)
    assert find_all_entities(lattice, presets, flat, scored=True) == expected
    (one, *_), (other, *_) = (
        find_all_entities(lattice, presets, reading, scored=True)
        for reading in (flat, reading_of(groups, crf=True))
    )
    assert (one.found, one.scores) == (other.found, other.scores)


@cases
def test_closed_paths_have_the_marginals_of_each_group(scheme: str, crf: bool, members: dict):
    groups = make_groups(members, (), scheme)
    lattice = lattice_of(groups, crf=crf)
    reading = Reading(TagSet((), scheme), Head(crf=crf), groups=groups)
    presets = [Annotation([(0, 2, "LOC")], np.array([True, True, False])), None, None, None]
    before = [scores.clone() for scores in lattice.scores]
    closed = close_all_paths(lattice, presets, reading)
    expected = np.concatenate(all_tag_marginals(lattice, presets, reading, sizes=LENGTHS))
    found = [expected_counts(closed.part(own)).emissions.numpy() for own in groups.columns]
    np.testing.assert_allclose(np.hstack(found), expected, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(lattice.scores, before, strict=True))
