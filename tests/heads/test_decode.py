"""Decoding against a listing of all paths."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.heads.decode import (
    Alternative,
    Entities,
    Reading,
    check_finite,
    decode_tags,
    find_alternatives,
    find_entities,
    tag_marginals,
    temper,
)
from spacy_bio_crf.heads.emitter import Head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice, restrict
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.lattices import (
    RAGGED,
    TAGSETS,
    all_allowed,
    every_path,
    is_legal,
    make_lattice,
    path_scores,
    probabilities,
    scheme,
    split,
)


@scheme
@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("kind", [None, "partial", "negative"])
def test_decode_finds_the_best_of_all_paths(
    scheme: str, crf: bool, constrained: bool, kind: str | None
):
    tagset = TAGSETS[scheme]
    head = Head(crf=crf, constrained=constrained)
    for seed, lengths in enumerate([[0], [1], [2], [3], [4], RAGGED, RAGGED[::-1]] * 3):
        lattice = make_lattice(tagset, lengths, crf=crf, seed=seed)
        allowed = None if kind is None else all_allowed(tagset, lengths, kind, seed)
        tags = decode_tags(head, restrict(head, tagset, lattice, allowed))
        assert tags.dtype == np.int64 and tags.shape == (sum(lengths),)
        if allowed is None:
            allowed = np.ones(lattice.emissions.shape, dtype=bool)
        for emissions, ok, found in zip(
            split(lattice, lattice.emissions), split(lattice, allowed), split(lattice, tags),
            strict=True,
        ):  # fmt: skip
            paths = every_path(scheme, len(found), legal=constrained)
            paths = paths[ok[np.arange(len(found)), paths].all(axis=1)]
            assert found.tolist() == paths[path_scores(emissions, lattice, paths).argmax()].tolist()


@scheme
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_finite_weights_can_bring_out_an_illegal_sequence(scheme: str, data: st.DataObject):
    tagset = TAGSETS[scheme]
    k = len(tagset.tags)
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    largest = 2.0 ** data.draw(st.sampled_from([0, 13, 100]))
    scores = st.floats(-largest, largest, width=32)
    emissions, start, transitions, end = (
        torch.tensor(data.draw(st.lists(scores, min_size=n, max_size=n)), dtype=torch.float32)
        for n in (sum(lengths) * k, k, k * k, k)
    )
    lattice = Lattice(
        emissions.reshape(-1, k), start, transitions.reshape(k, k), end,
        [np.arange(n) for n in lengths],
    )  # fmt: skip
    for crf in (False, True):
        head = Head(crf=crf, constrained=True)
        tags = decode_tags(head, restrict(head, tagset, lattice))
        for path in split(lattice, tags):
            assert is_legal(tagset, tuple(path))
            if len(path):
                # The scheme's own arrays say the same as the words above.
                assert tagset.legal_start[path[0]] and tagset.legal_end[path[-1]]
                assert tagset.legal[path[:-1], path[1:]].all()


def test_unconstrained_softmax_is_the_plain_argmax():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [4], crf=False)
    lattice.emissions[:] = torch.eye(5)[[2, 2, 0, 2]]  # I-PER I-PER O I-PER
    head = build_softmax_head(constrained=False)
    tags = decode_tags(head, restrict(head, tagset, lattice))
    assert [tagset.tags[i] for i in tags] == ["I-PER", "I-PER", "O", "I-PER"]
    assert tagset.decode(tags, repair="begin") == [(0, 2, "PER"), (3, 4, "PER")]
    assert tagset.decode(tags, repair="discard") == []
    head = build_softmax_head()
    tags = decode_tags(head, restrict(head, tagset, lattice))
    assert is_legal(tagset, tuple(tags))


# Analyses -----------------------------------------------------------------------------------------


@scheme
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("crf", [True, False])
def test_kbest_and_marginals_are_those_of_all_sequences(scheme: str, crf: bool, temperature: float):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, [3, 2], crf=crf, seed=3)
    reading = Reading(tagset, Head(crf=crf), temperature)
    nothing = [None, None]
    alternatives = find_alternatives(lattice, nothing, reading, k=6)
    marginals = tag_marginals(lattice, nothing, reading, sizes=[3, 2])
    for i, n in enumerate(lattice.lengths):
        paths = every_path(scheme, n, legal=True)
        shares = probabilities(temper(lattice, temperature), i, paths)
        best = np.argsort(-shares, kind="stable")[:6]
        assert [a.spans for a in alternatives[i]] == [tagset.decode(paths[j]) for j in best]
        assert [a.probability for a in alternatives[i]] == pytest.approx(shares[best])
        expected = np.zeros((n, len(tagset.tags)))
        for path, share in zip(paths, shares, strict=True):
            expected[np.arange(n), path] += share
        np.testing.assert_allclose(marginals[i], expected, atol=1e-5)


def test_few_sequences_give_few_alternatives_and_none_is_an_error():
    tagset = TagSet(("A",))
    lattice = make_lattice(tagset, [1], crf=True)
    reading = Reading(tagset, Head(crf=True))
    assert len(find_alternatives(lattice, [None], reading, k=9)[0]) == 2  # O and B-A
    with pytest.raises(ValueError, match="k: expected a whole number, 1 or more, got 0"):
        find_alternatives(lattice, [None], reading, k=0)


def test_temperature_moves_probabilities_and_no_entity():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [6, 6], crf=True, seed=1)
    cold, hot = (
        find_entities(lattice, [None] * 2, Reading(tagset, Head(crf=True), t), scored=True)
        for t in (0.3, 5.0)
    )
    assert [e.found for e in cold] == [e.found for e in hot]
    assert sum(len(e.found) for e in cold) > 0
    mean = [np.mean([s for e in entities for s in e.scores or ()]) for entities in (cold, hot)]
    assert mean[0] > mean[1]


def sure(tagset: TagSet, tags: list[str]) -> Lattice:
    """A lattice of one document in which these tags are by far the best."""
    k = len(tagset.tags)
    emissions = 20.0 * torch.eye(k)[[tagset.ids[tag] for tag in tags]]
    return Lattice(
        emissions, torch.zeros(k), torch.zeros(k, k), torch.zeros(k), [np.arange(len(tags))]
    )


def test_presets_stay_and_nothing_found_touches_them():
    tagset = TAGSETS["BIO"]
    lattice = sure(tagset, ["B-PER", "I-PER", "O", "B-PER", "I-PER", "B-PER"])
    reading = Reading(tagset, Head(crf=True))
    # Token 1 is an entity of a label of its own, and token 4 is blocked.
    known = np.array([False, True, False, False, True, False])
    preset = Annotation([(1, 2, "LAW")], known)
    (entities,) = find_entities(lattice, [preset], reading, scored=True)
    assert entities.preset is preset
    assert entities.found == [(0, 1, "PER"), (3, 4, "PER"), (5, 6, "PER")]
    assert len(entities.scores) == 3
    (alternatives,) = find_alternatives(lattice, [preset], reading, k=1)
    assert alternatives[0].spans == [(0, 1, "PER"), (1, 2, "LAW"), (3, 4, "PER"), (5, 6, "PER")]
    (marginals,) = tag_marginals(lattice, [preset], reading, sizes=[6])
    assert (marginals[known, 0] == 1.0).all() and (marginals[[0, 3, 5], 0] < 0.1).all()


def test_a_document_without_presets_is_free_beside_one_that_has_some():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [4, 4], crf=True, seed=5)
    reading = Reading(tagset, Head(crf=True))
    alone = find_entities(lattice, [None, None], reading, scored=True)
    preset = Annotation([], np.array([True] * 4))
    together = find_entities(lattice, [preset, None], reading, scored=True)
    assert together == [Entities(preset, [], []), alone[1]]


def test_the_threshold_drops_entities_with_their_scores():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [9], crf=True, seed=2)
    reading = Reading(tagset, Head(crf=True), 4.0)
    (every,) = find_entities(lattice, [None], reading, scored=True)
    threshold = sorted(every.scores)[len(every.scores) // 2]
    (some,) = find_entities(lattice, [None], reading, scored=True, threshold=threshold)
    kept = [(s, p) for s, p in zip(every.found, every.scores, strict=True) if p >= threshold]
    assert 0 < len(kept) < len(every.found)
    assert list(zip(some.found, some.scores, strict=True)) == kept
    assert find_entities(lattice, [None], reading, scored=False) == [Entities(None, every.found)]


@pytest.mark.parametrize(("repair", "spans"), [("begin", [(0, 2, "PER")]), ("discard", [])])
def test_repair_of_sequences_that_are_not_legal(repair: str, spans: list):
    tagset = TAGSETS["BIO"]
    lattice = sure(tagset, ["I-PER", "I-PER", "O"])
    reading = Reading(tagset, Head(crf=False, constrained=False))
    (entities,) = find_entities(lattice, [None], reading, scored=False, repair=repair)
    assert entities.found == spans
    (alternatives,) = find_alternatives(lattice, [None], reading, k=1, repair=repair)
    assert [a.spans for a in alternatives] == [spans]
    assert isinstance(alternatives[0], Alternative)


def test_rows_become_tokens():
    """Tokens 0, 2 and 5 have no sub-word."""
    tagset = TAGSETS["BIO"]
    lattice = sure(tagset, ["B-PER", "I-PER", "O"])
    lattice = Lattice(*lattice.scores, tokens=[np.array([1, 3, 4])])
    reading = Reading(tagset, Head(crf=True))
    assert find_entities(lattice, [None], reading, scored=False)[0].found == [(1, 4, "PER")]
    (marginals,) = tag_marginals(lattice, [None], reading, sizes=[6])
    assert np.isnan(marginals).all(axis=1).tolist() == [True, False, True, False, False, True]


def test_scores_that_are_not_finite_are_named():
    docs = [Doc(Vocab(), words=words) for words in (["a"], [], ["b", "c", "d"])]
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [1, 0, 2], crf=True)
    lattice = Lattice(*lattice.scores, tokens=[np.arange(1), np.arange(0), np.array([0, 2])])
    check_finite("ner", docs, lattice)
    lattice.emissions[2, 1] = float("nan")
    message = r"scores of 'ner' for document 2 of the batch \('b c d '\), token 2 \('d'\): expected"
    with pytest.raises(BioError, match=message):
        check_finite("ner", docs, lattice)
    lattice.emissions[2, 1] = 0.0
    lattice.transitions[0, 0] = float("inf")
    with pytest.raises(BioError, match="transition scores of 'ner': expected finite numbers, g"):
        check_finite("ner", docs, lattice)
