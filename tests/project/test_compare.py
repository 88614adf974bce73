"""scripts/compare.py on a tiny encoder: what it trains, computes, keeps and prints."""

import argparse
import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from thinc.api import Config

from spacy_bio_crf.metrics import analyze, predict, read_corpus
from tests.support.paths import ROOT
from tests.support.pipelines import make_examples


@pytest.fixture(scope="module")
def compare():
    """The script as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module("compare")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_nlp, tiny_encoder) -> Path:
    """Configurations of a few steps, and a corpus."""
    folder = tmp_path_factory.mktemp("compare")
    docs = [eg.reference for eg in make_examples(make_nlp())]
    (folder / "corpus").mkdir()
    for name in ("train", "dev", "test"):
        DocBin(docs=docs).to_disk(folder / "corpus" / f"{name}.spacy")
    (folder / "configs").mkdir()
    for name in ("softmax", "crf"):
        config = Config().from_disk(ROOT / "configs" / f"{name}.cfg", interpolate=False)
        # Too little is learned for the argmax to keep to the rules of the scheme.
        config["training"] |= {"max_steps": 2, "eval_frequency": 1}
        config["training"]["optimizer"]["learn_rate"] = 1e-6
        config["components"]["bio_ner"]["model"]["encoder"]["layers"] = None
        config.to_disk(folder / "configs" / f"{name}.cfg")
    shutil.copytree(tiny_encoder, folder / "encoder")
    return folder


def call(compare, folder, monkeypatch, capfd, *options, code: int = 0) -> str:
    monkeypatch.chdir(folder)
    arguments = ["compare.py", "corpus", "out", "--encoder", "encoder", "--lang", "en", *options]
    monkeypatch.setattr(sys, "argv", arguments)
    assert compare.main() == code
    captured = capfd.readouterr()
    return captured.out + captured.err


@pytest.mark.slow
def test_comparison_is_computed_once_and_goes_on_where_it_was(compare, folder, monkeypatch, capfd):
    out = folder / "out"
    changed = ("--set", "components.bio_ner.scheme=BILUO", "--seeds", "5")
    call(compare, folder, monkeypatch, capfd, *changed, "--systems", "softmax")
    made = (out / "softmax-5" / "model-best" / "meta.json").stat().st_mtime_ns
    printed = call(compare, folder, monkeypatch, capfd, *changed)
    # Softmax was there; constrained softmax needs no training of its own.
    assert "softmax-5 is trained" in printed and "out/softmax-5.json is evaluated" in printed
    assert (out / "softmax-5" / "model-best" / "meta.json").stat().st_mtime_ns == made
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["crf-5", "softmax-5"]
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert [(r["system"], r["seed"]) for r in results] == [(name, 5) for name in compare.SYSTEMS]
    for result in results:
        head, constrained = compare.SYSTEMS[result["system"]]
        nlp = spacy.load(out / f"{head}-5" / "model-best")
        assert nlp.config["system"]["seed"] == 5
        assert nlp.get_pipe("bio_ner").tagset.scheme == "BILUO"
        emitter = nlp.get_pipe("bio_ner").model.get_ref("emitter").shims[0]
        assert emitter.head.crf == (head == "crf") and not emitter.head.constrained_loss
        emitter.head = replace(emitter.head, constrained=constrained)
        wanted = analyze(predict(nlp, read_corpus(nlp, folder / "corpus" / "test.spacy")))
        assert {key: result[key] for key in wanted} == json.loads(json.dumps(wanted))
        assert result["seconds"] > 0
    # The constraint has changed something, or nothing of this would have been tested.
    assert results[0]["entity"] != results[1]["entity"]
    assert (out / "crf-5" / "curve.jsonl").exists()
    assert (out / "table.md").read_text("utf-8") in printed
    # A third time there is nothing to do.
    assert "LOSS" not in call(compare, folder, monkeypatch, capfd, *changed)


def test_other_settings_are_other_results(compare, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    given = {
        "configs": Path("configs"),
        "corpus": Path("corpus"),
        "encoder": "encoder",
        "lang": "en",
        "set": [],
    }

    def settings(head: str = "crf", seed: int = 0, **changed) -> dict:
        return compare.settings_of(argparse.Namespace(**{**given, **changed}), head, seed)

    path = tmp_path / "result.json"
    assert compare.read_if_same(path, settings()) is None
    path.write_text(json.dumps({"settings": settings(), "f": 1}))
    assert compare.read_if_same(path, settings()) == {"settings": settings(), "f": 1}
    for changed in (
        {"head": "softmax"},
        {"seed": 1},
        {"lang": "pt"},
        {"encoder": "bert-base-cased"},
        {"set": ["training.max_steps=1"]},
    ):
        assert compare.read_if_same(path, settings(**changed)) is None
    for file in ("corpus/dev.spacy", "encoder/model.safetensors"):
        before = Path(file).read_bytes()
        Path(file).write_bytes(before + b"\n")
        assert compare.read_if_same(path, settings()) is None
        Path(file).write_bytes(before)
    assert compare.read_if_same(path, settings()) is not None


@pytest.mark.parametrize("shipped", [True, False, None])
def test_the_constraint_leaves_the_loss_where_it_is_in_it(compare, folder, tmp_path, shipped):
    """A configuration that does not name the option can not have it changed from outside."""
    config = Config().from_disk(folder / "configs" / "softmax.cfg", interpolate=False)
    head = config["components"]["bio_ner"]["model"]["head"]
    assert head.pop("constrained_loss")
    if shipped is not None:
        head["constrained_loss"] = shipped
    config.to_disk(tmp_path / "softmax.cfg")
    changes = compare.plain(tmp_path / "softmax.cfg")
    # As the command line reads them.
    values = {option: json.loads(value) for option, value in changes.items()}
    loaded = spacy.util.load_config(tmp_path / "softmax.cfg", overrides=values)
    assert not loaded["components"]["bio_ner"]["model"]["head"].get("constrained_loss")
    assert bool(changes) == bool(shipped)


def result(system: str, seed: int, f1: float) -> dict:
    part = {"p": f1, "r": f1, "f": f1}
    return {
        "system": system,
        "seed": seed,
        "seconds": 10.0 * seed,
        "entity": {"all": part},
        "token": {"all": part},
        "partial": {"partial": part},
    }


def test_table_by_hand(compare):
    results = [result("softmax", 1, 0.5), result("softmax", 2, 0.6), result("crf", 1, 0.7)]
    lines = compare.table(results).splitlines()
    assert lines[1].count("---") == len(lines[0].split(" | "))
    assert lines[2].startswith("| softmax | 55.00 ± 7.07 | 55.00 ± 7.07 |")
    assert lines[2].endswith("| 15 ± 7 |")
    assert lines[3].startswith("| CRF | 70.00 | 70.00 |")
    assert len(lines) == 4


def test_bad_arguments(compare, folder, monkeypatch, capfd):
    printed = call(compare, folder, monkeypatch, capfd, "--set", "max_steps", code=1)
    assert "--set: expected KEY=VALUE" in printed and "'max_steps'" in printed
    printed = call(compare, folder, monkeypatch, capfd, "--configs", "nowhere", code=1)
    assert "nowhere/softmax.cfg" in printed and "got no such file" in " ".join(printed.split())
