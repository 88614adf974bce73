import inspect
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
from spacy.cli import app as spacy_app
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.convert import convert_cli
from spacy_bio_crf.cli.reader_options import flags_of
from spacy_bio_crf.corpora import INPUT_FORMATS, ConvertOptions, Summary
from spacy_bio_crf.corpora.write import WRITERS
from tests.support.paths import ROOT

FIRST = "Ana\tB-PER\nRuiz\tI-PER\n\nin\tO\nRio\tB-LOC\n"
SECOND = "x\tO\nACME\tI-ORG\n"


@pytest.fixture
def bio_ner(tmp_path, monkeypatch):
    """Run a command in a folder with two files; return exit code and output, unwrapped."""
    monkeypatch.chdir(tmp_path)
    Path("a.conll").write_text(FIRST)
    Path("b.conll").write_text(SECOND)

    def run(*args, app=app):
        result = CliRunner().invoke(app, args)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, " ".join(result.output.split())

    return run


def test_convert(bio_ner):
    code, output = bio_ner("convert", "a.conll", "b.conll", "out.spacy")
    assert code == 0
    assert len(DocBin().from_disk("out.spacy")) == 3
    assert "Read 2 files as BIO, tabs, token in column 1, tag in 2" in output
    assert "b.conll, line 2: I-ORG continues no entity of its label: read as the begin" in output
    assert "LOC 1 ORG 1 PER 1 total 3" in output
    assert "out.spacy: 3 documents, 3 sentences, 6 tokens" in output


def test_what_is_left_out_is_listed(bio_ner):
    """What nobody is told of would be lost."""
    Path("c.conll").write_text("b\tX-Y\n\n" * 12 + "a\tB-Z\n\n" * 20)
    code, output = bio_ner("convert", "c.conll", "out.spacy", "--skip-bad")
    assert code == 0 and "out.spacy: 20 documents" in output
    assert "Left out because of errors: 12 (--skip-bad):" in output
    assert "c.conll, line 1: tag: expected" in output
    assert "line 19: tag: expected" in output and "line 21: tag" not in output
    assert "and 2 more" in output


def test_convert_below_spacys_own_commands(bio_ner):
    code, output = bio_ner("bio-ner", "convert", "a.conll", "out.spacy", app=spacy_app)
    assert code == 0 and "2 documents" in output


def test_every_option_arrives(bio_ner):
    bio_ner("convert", "a.conll", "out.spacy")
    rows = "O Ana", "S-PER Bo", "", "I-LOC Rio", "S-MISC Z", "S-ORG A"
    Path("c.txt").write_text("\n".join(["-DOCSTART- -X-", "", *rows]))
    options = [
        "--format",
        "columns",
        "--scheme",
        "BIOES",
        "--token-column",
        "2",
        "--tag-column",
        "1",
        "--lang",
        "pt",
    ]
    options += ["--group-docs", "--repair", "discard", "--map", "PER=PERSON", "--map", "ORG=O-R=G"]
    code, output = bio_ner("convert", "c.txt", "out.spacy", *options, "--drop", "MISC", "--force")
    assert code == 0, output
    assert "line 6: I-LOC begins what is not a complete entity: discarded" in output
    assert "Dropped: label MISC (1)" in output
    assert "O-R=G 1 PERSON 1 total 2" in output
    assert "out.spacy: 1 document, 2 sentences, 5 tokens" in output
    code, output = bio_ner("convert", "a.conll", "out.spacy", "-F", "-n", "2")
    assert "1 document, 2 sentences" in output


