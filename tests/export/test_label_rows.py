"""Labels of token classifiers as rows of a tag set."""

import pytest
import torch

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.export.label_rows import (
    PENALTY,
    read_label_rows,
    read_target_rows,
    written_rows,
)
from spacy_bio_crf.tags.tagset import TagSet


@pytest.mark.parametrize(
    ("names", "scheme", "tags", "sources", "added"),
    [
        # A label may contain hyphens, and the order is that of the checkpoint.
        (["I-x-y", "O", "B-x-y"], "BIO", "O B-x-y I-x-y", (1, 2, 0), ()),
        (["O", "B-A"], "BIO", "O B-A I-A", (0, 1, 1), (2,)),
        (["O", "I-A", "I-B", "B-B"], "IOB1", "O B-A I-A B-B I-B", (0, 1, 1, 3, 2), (1,)),
        (["A", "O", "c-d"], "IO", "O B-A I-A B-c-d I-c-d", (1, 0, 0, 2, 2), (1, 3)),
        (["O", "S-A", "B-A", "E-A"], "BIOES", "O B-A I-A L-A U-A", (0, 2, 2, 3, 1), (2,)),
        (["O", "U-A"], "BILUO", "O B-A I-A L-A U-A", (0, 1, 1, 1, 1), (1, 2, 3)),
        # Forms that files have, too.
        (["A_B", "O", "A_I"], "BIO", "O B-A I-A", (1, 0, 2), ()),
        (["B_A", "I_A", "o"], "BIO", "O B-A I-A", (2, 0, 1), ()),
        (["B", "I", "O"], "BIO", "O B-ENTITY I-ENTITY", (2, 0, 1), ()),
        (["W-A", "O", "M-A", "B-A", "E-A"], "BMEWO", "O B-A I-A L-A U-A", (1, 3, 2, 4, 0), ()),
    ],
)
def test_rows_of_every_scheme(names, scheme, tags, sources, added):
    rows = read_label_rows(names)
    assert (rows.scheme, rows.tagset.tags) == (scheme, tuple(tags.split()))
    assert (rows.sources, rows.added, rows.unused) == (sources, added, ())


def test_a_scheme_by_name():
    rows = read_label_rows(["O", "B-cell", "T-cell"], "IO")
    assert rows.tagset.labels == ("B-cell", "T-cell")
    assert read_label_rows(["O", "B-A", "I-A"], "IOB1").scheme == "IOB1"
    assert read_label_rows(["O", "B-A", "I-A", "L-A", "U-A"], "bilou").scheme == "BILUO"
    assert read_label_rows(["O", "A"], "io").scheme == "IO"
    with pytest.raises(ValueError, match="scheme: expected one of BIO, .*, IO, got 'XX'"):
        read_label_rows(["O", "A"], "XX")
    for names in (["O", "B-cell", "T-cell"], ["O", "T-cell"]):
        with pytest.raises(BioError, match="expected all with a prefix .*, got 'T-cell'"):
            read_label_rows(names, "BIO")
    with pytest.raises(BioError, match="expected one of the prefixes of BIO, B, I, got 'E-A'"):
        read_label_rows(["O", "B-A", "E-A"], "BIO")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LABEL_0", "LABEL_1"], "expected names of labels, got 2 numbers, such as LABEL_0; .*"),
        (["B-A", "I-A"], "expected an 'O' for the words outside, got only B-A, I-A; .* --labels"),
        (["-", "-"], "expected an 'O' for .*, got only ; name it by --labels"),
        (["O", "A", "A"], "expected each once, got 'A' more than once; .* by --labels"),
        (["O", "o", "B-A"], "expected each once, got 'O' more than once; .*"),
        (["O"], "expected at least one besides 'O', got none"),
        (["O", "B-A", "I-A", "B"], "expected all with a prefix and a hyphen, .*, got 'B'; .* IO"),
        (["O", "B-A", "L-A", "E-A"], "expected the prefixes of one scheme, got B, E, L"),
    ],
)
def test_labels_that_are_refused(names, message):
    with pytest.raises(BioError, match=f"^labels: {message}$"):
        read_label_rows(names)


