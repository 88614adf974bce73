"""Predictions on the tokens of the reference, and corpora that can't be read."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_bio_crf.metrics import analyze, predict, read_corpus
from spacy_bio_crf.metrics.documents import of_annotated_labels, read_documents
from spacy_bio_crf.metrics.scorer import score_examples
from tests.support.pipelines import make_examples, spans_of


def doc_of(words, ents, spaces=None, missing=()):
    doc = Doc(spacy.blank("xx").vocab, words=words, spaces=spaces)
    doc.set_ents(
        [Span(doc, s, e, label=x) for s, e, x in ents],
        missing=[doc[i : i + 1] for i in missing],
        default="outside",
    )
    return doc


def test_other_tokens_and_missing_annotation():
    gold = doc_of(["New-York", "'s", "Bo"], [(0, 1, "LOC")], [False, True, False], missing=[2])
    predicted = doc_of(
        ["New", "-", "York", "'s", "Bo"],
        [(0, 1, "LOC"), (2, 3, "LOC"), (4, 5, "PER")],
        [False, False, False, True, False],
    )
    document = read_documents([Example(predicted, gold)])[0]
    # Both are parts of one gold token; what is on an unannotated one does not count.
    assert document.predicted == [(0, 1, "LOC"), (0, 1, "LOC")]
    assert document.ignored == 1
    assert document.words == ["New-York", "'s ", "Bo"]
    figures = analyze([Example(predicted, gold)])
    scores = score_examples([Example(predicted, gold)])
    assert figures["entity"]["all"]["p"] == scores["ents_p"] == 0.5
    assert figures["entity"]["all"]["r"] == scores["ents_r"] == 1.0


def test_components_may_make_new_documents():
    nlp = spacy.blank("en")

    @spacy.Language.component("test_make_new_documents")
    def renew(doc: Doc) -> Doc:
        return Doc(doc.vocab, words=[token.text for token in doc], ents=["B-PER"])

    nlp.add_pipe("test_make_new_documents")
    references = [Doc(nlp.vocab, words=[word], ents=["B-PER"]) for word in ("Ana", "Bo")]
    examples = [Example(Doc(nlp.vocab, words=[ref[0].text]), ref) for ref in references]
    found = predict(nlp, examples)
    assert [[ent.text for ent in eg.predicted.ents] for eg in found] == [["Ana"], ["Bo"]]


def test_dropped_documents_are_missed_and_not_forgotten(trained, tmp_path):
    corpus = tmp_path / "test.spacy"
    DocBin(docs=[eg.reference for eg in make_examples(trained)]).to_disk(corpus)
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ana"}])

    @spacy.Language.component("fails_on_washington")
    def fail(doc):
        if doc[0].text == "Washington":
            raise ValueError("no")
        return doc

    nlp.add_pipe("fails_on_washington")
    nlp.set_error_handler(lambda *_: None)
    examples = predict(nlp, read_corpus(nlp, corpus))
    assert len(examples) == 6
    assert [spans_of(eg.predicted) for eg in examples][:4] == [
        [(0, 1, "PER")],
        [],
        [(0, 1, "PER")],
        [],
    ]
    figures = analyze(examples)
    gold = sum(len(eg.reference.ents) for eg in examples)
    assert figures["entity"]["all"]["gold"] == gold
    assert figures["entity"]["all"]["r"] == score_examples(examples)["ents_r"]


def test_confidence_of_presets_is_unknown(trained):
    doc = trained("Ana Ruiz met Bo in New York City .")
    document = read_documents([Example(doc, doc.copy())])[0]
    assert document.confidence == [pytest.approx(ent._.confidence) for ent in doc.ents]
    doc.spans["bio_ner"] = list(doc.ents)[:1]
    doc.spans["bio_ner"].attrs["scores"] = [0.5]
    assert read_documents([Example(doc, doc.copy())])[0].confidence == [0.5, None, None]


class Counting:
    """An example that counts how often its alignment is computed."""

    def __init__(self, example: Example):
        self.example = example
        self.count = 0

    def __getattr__(self, name):
        return getattr(self.example, name)

    @property
    def alignment(self):
        self.count += 1
        return self.example.alignment


def test_the_alignment_is_computed_once():
    """spaCy compares all tokens whenever it is asked for, which makes long documents quadratic."""
    ents = [(i, i + 1, "PER") for i in range(0, 60, 2)]
    words = [f"w{i}" for i in range(60)]
    example = Counting(Example(doc_of(words, ents), doc_of(words, ents)))
    assert read_documents([example])[0].predicted == ents
    assert example.count == 1


def partly_annotated() -> Example:
    """PER is annotated; the prediction has one right, one wrong, and two of other labels."""
    words = ["Bo", "met", "Ana", "in", "Rome", "."]
    gold = doc_of(words, [(0, 1, "PER"), (2, 3, "PER"), (5, 6, "ORG")])
    gold.user_data["labels_annotated"] = ["PER"]
    predicted = doc_of(words, [(0, 1, "PER"), (1, 2, "PER"), (4, 5, "LOC"), (5, 6, "ORG")])
    predicted.spans["bio_ner"] = list(predicted.ents)[::-1]
    predicted.spans["bio_ner"].attrs["scores"] = [0.6, 0.7, 0.8, 0.9]
    return Example(predicted, gold)


def test_labels_that_are_not_annotated_do_not_count():
    example = partly_annotated()
    before = spans_of(example.predicted), spans_of(example.reference)
    document = read_documents([example])[0]
    assert document.gold == [(0, 1, "PER"), (2, 3, "PER")]
    assert document.predicted == [(0, 1, "PER"), (1, 2, "PER")]
    assert document.confidence == pytest.approx([0.9, 0.8])
    scores = score_examples([example])
    assert scores["ents_p"] == scores["ents_r"] == 0.5
    assert list(scores["ents_per_type"]) == ["PER"]
    assert scores["ner_token_acc"] == pytest.approx(4 / 6)
    figures = analyze([example])
    assert figures["entity"]["all"]["p"] == 0.5
    assert figures["token"]["all"]["gold"] == 2
    assert (spans_of(example.predicted), spans_of(example.reference)) == before
    assert of_annotated_labels(make_examples(spacy.blank("en"))[0]).reference.ents


def test_labels_that_are_not_annotated_do_not_count_in_groups():
    example = partly_annotated()
    example.reference.spans["gold"] = list(example.reference.ents)
    options = {"groups": "per_label", "spans_key": "bio_ner", "gold_spans_key": "gold"}
    scores = score_examples([example], **options)
    assert scores["spans_bio_ner_p"] == scores["spans_bio_ner_r"] == 0.5
    assert list(scores["spans_bio_ner_per_type"]) == ["PER"]


def test_a_file_that_is_not_there(tmp_path: Path):
    for name in ("dev", "dev.spacy"):
        with pytest.raises(ValueError, match=f"{name}: expected annotated .*, got no such file$"):
            read_corpus(spacy.blank("en"), tmp_path / name)
