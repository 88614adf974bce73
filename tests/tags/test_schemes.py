"""File schemes: the same sentences in all of them, and repairs as conlleval and seqeval do them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Entities

from spacy_bio_crf.tags.schemes import FILE_SCHEMES, scheme_name, spans_of_tags, split_tag

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


def test_iob1_reads_b_after_o_as_conlleval_does():
    assert spans_of_tags(["O", "B-X", "I-X", "I-Y"], scheme="IOB1", repair="discard") == (
        [(1, 3, "X"), (3, 4, "Y")],
        [],
    )


def test_split_tag_once_at_the_first_hyphen():
    assert split_tag("B-cell-line") == ("B", "cell-line")
    assert split_tag("I--") == ("I", "-")
    assert split_tag("O") == ("O", "")


@pytest.mark.parametrize("tag", ["", "-", "PER", "B", "B-", "B_PER", "X-PER", "O-PER", "b-PER"])
def test_split_tag_quotes_what_is_no_tag(tag):
    with pytest.raises(ValueError, match=f"tag: expected 'O' or a prefix .*, got '{tag}'"):
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
        (lambda: scheme_name("BLUE"), "scheme: expected one of BIO, IOB1, .*, got 'BLUE'"),
        (
            lambda: spans_of_tags(["O"], scheme="BIO", repair=""),
            "repair: expected one of 'beg",
        ),
        (
            lambda: spans_of_tags(["E-A"], scheme="BIO"),
            "tag: expected one of the prefixes of BIO, B, I, got 'E-A'",
        ),
        (lambda: spans_of_tags(["B_A"], scheme="BIO"), "tag: expected 'O' or .*, got 'B_A'"),
    ],
)
def test_errors_quote_what_they_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()
