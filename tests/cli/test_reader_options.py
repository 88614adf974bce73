"""Corpora of every format for the commands that score, calibrate and check."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.reader_options import flags_of
from spacy_bio_crf.corpora import ConvertOptions, convert

ROWS = """Ana B-PER N
Ruiz I-PER N
met O V
Bo B-LOC N
in O P
York S-LOC N

Bo O N
slept - V
"""
# For each format a corpus and options that it can't be read without, or is read otherwise with.
CORPORA = {
    "corpus.conll": (ROWS, ["--tag-column", "2", "--scheme", "BIOES", "--map", "LOC=PER"]),
    "corpus.jsonl": (
        json.dumps({"body": "Ana Ruiz met Bo.", "spans": [{"start": 0, "end": 8, "label": "PER"}]})
        + "\n"
        + json.dumps({"body": "In York", "spans": [{"start": 3, "end": 6, "label": "LOC"}]}),
        ["--format", "jsonl", "--text-key", "body", "--misaligned", "expand", "--drop", "PER"],
    ),
    "corpus.json": (
        json.dumps([{"tokens": ["Ana", "met", "Bo"], "codes": [1, 0, 2]}]),
        ["--format", "datasets", "--tags-key", "codes", "--tag-names", "O,B-PER,B-LOC"],
    ),
}


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "crf"
    trained.to_disk(path)
    return path


@pytest.fixture(params=CORPORA)
def corpora(request, tmp_path) -> tuple[Path, Path, list[str]]:
    """A file, what `convert` makes of it, and the options of both."""
    content, options = CORPORA[request.param]
    path = tmp_path / request.param
    path.write_text(content)
    run("convert", path, tmp_path / "corpus.spacy", *options, "--lang", "xx")
    return path, tmp_path / "corpus.spacy", options


def test_evaluation_is_that_of_the_converted_corpus(model, corpora, tmp_path):
    path, converted, options = corpora
    figures = {}
    for corpus, given in ((path, options), (converted, [])):
        out = tmp_path / "figures.json"
        run("evaluate", model, corpus, "--train", corpus, *given, "-o", out, "--resamples", 0)
        figures[corpus] = json.loads(out.read_text()) | {"corpus": ""}
    assert figures[path] == figures[converted]
    assert figures[path]["counts"]["tokens"] > 0
    assert figures[path]["entity"]["all"]["gold"] > 0


def test_gold_that_fits_no_tokens_is_counted(model, tmp_path):
    """It leaves the score, so the first table and the figures say how much of it there is."""
    path = tmp_path / "test.jsonl"
    record = {
        "text": "Anas met Bo in York",
        "spans": [[0, 3, "PER"], [1, 2, "PER"], [9, 11, "PER"]],
    }
    path.write_text(json.dumps(record))
    run("convert", path, tmp_path / "test.spacy", "--lang", "xx")
    for corpus in (path, tmp_path / "test.spacy"):
        printed = run("evaluate", model, corpus, "-o", tmp_path / "figures.json")
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert figures["counts"]["left_aside_gold"] == 2
        assert figures["entity"]["all"]["gold"] == 1
        assert "gold entities that fit no tokens and were left aside in reading, 2." in printed
    run("evaluate", model, path, "--misaligned", "expand", "-o", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["counts"]["left_aside_gold"] == 0


def test_calibration_is_that_of_the_converted_corpus(model, tmp_path):
    path = tmp_path / "dev.conll"
    path.write_text("Ana B-PER\nRuiz I-PER\nmet O\nBo B-LOC\n.\tO\n".replace("\t", " "))
    convert(path, tmp_path / "dev.spacy", lang="xx")
    figures = []
    for corpus in (path, tmp_path / "dev.spacy"):
        run("calibrate", model, corpus, "--json", tmp_path / "figures.json", "--dry-run")
        figures.append(json.loads((tmp_path / "figures.json").read_text()))
    assert figures[0] == figures[1]


def test_a_diagnosis_reads_with_the_same_options(corpora, tmp_path):
    path, converted, options = corpora
    figures = []
    for corpus, given in ((path, options), (converted, [])):
        run("debug", corpus, *given, "--json", tmp_path / "report.json", "--fail-on", "never")
        report = json.loads((tmp_path / "report.json").read_text())
        figures.append(report["figures"]["train"] | {"read_as": []})
    assert figures[0] == figures[1]


def test_the_account_of_the_reader_is_printed(model, tmp_path):
    path = tmp_path / "test.conll"
    path.write_text("Ana I-PER\nslept O\n")
    options = ["--scheme", "BIO", "--resamples", 0, "--drop", "PRE"]
    printed = run("evaluate", model, path, *options)
    assert "Read 1 file as BIO, spaces, token in column 1" in printed
    assert "test.conll, line 1: I-PER continues no entity" in printed
    assert "No entity with the label PRE that --map or --drop names" in printed


def test_errors_name_options(model, tmp_path):
    path = tmp_path / "test.conll"
    path.write_text("Ana B-PER\n")
    for command in (["evaluate", model], ["calibrate", model], ["debug"]):
        printed = run(*command, path, "--scheme", "BIX", code=1)
        assert "--scheme: expected" in printed and "got 'BIX'" in printed
        printed = run(*command, path, "--text-key", "body", code=1)
        assert "--text-key: expected input in a format that uses it" in printed
        assert run(*command, tmp_path / "nowhere.conll", code=1)


def test_every_reader_option_has_its_long_name():
    """Short names belong to the commands; a command's own option stands for the reader's."""
    from dataclasses import fields

    helps = {name: run(name, "--help") for name in ("evaluate", "calibrate", "debug")}
    for option in fields(ConvertOptions):
        flag = flags_of(option)[0]
        for printed in helps.values():
            own = {"--seed"} if "--resamples" in printed else set()
            assert (f"{flag} " in printed) is (not option.metadata["only_convert"] or flag in own)