def test_rows_are_gathered_and_written_back():
    weight, bias = torch.randn(4, 3), torch.randn(4)
    former = ["I-A", "O", "I-B", "B-B"]
    rows = read_label_rows(former)
    # O, B-A (a copy), I-A, B-B, I-B
    own_weight, own_bias = rows.gather(weight, bias)
    assert torch.equal(own_weight, weight[[1, 0, 0, 3, 2]])
    assert torch.equal(own_bias, bias[[1, 0, 0, 3, 2]] - torch.tensor([0, PENALTY, 0, 0, 0]))
    names, order = written_rows(rows.tagset, own_weight, own_bias, former)
    assert names == tuple(former)
    assert torch.equal(own_weight[order], weight) and torch.equal(own_bias[order], bias)


def test_tags_are_written_where_the_former_labels_say_too_little():
    former = ["I-A", "O", "I-B", "B-B"]
    rows = read_label_rows(former)
    weight, bias = rows.gather(torch.randn(4, 3), torch.randn(4))
    bias[1] += 0.5  # the copy has learned
    assert written_rows(rows.tagset, weight, bias, former) == (rows.tagset.tags, [*range(5)])
    for other in (["LABEL_0", "LABEL_1"], ["O", "I-B", "I-A"], ["-", *former]):
        assert written_rows(rows.tagset, weight, bias, other)[0] == rows.tagset.tags


def test_tags_are_written_where_a_former_label_was_left_out():
    former = ["O", "-", "B-A", "I-A"]
    rows = read_label_rows(former)
    assert (rows.sources, rows.unused) == ((0, 2, 3), (1,))
    weight, bias = rows.gather(torch.randn(4, 3), torch.randn(4))
    # Nothing has changed, but there are no weights for the row that was called "-".
    assert written_rows(rows.tagset, weight, bias, former) == (rows.tagset.tags, [*range(3)])


def test_rows_of_labels_of_tokens():
    rows = read_target_rows(["NOUN", "-", "ADP", "VERB"], "pos")
    assert (rows.scheme, rows.tagset) == ("none", TagSet(("NOUN", "ADP", "VERB"), "none"))
    assert (rows.sources, rows.added, rows.unused) == ((0, 2, 3), (), (1,))
    # Hyphens and "O" mean nothing here, and features are written as spaCy does.
    assert read_target_rows(["B-X", "O"], "tag").tagset.tags == ("B-X", "O")
    assert read_target_rows(["Number=Sing|Case=Nom"], "morph").tagset.tags[0][:4] == "Case"
    weight, bias = torch.randn(4, 3), torch.randn(4)
    own = rows.gather(weight, bias)
    assert torch.equal(own[0], weight[[0, 2, 3]]) and torch.equal(own[1], bias[[0, 2, 3]])


@pytest.mark.parametrize(
    ("names", "target", "message"),
    [
        (["NOUN", "nn"], "pos", "label: expected one of ADJ, .*, got 'nn'; rename it, or leave"),
        (["A", "B", "A"], "tag", "labels: expected each once, got 'A' more than once"),
        (["LABEL_0", "LABEL_1"], "tag", "labels: expected names of labels, got 2 numbers"),
        (["-", "-"], "tag", "labels: expected at least one, got none"),
    ],
)
def test_labels_of_tokens_that_are_refused(names, target, message):
    with pytest.raises(BioError, match=message):
        read_target_rows(names, target)


def test_labels_of_tokens_are_written_as_they_are():
    tagset, weight, bias = TagSet(("NOUN", "O"), "none"), torch.randn(2, 3), torch.randn(2)
    for former in (["O", "NOUN"], ["O", "B-NOUN", "I-NOUN"], ["LABEL_0", "LABEL_1"]):
        assert written_rows(tagset, weight, bias, former) == (("NOUN", "O"), [0, 1])