def test_options_of_single_formats_arrive(bio_ner):
    Path("a.jsonl").write_text(
        '{"body": "Ana Ruizes ran", "spans": [[0, 8, "X"], [0, 3, "Y"], [4, 14, "Z"]]}\n'
    )
    Path("ids.jsonl").write_text('{"tokens": ["Ana"], "fine": [1]}\n')
    Path("a.txt").write_text("Ana Maria Ruiz\n")
    Path("a.ann").write_text("T1\tX 0 3;10 14\tAna Ruiz\n")
    Path("a.xml").write_text(
        '<a><EM CATEG="COISA|LOCAL">Rio</EM> <EM CATEG="OBRA">Sol</EM> '
        '<ALT><EM CATEG="LOCAL">A</EM> <EM CATEG="LOCAL">B</EM>|'
        '<EM CATEG="VALOR">A B</EM></ALT></a>'
    )

    def run(*args):
        code, output = bio_ner("convert", *args, "--force")
        assert code == 0, output
        return output

    output = run("a.jsonl", "out.spacy", "--format", "jsonl", "--text-key", "body")
    assert "Entities that do not fit tokens: 1 (--misaligned missing):" in output
    assert "a.jsonl, line 1: 'Ana Ruiz' (X)" in output
    assert "Tokens without annotation, neither entity nor O: 0" not in output
    assert "Y 1 Z 1 total 2" in output and "out.spacy: 1 document, 3 tokens" in output
    output = run(
        "a.jsonl",
        "out.jsonl",
        *(
            "--format",
            "jsonl",
            "--text-key",
            "body",
            "--misaligned",
            "expand",
            "--overlaps",
            "first",
        ),
    )
    assert "X 1 total 1" in output and "(the first one stays) (2)" in output
    output = run(
        "ids.jsonl",
        "out.conll",
        *("--format", "datasets", "--tags-key", "fine", "--tag-names", "O,B-PER"),
    )
    assert "PER 1 total 1" in output
    assert "\nAna\tB-PER\n" in Path("out.conll").read_text()
    output = run("a.ann", "out.spacy", "--discontinuous", "parts")
    assert "entities in several pieces, each piece read as an entity (1)" in output
    assert "X 2 total 2" in output
    output = run("a.xml", "out.spacy")
    assert "COISA 1 LOCAL 2 OBRA 1 total 4" in output
    output = run("a.xml", "out.spacy", "--scenario", "selective", "--alt", "coverage")
    assert "LOCAL 1 VALOR 1 total 2" in output


def test_splitting(bio_ner):
    records = "".join(f'{{"text": "same {i // 2}", "spans": []}}\n' for i in range(10))
    Path("a.jsonl").write_text(records)
    code, output = bio_ner("convert", "a.jsonl", "out.spacy", "--split", "50/30/20", "--seed", "1")
    assert code == 0, output
    assert "Split by documents" in output and "share" in output and "whole texts" in output
    assert "out-train.spacy (5), out-dev.spacy (3), out-test.spacy (2): 10 documents" in output
    docs = [list(DocBin().from_disk(f"out-{p}.spacy").tokens) for p in ("train", "dev", "test")]
    assert list(map(len, docs)) == [5, 3, 2]


def test_names_that_no_label_has_are_said(bio_ner):
    _, output = bio_ner("convert", "a.conll", "out.spacy", "--map", "GPE=LOC", "--drop", "LOC")
    assert "No entity with the label GPE that --map or --drop names" in output
    assert "with the label LOC" not in output
    labels = ["--map", "PER=HUMAN", "--labels-annotated", "HUMAN", "--labels-annotated", "PER"]
    _, output = bio_ner("convert", "a.conll", "c.spacy", *labels)
    assert "No entity with the label PER that --labels-annotated names" in output
    assert output.count("No entity") == 1
    Path("a.jsonl").write_text('{"text": "Ana", "spans": [[0, 3, "PER"]]}')
    _, output = bio_ner("convert", "a.jsonl", "b.spacy", "--ignore", "PER", "--ignore", "OPEN")
    assert "No entity with the label OPEN that --ignore names" in output
    assert "with the label PER" not in output


