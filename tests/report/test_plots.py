"""Plots: what they show, as elements of a page and as files."""

import re
import warnings

import numpy as np
import pytest

from spacy_bio_crf.metrics.calibration import Outcomes, calibration_table
from spacy_bio_crf.report.plots import (
    INK,
    PLOT_FORMATS,
    Plot,
    draw_confusion,
    draw_learning,
    draw_reliability,
    draw_threshold,
    draw_transitions,
)
from tests.report.test_page import Reader

HOSTILE = "\"><b>L&P's</b>"
TABLE = {"rows": ["start", "O"], "columns": ["O", "end"], "scores": [[0.5, None], [-1.0, 2.0]]}


def reliability(*scores: float) -> Plot:
    results = Outcomes(np.array(scores), np.array(scores) > 0.5)
    return draw_reliability([("", calibration_table(results, bins=5))])


def texts(plot: Plot) -> list[str]:
    return [text for text in Reader(plot.svg()).texts if text.strip()]


def all_plots() -> list[Plot]:
    return [
        draw_confusion(["A", "O"], [[3, 1], [2, 0]]),
        reliability(0.1, 0.9),
        draw_threshold([{"threshold": t, "p": 0.5, "r": 1 - t, "f": 0.5} for t in (0.2, 0.7)]),
        draw_learning([{"step": 1, "loss_per_step": {"a": 1.0}, "scores": {"f": 0.5}}]),
        draw_transitions(TABLE),
    ]


def test_plots_fit_into_one_page():
    page = "".join(plot.svg() for plot in all_plots())
    reader = Reader(page)
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:url\(#|use xlink:href="#)(\w+)', page))
    assert references and references <= set(ids)
    # They have the color of the page's text, and no ground.
    assert INK not in page and "currentColor" in page
    assert "#ffffff" not in page.split("transitions-t")[0]


def test_plots_are_the_same_every_time(tmp_path):
    first, second = all_plots(), all_plots()
    assert [plot.svg() for plot in first] == [plot.svg() for plot in second]
    for name, plot in (("a", first[1]), ("b", second[1])):
        plot.save(tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_files_stand_on_white_and_have_no_date(tmp_path):
    plot = reliability(0.1, 0.9)
    plot.save(tmp_path / "new" / "plot.svg")
    text = (tmp_path / "new" / "plot.svg").read_text("utf-8")
    assert text.startswith("<?xml") and "<metadata>" not in text
    assert "fill: #ffffff" in text and INK in text
    plot.save(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert {"svg", "png", "pdf"} <= set(PLOT_FORMATS)


def test_confusion_links_to_errors():
    plot = draw_confusion(["A", HOSTILE, "O"], [[3, 1, 0], [0, 2, 1000], [1, 0, 0]])
    links = [a for name, a in Reader(plot.svg()).elements if name == "a"]
    assert [a["aria-label"] for a in links] == [
        f"1 errors: gold A, predicted {HOSTILE}",
        f"1,000 errors: gold {HOSTILE}, predicted O",
        "1 errors: gold O, predicted A",
    ]
    assert links[2]["xlink:href"] == "#gold=O&predicted=A"
    assert all("target" not in a for a in links)
    assert {"3", "1", "2", "1,000"} <= set(texts(plot))
    assert "A as A: 3; " in plot.text


def test_labels_are_text_and_not_formulas():
    """Matplotlib reads what stands between dollar signs as mathematics."""
    names = ["$\\frac{$", "a$b$c", HOSTILE, "公司", "a label of many letters", "O"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot = draw_confusion(names, [[1] * 6] * 6)
        found = texts(plot)
    assert set(names[:4]) <= set(found)
    assert "a label of ma…" in found
    assert "no entity" in draw_confusion(["O"], [[0]]).text


def test_reliability_tells_empty_bins_from_wrong_ones():
    plot = reliability(0.1, 0.9, 0.95)
    assert plot.title == "Reliability, expected calibration error 0.083"
    assert plot.text == "0.00 to 0.20: 0.00 of 1 right; 0.80 to 1.00: 1.00 of 2 right"
    (ax,) = plot.figure.axes
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    shaded = [patch.get_x() for patch in ax.patches if patch.get_height() == 1]
    assert shaded == pytest.approx([0.2, 0.4, 0.6, 0.8])
    two = draw_reliability(
        [(name, {"bins": [], "expected_calibration_error": 0.5}) for name in "ab"]
    )
    assert [ax.get_title() for ax in two.figure.axes] == ["a", "b"]


def test_threshold_names_the_best_point():
    curve = [
        {"threshold": t, "p": p, "r": r, "f": f}
        for t, p, r, f in ((0.25, 0.5, 0.9, 0.64), (0.5, 0.8, 0.7, 0.75), (0.9, 1.0, 0.2, 0.33))
    ]
    plot = draw_threshold(curve)
    assert "F1 0.750 at 0.50" in texts(plot)
    left, right = plot.figure.axes
    # A threshold of 0.5 keeps an entity of 0.5: its figures hold up to there.
    line = left.lines[0]
    assert line.get_drawstyle() == "steps-pre"
    assert line.get_xydata().tolist() == [[0.0, 0.5], [0.25, 0.5], [0.5, 0.8], [0.9, 1.0]]
    assert right.lines[0].get_xydata().tolist() == [[0.9, 0.5], [0.7, 0.8], [0.2, 1.0]]


def log(*scores: dict) -> list[dict]:
    return [
        {"step": 10 * i, "loss_per_step": {"bio_ner": 2.0 / (i + 1)}, "scores": row}
        for i, row in enumerate(scores)
    ]


def test_learning_curve_prefers_scores_of_entities():
    plot = draw_learning(
        log(*[{"token_acc": 0.9, "ents_f": s, "ner_token_f": 0.5} for s in (0.1, 0.4)])
    )
    left, right = plot.figure.axes
    assert [line.get_label() for line in left.lines] == ["bio_ner"]
    assert [line.get_label() for line in right.lines] == ["ents_f", "ner_token_f"]
    assert right.lines[0].get_xydata().tolist() == [[0, 0.1], [10, 0.4]]
    assert plot.text == "2 evaluations, the last one at step 10: ents_f 0.400, ner_token_f 0.500."


def test_learning_curve_takes_other_scores_that_are_shares():
    plot = draw_learning(
        log({"f<1>": 0.0, "speed": 900.0, "none": None}, {"f<1>": 1.0, "speed": 1.0})
    )
    assert [line.get_label() for line in plot.figure.axes[1].lines] == ["f<1>"]
    assert "f<1>" in texts(plot)


def test_learning_curve_without_scores_and_with_gaps():
    rows = [
        {"step": 0, "loss_per_step": {"bio_ner": None}, "scores": {}},
        {"step": 5, "loss_per_step": {"bio_ner": 1.0}, "scores": {"ents_f": None}},
    ]
    plot = draw_learning(rows)
    assert plot.figure.axes[0].lines[0].get_xydata().tolist() == [[5, 1.0]]
    assert plot.text == "2 evaluations, the last one at step 5: no score."
    assert "nan" not in draw_learning(rows[:1]).svg()


def test_transitions_tell_impossible_from_zero():
    ax, bar = draw_transitions(TABLE).figure.axes
    values = ax.images[0].get_array()
    assert values.mask.tolist() == [[False, True], [False, False]]
    assert ax.images[0].get_clim() == (-2.0, 2.0)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["start", "O"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["O", "end"]
