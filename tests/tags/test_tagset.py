from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Entities

from spacy_bio_crf.tags.tagset import (
    FILE_SCHEMES,
    SCHEMES,
    TagSet,
    scheme_name,
    spans_of_tags,
    split_tag,
)

LABELS = ("PER", "cell-line", "B-X")

# The same sentences in every scheme. "cl" stands for "cell-line".
SENTENCES = [
    (
        [(0, 2, "PER"), (3, 4, "PER"), (4, 7, "LOC")],
        # Ana   Ruiz   met  Bo     New    York   City   .
        {
            "IOB1 ": "I-PER  I-PER  O    I-PER  I-LOC  I-LOC  I-LOC  O",
            "BIO  ": "B-PER  I-PER  O    B-PER  B-LOC  I-LOC  I-LOC  O",
            "BIOES": "B-PER  E-PER  O    S-PER  B-LOC  I-LOC  E-LOC  O",
            "BILUO": "B-PER  L-PER  O    U-PER  B-LOC  I-LOC  L-LOC  O",
            "BMES ": "B-PER  E-PER  O    S-PER  B-LOC  M-LOC  E-LOC  O",
            "BMEWO": "B-PER  E-PER  O    W-PER  B-LOC  M-LOC  E-LOC  O",
        },
    ),
    (  # neighbours of one label stay apart
        [(0, 1, "PER"), (1, 2, "PER"), (2, 4, "PER"), (4, 5, "ORG")],
        # @     ana    Bo     Li     ACME
        {
            "IOB1 ": "I-PER  B-PER  B-PER  I-PER  I-ORG",
            "BIO  ": "B-PER  B-PER  B-PER  I-PER  B-ORG",
            "BIOES": "S-PER  S-PER  B-PER  E-PER  S-ORG",
            "BILUO": "U-PER  U-PER  B-PER  L-PER  U-ORG",
            "BMES ": "S-PER  S-PER  B-PER  E-PER  S-ORG",
            "BMEWO": "W-PER  W-PER  B-PER  E-PER  W-ORG",
        },
    ),
    (  # labels with hyphens of their own, and two that share their last part
        [(1, 3, "cell-line"), (3, 4, "line")],
        # the  HeLa         cells        line
        {
            "IOB1 ": "O    I-cell-line  I-cell-line  I-line",
            "BIO  ": "O    B-cell-line  I-cell-line  B-line",
            "BIOES": "O    B-cell-line  E-cell-line  S-line",
            "BILUO": "O    B-cell-line  L-cell-line  U-line",
            "BMES ": "O    B-cell-line  E-cell-line  S-line",
            "BMEWO": "O    B-cell-line  E-cell-line  W-line",
        },
    ),
    ([], dict.fromkeys(FILE_SCHEMES, "O O -")),
    ([], dict.fromkeys(FILE_SCHEMES, "")),
]
TABLE = [
    (scheme.strip(), tags.split(), spans)
    for spans, by_scheme in SENTENCES
    for scheme, tags in by_scheme.items()
]

# tags, scheme, spans under "begin", repairs under "begin", spans under "discard"
ILLEGAL = [
    (
        "B-PER  I-LOC  O",
        "BIO",
        [(0, 1, "PER"), (1, 2, "LOC")],
        [(1, "begun")],
        [(0, 1, "PER")],
    ),
    (
        "O  I-PER  I-PER  B-PER",
        "BIO",
        [(1, 3, "PER"), (3, 4, "PER")],
        [(1, "begun")],
        [(3, 4, "PER")],
    ),
    (
        "B-cell-line  I-line",
        "BIO",
        [(0, 1, "cell-line"), (1, 2, "line")],
        [(1, "begun")],
        [(0, 1, "cell-line")],
    ),
    ("B-PER  -  I-PER", "BIO", [(0, 1, "PER"), (2, 3, "PER")], [(2, "begun")], [(0, 1, "PER")]),
    ("B-PER  I-PER  O", "BILUO", [(0, 2, "PER")], [(1, "closed")], []),
    ("L-PER", "BILUO", [(0, 1, "PER")], [(0, "begun")], []),
    ("I-PER", "BILUO", [(0, 1, "PER")], [(0, "begun"), (0, "closed")], []),
    (
        "U-PER  L-PER  U-PER",
        "BILUO",
        [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "PER")],
        [(1, "begun")],
        [(0, 1, "PER"), (2, 3, "PER")],
    ),
    (
        "B-PER  L-LOC",
        "BILUO",
        [(0, 1, "PER"), (1, 2, "LOC")],
        [(0, "closed"), (1, "begun")],
        [],
    ),
    (
        "B-PER  S-PER",
        "BIOES",
        [(0, 1, "PER"), (1, 2, "PER")],
        [(0, "closed")],
        [(1, 2, "PER")],
    ),
]


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


SEQEVAL = {"BIO": IOB2, "BILUO": BILOU, "BIOES": IOBES}