def test_many_repairs_are_not_all_shown(bio_ner):
    Path("c.txt").write_text("y\tB-X\n" + "x\tI-Y\nx\tO\n" * 13)
    _, output = bio_ner("convert", "c.txt", "out.spacy")
    assert "repaired: 13" in output and output.count("line") == 10 and "and 3 more" in output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["a.conll"],
            "paths: expected input files or folders, and then the output, got only a.conll",
        ),
        (["no.conll", "out.spacy"], "no.conll: expected a file or folder, got nothing there"),
        (["bad.conll", "out.spacy"], "bad.conll, line 2: tag: expected 'O' or a prefix"),
        (
            ["a.conll", "old.spacy"],
            "old.spacy: expected no file, got an existing file; use --force to overwrite it",
        ),
        (
            ["a.conll", "out.spacy", "--alt", "coverage"],
            "--alt: expected input in a format that uses it (xml), got columns",
        ),
        (["a.conll", "out.spacy", "--repair", "x"], "--repair: expected one of 'begin', 'discard'"),
        (["a.conll", "out.spacy", "--split", "9"], "--split: expected two or three shares above 0"),
        (["a.conll", "out.spacy", "--map", "PER"], "--map: expected OLD=NEW, got 'PER'"),
        (
            ["a.conll", "out.spacy", "--map", "PER=A", "--map", "PER=B"],
            "--map: expected one new name for PER, got ['A', 'B']",
        ),
        (
            ["a.conll", "out.spacy", "--map", "PER=A", "--drop", "PER"],
            "--drop: expected labels that --map does not have, got 'PER'",
        ),
        (
            ["a.conll", "out.spacy", "--group-docs", "-n", "2"],
            "--n-sents: expected 1 with --group-docs, got 2",
        ),
        (["k.json", "out.spacy"], "got the keys 'a'; name the format with --format"),
        (["a.conll", "a.conll/out.spacy"], "a.conll"),
        (["a.conll", "out.spacy", "--lang", "qq"], "--lang: expected a language that spaCy has"),
    ],
)
def test_errors_are_one_clear_message(bio_ner, args, message):
    Path("bad.conll").write_text("a\tB-X\nb\tB_X\n")
    Path("k.json").write_text('{"a": 1}')
    Path("old.spacy").write_text("")
    code, output = bio_ner("convert", *args)
    assert code == 1
    assert message in output
    assert "Traceback" not in output
    assert not Path("out.spacy").exists() and Path("old.spacy").read_text() == ""


def test_importing_the_commands_is_light():
    """spaCy's command line imports them on every start."""
    code = "import sys, spacy_bio_crf.cli; print('transformers' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("option", fields(ConvertOptions), ids=lambda option: option.name)
def test_every_option_has_a_flag_that_arrives(bio_ner, monkeypatch, option):
    """A field of the options is all that a new option of the command needs."""
    values = {"rename": "A=B", "tag_names": "O,B-X", "split": "1/1", "lang": "pt", "drop": "X"}
    values |= {"encoding": "cp1252", "entity_elements": "X@A"}
    others = [choice for choice in option.metadata["choices"] if choice != option.default]
    value = others[0] if others else values.get(option.name, "BMES")
    expected = {"rename": {"A": "B"}, "tag_names": ["O", "B-X"]}.get(option.name, value)
    if option.name in ("drop", "entity_elements", "ignore", "labels_annotated"):
        expected = [value]
    if option.type is int or option.type == int | None:
        value, expected = "7", 7
    given = {}

    def convert(inputs, output, *, progress, **options):
        given.update(options)
        return Summary(labels_read=Counter("AX"), outputs={Path(output): 0})

    monkeypatch.setattr("spacy_bio_crf.cli.convert.convert", convert)
    for flag in flags_of(option):
        given.clear()
        arguments = [flag] if option.type is bool else [flag, value]
        code, output = bio_ner("convert", "a.conll", "out.spacy", *arguments)
        assert code == 0, output
        assert given[option.name] == (True if option.type is bool else expected)
        # A key of layers needs layers.
        needed = {"layers": True} if option.name == "gold_spans_key" else {}
        assert replace(ConvertOptions(), **given | needed) != ConvertOptions(**needed)
    others = {name: value for name, value in given.items() if name != option.name}
    assert replace(ConvertOptions(), **others) == ConvertOptions()


def test_help_and_page_know_every_format_and_suffix():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    parameters = inspect.signature(convert_cli).parameters
    for name in INPUT_FORMATS:
        assert name in parameters["format"].default.help
        assert f"**`{name}`**" in page
    for suffix in WRITERS:
        assert suffix in parameters["paths"].default.help and f"`{suffix}`" in page
