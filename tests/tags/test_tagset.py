"""Tag sets: derived arrays against their definition, and spans to tags and back."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.tags.schemes import spans_of_tags, split_tag
from spacy_bio_crf.tags.tagset import NO_SCHEME, SCHEMES, TagSet, count_tags

LABELS = ("PER", "cell-line", "B-X")
A = TagSet(("A",))


@pytest.mark.parametrize("name", SCHEMES)
def test_tags_and_what_is_derived_from_them(name):
    tag_set = TagSet(LABELS, name)
    prefixes = "BI" if name == "BIO" else "BILU"
    assert tag_set.tags == ("O", *(f"{p}-{label}" for label in LABELS for p in prefixes))
    assert tag_set.label_of.dtype == np.int64
    for i, tag in enumerate(tag_set.tags):
        prefix, label = split_tag(tag)
        assert tag_set.ids[tag] == i
        assert tag_set.prefix_of[i] == prefix
        assert tag_set.label_of[i] == (LABELS.index(label) if label else -1)


def test_labels_keep_their_order_and_tag_sets_compare_by_value():
    assert TagSet(("Z", "A")).tags == ("O", "B-Z", "I-Z", "B-A", "I-A")
    assert TagSet(["Z", "A"]) == TagSet(("Z", "A")) != TagSet(("A", "Z"))
    assert hash(TagSet(("Z",))) == hash(TagSet(("Z",)))
    assert TagSet(()).tags == ("O",) and TagSet(()).decode([0, 0]) == []


def test_without_a_scheme_labels_are_the_tags_of_single_tokens():
    tag_set = TagSet(("NOUN", "O", "B-X"), NO_SCHEME)
    assert tag_set.tags == ("NOUN", "O", "B-X") and tag_set.ids["B-X"] == 2
    assert tag_set.label_of.tolist() == [0, 1, 2] and tag_set.label_of.dtype == np.int64
    assert tag_set.legal.shape == (3, 3) and tag_set.legal.all()
    assert tag_set.legal_start.all() and tag_set.legal_end.all()
    assert tag_set.begins.all() and tag_set.closes.all()
    assert TagSet((), NO_SCHEME).tags == ()
    for call in (lambda: tag_set.encode([(0, 1, "O")], 1), lambda: tag_set.decode([0])):
        with pytest.raises(ValueError, match="scheme: expected one of 'BIO', 'BILUO', whose tags"):
            call()


@pytest.mark.parametrize("name", [*SCHEMES, NO_SCHEME])
@pytest.mark.parametrize("n_labels", [0, 1, 3])
def test_tags_are_counted_without_making_them(name, n_labels):
    labels = LABELS[:n_labels]
    assert count_tags(n_labels, name) == len(TagSet(labels, name).tags)


def test_derived_arrays_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        TagSet(LABELS).legal[0, 0] = False


@pytest.mark.parametrize("repair", ["begin", "discard"])
@pytest.mark.parametrize("name", SCHEMES)
def test_legal_is_what_survives_decode_and_encode(name, repair):
    tag_set = TagSet(("X", "Y"), name)
    for n in range(1, 5 if name == "BIO" else 4):
        for ids in product(range(len(tag_set.tags)), repeat=n):
            survives = tag_set.encode(tag_set.decode(ids, repair=repair), n).tolist() == list(ids)
            legal = (
                tag_set.legal_start[ids[0]]
                and tag_set.legal_end[ids[-1]]
                and all(tag_set.legal[a, b] for a, b in pairwise(ids))
            )
            assert legal == survives, [tag_set.tags[i] for i in ids]


@st.composite
def spans_and_length(draw):
    """Entities that do not overlap, many of them neighbours, and the number of tokens."""
    spans, at = [], 0
    for gap, length, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(LABELS)))
    ):
        spans.append((at + gap, at + gap + length, label))
        at += gap + length
    return spans, at + draw(st.integers(0, 2))


@given(spans_and_length(), st.sampled_from(SCHEMES), st.randoms())
def test_from_spans_to_tags_and_back(example, name, random):
    spans, n = example
    tag_set = TagSet(LABELS, name)
    shuffled = random.sample(spans, len(spans))
    ids = tag_set.encode(shuffled, n)
    assert ids.shape == (n,) and ids.dtype == np.int64
    for repair in ("begin", "discard"):
        assert tag_set.decode(ids, repair=repair) == spans
        tags = [tag_set.tags[i] for i in ids]
        assert spans_of_tags(tags, scheme=name, repair=repair) == (spans, [])


@given(st.lists(st.integers(0, 12)), st.sampled_from(SCHEMES))
def test_from_any_tags_to_spans_and_back(ids, name):
    tag_set = TagSet(LABELS, name)
    ids = [i % len(tag_set.tags) for i in ids]
    spans = tag_set.decode(ids)
    discarded = tag_set.decode(ids, repair="discard")
    assert set(discarded) <= set(spans)
    # Every token inside an entity stays in one of its label: nothing is lost, nothing is made up.
    labels = [""] * len(ids)
    for start, end, label in spans:
        labels[start:end] = [label] * (end - start)
    assert labels == [split_tag(tag_set.tags[i])[1] for i in ids]
    # The two readers are one; and what was repaired needs no repair any more.
    tags = [tag_set.tags[i] for i in ids]
    assert spans_of_tags(tags, scheme=name)[0] == spans
    assert spans_of_tags(tags, scheme=name, repair="discard")[0] == discarded
    repaired = tag_set.encode(spans, len(ids))
    assert spans_of_tags([tag_set.tags[i] for i in repaired], scheme=name) == (spans, [])


@pytest.mark.parametrize(
    ("repair", "spans"), [("begin", [(0, 1, "PER"), (1, 3, "B-X")]), ("discard", [(0, 1, "PER")])]
)
def test_decode_b_per_i_loc(repair, spans):
    tag_set = TagSet(LABELS)
    ids = [tag_set.ids[tag] for tag in ("B-PER", "I-B-X", "I-B-X")]
    assert tag_set.decode(ids, repair=repair) == spans


def test_decode_takes_arrays_of_any_integer_type():
    tag_set = TagSet(LABELS)
    for dtype in (np.int8, np.int32, np.int64, np.uint8):
        assert tag_set.decode(np.array([0, 1, 2, 1], dtype=dtype)) == [(1, 3, "PER"), (3, 4, "PER")]
    assert tag_set.decode(np.zeros(0)) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TagSet(("A", "B", "A")), "labels: expected each label once, got 'A' more than"),
        (lambda: TagSet(("A", "")), "label: expected a string, not empty, got ''"),
        (lambda: TagSet((3,)), "label: expected a string, not empty, got 3"),
        (lambda: TagSet("PER"), "labels: expected a sequence of strings, got 'PER'"),
        (lambda: TagSet(("A",), "IOB1"), "scheme: expected one of 'BIO', .*, got 'IOB1'"),
        (
            lambda: A.encode([(0, 1, "Z")], 2),
            r"expected a label of \['A'\], got \(0, 1, 'Z'",
        ),
        (
            lambda: A.encode([(1, 1, "A")], 2),
            r"spans: expected 0 <= start < end <= 2 .*, got \(1, 1, 'A'",
        ),
        (lambda: A.encode([(1, 3, "A")], 2), "0 <= start < end <= 2"),
        (lambda: A.encode([(-1, 1, "A")], 2), "0 <= start < end <= 2"),
        (lambda: A.encode([(0, 2, "A"), (1, 3, "A")], 3), r"do not overlap, got \(1, 3, 'A'\)"),
        (lambda: A.encode([(1, 2, "A"), (0, 3, "A")], 3), r"do not overlap, got \(0, 3, 'A'\)"),
        (lambda: A.decode([0, 3]), "tag_ids: expected tag ids from 0 to 2, got 3"),
        (lambda: A.decode([-1, 0]), "tag_ids: expected tag ids from 0 to 2, got -1"),
        (lambda: A.decode([0], repair="drop"), "repair: expected one of 'begin', 'discard', got"),
    ],
)
def test_errors_quote_what_they_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()
