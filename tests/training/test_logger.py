"""The logger of the learning curve beside spaCy's own, and what it writes."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loggers import console_logger
from spacy.training.loop import train as train_loop
from spacy.util import load_config

from spacy_bio_crf.training.logger import build_curve_logger, read_log
from tests.support.paths import ROOT
from tests.support.pipelines import MakeNlp, make_examples


def train(folder: Path, tiny_encoder: Path, make_nlp: MakeNlp, **paths: str) -> str:
    """Train with the project's configuration; what was printed."""
    corpus = folder / "train.spacy"
    DocBin(docs=[eg.reference for eg in make_examples(make_nlp())]).to_disk(corpus)
    config = load_config(
        ROOT / "configs" / "crf.cfg",
        overrides={
            "paths.train": str(corpus),
            "paths.dev": str(corpus),
            "paths.encoder": str(tiny_encoder),
            "training.max_epochs": 0,
            "training.max_steps": 5,
            "training.eval_frequency": 2,
            "training.batcher.size": 20,
            **{f"paths.{key}": value for key, value in paths.items()},
        },
        interpolate=True,
    )
    printed = io.StringIO()
    train_loop(init_nlp(config), None, stdout=printed)
    return printed.getvalue()


@pytest.fixture(scope="module")
def log(tmp_path_factory, tiny_encoder, make_nlp) -> Path:
    folder = tmp_path_factory.mktemp("log")
    train(folder, tiny_encoder, make_nlp, log=str(folder / "new" / "curve.jsonl"))
    return folder / "new" / "curve.jsonl"


def test_log_has_what_the_training_said(log):
    rows = read_log(log)
    assert [row["step"] for row in rows] == [0, 2, 4]
    steps = [1, 2, 2]
    for row, n in zip(rows, steps, strict=True):
        assert row["loss_per_step"]["bio_ner"] == pytest.approx(row["losses"]["bio_ner"] / n)
        assert row["losses"]["bio_ner"] > 0
        assert 0 <= row["scores"]["ents_f"] <= 1
        assert row["score"] == pytest.approx(row["scores"]["ents_f"] or 0.0)
        assert "ents_per_type" not in row["scores"]
    assert rows[0]["words"] < rows[1]["words"] < rows[2]["words"]


def test_a_table_lies_beside_the_log(log):
    table = list(csv.DictReader(io.StringIO(log.with_suffix(".csv").read_text("utf-8"))))
    assert [row["step"] for row in table] == ["0", "2", "4"]
    wanted = [row["loss_per_step"]["bio_ner"] for row in read_log(log)]
    assert [float(row["loss_bio_ner"]) for row in table] == wanted
    assert "ents_f" in table[0]


def test_the_other_logger_is_left_as_it_is(tmp_path, tiny_encoder, make_nlp):
    kept = train(tmp_path, tiny_encoder, make_nlp, log=str(tmp_path / "curve.jsonl"))
    assert (tmp_path / "curve.jsonl").exists()
    for path in tmp_path.glob("curve.*"):
        path.unlink()
    plain = train(tmp_path, tiny_encoder, make_nlp)
    assert kept == plain
    header = next(line for line in plain.splitlines() if "LOSS BIO_NER" in line)
    assert header.split()[:2] == ["E", "#"]
    assert not list(tmp_path.glob("curve*"))


def test_logger_inside_is_called_for_every_step_and_for_the_end():
    calls = []

    def inner(nlp, stdout, stderr):
        calls.append((nlp, stdout, stderr))
        return calls.append, lambda: calls.append("end")

    step, end = build_curve_logger(None, inner)("nlp", sys.stdout, sys.stderr)
    step(None)
    end()
    assert calls == [("nlp", sys.stdout, sys.stderr), None, "end"]


def info(step: int, **scores) -> dict:
    return {
        "epoch": 0,
        "step": step,
        "words": 10,
        "seconds": 1,
        "score": 0.5,
        "losses": {"bio_ner": 6.0},
        "other_scores": scores,
    }


def test_a_log_is_made_anew_and_kept_when_training_breaks_off(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_text("what was there before\n")
    set_up = build_curve_logger(str(path), lambda *_: (lambda _: None, lambda: None))
    step, end = set_up(spacy.blank("en"), sys.stdout, sys.stderr)
    step(info(0, ents_f=None, speed=100.0, ents_per_type={"A": 1}))
    step(None)
    assert [row["step"] for row in read_log(path)] == [0]
    step(info(3, ents_f=0.25, speed=float("nan")))
    end()
    first, second = read_log(path)
    assert first["scores"] == {"ents_f": None, "speed": 100.0}
    assert second["loss_per_step"] == {"bio_ner": 2.0}
    assert second["scores"] == {"ents_f": 0.25, "speed": None}
    assert path.with_suffix(".csv").exists()
    with pytest.raises(ValueError, match=r"Option 'path' of the logger is 'curve.txt'; .*\.jsonl"):
        build_curve_logger("curve.txt")


def test_log_of_spacys_own_logger(tmp_path):
    path = tmp_path / "console.jsonl"
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    nlp.config["training"]["score_weights"] = {"ents_f": 1.0, "speed": 0.0}
    step, end = console_logger(output_file=path)(nlp, io.StringIO(), io.StringIO())
    for at in (0, 4):
        step({**info(at, ents_f=0.25, speed=900.0), "losses": {"ner": 8.0}})
    end()
    rows = read_log(path)
    assert [row["loss_per_step"] for row in rows] == [{"ner": 8.0}, {"ner": 2.0}]
    assert rows[0]["scores"].items() >= {"ents_f": 0.25, "speed": 900.0}.items()


@pytest.mark.parametrize("line", ["[]", "{", '{"step": 1}', '{"step": 0, "losses": {"a": 1}}', ""])
def test_bad_logs_are_named(tmp_path, line):
    path = tmp_path / "curve.jsonl"
    path.write_text(json.dumps({"step": 0, "loss_per_step": {}, "scores": {}}) + f"\n{line}\n")
    with pytest.raises(ValueError, match=r"curve.jsonl:2: expected a line of a training log"):
        read_log(path)
    path.write_text("")
    with pytest.raises(
        ValueError, match="curve.jsonl: expected a line for each evaluation, got an"
    ):
        read_log(path)
