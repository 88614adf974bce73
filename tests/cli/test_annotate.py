"""`bio-ner annotate` as a command: its options, what it says, its bar."""

import inspect
import io
import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.cli import app as spacy_app
from typer.testing import CliRunner

from spacy_bio_crf.bulk import BadRecord, Counts, Progress, annotate
from spacy_bio_crf.cli import annotate as command
from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.annotate import annotate_cli
from tests.support.annotate_tools import PATTERNS
from tests.support.paths import ROOT


@pytest.fixture
def bio_ner(tmp_path, monkeypatch):
    """Run a command in a folder with a model and a text; return exit code and output, unwrapped."""
    monkeypatch.chdir(tmp_path)
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.to_disk("model")
    Path("a.txt").write_text("Ana Ruiz is in Rio\nRio\n")

    def run(*args, app=app):
        result = CliRunner().invoke(app, args)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, " ".join(result.output.split())

    return run


def test_annotate(bio_ner):
    code, output = bio_ner("annotate", "model", "a.txt", "out.jsonl")
    assert code == 0
    assert "out.jsonl: 2 documents, 6 words, 3 entities" in output and "Skipped" not in output
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [len(row["entities"]) for row in rows] == [2, 1]


def test_annotate_below_spacys_own_commands(bio_ner):
    code, output = bio_ner("bio-ner", "annotate", "model", "a.txt", "out.jsonl", app=spacy_app)
    assert code == 0 and "2 documents" in output


def test_every_option_arrives(bio_ner, monkeypatch):
    Path("code.py").write_text(
        "from spacy.language import Language\n"
        "@Language.component('annotate_mark')\n"
        "def mark(doc):\n    return doc\n"
    )
    seen = {}

    def noted(nlp, path, output, **options):
        seen.update(options, nlp=nlp, path=path, output=output)
        return annotate(nlp, path, output, **{**options, "load": None})

    monkeypatch.setattr("spacy_bio_crf.bulk.annotate", noted)
    Path("out.spacy").write_text("old")
    Path("a.dat").write_text('{"body": "Rio"}\n')
    options = {
        "--format": "jsonl",
        "--text-key": "body",
        "--entities-key": "ents",
        "--batch-size": "7",
        "--n-process": "2",
        "--max-length": "123",
        "--docs-per-file": "9",
        "--code": "code.py",
    }
    flags = ["--skip-bad", "--force", "--restart", "--one-file"]
    arguments = [part for pair in options.items() for part in pair]
    code, output = bio_ner("annotate", "model", "a.dat", "out.spacy", *arguments, *flags)
    assert code == 0, output
    assert spacy.Language.has_factory("annotate_mark")
    assert seen.pop("nlp").max_length == 123
    assert callable(seen.pop("report")) and seen.pop("load") is None
    assert seen == {
        "path": Path("a.dat"),
        "output": Path("out.spacy"),
        "format": "jsonl",
        "text_key": "body",
        "entities_key": "ents",
        "batch_size": 7,
        "n_process": 2,
        "engine": None,
        "skip_bad": True,
        "docs_per_file": 9,
        "one_file": True,
        "shard": None,
        "force": True,
        "restart": True,
        "code": Path("code.py"),
    }
    parameters = set(inspect.signature(annotate).parameters) - {"nlp", "report", "load", "settings"}
    assert parameters == set(seen)


def test_processes_load_the_pipeline_themselves_where_they_cannot_fork(bio_ner, monkeypatch):
    seen = {}

    def noted(nlp, path, output, **options):
        seen.update(options)
        return annotate(nlp, path, output)

    gpus = []
    monkeypatch.setattr("spacy_bio_crf.bulk.annotate", noted)
    monkeypatch.setattr(spacy, "require_gpu", gpus.append)
    cores = 3
    monkeypatch.setattr("spacy_bio_crf.cores.available_cores", lambda: cores)
    code, _ = bio_ner("annotate", "model", "a.txt", "out.jsonl", "--gpu-id", "3", "-n", "2")
    assert code == 0 and gpus == []
    assert seen["load"]().pipe_names == ["entity_ruler"] and gpus == [3]
    code, _ = bio_ner("annotate", "model", "a.txt", "b.jsonl", "--gpu-id", "3")
    assert code == 0 and seen["load"] is None and gpus == [3, 3]
    code, _ = bio_ner("annotate", "model", "a.txt", "g.jsonl", "--gpu-id", "0", "-n", "2")
    assert code == 0 and seen["load"] is not None and gpus == [3, 3]
    # A fork has one thread.
    code, _ = bio_ner("annotate", "model", "a.txt", "d.jsonl", "-n", "2")
    assert code == 0 and seen["load"] is None
    cores = 4
    code, _ = bio_ner("annotate", "model", "a.txt", "e.jsonl", "-n", "2")
    assert code == 0 and seen["load"] is not None
    cores = 3
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    code, _ = bio_ner("annotate", "model", "a.txt", "c.jsonl", "-n", "2")
    assert code == 0 and seen["load"] is not None


