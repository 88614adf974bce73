"""Data sets that are annotated with different labels, in one corpus."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.util import registry

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.mixed import build_mixed_corpus
from spacy_bio_crf.gold.annotation import read_example


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Files with PER and with LOC; two documents each, of two sentences."""
    paths = []
    for label in ("PER", "LOC"):
        nlp = spacy.blank("en")
        docs = []
        for word in ("Ana", "Bo"):
            doc = Doc(nlp.vocab, words=[word, "left", ".", "So", "what", "?"])
            for token in doc:
                token.is_sent_start = token.i in (0, 3)
            doc.set_ents([Span(doc, 0, 1, label=label)], default="outside")
            docs.append(doc)
        path = tmp_path / f"{label}.spacy"
        DocBin(docs=docs).to_disk(path)
        paths.append(str(path))
    return paths[0], paths[1]


def read(sets: dict[str, Any], **options: Any) -> list[tuple[str, Any]]:
    corpus = build_mixed_corpus(sets, **options)
    nlp = spacy.blank("en")
    found = []
    for example in corpus(nlp):
        labels = read_example(example).annotated
        found.append((example.reference.text, None if labels is None else sorted(labels)))
    return found


def test_each_set_has_its_labels(files: tuple[str, str]):
    sets = {"old": {"path": files[0]}, "new": {"path": files[1], "labels_annotated": ["LOC"]}}
    texts = ["Ana left . So what ? ", "Bo left . So what ? "]
    expected = [(text, None) for text in texts] + [(text, ["LOC"]) for text in texts]
    assert read(sets) == expected
    assert read(sets, limit=1) == [expected[0], expected[2]]
    # The name that configurations have.
    build = registry.readers.get("spacy-bio-crf.MixedCorpus.v1")
    assert len(list(build(sets)(spacy.blank("en")))) == 4


def lower(nlp: Any, example: Any):
    yield example.from_dict(nlp.make_doc(example.text.lower()), {"words": ["a"]})


def test_marks_of_the_files_stay_on_sentences_and_augmented_documents(
    files: tuple[str, str], tmp_path: Path
):
    path = tmp_path / "marked.spacy"
    convert([files[0]], path, labels_annotated=["PER"])
    sets = {"marked": {"path": str(path)}}
    assert read(sets)[0] == ("Ana left . So what ? ", ["PER"])
    for options in ({"max_length": 4}, {"gold_preproc": True}):
        found = read(sets, **options)
        assert len(found) == 4 and all(labels == ["PER"] for _, labels in found)
    nlp = spacy.blank("en")
    corpus = build_mixed_corpus(sets, augmenter=lower)
    marks = [list(eg.reference.user_data["labels_annotated"]) for eg in corpus(nlp)]
    assert marks == [["PER"]] * 2


def test_marks_follow_the_names_of_labels(files: tuple[str, str], tmp_path: Path):
    path, renamed = tmp_path / "marked.spacy", tmp_path / "renamed.spacy"
    convert([files[0]], path, labels_annotated=["PER", "LOC", "ORG"])
    convert([path], renamed, rename={"PER": "HUMAN"}, drop=["LOC"])
    assert read({"x": {"path": str(renamed)}})[0][1] == ["HUMAN", "ORG"]


def test_labels_of_a_set_replace_the_marks_of_its_file(files: tuple[str, str], tmp_path: Path):
    path = tmp_path / "marked.spacy"
    convert([files[0]], path, labels_annotated=["PER", "LOC"])
    sets = {"x": {"path": str(path), "labels_annotated": ["PER"]}}
    assert [labels for _, labels in read(sets)] == [["PER"]] * 2


def test_only_spacys_format_keeps_the_mark(files: tuple[str, str], tmp_path: Path):
    summary = convert([files[0]], tmp_path / "out.jsonl", labels_annotated=["PER"])
    assert summary.dropped == {"document's list of annotated labels, which only .spacy can hold": 2}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({}, "sets: expected one data set at least, got none"),
        ({"a": {}}, "sets, 'a': expected 'path' and, .*got nothing"),
        (
            {"a": {"path": "x", "labels": ["A"]}},
            "sets, 'a': expected 'path' .*got 'path', 'labels'",
        ),
        ({"a": {"path": "x", "labels_annotated": "A"}}, "sets, 'a', labels_annotated: expected"),
        ({"a": {"path": "x", "labels_annotated": []}}, "sets, 'a', labels_annotated: expected"),
    ],
)
def test_bad_sets(sets: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        build_mixed_corpus(sets)
