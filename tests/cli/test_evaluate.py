"""`bio-ner evaluate`: what it prints and writes, for any pipeline that sets doc.ents."""

import json
import re
import shutil
from pathlib import Path

import pytest
import spacy
from spacy.cli.package import generate_readme
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.metrics import analyze, predict, read_corpus
from spacy_bio_crf.metrics.breakdowns import read_surfaces
from spacy_bio_crf.metrics.scorer import score_examples
from tests.support.pipelines import make_examples


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def corpus(trained, tmp_path_factory) -> Path:
    """The training sentences with some of the gold changed, so that there are errors."""
    docs = [eg.reference for eg in make_examples(trained)]
    docs[0].set_ents([Span(docs[0], 0, 2, label="PER"), Span(docs[0], 5, 7, label="LOC")])
    docs[1].set_ents([Span(docs[1], 0, 1, label="LOC"), Span(docs[1], 3, 4, label="LOC")])
    docs[2].set_ents([Span(docs[2], 0, 4, label="PER")], missing=[docs[2][6:7]], default="outside")
    path = tmp_path_factory.mktemp("corpus") / "test.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "crf"
    trained.to_disk(path)
    return path


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> Path:
    """A pipeline of another kind, without any confidence."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": "Ana"}, {"label": "LOC", "pattern": "Lisbon"}])
    path = tmp_path_factory.mktemp("model") / "rules"
    nlp.to_disk(path)
    return path


def test_figures_are_those_of_the_scorer(model, corpus, tmp_path):
    out = tmp_path / "new" / "figures.json"
    printed = run(model, corpus, "--output", out, "--resamples", 200)
    figures = json.loads(out.read_text("utf-8"))
    nlp = spacy.load(model)
    examples = predict(nlp, read_corpus(nlp, corpus))
    scores = score_examples(examples)
    for level, prefix in (("entity", "ents"), ("token", "ner_token")):
        for key in "prf":
            assert figures[level]["all"][key] == pytest.approx(scores[f"{prefix}_{key}"])
            per_type = scores[f"{prefix}_per_type"]
            assert set(figures[level]["per_type"]) == set(per_type)
            for label, row in per_type.items():
                assert figures[level]["per_type"][label][key] == pytest.approx(row[key])
    assert figures["token"]["acc"] == pytest.approx(scores["ner_token_acc"])
    assert 0 < figures["entity"]["all"]["f"] < 1
    assert (figures["model"], figures["corpus"]) == (str(model), str(corpus))
    assert figures["documents"] == 6
    # Washington, which nobody annotated, is found and does not count.
    assert figures["counts"] == {
        "tokens": 38,
        "unannotated_tokens": 1,
        "ignored_predictions": 1,
        "unfit_gold": 0,
        "left_aside_gold": 0,
    }
    assert figures["confidence"]["entities"] == figures["entity"]["all"]["predicted"]
    assert figures["entity"]["intervals"]["resamples"] == 200
    assert figures["breakdowns"]["surface"] is None
    f1 = f"{100 * scores['ents_f']:.2f}"
    assert "Not scored: tokens without annotation, 1 of 38" in " ".join(printed.split())
    assert "Per token" not in printed and "Errors" in printed
    assert "Per token" in run(model, corpus, "--all-tables", "--resamples", 0)
    assert any(
        line.split()[:2] == ["micro", "(all)"] and f1 in line for line in printed.splitlines()
    )


def test_pipeline_of_another_kind(rules, corpus, tmp_path):
    out, report = tmp_path / "figures.json", tmp_path / "report.html"
    printed = run(rules, corpus, "-o", out, "-r", report, "--resamples", 0, "--all-tables")
    figures = json.loads(out.read_text("utf-8"))
    assert figures["confidence"] is None and figures["entity"]["intervals"] is None
    assert figures["entity"]["all"]["predicted"] == 5
    assert "Confidence" not in printed
    assert report.read_text("utf-8").startswith("<!DOCTYPE html>")


def test_comparison(model, rules, corpus, tmp_path):
    out = tmp_path / "figures.json"
    printed = run(model, corpus, "--compare", rules, "-o", out, "--resamples", 500, "--seed", 3)
    figures = json.loads(out.read_text("utf-8"))
    other = tmp_path / "other.json"
    run(rules, corpus, "-o", other, "--resamples", 0)
    theirs = json.loads(other.read_text("utf-8"))["entity"]["all"]
    comparison = figures["comparison"]
    assert comparison["model"] == str(rules)
    assert comparison["entity"]["all"] == theirs
    row = comparison["difference"]["all"]["f"]
    assert row["difference"] == pytest.approx(figures["entity"]["all"]["f"] - theirs["f"])
    assert 0 < row["p_value"] <= 1
    assert f"F1 beside {rules}" in printed
    again = tmp_path / "again.json"
    run(model, corpus, "--compare", rules, "-o", again, "--resamples", 500, "--seed", 3)
    assert again.read_bytes() == out.read_bytes()


def test_seen_names_and_learning_curve(model, corpus, tmp_path, trained):
    train = tmp_path / "train.spacy"
    DocBin(docs=[eg.reference for eg in make_examples(trained)][:2]).to_disk(train)
    log = tmp_path / "curve.jsonl"
    row = {
        "epoch": 0,
        "step": 0,
        "losses": {"bio_ner": 3.0},
        "scores": {"ents_f": 50.0},
        "score": 1,
    }
    log.write_text(json.dumps(row) + "\n")
    out, report = tmp_path / "figures.json", tmp_path / "report.html"
    run(model, corpus, "-t", train, "--log", log, "-o", out, "-r", report, "--resamples", 0)
    rows = json.loads(out.read_text("utf-8"))["breakdowns"]["surface"]
    assert [row["sort"] for row in rows] == ["seen", "seen, other label", "unseen"]
    nlp = spacy.load(model)
    examples = predict(nlp, read_corpus(nlp, corpus))
    known = read_surfaces(eg.reference for eg in make_examples(trained)[:2])
    assert rows == analyze(examples, known=known)["breakdowns"]["surface"]
    assert 'id="learning-t"' in report.read_text("utf-8")


def test_page_of_all_documents(model, corpus, tmp_path):
    page = tmp_path / "page.html"
    printed = run(model, corpus, "-r", page, "--all-documents", "--quiet", "--resamples", 0)
    assert "Per entity" not in printed and "Report:" in printed
    text = page.read_text("utf-8")
    assert text.count('<li class="document') == 6
    assert "2 of 6 documents differ" in text
    printed = run(model, corpus, "--all-documents", code=1)
    assert "--all-documents: expected --report, the page" in printed


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
from spacy_bio_crf.cli import app
app(sys.argv[1:], standalone_mode=False)
"""


