"""Figures as text."""

from spacy_bio_crf.metrics.averages import count_entities, strict_table
from spacy_bio_crf.metrics.chance import Chance, difference
from spacy_bio_crf.metrics.tables import comparison_tables, confidence_tables, entity_table, percent
from tests.support.evaluation_tools import of_tags


def test_scores_are_percentages():
    assert [percent(score) for score in (0.8, 1.0, 0.123456, None)] == [
        "80.00",
        "100.00",
        "12.35",
        "-",
    ]


def test_strict_figures_by_hand():
    counted = count_entities([of_tags("B-A I-A O B-B", "B-A I-A O O")])
    table = entity_table({**strict_table(counted), "intervals": None})
    assert table.header == ("", "P", "R", "F1", "interval of F1", "gold", "predicted")
    assert table.rows == [
        ("A", "100.00", "100.00", "100.00", "-", "1", "1"),
        ("B", "0.00", "0.00", "0.00", "-", "1", "0"),
        ("micro (all)", "100.00", "50.00", "66.67", "-", "2", "1"),
        ("macro", "50.00", "50.00", "50.00", "-", "", ""),
        ("weighted", "50.00", "50.00", "50.00", "-", "", ""),
    ]
    assert table.note == ""


def test_comparison_by_hand():
    first, second = (
        count_entities([of_tags("B-A O B-A", predicted)]) for predicted in ("B-A O B-A", "B-A O O")
    )
    metrics = {
        "entity": strict_table(first),
        "comparison": {
            "model": "other",
            "entity": strict_table(second),
            "difference": difference(first, second, Chance(resamples=0)),
        },
    }
    (table,) = comparison_tables(metrics)
    assert table.title == "F1 beside other"
    assert table.rows[0] == ("A", "100.00", "66.67", "+33.33", "-", "-")
    assert comparison_tables({"entity": strict_table(first)}) == []


def test_empty_bins_have_dashes():
    scores = {
        "bins": [{"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "precision": None}],
        "expected_calibration_error": 0.0,
        "log_loss": 0.5,
        "curve": [{"threshold": 0.25, "p": 0.5, "r": 0.5, "f": 0.5}],
    }
    (table,) = confidence_tables(scores)
    assert table.rows == [("0.00 to 0.50", "0", "-", "-")]
    assert "Highest F1, 50.00, at the threshold 0.250" in table.note
    assert confidence_tables(None) == []
