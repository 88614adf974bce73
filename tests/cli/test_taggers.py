"""Commands on a pipeline with a `bio_tagger`: they serve it, or say that they don't."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.classifiers import load_reference
from tests.support.taggers import (
    PARTS,
    TAGGED,
    TEXTS,
    fit_tagger,
    make_bio_tagger,
    tagged_examples,
    tagger_of,
)


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tagger"
    fit_tagger(make_bio_tagger(tiny_encoder, "crf")).to_disk(path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training sentences, with one label changed."""
    nlp = spacy.blank("en")
    docs = [eg.reference for eg in tagged_examples(nlp)]
    docs[0][1].pos_ = "ADV"
    path = tmp_path_factory.mktemp("corpus") / "dev.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


def test_evaluate(model: Path, corpus: Path, tmp_path: Path):
    out = tmp_path / "figures.json"
    printed = run("evaluate", model, corpus, "-o", out, "--to-meta", "--resamples", 0)
    assert "Labels of bio_tagger, pos: 90.91 % of 11 tokens right" in printed
    assert "ADV VERB 1" in printed and "F1" in printed
    assert "entity" not in printed.lower()
    figures = json.loads(out.read_text())["labels"]["bio_tagger"]
    assert (figures["tokens"], figures["right"]) == (11, 10)
    meta = json.loads((model / "meta.json").read_text())
    assert meta["performance"]["pos_acc"] == pytest.approx(10 / 11)


def test_comparison(model: Path, corpus: Path, tmp_path: Path):
    nlp = spacy.blank("en")
    nlp.add_pipe("attribute_ruler").add([[{"LOWER": {"REGEX": ".*"}}]], {"POS": "VERB"})
    nlp.to_disk(tmp_path / "rules")
    out = tmp_path / "figures.json"
    given = ("--compare", tmp_path / "rules", "-o", out, "--resamples", 100)
    printed = run("evaluate", model, corpus, *given)
    assert f"Accuracy of bio_tagger beside {tmp_path / 'rules'}" in printed
    assert "without effect" not in printed
    figures = json.loads(out.read_text())
    verbs = figures["labels"]["bio_tagger"]["per_label"]["VERB"]["support"]
    found = figures["labels"]["bio_tagger"]["comparison"]
    assert found["accuracy"] == pytest.approx(verbs / 11) and 0 < verbs < 10
    assert found["difference"] == pytest.approx((10 - verbs) / 11)
    # Three documents: of eight exchanges, two have this difference.
    assert found["p_value"] == pytest.approx(0.25, abs=0.15)


def test_options_without_effect_are_told(model: Path, corpus: Path, tmp_path: Path):
    printed = run("evaluate", model, corpus, "--train", corpus, "--resamples", 0)
    assert "--train: without effect, for neither gold nor predictions have" in printed
    DocBin(docs=[spacy.blank("en")("No labels here")]).to_disk(tmp_path / "bare.spacy")
    given = ("--compare", model, "--train", corpus, "--resamples", 0)
    printed = run("evaluate", model, tmp_path / "bare.spacy", *given)
    assert "--compare, --train: without effect, for neither gold nor predictions have" in printed
    assert "without effect" not in run("evaluate", model, corpus, "--resamples", 0)


def test_the_page_of_labels_alone(model: Path, corpus: Path, tmp_path: Path):
    run("evaluate", model, corpus, "-q", "--report", tmp_path / "page.html", "--resamples", 0)
    page = " ".join((tmp_path / "page.html").read_text("utf-8").split())
    body = page[page.index("<body>") : page.index("<script>")]
    assert "<span>accuracy of bio_tagger</span><b>90.91</b><small>labels of tokens, pos" in body
    assert "Confusions of bio_tagger" in body and "not listed one by one" in body
    assert "3 documents, 11 tokens. </p>" in body
    assert "entity" not in body.lower() and "entities" not in body.lower()
    assert "annotation" not in body and "More figures" not in body


def test_calibrate(model: Path, corpus: Path, tmp_path: Path):
    out, figures = tmp_path / "calibrated", tmp_path / "figures.json"
    run("calibrate", model, corpus, "-o", out, "--json", figures)
    before, after = (json.loads(figures.read_text())[key] for key in ("before", "after"))
    assert before["entities"] == 11 and after["log_loss"] < before["log_loss"]
    nlp = spacy.load(out)
    assert tagger_of(nlp).temperature == pytest.approx(after["temperature"]) != 1.0
    assert [[t.pos_ for t in doc] for doc in nlp.pipe(TEXTS)] == [parts for _, parts in TAGGED]


def test_calibrate_counts_labels(model: Path, corpus: Path):
    printed = run("calibrate", model, corpus, "--dry-run")
    assert "Labels of tokens: 11 expected" in printed and "Entities" not in printed


def test_transitions(model: Path, tmp_path: Path):
    out = tmp_path / "scores.json"
    run("transitions", model, "--json", out)
    table = json.loads(out.read_text())
    assert table["columns"] == ["ADV", "PRON", "PROPN", "VERB", "end"]
    assert all(score is not None for score in table["scores"][1])


def test_annotate_keeps_labels_in_docs(model: Path, tmp_path: Path):
    texts = tmp_path / "in.txt"
    texts.write_text("\n".join(TEXTS))
    assert "Labels" not in run("annotate", model, texts, tmp_path / "out.spacy")
    docs: list[Doc] = list(
        DocBin().from_disk(tmp_path / "out.spacy").get_docs(spacy.blank("en").vocab)
    )
    assert [[t.pos_ for t in doc] for doc in docs] == PARTS
    assert all(t._.confidence > 0.0 for doc in docs for t in doc)
    warned = run("annotate", model, texts, tmp_path / "out.jsonl")
    assert "Labels of bio_tagger are in .spacy output alone; OUT gets entities" in warned


def test_to_hf(model: Path, corpus: Path, tmp_path: Path):
    printed = run("to-hf", model, tmp_path / "out", "--corpus", corpus)
    assert "Accuracy on dev.spacy: 90.91 as decoded here" in printed
    assert "crf.safetensors" in printed and "legal" not in printed
    names = load_reference(tmp_path / "out")[0].config.id2label
    assert [*names.values()] == ["ADV", "PRON", "PROPN", "VERB"]


def test_debug(model: Path, corpus: Path):
    printed = run("debug", corpus, "--model", model, "--least", 3, code=3)
    assert "target pos" in printed and "labelled tokens 11" in printed
    assert "train: labels that are too rare in the training data (2)" in printed
    assert "PRON 2 tokens" in printed


def test_debug_names_a_label_that_is_no_string(tiny_encoder: Path, tmp_path: Path):
    nlp = make_bio_tagger(tiny_encoder, target="_.mood")
    nlp.config.to_disk(tmp_path / "config.cfg")
    doc = Doc(nlp.vocab, words=["so", "so"])
    doc[1]._.mood = 3
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "train.spacy")
    printed = run("debug", tmp_path / "train.spacy", "--model", tmp_path / "config.cfg", code=1)
    assert "expected a string" in printed and "got 3" in printed