def test_report_without_matplotlib_says_so(rules, corpus, tmp_path, run_python):
    page = tmp_path / "page.html"
    printed = run_python(WITHOUT_MATPLOTLIB, "evaluate", rules, corpus, "-r", page)
    printed = " ".join(printed.split())
    assert (
        'no plots, for matplotlib is not installed; pip install "spacy_bio_crf[report]"' in printed
    )
    text = page.read_text("utf-8")
    assert "The plots are left out: matplotlib is not installed" in text
    assert "<svg" not in text and 'class="error"' in text


def test_limit(model, corpus, tmp_path):
    out = tmp_path / "figures.json"
    # Of a folder, too, in which every file has less documents than that.
    run(model, corpus.parent, "--limit", 2, "-o", out)
    assert json.loads(out.read_text("utf-8"))["documents"] == 2


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "none.spacy", "none.spacy: expected annotated documents, got no such file"),
        (b"Ana met Bo.\n", "test.txt", "test.txt, line 1: expected columns"),
        (b"Ana B-PER\n", "bad.spacy", "bad.spacy: expected annotated documents .* got .*E"),
        (
            DocBin().to_bytes(),
            "empty.spacy",
            "empty.spacy: expected annotated documents .* got no documents",
        ),
    ],
)
def test_bad_corpora(rules, corpus, tmp_path, content, name, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "figures.json"
    for arguments in ((rules, path), (rules, corpus, "--train", path)):
        printed = run(*arguments, "-o", out, code=1)
        assert re.search(message, " ".join(printed.split()))
        assert not out.exists()


def test_scores_go_into_the_meta_data(model, corpus, tmp_path, rules):
    """`spacy package` makes its README of them."""
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    printed = run(copy, corpus, "--to-meta", "--resamples", 0)
    assert f"Scores: {copy / 'meta.json'}" in " ".join(printed.split())
    nlp = spacy.load(copy)
    scores = score_examples(predict(nlp, read_corpus(nlp, corpus)))
    performance = json.loads((copy / "meta.json").read_text("utf-8"))["performance"]
    assert {key: performance[key] for key in scores} == scores
    readme = generate_readme(nlp.meta)
    assert f"| `ENTS_F` | {100 * scores['ents_f']:.2f} |" in readme
    assert f"| `NER_TOKEN_F` | {100 * scores['ner_token_f']:.2f} |" in readme
    (copy / "meta.json").unlink()
    printed = run(copy, corpus, "--to-meta", code=1)
    assert "--to-meta: expected a pipeline's folder, got no meta.json" in " ".join(printed.split())


def test_bad_options(rules, corpus, tmp_path):
    log = tmp_path / "curve.jsonl"
    log.write_text('{"step": 0}\n')
    assert "--log: expected --report, the page" in run(rules, corpus, "--log", log, code=1)
    for option in ("--output", "--report"):
        printed = run(rules, corpus, option, corpus, code=1)
        assert f"{option}: expected another file than what is read" in " ".join(printed.split())
    report = tmp_path / "report.html"
    printed = run(rules, corpus, "--log", log, "--report", report, code=1)
    assert "curve.jsonl:1: expected a line of a training log" in " ".join(printed.split())
    assert not report.exists()
    printed = run(tmp_path / "nowhere", corpus, code=1)
    assert "expected a pipeline" in " ".join(printed.split())
