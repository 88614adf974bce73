"""Figures as text."""

from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_bio_crf.metrics import analyze, compare, read_documents
from spacy_bio_crf.metrics.chance import Chance
from spacy_bio_crf.metrics.tables import Table, comparison_tables, percent, tables
from tests.support.evaluation_tools import spans


def example(gold: str, predicted: str, *, confidence: list[float] | None = None) -> Example:
    docs, vocab = [], Vocab()
    for tags in (predicted, gold):
        doc = Doc(vocab, words=[f"w{i}" for i in range(len(tags.split()))])
        doc.set_ents([Span(doc, *span) for span in spans(tags.split())], default="outside")
        docs.append(doc)
    if confidence is not None:
        docs[0].spans["bio_ner"] = list(docs[0].ents)
        docs[0].spans["bio_ner"].attrs["scores"] = confidence
    return Example(*docs)


def by_title(found: list[Table]) -> dict[str, Table]:
    return {table.title: table for table in found}


def test_scores_are_percentages():
    shown = [percent(score) for score in (0.8, 1.0, 0.123456, None)]
    assert shown == ["80.00", "100.00", "12.35", "-"]


def test_tables_by_hand():
    metrics = analyze([example("B-A I-A O B-B", "B-A I-A O O")], bins=2)
    found = by_title(tables(metrics))
    strict = found["Per entity: boundaries and label right"]
    assert strict.header == ("", "P", "R", "F1", "interval of F1", "gold", "predicted")
    assert strict.rows == [
        ("A", "100.00", "100.00", "100.00", "-", "1", "1"),
        ("B", "0.00", "0.00", "0.00", "-", "1", "0"),
        ("micro (all)", "100.00", "50.00", "66.67", "-", "2", "1"),
        ("macro", "50.00", "50.00", "50.00", "-", "", ""),
        ("weighted", "50.00", "50.00", "50.00", "-", "", ""),
    ]
    assert strict.note == ""
    tokens = found["Per token, accuracy 75.00"]
    assert tokens.rows[-1] == ("all", "100.00", "66.67", "80.00", "3")
    partial = found["Partial credit (SemEval-2013 task 9)"]
    assert partial.rows[0][-5:] == ("1", "0", "0", "1", "0")
    lengths = found["Per entity, by length of the entity"]
    assert [row[0] for row in lengths.rows] == ["1 token", "2 tokens"]
    assert found["Errors"].rows[0] == ("missed: gold entities that no prediction overlaps", "1")
    assert "Confidence" not in found and "Per entity, by name in the training data" not in found


def test_empty_bins_have_dashes():
    metrics = analyze([example("B-A O", "B-A O", confidence=[0.75])], bins=2)
    table = by_title(tables(metrics))["Confidence"]
    assert table.rows == [("0.00 to 0.50", "0", "-", "-"), ("0.50 to 1.00", "1", "75.00", "100.00")]
    assert "Expected calibration error 0.2500" in table.note
    assert "Highest F1, 100.00, at the threshold 0.750" in table.note


def test_comparison_by_hand():
    examples = [example("B-A O B-A", "B-A O B-A")], [example("B-A O B-A", "B-A O O")]
    metrics = analyze(examples[0])
    assert comparison_tables(metrics) == []
    first, second = map(read_documents, examples)
    compared = compare(first, second, chance=Chance(resamples=0))
    (table,) = comparison_tables({**metrics, "comparison": {"model": "other", **compared}})
    assert table.title == "F1 beside other"
    assert table.rows[0] == ("A", "100.00", "66.67", "+33.33", "-", "-")


def test_the_first_table_says_what_is_not_scored():
    """Gold that fits no predicted token is missed; unannotated tokens do not count."""
    vocab = Vocab()
    gold = Doc(vocab, words=["Ana", "Ruiz", "s", "x"], spaces=[True, False, True, False])
    gold.set_ents([Span(gold, 0, 2, label="PER")], missing=[gold[3:4]], default="outside")
    found = Doc(vocab, words=["Ana", "Ruizs", "x"], spaces=[True, True, False])
    found.set_ents([Span(found, 2, 3, label="PER")], default="outside")
    metrics = analyze([Example(found, gold)])
    assert metrics["counts"]["unfit_gold"] == 1 and metrics["entity"]["all"]["r"] == 0.0
    note = tables(metrics)[0].note
    assert "tokens without annotation, 1 of 4" in note and "predictions on them, 1." in note
    assert "do not fit the pipeline's tokens and count as missed: 1." in note
