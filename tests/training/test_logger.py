"""Logs of spaCy's own logger and of version 0.1, and the logger of old configurations."""

import io
import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
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
            "components.bio_ner.model.encoder.layers": None,
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


def test_the_log_of_a_training(tmp_path: Path, tiny_encoder: Path, make_nlp: MakeNlp):
    log = tmp_path / "new" / "curve.jsonl"
    kept = train(tmp_path, tiny_encoder, make_nlp, log=str(log))
    rows = read_log(log)
    assert [row["step"] for row in rows] == [0, 2, 4]
    for row, n in zip(rows, [1, 2, 2], strict=True):
        assert row["loss_per_step"]["bio_ner"] == pytest.approx(row["losses"]["bio_ner"] / n)
        assert row["losses"]["bio_ner"] > 0
        assert set(row["scores"]) == {"ents_f", "ents_p", "ents_r"}
        assert 0 <= row["scores"]["ents_f"] <= 1
        assert row["score"] == pytest.approx(row["scores"]["ents_f"])
    # Without a path nothing is written, and the same is printed.
    log.unlink()
    plain = train(tmp_path, tiny_encoder, make_nlp)
    assert table(kept) == table(plain) and len(table(plain)) >= 5
    assert not log.exists()


def table(printed: str) -> list[str]:
    """What is printed without the lines that name the file."""
    return printed[printed.index("E    #") :].splitlines()


def info(step: int, **scores: float) -> dict:
    return {
        "epoch": 0,
        "step": step,
        "words": 10,
        "seconds": 1,
        "score": 0.5,
        "losses": {"ner": 6.0},
        "other_scores": scores,
    }


def pipeline() -> spacy.Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    nlp.config["training"]["score_weights"] = {"ents_f": 1.0, "speed": 0.0}
    return nlp


def test_the_logger_of_old_configurations_writes_what_spacys_own_writes(tmp_path: Path):
    path = tmp_path / "new" / "curve.jsonl"
    path.parent.mkdir()
    path.write_text("what was there before\n")
    config = {
        "logger": {
            "@loggers": "spacy-bio-crf.CurveLogger.v1",
            "path": str(path),
            "logger": {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False},
        },
        "spacys": {
            "@loggers": "spacy.ConsoleLogger.v3",
            "output_file": str(tmp_path / "console.jsonl"),
        },
    }
    with pytest.warns(FutureWarning, match="CurveLogger.v1 will be removed: use spacy.ConsoleLog"):
        loggers = spacy.registry.resolve(config)
    printed = []
    for logger in loggers.values():
        out = io.StringIO()
        step, end = logger(pipeline(), out, io.StringIO())
        step(info(0, ents_f=0.25, speed=900.0))
        step(None)
        step(info(4, ents_f=0.5, speed=800.0))
        end()
        printed.append(table(out.getvalue()))
    assert printed[0] == printed[1] and len(printed[0]) == 4
    assert path.read_text() == (tmp_path / "console.jsonl").read_text()
    rows = read_log(path)
    assert [row["loss_per_step"] for row in rows] == [{"ner": 6.0}, {"ner": 1.5}]
    scores = [(row["scores"]["ents_f"], row["scores"]["speed"]) for row in rows]
    assert scores == [(0.25, 900.0), (0.5, 800.0)]


def test_the_old_logger_without_a_path_is_the_logger_inside():
    calls = []

    def inner(nlp, stdout, stderr):
        calls.append((nlp, stdout, stderr))
        return calls.append, lambda: calls.append("end")

    with pytest.warns(FutureWarning):
        step, end = build_curve_logger(None, inner)("nlp", sys.stdout, sys.stderr)
    step(None)
    end()
    assert calls == [("nlp", sys.stdout, sys.stderr), None, "end"]


def test_logs_of_version_0_1(tmp_path: Path):
    path = tmp_path / "curve.jsonl"
    row = {"epoch": 0, "step": 3, "score": 0.5, "losses": {"a": 6.0}, "loss_per_step": {"a": None}}
    path.write_text(json.dumps({**row, "scores": {"ents_f": 0.25, "speed": None}}) + "\n")
    assert read_log(path) == [{**row, "scores": {"ents_f": 0.25, "speed": None}}]


@pytest.mark.parametrize("line", ["[]", "{", '{"step": 1}', '{"step": 0, "losses": {"a": 1}}', ""])
def test_bad_logs_are_named(tmp_path: Path, line: str):
    path = tmp_path / "curve.jsonl"
    path.write_text(json.dumps({"step": 0, "loss_per_step": {}, "scores": {}}) + f"\n{line}\n")
    with pytest.raises(ValueError, match=r"curve.jsonl:2: expected a line of a training log"):
        read_log(path)
    path.write_text("")
    with pytest.raises(
        ValueError, match="curve.jsonl: expected a line for each evaluation, got an empty file"
    ):
        read_log(path)
