"""The benchmark of active learning: its jobs, its curves, its chart."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import active_learning
from benchmarks.active_learning import Settings, fit, run, take
from benchmarks.chart import draw_curves
from benchmarks.learning_curves import curves_of, full_scores, read_rounds, show, tokens_for
from spacy_bio_crf.corpora import read

CORPUS = "Ana B-PER\nRuiz I-PER\nmet O\nBo B-PER\n\nThey O\nflew O\nto O\nLisbon B-LOC\n\n"


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.conll").write_text(CORPUS * 20)
    monkeypatch.setenv("BIO_NER_CORPORA", str(tmp_path))
    monkeypatch.setitem(active_learning.CORPORA, "tiny", ("en", "a.conll", "a.conll"))
    monkeypatch.setattr(active_learning, "BUDGETS", {16: 2, 32: 2, 64: 2})
    return tmp_path


def test_jobs_write_their_rounds(
    corpora: Path,
    tiny_encoder: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = corpora / "curves.jsonl"
    trainings: list[int] = []
    monkeypatch.setattr(
        active_learning, "fit", lambda *args: trainings.append(args[4]) or fit(*args)
    )
    settings = Settings(
        str(tiny_encoder), output, precision="bf16", layers=1, words=20, full_steps=3
    )
    for names in (["full"], [*active_learning.STRATEGIES]):
        run("tiny", names, 0, settings)
    # The first round is trained once.
    assert trainings == [3, 2, *[2] * 2 * len(active_learning.STRATEGIES)]
    rounds = read_rounds(output)
    assert len(rounds) == 1 + 3 * len(active_learning.STRATEGIES)
    assert [r["tokens"] for r in rounds] == [160, *([16, 32, 64] * len(active_learning.STRATEGIES))]
    # All strategies of a seed begin with the same documents.
    assert len({r["f1"] for r in rounds if r["round"] == 1 and r["strategy"] != "full"}) == 1
    assert all(0 <= r["f1"] <= 100 and r["entities"] > 0 for r in rounds)
    curves = curves_of(rounds)
    assert [len(curve) for curve in curves["tiny"].values()] == [3] * 7
    draw_curves(curves, full_scores(rounds), corpora / "curves.svg")
    assert "entropy, diverse" in (corpora / "curves.svg").read_text()
    show(rounds)
    printed = capsys.readouterr().out
    assert [*printed.split()[:4]] == ["tiny", "16", "32", "64"]
    assert "tiny, all documents: F1" in printed and "tokens for" in printed


def test_a_strategy_has_one_color(tmp_path: Path) -> None:
    points = [(16.0, 20.0), (32.0, 40.0)]
    orders = {"A": ["random", "entropy", "margin"], "B": ["margin", "random", "entropy"]}
    curves = {corpus: dict.fromkeys(names, points) for corpus, names in orders.items()}
    draw_curves(curves, {}, tmp_path / "curves.svg")
    picture = (tmp_path / "curves.svg").read_text()
    colors = re.findall(r"<path [^>]*clip-path[^>]*stroke: (#\w+)", picture)
    # In one order, so that the legend of one corpus serves both.
    assert colors[:3] == colors[3:] and len(set(colors)) == 3 and colors[0] == "#888888"


def test_mistakes_are_counted(corpora: Path, tiny_encoder: Path) -> None:
    output = corpora / "errors.jsonl"
    active_learning.count_errors("tiny", 0, Settings(str(tiny_encoder), output))
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["strategy"] for line in lines] == list(active_learning.STRATEGIES)
    for line in lines:
        assert line["tokens"] == 32 and 8 <= line["entities"] <= 16
        assert line["mistakes per 1,000 tokens"] == pytest.approx(line["mistakes"] / 0.032, abs=0.1)
    # A model that has hardly learned.
    assert sum(line["mistakes"] for line in lines) > 0


def test_documents_are_taken_in_order(corpora: Path) -> None:
    import spacy

    from benchmarks.adapters import examples

    gold = examples(spacy.blank("en"), read([corpora / "a.conll"])[0])[:6]
    chosen, rest = take(gold[:1], gold[1:], [4, 0, 2, 1, 3], 12)
    assert chosen == [gold[0], gold[5], gold[1]] and rest == [gold[2], gold[3], gold[4]]
    assert take(chosen, rest, [0, 1, 2], 5) == (chosen, rest)


def test_tokens_between_rounds() -> None:
    curve = [(1000.0, 10.0), (4000.0, 30.0), (8000.0, 20.0), (16000.0, 40.0)]
    assert tokens_for(curve, 20.0) == pytest.approx(2000.0)
    assert tokens_for(curve, 5.0) == 1000.0
    assert tokens_for(curve, 35.0) == pytest.approx(8000 * 2**0.75)
    assert tokens_for(curve, 41.0) is None


def test_means_over_seeds(tmp_path: Path) -> None:
    lines = [
        {"corpus": "c", "strategy": s, "seed": i, "round": 1, "tokens": 10 + i, "f1": f1}
        for s, i, f1 in (("margin", 0, 2.0), ("margin", 1, 4.0), ("full", 0, 50.0))
    ]
    path = tmp_path / "a.jsonl"
    # A job that was killed begins anew.
    lines.insert(0, {**lines[0], "f1": 99.0})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert curves_of(read_rounds(path)) == {"c": {"margin": [(10.5, 3.0)]}}
    assert full_scores(read_rounds(path)) == {"c": 50.0}
    assert read_rounds(tmp_path / "none") == []
