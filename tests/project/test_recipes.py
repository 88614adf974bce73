"""The benchmark of recipes: each does what it says, and is trained once."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks import recipes
from benchmarks.encoder_search import combinations
from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.heads.doubt import Doubt

TEXT = "Ana B-PER\nRuiz I-PER\nmet O\nBo B-PER\n\nThey O\nflew O\nto O\nLisbon B-LOC\n\n"
JOB = combinations(["steps=3", "words=20", "casing=1", "precision=fp32"])[0]


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.conll").write_text(TEXT * 8)
    monkeypatch.setenv("BIO_NER_CORPORA", str(tmp_path))
    parts = dict.fromkeys(("train", "dev", "test", "texts"), "a.conll")
    monkeypatch.setitem(recipes.CORPORA, "tiny", {"lang": "en", **parts})
    return tmp_path


def weights_of(nlp) -> torch.Tensor:
    shim = transformer_shim(recipes.ner_of(nlp).model.get_ref("encoder"))
    return torch.cat([p.detach().reshape(-1) for p in shim.network.parameters()])


def test_each_recipe_is_trained_once(
    corpora: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    output = corpora / "found.jsonl"
    command = ["recipes", "--output", str(output), "--encoder", str(tiny_encoder)]
    command += ["--corpora", "tiny", "--seeds", "0", "--steps", "2", "--layers", "0"]
    monkeypatch.setattr("sys.argv", [*command, "--words", "20", "--precision", "fp32"])
    monkeypatch.setattr(recipes, "MIXED", 2)
    jobs: list[dict] = []
    kept = recipes.train
    monkeypatch.setattr(recipes, "train", lambda *a, **k: jobs.append(a[3] | k) or kept(*a, **k))
    monkeypatch.setattr(recipes, "annotate_surely", lambda nlp, texts: texts[:5])
    recipes.main()
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["recipe"] for line in lines] == list(recipes.RECIPES)
    assert [line["documents"] for line in lines] == [16, 16, 16, 16, 21, 4, 16, 16]
    # The model without a recipe is there for self-training, and not trained twice.
    assert [job["steps"] for job in jobs] == [2, 4, 2, 2, 4, 2, 2, 2]
    assert [job["mix"] for job in jobs] == [1, 1, 2, 1, 1, 1, 1, 1]
    assert [i for i, job in enumerate(jobs) if job["adversarial"]] == [3]
    changes = [type(job["change"]) for job in jobs]
    assert changes == [*[type(None)] * 6, recipes.OtherNames, recipes.LowerCase]
    recipes.main()
    assert len(jobs) == 8
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tiny", "neighbors", "1"] in [row[:3] for row in rows]


def test_differences_are_between_equal_seeds(capsys: pytest.CaptureFixture) -> None:
    rows = [("without", 0, 40.0), ("without", 1, 50.0), ("adversarial", 1, 53.0)]
    recipes.show(
        [{"corpus": "c", "recipe": r, "seed": s, "dev": f, "test": f / 2} for r, s, f in rows]
    )
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "c without 2 45.0 22.5" in printed
    assert "c adversarial 1 53.0 (+3.0) 26.5 (+1.5)" in printed


def test_neighbors_keep_their_entities(corpora: Path) -> None:
    docs = recipes.read_part("tiny", "train")
    joined = recipes.join(docs)
    assert [len(doc) for doc in joined] == [20, 20, 20, 4]
    assert sum(len(doc.ents) for doc in joined) == sum(len(doc.ents) for doc in docs) == 24
    assert joined[0].ents[2].text == "Lisbon" and joined[0].ents[2].label_ == "LOC"


def test_other_names_have_the_label(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = recipes.read_part("tiny", "train")
    change = recipes.OtherNames(docs[:2], 0)
    # Some of the entities stay, and the documents are what they were.
    pairs = itertools.product(("Ana Ruiz", "Bo"), repeat=2)
    assert {change(docs[0]).text for _ in range(200)} == {f"{a} met {b}" for a, b in pairs}
    assert change(docs[1]).text == "They flew to Lisbon"
    assert docs[0].text == "Ana Ruiz met Bo"
    monkeypatch.setattr(recipes, "REPLACED", 1.0)
    both = [change(docs[0]) for _ in range(40)]
    for doc in both:
        first, second = doc.ents
        assert first.label_ == second.label_ == "PER" and first.start == 0
        assert doc[first.end].text == "met" and second.end == len(doc)


def test_some_documents_in_lower_case(corpora: Path) -> None:
    docs = recipes.read_part("tiny", "train") * 20
    found = list(map(recipes.LowerCase(0), docs))
    lower = [doc.text == doc.text.lower() for doc in found]
    assert 0.2 < sum(lower) / len(docs) < 0.4
    for doc, new in zip(docs, found, strict=True):
        assert new.text in (doc.text, doc.text.lower())
        assert [(e.start, e.end, e.label_) for e in new.ents] == [
            (e.start, e.end, e.label_) for e in doc.ents
        ]


def test_moved_weights_come_back() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    seen: list[torch.Tensor] = []
    recipes.move_and_return(weight, lambda: seen.append(weight.detach().clone()))
    assert torch.allclose(seen[0] - 1.0, torch.tensor([[0.6, 0.0], [0.0, 0.8]]))
    assert torch.equal(weight, torch.ones(2, 2))


def test_adversarial_steps_learn_something_else(corpora: Path, tiny_encoder: Path) -> None:
    docs = recipes.read_part("tiny", "train")
    plain, again = (recipes.train(str(tiny_encoder), "en", docs, JOB) for _ in range(2))
    moved = recipes.train(str(tiny_encoder), "en", docs, JOB, adversarial=True)
    assert torch.equal(weights_of(plain), weights_of(again))
    assert not torch.allclose(weights_of(plain), weights_of(moved), atol=1e-5)


def test_only_sure_texts_with_entities_are_taken(
    corpora: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = recipes.read_part("tiny", "train")
    job = {**JOB, "steps": 60, "rate": 3e-3}
    nlp = recipes.train(str(tiny_encoder), "en", docs, job)
    doubts = iter([Doubt(4, 0.1, math.log(p), None, {}) for p in (0.9, 0.7, 0.8, 0.81)])
    monkeypatch.setattr(recipes, "measure_doubt", lambda *args: [next(doubts) for _ in range(4)])
    found = recipes.annotate_surely(nlp, docs[:4])
    assert [doc.text for doc in found] == [docs[0].text, docs[2].text, docs[3].text]
    assert [[ent.text for ent in doc.ents] for doc in found] == [
        ["Ana Ruiz", "Bo"],
        ["Ana Ruiz", "Bo"],
        ["Lisbon"],
    ]
    # A document without an entity teaches nothing here.
    monkeypatch.setattr(nlp, "pipe", lambda docs: docs)
    doubts = iter([Doubt(4, 0.1, 0.0, None, {})] * 4)
    assert recipes.annotate_surely(nlp, docs[:4]) == []