def test_skipped_records_are_named_and_counted(bio_ner):
    Path("a.jsonl").write_text('{"text": "Rio"}\n' + "bad\n" * 12)
    code, output = bio_ner("annotate", "model", "a.jsonl", "out.jsonl", "--skip-bad")
    assert code == 0
    assert "Skipped: a.jsonl, line 2: expected a JSON object, got 'bad'" in output
    assert "line 11" in output and "and so on" in output and "line 12" not in output
    assert "Skipped: 12 records" in output and "out.jsonl: 1 document," in output


def test_skipped_records_are_named_on_any_output(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    bad = BadRecord("café.jsonl, line 1", "expected the key 'text', got the keys 'téxt'")
    with command.bulk_reporter(with_bar=False) as report:
        report(Progress(Counts(), [bad], 0, 1, "B"))
    told = "Skipped: caf?.jsonl, line 1: expected the key 'text', got the keys 't?xt'"
    assert told in raw.getvalue().decode()


def test_an_interrupted_run_goes_on(bio_ner):
    Path("a.jsonl").write_text('{"text": "Rio"}\n' * 4 + "bad\n" + '{"text": "Rio"}\n')
    options = ["--docs-per-file", "2", "--one-file"]
    code, output = bio_ner("annotate", "model", "a.jsonl", "out.jsonl", *options)
    assert code == 1 and "a.jsonl, line 5: expected a JSON object" in output
    assert "; --skip-bad leaves such records out" in output
    code, output = bio_ner("annotate", "model", "a.jsonl", "out.jsonl", *options, "--skip-bad")
    assert code == 0
    assert "Going on after 4 documents of an earlier run" in output
    assert "out.jsonl: 5 documents, 5 words, 5 entities" in output


def test_shards_and_then_one_file(bio_ner):
    Path("a.txt").write_text("Rio\n" * 10)
    options = ["annotate", "model", "a.txt", "out.jsonl", "--docs-per-file", "2", "--one-file"]
    for shard, documents in ("2/2", 4), ("1/2", 6):
        code, output = bio_ner(*options, "--shard", shard)
        assert code == 0 and f"out.jsonl (shard {shard}): {documents} documents" in output
        assert not Path("out.jsonl").exists()
    code, output = bio_ner(*options)
    assert code == 0 and "out.jsonl: 10 documents, 10 words, 10 entities" in output
    assert len(Path("out.jsonl").read_text().splitlines()) == 10


def test_a_folder_of_parts(bio_ner):
    for _ in range(2):
        code, output = bio_ner("annotate", "model", "a.txt", "out")
        assert code == 0 and "out: 2 documents, 6 words, 3 entities" in output
    assert [path.name for path in Path("out").glob("part-*")] == ["part-0000000-2-6-3-0.jsonl"]
    code, output = bio_ner("annotate", "model", "a.txt", "o.parquet", "--parts")
    assert code == 0 and len(list(Path("o.parquet").glob("*.parquet"))) == 1


def test_ctrl_c(bio_ner, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_bio_crf.bulk.annotate", interrupted)
    code, output = bio_ner("annotate", "model", "a.txt", "out.jsonl")
    assert code == 130 and "Interrupted: the same command goes on from here" in output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["model", "no.txt", "out.jsonl"], "no.txt: there is no such file or folder"),
        (["none", "a.txt", "out.jsonl"], "none: expected a pipeline"),
        (["model", "a.txt", "b.txt"], "b.txt: expected .jsonl, .parquet, .spacy or no suffix"),
        (["model", "a.txt", "a", "--shard", "3/2"], "--shard: expected I/N with I from 1 to N, "),
        (["model", "a.txt", "a", "--shard", "x"], "--shard: expected I/N, such as 1/16, got 'x'"),
        (["model", "a.txt", "model"], "model: expected a new folder, or the parts of an earlier"),
        (["model", "model/meta.json", "x.jsonl"], "name the format with --format"),
        (
            ["model", "a.txt", "out.jsonl", "--code", "x.py"],
            "x.py: expected code that can be imported",
        ),
        (["model", "a.txt", "a", "--engine", "x"], "--engine: expected one of 'local', 'ray', got"),
        (["model", "a.txt", "a", "--address", "auto"], "--address: expected --engine ray beside"),
        (["model", "a.txt", "a", "--num-gpus", "1"], "--num-gpus: expected --engine ray beside"),
        (["model", "a.txt", "a", "--cores", "2"], "--cores: expected --engine ray beside it, got"),
    ],
)
def test_errors(bio_ner, args, message):
    code, output = bio_ner("annotate", *args)
    assert code == 1 and message in output


