"""All figures together."""

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.metrics import analyze, compare, read_documents
from spacy_bio_crf.metrics.chance import Chance


def test_comparison_of_documents_without_entities():
    doc = Doc(spacy.blank("xx").vocab, words=["a"])
    doc.set_ents([])
    documents = read_documents([Example(doc.copy(), doc)])
    assert compare(documents, documents, chance=Chance(10))["difference"] is None


def test_parts_by_hand():
    gold, predicted = (
        Doc(spacy.blank("xx").vocab, words=["Ana", "Ruiz", "met", "Bo", "in", "Rome"])
        for _ in range(2)
    )
    gold.set_ents(
        [Span(gold, 0, 2, "PER"), Span(gold, 3, 4, "PER")], missing=[gold[5:6]], default="outside"
    )
    predicted.set_ents([Span(predicted, 0, 2, "PER"), Span(predicted, 5, 6, "LOC")])
    predicted.spans["bio_ner"] = list(predicted.ents)
    predicted.spans["bio_ner"].attrs["scores"] = [0.9, 0.8]
    figures = analyze([Example(predicted, gold)], known={"bo": {"PER"}})
    assert figures["documents"] == 1
    assert figures["counts"] == {
        "tokens": 6,
        "unannotated_tokens": 1,
        "ignored_predictions": 1,
        "unfit_gold": 0,
        "left_aside_gold": 0,
    }
    assert figures["entity"]["per_type"].keys() == figures["token"]["per_type"].keys() == {"PER"}
    assert figures["entity"]["all"]["r"] == 1 / 2 and figures["entity"]["intervals"] is None
    assert figures["token"]["acc"] == 4 / 5
    assert figures["token"]["per_type"]["PER"] == {"p": 1.0, "r": 2 / 3, "f": 0.8, "gold": 3}
    assert figures["partial"]["strict"]["missed"] == 1
    assert figures["confusion"]["entities"] == [[1, 1], [0, 0]]
    assert figures["confusion"]["tokens"] == [[2, 1], [0, 2]]
    assert [row["sort"] for row in figures["breakdowns"]["surface"]] == ["seen", "unseen"]
    assert figures["confidence"]["entities"] == 1
    assert figures["errors"] == {"missed": 1, "spurious": 0, "label": 0, "boundary": 0, "both": 0}
