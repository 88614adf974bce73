"""Benchmarks on a tiny encoder: they run, and measure what they say."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import spacy
from thinc.types import Ragged

from benchmarks import (
    adapters,
    distillation,
    encoder_search,
    head_share,
    new_labels,
    one_encoder,
    processes,
    scale,
    speed,
    tagging,
    train_loops,
    trimming,
)
from benchmarks.contestants import bio_ner, inference
from benchmarks.stages import stages
from tests.support.pipelines import make_example

STAGES = ["spaCy tokenizer", "sub-words", "encoder", "head, with confidence", "writing entities"]


def test_every_run_has_all_stages(tiny_encoder: Path, capsys: pytest.CaptureFixture) -> None:
    nlp = bio_ner(str(tiny_encoder), "CRF")
    docs = [head_share.make_doc(nlp, 20, seed) for seed in range(3)]
    runs = stages(str(tiny_encoder), docs, docs, 2)
    assert [list(run) for run in runs] == [STAGES, STAGES]
    assert all(seconds > 0 for run in runs for seconds in run.values())
    # One slow run does not move the median.
    shares = [dict(zip(STAGES, (1, 2, times, 3, 1), strict=True)) for times in (93, 93, 2)]
    speed.show_shares(shares)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "encoder 93.0 % 22.2 to 93.0 %" in rows and "sub-words 2.0 % 2.0 to 22.2 %" in rows


def test_contestants_run(tiny_encoder: Path) -> None:
    nlp = bio_ner(str(tiny_encoder), "CRF")
    docs = [head_share.make_doc(nlp, 20, seed) for seed in range(3)]
    makers = inference(str(tiny_encoder), docs, docs)
    chosen = [makers[name]() for name in ("bio_ner, CRF, int8", "bare encoder, fp32")]
    figures = speed.race(chosen, 60, 2)
    assert [len(speeds) for speeds in figures.values()] == [2, 2]
    for task in head_share.tasks(str(tiny_encoder), "Softmax", 64).values():
        task()


def test_scale_measures_time_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "MOST_REPEATS", 1)
    nlp = scale.pipeline(scale.tiny_encoder(tmp_path))
    for work in (scale.annotate, scale.update):
        length, words_per_second, _ = scale.measure(nlp, 2000, work)
        assert length == 2000 and 100 < words_per_second < 10**7
    with scale.Watch() as watch:
        held = b"x" * (50 * scale.MEGABYTE)
    assert len(held) > watch.rise - 20 * scale.MEGABYTE > 20 * scale.MEGABYTE
    assert [n for n, _, _ in scale.stream(nlp, 20)] == list(range(2, 21, 2))


def test_two_tasks_on_one_encoder(tiny_encoder: Path, capsys, monkeypatch) -> None:
    docs = one_encoder.corpus("dev")[:12]
    tags = {token.text: token.tag_ for doc in docs for token in doc}
    assert tags["the"] == "the" and tags["."] == "mark"
    assert {"after-the", "after-of", "first"} & {*tags.values()}
    monkeypatch.setattr(one_encoder, "corpus", lambda part: docs)
    own = argparse.Namespace(
        encoder=str(tiny_encoder), steps=4, shared_steps=6, seeds=[0, 1], layers=None
    )
    own.tagger_factor, own.only, own.part = 0.5, None, "dev"
    steps: list[int] = []
    fit = one_encoder.fit
    monkeypatch.setattr(one_encoder, "fit", lambda *a: steps.append(a[2]) or fit(*a))
    one_encoder.show_scores(own)
    assert steps == [6, 4, 4] * 2
    own.only, own.seeds = "shared", [0]
    assert set(one_encoder.show_scores(own)) == {"F1, shared", "acc, shared"}
    one_encoder.show_speed(str(tiny_encoder), 1)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "bio_ner alone" in " ".join(rows) and any(row.startswith("deviation") for row in rows)
    assert any(row.startswith("acc: shared - apart = ") for row in rows)


def test_both_training_loops_run(tiny_encoder: Path) -> None:
    figures = train_loops.race(str(tiny_encoder), steps=2, repeats=1, checkpoint_steps=2)
    assert list(figures) == ["spacy train", "bio-ner train"]
    assert all(len(seconds) == 1 and min(seconds[0]) > 0 for seconds in figures.values())


def test_adapters_and_all_weights(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.conll").write_text("Ana B-PER\nmet O\nBo B-PER\n\nNo O\n\n" * 3)
    monkeypatch.setitem(adapters.CORPORA, "small", ("en", "a.conll", "a.conll"))
    full, lora = (
        adapters.measure_training(str(tiny_encoder), tmp_path, "small", options, 2, 1, 0, -1)
        for options in adapters.SYSTEMS.values()
    )
    assert full["learning"] == full["weights"] < lora["weights"]
    assert 0 < lora["learning"] < full["learning"]
    # Merged weights are as many.
    assert lora["disk"] == pytest.approx(full["disk"], rel=0.01)
    assert 0.0 <= full["f1"] <= 100.0 and lora["seconds"] > 0


def test_components_on_one_base(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(adapters.LORA, "r", 1)
    figures = {}
    for n in (1, 3):
        adapters.save_components(str(tiny_encoder), tmp_path / str(n), n)
        figures[n] = adapters.measure_components(tmp_path / str(n), 1)
    assert figures[1]["weights"] < figures[3]["weights"] < 1.2 * figures[1]["weights"]
    # Small pipelines may fit into memory that was freed before.
    figures[1]["resident"], figures[3]["resident"] = 0.0, 0.1
    adapters.show_components(figures)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "MB 1 component 3 components ratio" in rows and "resident 0.0 0.1 -" in rows


def test_all_taggers_learn_the_same_corpus(tiny_encoder: Path) -> None:
    train = tagging.load(tagging.POS / "train.pt.tsv", "pt", 2)
    assert len(train) == 93 and train[0][0].tag_ == "NOUN"
    for name in tagging.SYSTEMS:
        figures = tagging.run(name, str(tiny_encoder), train[:6], train[:6], 2, seed=0)
        assert 0.0 <= figures["accuracy"] <= 1.0 and figures["seconds"] > 0.0


def test_the_vector_of_a_token_is_that_of_its_first_subword() -> None:
    rows = np.arange(8, dtype="float32").reshape(4, 2)
    ragged = Ragged(rows, np.array([2, 0, 1, 1], dtype="int32"))
    ((picked,), backprop) = tagging.Model("first", tagging._forward)([ragged], True)
    assert picked.tolist() == [[0, 1], [0, 0], [4, 5], [6, 7]]
    (d,) = backprop([np.ones((4, 2), dtype="float32")])
    assert d.dataXd.tolist() == [[1, 1], [0, 0], [1, 1], [1, 1]]


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small = (encoder_search.ASSETS / "dev.conll", "xx")
    monkeypatch.setitem(encoder_search.CORPORA, "demo", small)
    encoder_search.corpus.cache_clear()
    yield
    encoder_search.corpus.cache_clear()


def test_search_trains_each_combination_once(
    tiny_encoder: Path, small_demo, tmp_path, monkeypatch
) -> None:
    output = tmp_path / "found.jsonl"
    command = ["search", str(tiny_encoder), "--output", str(output), "--curve", "1", "--grid"]
    command += ["steps=2", "words=60", "head=crf,softmax", "mix=1,2"]
    for part, rows in (("1/2", 2), ("2/2", 4), ("1/1", 4)):
        monkeypatch.setattr("sys.argv", [*command, "--part", part])
        encoder_search.main()
        found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert len(found) == rows
    asked = {(r["settings"]["head"], r["settings"]["mix"]) for r in found}
    assert asked == {("crf", 1), ("crf", 2), ("softmax", 1), ("softmax", 2)}
    assert all(list(r["f"]) == ["held_out", "dev"] and len(r["curve"]) == 2 for r in found)


def test_search_holds_out_the_last_documents(small_demo) -> None:
    docs, held_out = encoder_search.corpus("demo", 0)
    together = [doc.text for doc in (*docs, *held_out["held_out"])]
    assert together == [doc.text for doc in held_out["dev"]]
    assert len(held_out["held_out"]) == round(0.1 * len(together))


def test_search_gives_lower_layers_lower_rates(tiny_encoder: Path) -> None:
    job = encoder_search.combinations(["layer_decay=0.5", "mix=2", "norm=1"])[0]
    nlp = encoder_search.make(str(tiny_encoder), job, "xx")
    docs = encoder_search.read(encoder_search.ASSETS / "dev.conll", lang="xx")[0][:5]
    nlp.initialize(lambda: [encoder_search.example(nlp, doc) for doc in docs])
    encoder_search.adjust(nlp, job)
    encoder = nlp.get_pipe("bio_ner").model.get_ref("encoder")
    shim = encoder.shims[0]
    rates = [shim.lr_scale(f"{n}.weight") for n in ("encoder.layer.1", "encoder.layer.0")]
    assert [*rates, shim.lr_scale("embeddings.x")] == [1.0, 0.5, 0.25]
    vectors = encoder.predict([docs[0]])[0].dataXd
    assert np.allclose(vectors.mean(axis=1), 0.0, atol=1e-5)
    assert np.allclose(vectors.std(axis=1), 1.0, atol=1e-2)


def test_trimmed_vocabularies(tiny_encoder: Path, monkeypatch) -> None:
    monkeypatch.setitem(trimming.CORPORA, "assets", ("en", "dev.conll", "dev.conll"))
    few = {"keep_characters": "none", "min_count": 50}
    monkeypatch.setattr(trimming, "SETTINGS", {"few": few, "more": {"more": True, "then": 1}})
    monkeypatch.setattr(trimming, "MORE", {"assets": ["dev.conll"]})
    whole, less, more = trimming.measure(str(tiny_encoder), Path(), "assets", 1, 0)
    assert [row["setting"] for row in (whole, less, more)] == ["whole", "few", "more"]
    assert 0 <= less["memory"] <= whole["memory"] and 0 < less["rows"] < more["rows"]
    assert more["rows"] <= whole["rows"] and more["unknown"] == whole["unknown"]
    assert less["unknown"] > whole["unknown"]


def test_new_labels_are_trained_in_all_ways(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    ents = [(0, 1, "person"), (2, 3, "product")]
    nlp = spacy.blank("en")
    docs = [make_example(nlp, ["Ana", "sells", "Zap", str(i)], ents).reference for i in range(8)]
    monkeypatch.setattr(new_labels, "corpus", lambda part, limit: docs)
    output = tmp_path / "found.jsonl"
    command = ["x", "--encoder", str(tiny_encoder), "--output", str(output)]
    command += ["--steps", "30", "--rate", "2e-3", "--seeds", "0", "--weights", "2"]
    monkeypatch.setattr("sys.argv", command)
    new_labels.main()
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    scores = {result["method"]: (result["old"], result["new"]) for result in found}
    assert list(scores) == ["all six", "old alone", "naive", "annotated", "rehearsed, 2"]
    assert scores["all six"] == scores["rehearsed, 2"] == (100.0, 100.0)
    assert scores["old alone"] == (100.0, 0.0) and scores["naive"] == (0.0, 100.0)
    monkeypatch.setattr("sys.argv", ["x", "--show", str(output)])
    new_labels.main()
    table = " ".join(capsys.readouterr().out.split())
    assert "naive 1 0.0 ± 0.0 -100.0 100.0 ± 0.0 +0.0" in table


def test_students_learn_from_the_ensemble(tiny_encoder: Path, tmp_path: Path, monkeypatch) -> None:
    own = {name: str(encoder_search.ASSETS / "dev.conll") for name in distillation.SETS}
    monkeypatch.setitem(distillation.CORPORA, "demo", {"lang": "pt", **own})
    monkeypatch.setenv("BIO_NER_CORPORA", "")
    monkeypatch.setattr(distillation, "LAYERS", 2)
    jobs = list(distillation.list_jobs("demo", [0, 1], 4, [1]))
    keys = [job.key for job in jobs]
    assert len(set(keys)) == len(keys) == 18
    assert all(set(job.needs) <= set(keys[:i]) for i, job in enumerate(jobs))
    args = SimpleNamespace(folder=tmp_path, limit=10, encoder=str(tiny_encoder), gpu=-1)
    for job in jobs[:8]:
        job = replace(job, layers=min(job.layers, 2))
        result = distillation.run_job(job, args)
        assert distillation.result_of(tmp_path, job) == result
    assert [job.name for job in jobs[:8]][-2:] == ["small 1", "small 1"]
    taught = distillation.run_job(jobs[8], args)
    assert (taught["name"], taught["steps"], taught["layers"]) == ("texts 1", 8, 1)
    config = spacy.load(tmp_path / jobs[8].key / "model-last").config
    assert config["distillation"]["teacher"].endswith("demo-ensemble-0/model-last")


def test_times_of_students_beside_an_ensemble(tiny_encoder: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(distillation, "LAYERS", 2)
    given = {"encoder": str(tiny_encoder), "layers": [1], "words": 500, "repeats": 1, "threads": 1}
    distillation.compare_times(SimpleNamespace(**given))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ensemble", "of", "3"] in [row[:3] for row in rows]
    assert [row[3] for row in rows if row[:2] == ["2", "layers"]][0] < "1"


@pytest.mark.long
def test_processes_measure_speed_and_difference(
    tiny_encoder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(
        "sys.argv",
        [
            *("processes", "--encoder", str(tiny_encoder), "--steps", "4", "--words", "60"),
            *("--runs", "alone,1", "torchrun-2,1", "--output", str(tmp_path / "figures.json")),
        ],
    )
    processes.main()
    rows = json.loads((tmp_path / "figures.json").read_text())
    assert [row["run"] for row in rows] == ["alone,1", "torchrun-2,1"]
    assert all(row["words per second"] > 10 for row in rows)
    assert 0.0 == rows[0]["difference"] < rows[1]["difference"] < 1e-6
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=1e-5)
    assert "torchrun-2,1" in capsys.readouterr().out
