"""Commands on a pipeline with groups of labels: evaluate, transitions, annotate, debug, to-hf."""

import json
from pathlib import Path

import pytest
from spacy.cli.evaluate import evaluate
from spacy.language import Language
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_bio_crf.bulk import annotate_rows
from spacy_bio_crf.cli import app
from tests.support.layered import KEY, LAYERED, fit_layers, layered_examples
from tests.support.pipelines import MakeNlp


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def nlp(make_nlp: MakeNlp) -> Language:
    return fit_layers(make_nlp)


@pytest.fixture(scope="module")
def model(nlp: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "groups"
    nlp.to_disk(path)
    return path


@pytest.fixture(scope="module")
def corpus(nlp: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training sentences; of the first one an entity is left out and another one added."""
    docs = [eg.reference for eg in layered_examples(nlp)]
    first = [span for span in docs[0].spans[KEY] if span.label_ != "LOC"]
    docs[0].spans[KEY] = [*first, Span(docs[0], 1, 2, "LOC")]
    for doc in docs:
        doc.has_unknown_spaces = True
    path = tmp_path_factory.mktemp("corpus") / "test.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


def test_evaluate_counts_all_entities(model: Path, corpus: Path, tmp_path: Path):
    out, page = tmp_path / "figures.json", tmp_path / "page.html"
    printed = run(
        "evaluate", model, corpus, "--output", out, "--report", page, "--all-documents",
        "--train", corpus, "--resamples", 0,
    )  # fmt: skip
    figures = json.loads(out.read_text("utf-8"))
    n = sum(len(spans) for _, spans in LAYERED)
    assert figures["entity"]["all"]["gold"] == n
    assert figures["entity"]["all"]["r"] == pytest.approx((n - 1) / n)
    assert "by group of labels" in printed and "by nesting" in printed
    rows = {row["sort"]: row for row in figures["breakdowns"]["group"]}
    assert rows["outer"]["f"] == 1.0 and rows["inner"]["f"] < 1.0
    text = page.read_text("utf-8")
    assert "gold, outer" in text and "predicted, inner" in text
    assert figures["breakdowns"]["surface"]


def test_evaluate_compares_and_writes_the_meta_data(model: Path, corpus: Path):
    printed = run("evaluate", model, corpus, "--compare", model, "--resamples", 20, "--to-meta")
    assert "+0.00" in printed
    performance = json.loads((model / "meta.json").read_text())["performance"]
    assert performance["spans_bio_ner_f"] < 1.0


def test_spacy_evaluate(model: Path, corpus: Path):
    scores = evaluate(str(model), corpus, silent=True)
    n = sum(len(spans) for _, spans in LAYERED)
    assert scores["spans_bio_ner_r"] == pytest.approx((n - 1) / n)


def test_transitions_of_a_group(nlp: Language, model: Path, tmp_path: Path):
    out = tmp_path / "scores.json"
    printed = run("transitions", model, "--group", "inner", "--json", out)
    assert "B-LOC" in printed and "B-PER" not in printed
    table = json.loads(out.read_text())
    _, scores, _ = nlp.get_pipe("bio_ner").transition_scores()
    # O, four tags of the outer group, then those of the inner one.
    row, column = table["rows"].index("B-LOC"), table["columns"].index("I-LOC")
    assert table["scores"][row][column] == pytest.approx(float(scores[6, 7]))
    assert "--group: expected a group of 'outer', 'inner'" in run("transitions", model, code=1)


def test_a_flat_pipeline_has_no_group(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "flat")
    printed = run("transitions", tmp_path / "flat", "--group", "x", code=1)
    assert "--group: expected no group, for 'bio_ner' has none, got 'x'" in printed


def test_annotate_writes_entities_of_all_groups(nlp: Language, model: Path, tmp_path: Path):
    text = " ".join(LAYERED[0][0])
    found = annotate_rows(nlp, [{"text": text}]).entities[0]
    doc = nlp(text)
    assert [(e["start"], e["end"], e["label"]) for e in found] == sorted(
        (s.start_char, s.end_char, s.label_) for s in doc.spans["bio_ner"]
    )
    assert len(found) == 3 > len(doc.ents)
    assert all(0.0 < entity["score"] <= 1.0 for entity in found)
    (tmp_path / "in.txt").write_text(f"{text}\n")
    run("annotate", model, tmp_path / "in.txt", tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert len(row["entities"]) == 3


def test_calibrate(model: Path, corpus: Path):
    assert "entities" in run("calibrate", model, corpus, "--dry-run").lower()


def test_debug_knows_groups(model: Path, nlp: Language, tmp_path: Path):
    docs = [eg.reference for eg in layered_examples(nlp)]
    first = docs[0]
    first.spans[KEY] = [*first.spans[KEY], Span(first, 3, 4, "LOC"), Span(first, 0, 1, "GPE")]
    first.spans[f"{KEY}_missing"] = [Span(first, 5, 6)]
    for doc in docs:
        doc.has_unknown_spaces = True
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    out = tmp_path / "report.json"
    run("debug", tmp_path / "train.spacy", "--model", model, "--json", out, code=4)
    report = json.loads(out.read_text())
    findings = {finding["check"]: finding for finding in report["findings"]}
    (overlap,) = findings["overlaps_in_group"]["examples"]
    assert (overlap["start"], overlap["end"], overlap["label"]) == (3, 4, "LOC")
    assert findings["unknown_labels"]["count"] == 1
    assert findings["missing_tokens"]["count"] == 1
    assert "no_annotation" not in findings and "overlapping_spans" not in findings
    assert report["figures"]["train"]["labels"] == {"GPE": 1, "LOC": 4, "ORG": 2, "PER": 4}
    assert report["model"]["groups"] == {"outer": ["ORG", "PER"], "inner": ["LOC"]}


def test_to_hf_refuses_groups(model: Path, tmp_path: Path):
    printed = run("to-hf", model, tmp_path / "checkpoint", code=1)
    assert "expected a component without `groups`" in printed


def test_convert_keeps_layers(tmp_path: Path):
    record = {"text": "New York City", "spans": [[0, 13, "ORG"], [0, 8, "LOC"]]}
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    printed = run("convert", tmp_path / "a.jsonl", tmp_path / "a.spacy", "--layers")
    assert "(--layers) (1)" in printed
