"""The benchmark of two encoders: who learns from what, and what is not made twice."""

import json
from pathlib import Path

import pytest
import spacy

from benchmarks import recipes, two_encoders

TEXT = "Ana B-PER\nRuiz I-PER\nmet O\nBo B-PER\n\nThey O\nflew O\nto O\nLisbon B-LOC\n\n"


@pytest.fixture
def run(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    """Run an action with tiny encoders and few steps."""
    (tmp_path / "a.conll").write_text(TEXT * 8)
    (tmp_path / "assets").mkdir()
    for name in ("encoder", "e5"):
        (tmp_path / "assets" / name).symlink_to(tiny_encoder)
    monkeypatch.setenv("BIO_NER_CORPORA", str(tmp_path))
    monkeypatch.setattr(two_encoders, "ROOT", tmp_path)
    parts = dict.fromkeys(("train", "dev", "test", "texts"), "a.conll")
    monkeypatch.setitem(recipes.CORPORA, "tiny", {"lang": "en", **parts})
    monkeypatch.setattr(two_encoders, "CORPUS", "tiny")
    for name, plan in two_encoders.PLANS.items():
        if isinstance(plan, two_encoders.Plan):
            steps = 3 if plan.more_texts else 2
            settings = f"words=20 precision=fp32 steps={steps}"
            small = two_encoders.Plan(plan.encoder, settings, plan.more_texts)
            monkeypatch.setitem(two_encoders.PLANS, name, small)

    def act(action: str, *options: str) -> None:
        command = ["two_encoders", action, "--folder", str(tmp_path / "out"), *options]
        monkeypatch.setattr("sys.argv", command)
        two_encoders.main()

    return act


def test_students_learn_from_what_the_ensemble_is_sure_of(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    trained: list[tuple[str, int, int]] = []
    kept = two_encoders.train
    teachers: list[int] = []

    def train(encoder, lang, gold, job):
        trained.append((Path(encoder).name, len(gold), job["steps"]))
        return kept(encoder, lang, gold, job)

    def annotate_surely(nlp, texts):
        teachers.append(len(nlp.get_pipe("bio_ner").model.get_ref("encoder").layers))
        return texts[:5]

    monkeypatch.setattr(two_encoders, "train", train)
    monkeypatch.setattr(two_encoders, "annotate_surely", annotate_surely)
    run("train", "--seeds", "7")
    assert trained == [
        ("encoder", 16, 2), ("e5", 16, 2), ("encoder", 21, 3), ("encoder", 21, 3), ("e5", 21, 3),
    ]  # fmt: skip
    assert len(teachers) == 1
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [(line["name"], line["seed"]) for line in lines] == [(n, 7) for n in two_encoders.PLANS]
    assert all(len(line["dev"]) == len(line["test"]) == 3 for line in lines)
    for name in ("both", "both-self"):
        ensemble = spacy.load(tmp_path / "out" / f"{name}-7")
        architecture = ensemble.config["components"]["bio_ner"]["model"]["@architectures"]
        assert architecture == "spacy-bio-crf.Ensemble.v1"
    run("train", "--seeds", "7")
    assert len(trained) == 5 and len(teachers) == 1
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["both-self", "1"] in [row[:2] for row in printed]
    run("time", "--seeds", "7", "--repeats", "1")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["both", "1.00"] in [[row[0], row[-1]] for row in rows if row]
    assert {row[0] for row in rows if row} >= set(two_encoders.PLANS)


def test_spread() -> None:
    assert two_encoders.spread([40.0, 50.0]) == "45.0 ± 7.1"
    assert two_encoders.spread([40.04]) == "40.0"
