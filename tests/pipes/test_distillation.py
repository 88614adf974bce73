"""Distillation: its loss against all tag sequences one by one, settings, texts, trainings."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config

from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.heads.emitter import Head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.pipes.distillation import (
    Distillation,
    DistillationSettings,
    begin_distillation,
    plan_distillation,
    read_distillation,
    read_unlabelled,
)
from tests.support.combined import TEXTS, make_member
from tests.support.components import clear, component, gradients
from tests.support.lattices import TAGSETS, every_path, make_lattice, path_scores, split
from tests.support.pipelines import SENTENCES, MakeNlp, make_examples

LENGTHS = [2, 1, 3]
VOCAB = spacy.blank("en").vocab
DOCS = [Doc(VOCAB, words=[f"{n}-{i}" for i in range(n)]) for n in LENGTHS]


class Known:
    """A teacher with these scores, which counts the documents that it reads."""

    def __init__(self, lattice: Lattice):
        self.known = lattice
        self.reads = 0

    def read(self, docs: Sequence[Doc]) -> list[int]:
        self.reads += len(docs)
        return [LENGTHS.index(len(doc)) for doc in docs]

    def lattice(self, known: Sequence[int], tokens: Sequence, device: Any) -> Lattice:
        assert [own.tolist() for own in tokens] == [list(range(LENGTHS[i])) for i in known]
        rows = [split(self.known, self.known.emissions)[i] for i in known]
        return Lattice(torch.cat(rows), *self.known.scores[1:], tokens)


def student(tagset: Any, head: Head) -> Any:
    return SimpleNamespace(
        labels=tagset.labels, head=head, chains_of=lambda labels: [(tagset, slice(0, 5))]
    )


def nothing(lattice: Lattice) -> tuple[float, Lattice]:
    return 0.0, Lattice(*map(torch.zeros_like, lattice.scores), lattice.tokens)


def by_hand(teacher: Lattice, lattice: Lattice, *, heat: float, crf: bool) -> float:
    """The sum over documents of `- Σ p log q`, of paths or of the tags of each row."""
    total = 0.0
    parts = (split(own, own.emissions) for own in (teacher, lattice))
    for taught, own in zip(*parts, strict=True):
        paths = every_path("BIO", len(own))
        weights = np.exp(path_scores(taught, teacher, paths) / heat)
        p = weights / weights.sum()
        if crf:
            q = np.exp(path_scores(own, lattice, paths) / heat)
            total -= float((p * np.log(q / q.sum())).sum())
            continue
        for t, row in enumerate(own.double().numpy()):
            marginal = np.array([p[paths[:, t] == tag].sum() for tag in range(len(row))])
            q = np.exp(row / heat)
            total -= float((marginal * np.log(q / q.sum())).sum())
    return total


@pytest.mark.parametrize("heat", [1.0, 2.5])
@pytest.mark.parametrize("crf", [True, False])
def test_the_loss_is_the_cross_entropy_over_all_sequences(heat: float, crf: bool):
    tagset = TAGSETS["BIO"]
    teacher = make_lattice(tagset, LENGTHS, crf=True, seed=1)
    lattice = make_lattice(tagset, LENGTHS, crf=crf, seed=2)
    distillation = Distillation(Known(teacher), weight=0.25, temperature=heat)
    gold = 8.0, Lattice(*map(torch.ones_like, lattice.scores), lattice.tokens)
    pipe = student(tagset, Head(crf=crf))
    loss, gradient = distillation.mix(pipe, DOCS, lattice, gold, size=6)
    expected = 0.25 * heat**2 * by_hand(teacher, lattice, heat=heat, crf=crf) / 6
    assert loss == pytest.approx(0.75 * 8.0 + expected, rel=1e-5)
    alone = Distillation(Known(teacher), weight=1.0, temperature=heat)
    _, taught = alone.mix(pipe, DOCS, lattice, nothing(lattice), size=6)
    for mixed, own in zip(gradient.scores, taught.scores, strict=True):
        torch.testing.assert_close(mixed, 0.75 + 0.25 * own)


@pytest.mark.parametrize("crf", [True, False])
def test_the_gradient_is_the_slope_of_the_loss(crf: bool):
    tagset = TAGSETS["BIO"]
    teacher = make_lattice(tagset, LENGTHS, crf=True, seed=1, dtype=torch.float64)
    lattice = make_lattice(tagset, LENGTHS, crf=crf, seed=2, dtype=torch.float64)
    distillation = Distillation(Known(teacher), weight=0.5, temperature=2.0)
    pipe = student(tagset, Head(crf=crf))

    def mix(moved: Lattice) -> tuple[float, Lattice]:
        return distillation.mix(pipe, DOCS, moved, nothing(moved), size=6)

    _, gradient = mix(lattice)
    for which, slopes in enumerate(gradient.scores):
        for place in list(np.ndindex(*slopes.shape))[::3]:
            around = []
            for step in (-1e-5, 1e-5):
                moved = [scores.clone() for scores in lattice.scores]
                moved[which][place] += step
                around.append(mix(Lattice(*moved, lattice.tokens))[0])
            assert float(slopes[place]) == pytest.approx((around[1] - around[0]) / 2e-5, abs=1e-7)


def test_a_teacher_reads_a_document_once():
    tagset = TAGSETS["BIO"]
    teacher = Known(make_lattice(tagset, LENGTHS, crf=True))
    distillation = Distillation(teacher, weight=0.5, temperature=1.0)
    distillation.prepare([*DOCS, DOCS[0]])
    assert teacher.reads == 3
    lattice = make_lattice(tagset, LENGTHS, crf=True)
    distillation.mix(student(tagset, Head(crf=True)), DOCS, lattice, nothing(lattice), size=1)
    assert teacher.reads == 3


def test_later_subwords_learn_from_the_gold_alone():
    tagset = TAGSETS["BIO"]
    distillation = Distillation(
        Known(make_lattice(tagset, LENGTHS, crf=True, seed=1)), weight=1.0, temperature=1.0
    )
    one = make_lattice(tagset, [2], crf=True, seed=2)
    words = Lattice(one.emissions, *one.scores[1:], [np.arange(2)])
    every = Lattice(one.emissions[[0, 0, 1]], *one.scores[1:], [np.array([0, 0, 1])])
    pipe = student(tagset, Head(crf=True))
    loss, gradient = distillation.mix(pipe, DOCS[:1], words, nothing(words), size=1)
    same, of_all = distillation.mix(pipe, DOCS[:1], every, nothing(every), size=1)
    assert same == pytest.approx(loss)
    torch.testing.assert_close(of_all.emissions[[0, 2]], gradient.emissions)
    assert not of_all.emissions[1].any()


@pytest.mark.parametrize("options", [{}, {"head": "softmax"}, {"groups": "per_label"}])
def test_a_model_has_nothing_to_learn_from_itself(make_nlp: MakeNlp, options: dict):
    nlp = make_member(make_nlp, seed=0, encoder_options={"dropout": 0.0}, **options)
    teacher = make_member(
        make_nlp, seed=0, labels=("PER", "LOC"), encoder_options={"dropout": 0.0}, **options
    )
    ner, theirs = component(nlp), component(teacher)
    order = [theirs.tag_names.index(tag) for tag in ner.tag_names]
    layers = zip(ner.model.layers, theirs.model.layers, strict=True)
    for own, given in ((a.shims[0], b.shims[0]) for a, b in layers):
        state = {key: value.clone() for key, value in given.network.state_dict().items()}
        own.network.load_state_dict(state)
    ner.model.layers[1].shims[0].network.reorder(order)
    # Training without `constrained_loss` knows illegal sequences; so does this teacher.
    emitter = theirs.model.layers[1].shims[0]
    emitter.head = replace(emitter.head, constrained=False)
    settings = DistillationSettings("itself", weight=1.0)
    begin_distillation(nlp, teacher=teacher, settings=settings)
    clear(ner)
    ner.update(make_examples(nlp))
    assert all(g.abs().max() < 1e-5 for g in gradients(ner).values())
    # The gradients of gold are of another size.
    ner.distillation = None
    ner.update(make_examples(nlp))
    assert max(float(g.abs().max()) for g in gradients(ner).values()) > 0.1


def test_a_student_learns_from_texts_what_its_gold_does_not_tell(
    make_nlp: MakeNlp, trained: Language, tmp_path: Path
):
    nlp = make_member(make_nlp, seed=3, steps=0)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    settings = DistillationSettings("t", texts=str(tmp_path / "texts.txt"), weight=1.0)
    around = begin_distillation(nlp, teacher=trained, settings=settings)
    examples = list(around(lambda own: [])(nlp))
    assert [eg.predicted.text for eg in examples] == TEXTS
    assert not any(token.ent_iob for eg in examples for token in eg.reference)
    optimizer = nlp.resume_training()
    losses = []
    for _ in range(60):
        optimizer.learn_rate = 2e-3
        losses.append(nlp.update(examples, sgd=optimizer)["bio_ner"])
    assert losses[-1] < losses[0] / 4
    found = [{(e.start, e.end, e.label_) for e in nlp(text).ents} for text in TEXTS]
    assert found == [set(ents) for _, ents in SENTENCES]


def test_the_loss_is_divided_by_all_tokens(make_nlp: MakeNlp, trained: Language):
    nlp = make_member(make_nlp, seed=0, steps=0, encoder_options={"dropout": 0.0})
    begin_distillation(nlp, teacher=trained, settings=DistillationSettings("t", weight=0.5))
    ner = component(nlp)
    gold = make_examples(nlp)[:2]
    bare = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in TEXTS[2:4]]
    sizes = [sum(len(eg.predicted) for eg in own) for own in (gold, bare)]
    apart = [ner.update(own)["bio_ner"] for own in (gold, bare)]
    total = sum(a * n for a, n in zip(apart, sizes, strict=True)) / sum(sizes)
    assert ner.update([*gold, *bare])["bio_ner"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(
    "block, message",
    [
        ({"texts": "x"}, r"\[distillation\]: expected teacher, and settings of texts, .*got texts"),
        ({"teacher": "t", "heat": 2}, r"\[distillation\]: .* got teacher, heat"),
        ("t", r"\[distillation\]: expected teacher"),
        ({"teacher": ""}, "distillation.teacher: expected a name, got ''"),
        ({"teacher": "t", "weight": 0}, "distillation.weight: expected a number above 0, and 1 at"),
        ({"teacher": "t", "weight": 1.5}, "distillation.weight: .* got 1.5"),
        ({"teacher": "t", "temperature": 0}, "distillation.temperature: expected a number above 0"),
        ({"teacher": "t", "texts": 3}, "distillation.texts: expected a name or null, got 3"),
        ({"teacher": "t", "text_key": None}, "distillation.text_key: expected a name, got None"),
    ],
)
def test_settings_are_checked(block: Any, message: str):
    with pytest.raises(SettingsError, match=message):
        read_distillation(block)


def test_labels_come_from_the_teacher_unless_there_are_some(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "teacher")
    block = {"teacher": str(tmp_path / "teacher")}

    def labels_for(config: dict[str, Any], **more: str) -> Any:
        full = Config(config)
        plan_distillation(full, {**block, **more})
        return full.get("initialize", {}).get("components", {})

    one = {"factory": "bio_ner"}
    assert labels_for({"components": {"ner": one}}) == {"ner": {"labels": ["LOC", "PER"]}}
    two = {"components": {"a": one, "b": one, "tagger": {"factory": "tagger"}}}
    assert labels_for(two) == {}
    assert labels_for(two, student="b") == {"b": {"labels": ["LOC", "PER"]}}
    assert labels_for({"components": {"a": {"source": "x"}}}) == {}
    named = {"components": {"ner": {"labels": ["X"]}}}
    assert labels_for({"components": {"ner": one}, "initialize": named}) == {
        "ner": {"labels": ["X"]}
    }
    with pytest.raises(SettingsError, match="distillation.teacher: expected a pipeline: "):
        plan_distillation(Config({}), {"teacher": str(tmp_path / "none")})


def texts_of(path: Path, **settings: str) -> list[str]:
    nlp = spacy.blank("en")
    own = DistillationSettings("t", texts=str(path), **settings)
    return [eg.predicted.text for eg in read_unlabelled(nlp, own)]


def test_texts_of_all_formats(tmp_path: Path):
    (tmp_path / "a.txt").write_text("One text\n\nand another\n")
    assert texts_of(tmp_path / "a.txt") == ["One text", "and another"]
    rows = [{"text": "One text", "body": "b"}, {"text": "and another", "body": "c"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert texts_of(tmp_path / "a.jsonl") == ["One text", "and another"]
    assert texts_of(tmp_path / "a.jsonl", text_key="body") == ["b", "c"]
    nlp = spacy.blank("en")
    examples = make_examples(nlp)
    DocBin(docs=[eg.reference for eg in examples]).to_disk(tmp_path / "a.spacy")
    own = DistillationSettings("t", texts=str(tmp_path / "a.spacy"))
    read = list(read_unlabelled(spacy.blank("en"), own))
    assert [[t.text for t in eg.predicted] for eg in read] == [words for words, _ in SENTENCES]
    assert not any(t.ent_iob for eg in read for doc in (eg.predicted, eg.reference) for t in doc)


def test_texts_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(SettingsError, match="distillation.texts: .*there is no such file"):
        texts_of(tmp_path / "none.txt")
    (tmp_path / "a.jsonl").write_text('{"body": "x"}')
    with pytest.raises(SettingsError, match="distillation.texts: .*'text'"):
        texts_of(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(SettingsError, match="distillation.texts: .*a.jsonl"):
        texts_of(tmp_path / "a.jsonl")


def test_damaged_files_of_texts_are_named(tmp_path: Path):
    path = tmp_path / "a.spacy"
    whole = DocBin(docs=[eg.reference for eg in make_examples(spacy.blank("en"))]).to_bytes()
    for content in (whole[:-9], whole[:9] + b"x" + whole[10:], b"Some text", b""):
        path.write_bytes(content)
        with pytest.raises(SettingsError, match="texts: .*a.spacy: expected a file .*, got a file"):
            texts_of(path)
    path.unlink()
    with pytest.raises(SettingsError, match="distillation.texts: .*a.spacy: there is no such file"):
        texts_of(path)


def test_a_teacher_may_lack_a_package(monkeypatch: pytest.MonkeyPatch):
    def load(name: str) -> None:
        raise ImportError("Vietnamese needs pyvi")

    monkeypatch.setattr(spacy, "load", load)
    with pytest.raises(SettingsError, match="teacher: expected a pipeline: Vietnamese needs pyvi"):
        plan_distillation(Config({}), {"teacher": "vi_ner"})
