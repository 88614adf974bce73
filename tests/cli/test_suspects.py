"""`bio-ner suspects`: by a given model and by folds, the page, and corrections applied."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.suspects import MEANINGS, _lang_of
from spacy_bio_crf.metrics.mistakes import KINDS
from spacy_bio_crf.review.suspicion import EVIDENCE_WEIGHT
from tests.support.pipelines import SENTENCES, make_examples
from tests.support.trainings import bio_ner, write_training

NLP = spacy.blank("en")


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["suspects", *map(str, arguments)])
    assert done.exit_code == code, (done.output, done.exception)
    return " ".join(done.output.split())


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def entities(path: Path) -> list[list[tuple[int, int, str]]]:
    docs = DocBin().from_disk(path).get_docs(NLP.vocab)
    return [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs]


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "crf"
    trained.to_disk(path)
    return path


@pytest.fixture(scope="module")
def corpus(trained, tmp_path_factory) -> Path:
    """The training sentences with a wrong label, wrong boundaries and a missing entity."""
    docs = [eg.reference for eg in make_examples(trained)]
    docs[0].set_ents(
        [Span(docs[0], *span) for span in [(0, 2, "PER"), (3, 4, "LOC"), (5, 7, "LOC")]]
    )
    docs[1].set_ents([Span(docs[1], *span) for span in [(0, 1, "PER"), (5, 6, "LOC")]])
    path = tmp_path_factory.mktemp("corpus") / "altered.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


def test_every_kind_has_a_meaning():
    assert list(MEANINGS) == list(KINDS)


def test_from_a_model_to_the_corrected_corpus(model, corpus, tmp_path):
    output, report = tmp_path / "suspects.jsonl", tmp_path / "suspects.html"
    printed = run(corpus, "--model", model, "-o", output, "--report", report)
    found = read_lines(output)
    assert {(f["document"], f["kind"], f["text"]) for f in found} == {
        (0, "label", "Bo"),
        (0, "boundary", "New York"),
        (1, "spurious", "Lisbon"),
    }
    doubts = [f["contradiction"] + EVIDENCE_WEIGHT * f["evidence"] for f in found]
    assert doubts == sorted(doubts, reverse=True) and min(f["error"] for f in found) > 0.5
    for part in ("label: another label 1", "all 3", "Judged: 11 entities", f"Suspects: {output}"):
        assert part in printed
    text = report.read_text("utf-8")
    assert text.count('class="error"') == 3 and "same text: LOC 1, PER 1" in text

    # The file of suspects is one of decisions as well, with all of them.
    corrected = tmp_path / "corrected.spacy"
    printed = run(corpus, "--apply", output, "-o", corrected)
    assert "Corrections that changed something: 3" in printed
    assert entities(corrected) == [ents for _, ents in SENTENCES]
    diff = (tmp_path / "corrected.diff").read_text("utf-8")
    assert "-3\t4\tLOC\tBo\n" in diff and "+3\t4\tPER\tBo\n" in diff
    made = corrected.read_bytes()
    printed = run(corpus, "--apply", output, "-o", corrected, code=1)
    assert "expected no file, got an existing file; use --force to overwrite it" in printed
    run(corpus, "--apply", output, "-o", corrected, "--force")
    assert corrected.read_bytes() == made
    # The diff of another output of that name stays as well.
    columns = tmp_path / "corrected.conll"
    printed = run(corpus, "--apply", output, "-o", columns, code=1)
    assert "corrected.diff, which exists; --force writes over it" in printed
    assert not columns.exists()
    run(corpus, "--apply", output, "-o", columns, "--force")
    assert "Bo\tB-PER" in columns.read_text("utf-8")


@pytest.mark.parametrize("lang", [(), ("--lang", "es")])
def test_corrections_of_texts_without_tokens(trained, tmp_path, lang):
    # The tokens of `xx`, `en` and `es` differ.
    model, nlp = tmp_path / "model", spacy.blank("en")
    nlp.add_pipe("bio_ner", source=trained)
    nlp.to_disk(model)
    rows = [
        {"text": "Don't Ana Ruiz and Bo go?He's 5km away .", "spans": [[6, 14, "LOC"]]},
        {"text": "Ana met Bo in New York .", "spans": [[14, 22, "PER"]]},
    ]
    corpus, output = tmp_path / "corpus.jsonl", tmp_path / "suspects.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run(corpus, "--model", model, "-o", output, "--least", 0, *lang)
    found = read_lines(output)
    assert {f["document"] for f in found} == {0, 1}
    assert {f["lang"] for f in found} == {lang[1] if lang else "en"}
    one = [f for f in found if f["gold"]]
    output.write_text("".join(json.dumps(f) + "\n" for f in one), "utf-8")
    printed = run(corpus, "--apply", output, "-o", tmp_path / "corrected.jsonl")
    assert f"Corrections that changed something: {len(one)}" in printed
    for f in one:
        del f["lang"]
    output.write_text("".join(json.dumps(f) + "\n" for f in one), "utf-8")
    options = ("--apply", output, "-o", tmp_path / "other.jsonl")
    printed = run(corpus, *options, code=1)
    assert "expected the text that was reviewed as document" in printed
    run(corpus, *options, "--lang", lang[1] if lang else "en")


def test_what_is_listed_and_what_is_shown(model, corpus, tmp_path):
    output, report = tmp_path / "suspects.jsonl", tmp_path / "suspects.html"
    run(corpus, "--model", model, "-o", output, "-r", report, "--least", 0, "--max-shown", 4)
    assert len(read_lines(output)) == 12
    assert report.read_text("utf-8").count('class="error"') == 4
    run(corpus, "--model", model, "-o", output, "-r", report, "--least", 0, "--max-shown", 0)
    assert report.read_text("utf-8").count('class="error"') == 12
    run(corpus, "--model", model, "-o", output, "--least", 1)
    assert read_lines(output) == []


def test_what_is_refused(model, corpus, tmp_path):
    out = ("-o", tmp_path / "out.jsonl")
    expected = "suspects: expected one of --config, --model, --apply, got"
    assert f"{expected} none" in run(corpus, *out, code=1)
    assert f"{expected} --model, --apply" in run(
        corpus, "--model", model, "--apply", corpus, *out, code=1
    )
    missing = tmp_path / "no.cfg"
    assert "expected a file, got no such file" in run(corpus, "--config", missing, *out, code=1)
    values = ("--training.max_steps", "3")
    printed = run(corpus, "--model", model, *out, *values, code=1)
    assert "expected values of a --config, got --training.max_steps 3" in printed
    decisions = tmp_path / "decisions.jsonl"
    decisions.write_text("{}\n", "utf-8")
    printed = run(corpus, "--apply", decisions, "-o", tmp_path / "c.spacy", code=1)
    assert "line 1: expected a JSON object with document" in printed
    printed = run(corpus, "--apply", decisions, "-o", tmp_path / "c.txt", code=1)
    assert "expected an output file whose name ends in .spacy" in printed
    assert not (tmp_path / "c.spacy").exists() and not (tmp_path / "c.diff").exists()
    printed = run(corpus, "--model", model, *out, "--component", "other", code=1)
    assert "--component: expected a bio_ner of bio_ner, got 'other'" in printed


@pytest.mark.parametrize(
    ("config", "values", "lang"),
    [
        ('[vars]\nlang = "pt"\n[nlp]\nlang = ${vars.lang}\n', (), "pt"),
        ('[nlp]\nlang = "pt"\n', ("--nlp.lang", "de"), "de"),
    ],
)
def test_the_language_is_that_of_the_training(config, values, lang, corpus, tmp_path):
    path = tmp_path / "config.cfg"
    path.write_text(config, "utf-8")
    printed = run(corpus, "-c", path, "-o", tmp_path / "o.jsonl", "-k", 99, *values, code=1)
    assert "--folds: expected 2 to 6" in printed
    assert _lang_of(path, None, [], values) == lang


def test_a_config_without_a_language(corpus, tmp_path):
    path = tmp_path / "config.cfg"
    path.write_text("[training]\nmax_steps = 1\n", "utf-8")
    printed = run(corpus, "-c", path, "-o", tmp_path / "o.jsonl", code=1)
    assert "nlp.lang: expected the code of a language" in printed


@pytest.mark.slow
def test_models_of_folds(tiny_encoder, tmp_path):
    config = write_training(tmp_path, {"bio_ner": bio_ner(tiny_encoder)})
    corpus, output = tmp_path / "train.spacy", tmp_path / "out" / "suspects.jsonl"
    values = ("--training.max_steps", "6", "--training.eval_frequency", "3")
    options = (corpus, "--config", config, "-o", output, "--folds", 2, "--least", 0, *values)
    printed = run(*options, "--jobs", 2)
    folder = tmp_path / "out" / "suspects.folds"
    assert "fold 1 of 2: trained" in printed and (folder / "fold-2" / "finished.json").is_file()
    found = read_lines(output)
    assert sum(f["gold"] is not None for f in found) == sum(map(len, entities(corpus)))
    printed = run(*options)
    assert "fold 1 of 2: trained before" in printed and "fold 2 of 2: trained before" in printed
    assert read_lines(output) == found
    printed = run(*options, "--seed", 1, code=1)
    assert (
        "expected folds of this corpus and these settings, got folds with another seed" in printed
    )
    bad = tmp_path / "bad"
    printed = run(*options, "--folder", bad, "--training.dropout", "high", code=1)
    assert "fold 1 of 2: expected a training that ends well, got exit code 1" in printed


def test_the_corpus_is_not_written_over_by_its_suspects(tmp_path):
    for name in ("corpus.spacy", "corpus.jsonl"):
        corpus = tmp_path / name
        corpus.write_text("mine")
        printed = run(corpus, "--model", tmp_path, "-o", corpus, code=1)
        assert f"--output: expected another file than what is read, got {corpus}" in printed
        run(corpus, "--model", tmp_path, "-o", tmp_path / "o.jsonl", "-r", corpus, code=1)
        assert corpus.read_text() == "mine"


def test_suspects_are_json_lines(tmp_path):
    (tmp_path / "a.spacy").touch()
    printed = run(tmp_path / "a.spacy", "--model", tmp_path, "-o", tmp_path / "b.spacy", code=1)
    assert f"expected a file name that ends in .jsonl, got {tmp_path}/b.spacy; --apply" in printed


@pytest.mark.parametrize(
    ("way", "options", "expected"),
    [
        ("--apply", "--report r.html", "--report: expected --config or --model"),
        ("--apply", "--least 0", "--least: expected --config or --model"),
        ("--apply", "-k 3", "--folds: expected --config"),
        ("--model", "--folder f", "--folder: expected --config"),
        ("--model", "--jobs 2", "--jobs: expected --config"),
        ("--model", "--code c.py", "--code: expected --config"),
        ("--config", "-F", "--force: expected --apply"),
    ],
)
def test_options_of_another_way_are_refused(tmp_path, way, options, expected):
    (tmp_path / "a.spacy").touch()
    out = tmp_path / "o.jsonl"
    printed = run(tmp_path / "a.spacy", way, tmp_path, "-o", out, *options.split(), code=1)
    assert f"{expected} beside it, got {way}" in printed
