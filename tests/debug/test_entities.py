"""Checks of entities, labels and tags, each on a corpus with that oddity alone."""

import pytest
from spacy.tokens import Doc, Span

from spacy_bio_crf.debug import EXIT_CODES, CorpusPart, diagnose
from tests.support.debug_tools import PLENTY, check_one, find, found, make_doc


@pytest.mark.parametrize(
    ("check", "doc", "count", "start", "note"),
    [
        ("empty_documents", make_doc([]), 1, None, ""),
        ("no_annotation", make_doc(["a", "b"], missing=[0, 1]), 1, None, ""),
        ("missing_tokens", make_doc(["a", "b", "c"], [(0, 1, "PER")], missing=[1, 2]), 2, 1, ""),
        ("white_space_edges", make_doc(["a", "Bo", "\n"], [(1, 3, "PER")]), 1, 1, ""),
        ("white_space_edges", make_doc([" ", "Bo", "b"], [(0, 2, "PER")]), 1, 0, ""),
        ("neighbours", make_doc(["a", "@", "bo"], [(1, 2, "PER"), (2, 3, "PER")]), 1, 1, ""),
    ],
)
def test_checks_of_documents(check: str, doc: Doc, count: int, start: int | None, note: str):
    check_one(check, doc, count, start, note)


def test_spans_that_overlap_within_their_group():
    doc = make_doc(list("abcdef"))
    doc.spans["sc"] = [
        Span(doc, 0, 4, "X"),
        Span(doc, 1, 2, "Y"),
        Span(doc, 3, 5, "X"),
        Span(doc, 5, 6),
    ]
    doc.spans["other"] = [Span(doc, 0, 1, "X"), Span(doc, 1, 2, "X")]
    finding = find(diagnose([CorpusPart("train", [*PLENTY, doc])]), "overlapping_spans", "train")
    assert [(s.start, s.end, s.note) for s in finding.examples] == [
        (1, 2, "doc.spans['sc']"),
        (3, 5, "doc.spans['sc']"),
    ]


def test_no_entity_at_all_is_an_error():
    report = diagnose([CorpusPart("train", [make_doc(["a"]), make_doc(["b"])])])
    assert found(report) == {("train", "no_entities"): 2}
    assert report.exit_code == EXIT_CODES["error"] == 4


def test_no_document_at_all_is_an_error():
    report = diagnose([CorpusPart("train", []), CorpusPart("dev", [])])
    assert found(report) == {("train", "no_documents"): 1, ("dev", "no_documents"): 1}
    assert report.exit_code == EXIT_CODES["error"]


def test_labels_that_are_rare_or_in_one_part_only():
    train = CorpusPart("train", [*PLENTY, make_doc(["K2"], [(0, 1, "MISC")])])
    dev = CorpusPart("dev", [make_doc(["K3", "Bo"], [(0, 1, "NEW"), (1, 2, "PER")])])
    report = diagnose([train, dev])
    assert found(report) == {
        ("train", "rare_labels"): 1,
        ("dev", "unlearnt_labels"): 1,
        ("dev", "absent_labels"): 2,
    }
    assert [s.text for s in find(report, "rare_labels", "train").examples] == ["MISC"]
    assert find(report, "rare_labels", "train").examples[0].note == "1 entity"
    assert sorted(s.text for s in find(report, "absent_labels", "dev").examples) == ["LOC", "MISC"]
    assert report.exit_code == EXIT_CODES["warning"] == 3
    assert ("train", "rare_labels") not in found(diagnose([train, dev], least=1))
    assert len(find(diagnose([train], least=11), "rare_labels", "train").examples) == 2


def test_labels_that_are_not_annotated_are_not_missing():
    train = CorpusPart("train", [*PLENTY, make_doc(["K2"], [(0, 1, "MISC")])])
    dev = make_doc(["K3", "Bo"], [(1, 2, "PER")])
    dev.user_data["labels_annotated"] = ["PER", "MISC"]
    report = diagnose([train, CorpusPart("dev", [dev])])
    absent = find(report, "absent_labels", "dev")
    assert [s.text for s in absent.examples] == ["MISC"]
    partly = find(report, "partly_annotated", "dev")
    assert [s.note for s in partly.examples] == ["MISC, PER"]
    assert report.figures["dev"]["labels_annotated"] == ["MISC", "PER"]
    assert report.figures["train"]["labels_annotated"] is None
    # The same text with other labels is no contradiction; with the same label it is one.
    other = make_doc(["K3", "Bo"], [(0, 1, "LOC")])
    other.user_data["labels_annotated"] = ["LOC"]
    report = diagnose([train, CorpusPart("dev", [dev, other])])
    assert ("dev", "conflicting_annotation") not in found(report)
    report = diagnose([train, CorpusPart("dev", [dev, make_doc(["K3", "Bo"], [(0, 2, "PER")])])])
    assert ("dev", "conflicting_annotation") in found(report)


def test_tags_that_nothing_teaches(settings):
    docs = [make_doc(["Bo"], [(0, 1, "PER")]) for _ in range(10)]
    train = [CorpusPart("train", docs)]
    assert [s.text for s in find(diagnose(train, settings()), "unused_tags", "train").examples] == [
        "I-PER"
    ]
    biluo = find(diagnose(train, settings(scheme="BILUO")), "unused_tags", "train")
    assert {s.text for s in biluo.examples} == {"B-PER", "I-PER", "L-PER"}