@given(
    st.sampled_from([*SEQEVAL, "IOB1"]),
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["X", "Y"])), max_size=8),
)
def test_rules_are_conlleval_and_seqeval_strict(scheme, raw):
    prefixes = [*FILE_SCHEMES[scheme], "O"]
    split = [(prefixes[i % len(prefixes)], label) for i, label in raw]
    tags = [p if p == "O" else f"{p}-{label}" for p, label in split]
    if scheme != "BILUO":  # seqeval's port of conlleval knows E and S, not L and U
        lenient = sorted((start, end + 1, label) for label, start, end in get_entities(tags))
        assert spans_of_tags(tags, scheme=scheme)[0] == lenient
    if scheme in SEQEVAL and tags:
        strict = sorted(
            e.to_tuple()[2:] + (e.tag,) for e in Entities([tags], SEQEVAL[scheme]).entities[0]
        )
        assert spans_of_tags(tags, scheme=scheme, repair="discard")[0] == strict


@pytest.mark.parametrize(("scheme", "tags", "spans"), TABLE)
def test_same_sentences_in_every_scheme(scheme, tags, spans):
    assert spans_of_tags(tags, scheme=scheme) == (spans, [])
    assert spans_of_tags(tags, scheme=scheme, repair="discard") == (spans, [])


@pytest.mark.parametrize(("tags", "scheme", "begin", "repairs", "discard"), ILLEGAL)
def test_repair_rules(tags, scheme, begin, repairs, discard):
    assert spans_of_tags(tags.split(), scheme=scheme) == (begin, repairs)
    spans, discarded = spans_of_tags(tags.split(), scheme=scheme, repair="discard")
    assert spans == discard
    gone = [(start, "discarded") for start, end, label in begin if (start, end, label) not in spans]
    assert discarded == gone


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


def test_iob1_reads_b_after_o_as_conlleval_does():
    assert spans_of_tags(["O", "B-X", "I-X", "I-Y"], scheme="IOB1", repair="discard") == (
        [(1, 3, "X"), (3, 4, "Y")],
        [],
    )


def test_continuation():
    tag_set = TagSet(LABELS)
    words = np.array([[tag_set.ids[tag] for tag in ("O", "B-PER", "I-PER", "B-cell-line")]])
    later = tag_set.continuation(words)
    assert [tag_set.tags[i] for i in later[0]] == ["O", "I-PER", "I-PER", "I-cell-line"]
    assert words[0, 1] == tag_set.ids["B-PER"]
    with pytest.raises(ValueError, match="only in BIO .* not in BILUO"):
        TagSet(LABELS, "BILUO").continuation([0])


def test_split_tag_once_at_the_first_hyphen():
    assert split_tag("B-cell-line") == ("B", "cell-line")
    assert split_tag("I--") == ("I", "-")
    assert split_tag("O") == ("O", "")


@pytest.mark.parametrize("tag", ["", "-", "PER", "B", "B-", "B_PER", "X-PER", "O-PER", "b-PER"])
def test_split_tag_quotes_what_is_no_tag(tag):
    with pytest.raises(ValueError, match=f"unknown tag '{tag}': expected 'O' or"):
        split_tag(tag)


@pytest.mark.parametrize(
    ("name", "known"),
    [("iob2", "BIO"), ("bio", "BIO"), ("BILOU", "BILUO"), ("IOBES", "BIOES"), ("Iob1", "IOB1")],
)
def test_scheme_names(name, known):
    assert scheme_name(name) == known


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TagSet(("A", "B", "A")), "every label may be given once only, got twice: A"),
        (lambda: TagSet(("A", "")), "a label must be a string that is not empty, got ''"),
        (lambda: TagSet("PER"), "labels must be a sequence of strings, got 'PER'"),
        (lambda: TagSet(("A",), "IOB1"), "unknown scheme 'IOB1': expected one of BIO, BILUO"),
        (lambda: scheme_name("BLUE"), "unknown scheme 'BLUE': expected one of BIO, IOB1"),
        (lambda: TagSet(("A",)).encode([(0, 1, "Z")], 2), "unknown label 'Z' of span"),
        (lambda: TagSet(("A",)).encode([(1, 1, "A")], 2), "0 <= start < end <= 2"),
        (lambda: TagSet(("A",)).encode([(1, 3, "A")], 2), "0 <= start < end <= 2"),
        (lambda: TagSet(("A",)).encode([(-1, 1, "A")], 2), "0 <= start < end <= 2"),
        (lambda: TagSet(("A",)).encode([(0, 2, "A"), (1, 3, "A")], 3), "overlaps another span"),
        (lambda: TagSet(("A",)).encode([(1, 2, "A"), (0, 3, "A")], 3), "overlaps another span"),
        (lambda: TagSet(("A",)).decode([0, 3]), "tag ids must lie in 0 to 2, got 3"),
        (lambda: TagSet(("A",)).decode([-1, 0]), "tag ids must lie in 0 to 2, got -1"),
        (lambda: TagSet(("A",)).decode([0], repair="drop"), "unknown repair rule 'drop'"),
        (lambda: spans_of_tags(["O"], scheme="BIO", repair=""), "expected one of begin, discard"),
        (
            lambda: spans_of_tags(["E-A"], scheme="BIO"),
            "'E-A' does not belong to BIO, whose prefixes are B, I",
        ),
        (lambda: spans_of_tags(["B_A"], scheme="BIO"), "unknown tag 'B_A'"),
    ],
)
def test_errors_quote_what_they_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()
