"""The benchmark of suspects: errors are planted as it says, and rankings counted as it says."""

import base64
import json
import random
import zlib
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import suspects

LABELS = ("LOC", "ORG", "PER")


def make_annotation(n: int, size: int) -> list[list]:
    rng = random.Random(0)
    annotation = []
    for _ in range(n):
        starts = range(1, size - 5, 6)
        annotation.append([(s, s + rng.randint(1, 3), rng.choice(LABELS)) for s in starts])
    return annotation


def test_planted_errors_are_of_all_kinds_and_apart():
    annotation = make_annotation(100, 30)
    sizes = [30] * 100
    altered, errors = suspects.plant(annotation, sizes, share=0.1, seed=3)
    n = sum(map(len, annotation))
    assert len(errors) == round(0.1 * n)
    kinds = [kind for kind, _ in errors]
    counts = [kinds.count(kind) for kind in suspects.KINDS]
    assert max(counts) - min(counts) <= 1
    tokens = [(i, t) for _, (i, start, end) in errors for t in range(start, end)]
    assert len(tokens) == len(set(tokens))
    for i, own in enumerate(altered):
        assert own == sorted(own)
        assert all(a[1] <= b[0] for a, b in zip(own, own[1:], strict=False))
        assert all(0 <= s < e <= 30 and x in LABELS for s, e, x in own)
        # What differs lies in the errors, and each error differs.
        places = [place for _, place in errors if place[0] == i]
        changed = set(own) ^ set(annotation[i])
        assert all(any(a <= s and e <= b for _, a, b in places) for s, e, _ in changed)
        for _, a, b in places:
            assert any(a <= s and e <= b for s, e, _ in changed)
    for kind, (i, start, end) in errors:
        before, after = (
            [span for span in spans[i] if span[0] < end and span[1] > start]
            for spans in (annotation, altered)
        )
        assert (len(before), len(after)) == {"missed": (1, 0), "spurious": (0, 1)}.get(kind, (1, 1))
        if kind == "label":
            assert before[0][:2] == after[0][:2]
        if kind == "boundary":
            assert before[0][2] == after[0][2] and abs(end - start - 2) <= 2
    assert suspects.plant(annotation, sizes, share=0.1, seed=3) == (altered, errors)


def test_a_second_find_of_an_error_counts_for_nothing():
    errors = [("label", (0, 2, 4)), ("missed", (1, 0, 1))]
    places = [(0, 3, 4), (0, 2, 3), (2, 0, 1), (1, 0, 5)]
    found = suspects.figures_of(places, errors)
    assert found["precision"] == 0.5
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["found"] == {"label": 1.0, "missed": 0.0}
    assert suspects.figures_of([], errors)["average_precision"] == 0.0


def test_tokens_are_joined_as_annotated_or_as_the_model_has_them():
    names = ["O", "B-PER", "I-PER"]
    tags = [[0, 1, 2, 1, 0, 0, 0, 0]]
    likely = [0, 0, 0, 0, 0, 1, 2, 1]
    probabilities = [np.eye(3)[likely]]
    found = list(suspects.join(names, tags, probabilities))
    assert found == [(0, 0, 1), (0, 1, 3), (0, 3, 4), (0, 4, 5), (0, 5, 7), (0, 7, 8)]


def test_probabilities_come_back():
    rows = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    coded = base64.b64encode(zlib.compress(rows.astype(np.float16).tobytes())).decode("ascii")
    result = {"tags": [[1], [0, 1]], "names": ["O", "B-X"], "probabilities": coded}
    tags, found = suspects.unpack(result)
    assert tags == [[1], [0, 1]] and [len(own) for own in found] == [1, 2]
    assert np.concatenate(found) == pytest.approx(rows)


@pytest.mark.long
def test_the_whole_run(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lines = "Ana\tB-PER\nmet\tO\nBo\tB-PER\n{}\tO\nin\tO\nRome\tB-LOC\n\n"
    corpus = tmp_path / "tiny.conll"
    corpus.write_text("".join(lines.format(f"w{i}") for i in range(20)), "utf-8")
    monkeypatch.setattr(suspects, "CORPORA", {"tiny": ("en", corpus.name)})
    monkeypatch.setattr(suspects, "WNUT", (corpus.name, corpus.name))
    monkeypatch.setattr(suspects, "FOLDS", 2)
    args = Namespace(
        output=tmp_path / "out.json",
        corpora=tmp_path,
        names=["tiny", suspects.UNALTERED],
        sentences=16,
        steps=2,
        words=30,
        seeds=[0],
        encoder=str(tiny_encoder),
        gpu=-1,
        jobs=2,
    )
    suspects.run(args, tmp_path / "folds")
    results = json.loads(args.output.read_text("utf-8"))
    assert list(results) == ["tiny, seed 0", "WNUT 17, seed 0"]
    tiny = results["tiny, seed 0"]
    assert len(tiny["planted"]) == round(suspects.SHARE * 16 * 3)
    tags, probabilities = suspects.unpack(tiny)
    assert len(tags) == 16 and all(p.shape == (6, 5) for p in probabilities)
    n_gold = sum(sum(tiny["names"][t].startswith("B-") for t in own) for own in tags)
    assert sum(row["gold"] is not None for row in tiny["suspects"]) == n_gold
    monkeypatch.setattr(suspects, "rank_by_cleanlab", lambda result: {})
    suspects.show([args.output], tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert list(figures) == ["tiny, seed 0"] and "suspects" in figures["tiny, seed 0"]["ways"]
    other = results["WNUT 17, seed 0"]
    assert len(other["texts"]) == len(other["suspects"]) <= suspects.SHOWN
