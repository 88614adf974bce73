"""Trimmed pipelines: the same predictions, every kind of encoder in a pipeline, and refusals."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin

from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder
from spacy_bio_crf.encoders.transformer.trimming import PieceCounts
from spacy_bio_crf.errors import BioError
from spacy_bio_crf.export.exporting import export_pipeline
from spacy_bio_crf.export.pipeline_trimming import read_texts, trim_pipeline
from spacy_bio_crf.subwords.vocabulary import Vocabulary
from tests.support.classifiers import load_reference
from tests.support.components import component
from tests.support.pipelines import MakeNlp, make_examples, train
from tests.support.sharing import make_shared, owner_of

TEXTS = ["Ana Ruiz met Bo in New York City.", "Bo moved from Lisbon", "", "Zoë \u2603 met Ana"] * 40
LORA = {"r": 2, "alpha": 4, "merge": False}


def lattices(nlp: Language, texts: Iterable[str] = TEXTS) -> list[bytes]:
    """All scores of all components that label, text by text."""
    docs = [nlp.make_doc(text) for text in texts]
    found = []
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "lattice"):
            lattice = pipe.lattice(docs)
            found.append(b"".join(scores.numpy().tobytes() for scores in lattice.scores))
    return found


def entities(nlp: Language) -> list[Any]:
    docs = nlp.pipe(TEXTS)
    return [[(e.start, e.end, e.label_, e._.confidence) for e in doc.ents] for doc in docs]


def rows_of(nlp: Language, name: str = "bio_ner") -> int:
    encoder: Any = nlp.get_pipe(name).encoder  # type: ignore[attr-defined]
    return len(encoder.shim.network.get_input_embeddings().weight)


@pytest.fixture
def pipeline(make_nlp: MakeNlp) -> Language:
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    return train(nlp, make_examples(nlp), steps=10)


def test_predictions_are_the_same(pipeline: Language, tmp_path: Path):
    before, found, size = lattices(pipeline), entities(pipeline), rows_of(pipeline)
    (account,) = trim_pipeline(pipeline, lambda: TEXTS)
    assert account.component == "bio_ner" and account.changed == 0
    assert account.rows == (size, rows_of(pipeline)) and size > account.rows[1] > 20
    assert account.size[0] - account.size[1] == (size - account.rows[1]) * 32 * 4
    assert lattices(pipeline) == before and entities(pipeline) == found
    pipeline.to_disk(tmp_path / "small")
    again = spacy.load(tmp_path / "small")
    assert lattices(again) == before and rows_of(again) == account.rows[1]
    # It can be trained on, and becomes a checkpoint.
    optimizer = again.resume_training()
    again.update(make_examples(again), sgd=optimizer)
    assert lattices(again) != before
    export_pipeline(pipeline, tmp_path / "checkpoint")
    network, words = load_reference(tmp_path / "checkpoint")[:2]
    assert network.config.vocab_size == account.rows[1] == len(words)


def test_quantized_predictions_are_the_same(pipeline: Language):
    component(pipeline).precision = "int8"
    before = lattices(pipeline)
    trim_pipeline(pipeline, lambda: TEXTS)
    assert lattices(pipeline) == before


@pytest.mark.parametrize("lora", [LORA, {**LORA, "merge": True}])
def test_components_with_adapters_share_their_base(make_nlp: MakeNlp, tmp_path: Path, lora: Any):
    options = {"dropout": 0.0, "lora": lora}
    nlp = make_nlp(encoder_options=options)
    nlp = make_nlp(encoder_options=options, name="second", nlp=nlp, spans_key="second")
    train(nlp, make_examples(nlp), steps=3)
    before = lattices(nlp)
    first, second = trim_pipeline(nlp, lambda: TEXTS)
    assert first.rows == second.rows and first.rows[1] < first.rows[0]
    nlp.to_disk(tmp_path / "small")
    for own in (nlp, spacy.load(tmp_path / "small")):
        assert lattices(own) == before
        one, two = (own.get_pipe(name).encoder.shim for name in ("bio_ner", "second"))  # type: ignore[attr-defined]
        rows = [shim.network.get_input_embeddings().weight for shim in (one, two)]
        assert (rows[0].data_ptr() == rows[1].data_ptr()) == (not lora["merge"])
    assert len([*tmp_path.glob("small/base-*")]) == (not lora["merge"])


def test_heads_on_one_encoder(tiny_encoder: Path, tmp_path: Path):
    nlp = make_shared(tiny_encoder)
    train(nlp, make_examples(nlp), steps=3)
    before = lattices(nlp)
    (account,) = trim_pipeline(nlp, lambda: TEXTS)
    assert account.component == "bio_encoder"
    assert owner_of(nlp).encoder.cut([nlp.make_doc("Ana")])[0].ids.max() < account.rows[1]
    nlp.to_disk(tmp_path / "small")
    assert lattices(nlp) == lattices(spacy.load(tmp_path / "small")) == before


def test_disabled_components_are_trimmed(pipeline: Language):
    with pipeline.select_pipes(disable="bio_ner"):
        assert trim_pipeline(pipeline, lambda: TEXTS)[0].rows[1] == rows_of(pipeline)


def test_rare_subwords_change_some_texts(pipeline: Language):
    texts = ["Ana met Bo", "Ana met Bo", "Bo moved from Lisbon", "Ana Bo"]
    before = {text: lattices(pipeline, [text]) for text in texts}
    (account,) = trim_pipeline(pipeline, lambda: texts, min_count=2, keep_characters="none")
    assert account.changed == 1
    changed = [text for text in before if lattices(pipeline, [text]) != before[text]]
    assert changed == ["Bo moved from Lisbon"]


def test_texts_after_a_changed_one_are_compared_with_themselves(pipeline: Language):
    texts = ["Bo moved from Lisbon", *["Ana met Bo"] * 70, "Ana Bo"]
    (account,) = trim_pipeline(pipeline, lambda: texts, min_count=2, keep_characters="none")
    assert account.changed == 1


def test_texts_with_other_subwords_are_named(pipeline: Language, monkeypatch: pytest.MonkeyPatch):
    before, size = lattices(pipeline), rows_of(pipeline)
    needed = Vocabulary.needed_with
    lost = component(pipeline).encoder.text().tokenizer.convert_tokens_to_ids("Li")
    monkeypatch.setattr(Vocabulary, "needed_with", lambda self, ids: needed(self, {*ids} - {lost}))
    message = r"text 2 \('Bo moved from Lisbon'\): expected the sub-words of before, got other"
    with pytest.raises(BioError, match=message):
        trim_pipeline(pipeline, lambda: TEXTS)
    assert rows_of(pipeline) == size and lattices(pipeline) == before


@pytest.mark.parametrize("field", ["ids", "rows", "lengths", "word_starts"])
def test_every_part_of_subwords_is_compared(
    pipeline: Language, monkeypatch: pytest.MonkeyPatch, field: str
):
    size, cut = rows_of(pipeline), TransformerEncoder.cut

    def cut_otherwise(self: TransformerEncoder, docs: Any) -> Any:
        found = cut(self, docs)
        if len(self.shim.network.get_input_embeddings().weight) < size:
            found = [replace(own, **{field: getattr(own, field)[::-1]}) for own in found]
        return found

    monkeypatch.setattr(TransformerEncoder, "cut", cut_otherwise)
    with pytest.raises(BioError, match=r"text 1 \('Ana Ruiz"):
        trim_pipeline(pipeline, lambda: TEXTS)
    assert rows_of(pipeline) == size


def test_texts_with_other_vectors_are_named(pipeline: Language, monkeypatch: pytest.MonkeyPatch):
    before, size = lattices(pipeline), rows_of(pipeline)
    trim = PieceCounts.trim
    changed = component(pipeline).encoder.text().tokenizer.convert_tokens_to_ids("Li")

    def trim_badly(self: PieceCounts, **options: Any) -> Any:
        trimmed, old_ids = trim(self, **options)
        row = int(np.flatnonzero(old_ids == changed)[0])
        trimmed.network.get_input_embeddings().weight.data[row] += 1e-3
        return trimmed, old_ids

    monkeypatch.setattr(PieceCounts, "trim", trim_badly)
    texts = ["Ana"] * 70 + ["Bo moved from Lisbon"]
    with pytest.raises(BioError, match=r"text 71 \('Bo moved from Lisbon'\): expected the vectors"):
        trim_pipeline(pipeline, lambda: texts)
    assert rows_of(pipeline) == size and lattices(pipeline) == before


def test_pipelines_and_options_that_do_not_fit(pipeline: Language):
    with pytest.raises(BioError, match="texts: expected one or more, got none"):
        trim_pipeline(pipeline, lambda: [])
    with pytest.raises(ValueError, match="min_count: expected a whole number, 1 or more, got 0"):
        trim_pipeline(pipeline, lambda: TEXTS, min_count=0)
    with pytest.raises(ValueError, match="keep_characters: expected one of 'seen', 'all', 'none'"):
        trim_pipeline(pipeline, lambda: TEXTS, keep_characters="some")
    other = spacy.blank("en")
    other.add_pipe("sentencizer")
    with pytest.raises(BioError, match="its own transformer.*got sentencizer"):
        trim_pipeline(other, lambda: TEXTS)


def test_texts_of_every_format(pipeline: Language, tmp_path: Path):
    texts = ["Ana met Bo", "Zoë"]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    (tmp_path / "a.jsonl").write_text('{"body": "Ana met Bo"}\n{"body": "Zoë"}\n')
    folder = tmp_path / "docs"
    folder.mkdir()
    DocBin(docs=[pipeline.make_doc(text) for text in texts]).to_disk(folder / "a.spacy")
    for path in (tmp_path / "a.txt", folder, folder / "a.spacy"):
        assert list(read_texts(pipeline, path)) == texts
    assert list(read_texts(pipeline, tmp_path / "a.jsonl", text_key="body")) == texts
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1: expected the key 'text'"):
        list(read_texts(pipeline, tmp_path / "a.jsonl"))
    (tmp_path / "a.csv").touch()
    # Other commands have an option for the format.
    with pytest.raises(ValueError, match=r"a\.csv: expected .txt.*, got the suffix '\.csv'$"):
        list(read_texts(pipeline, tmp_path / "a.csv"))
