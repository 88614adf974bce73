"""Checks of labels of tokens."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from spacy.tokens import Doc

from spacy_bio_crf.debug import CorpusPart, ModelSettings, diagnose, read_settings
from tests.support.debug_tools import VOCAB, find, found
from tests.support.taggers import fit_tagger, label_doc, make_bio_tagger


def labelled(words: Sequence[str], labels: Sequence[str], source: str = "a:1") -> Doc:
    doc = label_doc(Doc(VOCAB, words=list(words)), "pos", list(labels))
    doc.user_data["source"] = source
    return doc


PLENTY = [labelled([letter, "met", "Bo"], ["PROPN", "VERB", "PROPN"]) for letter in "abcdefghij"]


@pytest.fixture(scope="module")
def settings(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    path = tmp_path_factory.mktemp("config") / "config.cfg"
    config = make_bio_tagger(tiny_encoder).config
    config["nlp"]["lang"] = "en"
    config["training"]["optimizer"]["learn_rate"] = 2e-4
    config.to_disk(path)
    return read_settings(path)


def test_nothing_is_found_where_nothing_is_odd(settings: ModelSettings):
    assert (settings.scheme, settings.component) == ("none", "bio_tagger")
    report = diagnose([CorpusPart("train", PLENTY)], settings)
    assert report.findings == []
    assert report.model["target"] == "pos" and "groups" not in report.model
    figures = report.figures["train"]
    assert figures["labels"] == {"PROPN": 20, "VERB": 10}
    assert (figures["labelled_tokens"], figures["tokens"], figures["documents"]) == (30, 30, 10)
    assert figures["subwords"] >= 30 and "entities" not in figures


def test_labels_that_are_missing_rare_or_unlearnt(settings: ModelSettings):
    train = [
        *PLENTY,
        labelled(["Li", " ", "ran", "off"], ["PROPN", "", "", ""], "a:7"),
        labelled(["No", "label"], ["", ""], "a:8"),
        labelled([], []),
        labelled(["soon"], ["ADV"]),
    ]
    dev = [labelled(["Li", "is", "ill"], ["PROPN", "AUX", "ADJ"])]
    report = diagnose([CorpusPart("train", train), CorpusPart("dev", dev)], settings)
    assert found(report) == {
        ("train", "missing_tokens"): 2,
        ("train", "white_space_tokens"): 1,
        ("train", "no_annotation"): 1,
        ("train", "empty_documents"): 1,
        ("train", "rare_labels"): 1,
        ("dev", "unlearnt_labels"): 2,
        ("dev", "absent_labels"): 2,
    }
    first = find(report, "missing_tokens", "train").examples[0]
    assert (first.place, first.text, first.start, first.end) == ("a:7", "ran", 2, 3)
    rare = find(report, "rare_labels", "train").examples[0]
    assert (rare.text, rare.note) == ("ADV", "1 token")
    assert "entities_known_from_train" not in report.figures["dev"]
    empty = diagnose([CorpusPart("train", [labelled(["a", "b"], ["", ""])])], settings)
    assert find(empty, "no_labels", "train").count == 1 and empty.severity == "error"


def test_documents_with_other_labels_contradict(settings: ModelSettings):
    doc = ["Ana", "works", "today", "or", "tomorrow"]
    labels = ["PROPN", "VERB", "ADV", "CCONJ", "ADV"]
    other = ["PROPN", "NOUN", "ADV", "CCONJ", "ADV"]
    # A label that one of them lacks contradicts nothing.
    for second, count in ((labels, 0), (["PROPN", "", "ADV", "", "ADV"], 0), (other, 1)):
        report = diagnose(
            [CorpusPart("train", [*PLENTY, labelled(doc, labels), labelled(doc, second)])],
            settings,
            least=1,
        )
        assert find(report, "repeated_documents", "train").count == 1
        assert find(report, "conflicting_annotation", "train").count == count


def test_labels_on_other_tokens(settings: ModelSettings):
    doc = Doc(VOCAB, words=["can", "not", "go"], spaces=[False, True, False])
    label_doc(doc, "pos", ["AUX", "PART", "VERB"])
    whole = Doc(VOCAB, words=["Bo's"], spaces=[False])
    label_doc(whole, "pos", ["PROPN"])
    report = diagnose([CorpusPart("train", [*PLENTY, doc, whole])], settings, least=1)
    # English cuts "cannot" as the corpus does; "Bo's" becomes two tokens of one label.
    assert find(report, "retokenized_labels", "train").count == 0
    glued = Doc(VOCAB, words=["K", "2", "x"], spaces=[False, True, False])
    label_doc(glued, "pos", ["NOUN", "NUM", "X"])
    report = diagnose([CorpusPart("train", [*PLENTY, glued])], settings, least=1)
    finding = find(report, "retokenized_labels", "train")
    assert [(e.text, e.start, e.label) for e in finding.examples] == [
        ("K", 0, "NOUN"),
        ("2", 1, "NUM"),
    ]


def test_a_trained_tagger_knows_its_labels(tiny_encoder: Path, tmp_path: Path):
    fit_tagger(make_bio_tagger(tiny_encoder), steps=1).to_disk(tmp_path / "model")
    report = diagnose([CorpusPart("train", PLENTY)], read_settings(tmp_path / "model"))
    assert report.model["labels"] == ["ADV", "PRON", "PROPN", "VERB"]
    assert find(report, "unknown_labels", "train").count == 0
    other = labelled(["Oh", "no"], ["INTJ", "INTJ"])
    report = diagnose([CorpusPart("train", [*PLENTY, other])], read_settings(tmp_path / "model"))
    assert find(report, "unknown_labels", "train").count == 2 and report.severity == "error"