@pytest.mark.parametrize("gpu", [None, "0.5"])
def test_the_engine_ray(bio_ner, monkeypatch, gpu):
    on_ray = pytest.importorskip("spacy_bio_crf.bulk.on_ray")
    seen = {}

    def noted(nlp, path, output, **options):
        seen.update(options)
        return annotate(nlp, path, output)

    gpus = []
    monkeypatch.setattr("spacy_bio_crf.bulk.annotate", noted)
    monkeypatch.setattr(spacy, "require_gpu", gpus.append)
    options = ["--engine", "ray", "--address", "auto", "--cores", "3", "-n", "5"]
    options += ["--num-gpus", gpu] if gpu else []
    code, output = bio_ner("annotate", "model", "a.txt", "out.jsonl", *options)
    assert code == 0, output
    assert seen["engine"] == on_ray.RayCluster("auto", workers=5, cores=3, num_gpus=float(gpu or 0))
    assert seen["n_process"] == 1 and gpus == []
    assert seen["load"]().pipe_names == ["entity_ruler"]
    assert gpus == ([0] if gpu else [])


def test_options_of_the_engine_ray(bio_ner):
    pytest.importorskip("ray")
    options = ["annotate", "model", "a.txt", "out.jsonl", "--engine", "ray"]
    code, output = bio_ner(*options, "--gpu-id", "0")
    assert code == 1 and "--gpu-id: expected --num-gpus with Ray, got 0" in output


def test_ray_that_is_not_installed(bio_ner, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "spacy_bio_crf.bulk.on_ray", raising=False)
    code, output = bio_ner("annotate", "model", "a.txt", "out.jsonl", "--engine", "ray")
    assert code == 1 and "--engine: expected Ray, got " in output
    assert 'pip install "spacy_bio_crf[ray]"' in output


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_says_words_per_second(bio_ner, monkeypatch):
    nlp = spacy.load("model")
    monkeypatch.setattr(command, "DELAY", 0.0)
    monkeypatch.setattr(command, "REFRESH", 0.0)
    # Ray has a bar of its own.
    for stream, with_bar in (Terminal(), True), (io.StringIO(), True), (Terminal(), False):
        monkeypatch.setattr(sys, "stderr", stream)
        with command.bulk_reporter(with_bar=with_bar) as report:
            options = {"docs_per_file": 1, "one_file": True, "force": True, "report": report}
            annotate(nlp, Path("a.txt"), Path("o.jsonl"), **options)
        said = stream.getvalue()
        shown = with_bar and stream.isatty()
        assert ("documents" in said and "words/s" in said and "83%" in said) == shown


def test_the_documentation_names_every_option():
    text = (ROOT / "docs" / "annotate.md").read_text(encoding="utf-8")
    for parameter in inspect.signature(annotate_cli).parameters.values():
        names = getattr(parameter.default, "param_decls", None) or ()
        for name in (name for names_ in names for name in names_.split("/")):
            if name.startswith("--"):
                assert f"`{name}" in text, name
