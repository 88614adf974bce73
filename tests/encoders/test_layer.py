"""The encoder that owns its transformer, as a thinc layer and by its interface."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder, build_transformer_encoder
from tests.support.encoder_tools import (
    LONG,
    TEXTS,
    WINDOWS,
    a_gradient,
    by_hand,
    close,
    docs_of,
    gradients,
)
from tests.support.tiny_models import make_encoder


def test_a_window_as_long_as_the_text_changes_nothing(tiny_encoder: Path):
    docs = docs_of(TEXTS[:5])
    wide, shim = make_encoder(tiny_encoder)
    n = max(len(own.ids) for own in shim.text.cut(docs))
    assert n < shim.text.window
    narrow, _ = make_encoder(tiny_encoder, window=n, overlap=n - 1)
    for a, b in zip(wide.predict(docs), narrow.predict(docs), strict=True):
        assert np.array_equal(a.dataXd, b.dataXd)


def test_a_long_document_needs_its_windows(tiny_encoder: Path):
    """The oracle above would say nothing if windows did not matter."""
    docs = docs_of([LONG])
    wide, _ = make_encoder(tiny_encoder)
    narrow, _ = make_encoder(tiny_encoder, window=8, overlap=3)
    difference = wide.predict(docs)[0].dataXd - narrow.predict(docs)[0].dataXd
    assert np.abs(difference).max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"window": 9, "overlap": 4, "batch_subwords": 40}])
def test_a_document_has_the_same_vectors_in_any_batch(tiny_encoder: Path, options):
    encoder, _ = make_encoder(tiny_encoder, **options)
    docs = docs_of(TEXTS)
    together = encoder.predict(docs)
    backwards = encoder.predict(docs[::-1])[::-1]
    assert [len(v.lengths) for v in together] == [len(doc) for doc in docs]
    for doc, a, b in zip(docs, together, backwards, strict=True):
        alone = encoder.predict([doc])[0]
        for other in (b, alone):
            assert a.lengths.tolist() == other.lengths.tolist()
            np.testing.assert_allclose(a.dataXd, other.dataXd, atol=1e-5)


def test_documents_without_sub_words_have_no_vectors(tiny_encoder: Path):
    encoder, _ = make_encoder(tiny_encoder)
    docs = docs_of(["", "  ", "Bo", "\n\t", ""])
    vectors = encoder.predict(docs)
    assert [v.dataXd.shape for v in vectors] == [
        (0, 32),
        (0, 32),
        (len(vectors[2].dataXd), 32),
        (0, 32),
        (0, 32),
    ]
    assert [v.lengths.tolist() for v in vectors] == [[], [0], [len(vectors[2].dataXd)], [0], []]
    assert vectors[2].dataXd.dtype == np.float32
    only_empty = encoder.predict(docs[:2])
    assert [v.dataXd.shape for v in only_empty] == [(0, 32), (0, 32)]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(alphabet="ab M\n\ufe0f.", max_size=40), max_size=5), st.data())
def test_any_texts_in_any_windows(tiny_encoder: Path, texts: list[str], data: st.DataObject):
    window = data.draw(st.integers(1, 9))
    overlap = data.draw(st.integers(0, window - 1))
    budget = data.draw(st.integers(1, 60))
    encoder, shim = make_encoder(
        tiny_encoder, window=window, overlap=overlap, batch_subwords=budget
    )
    docs = docs_of(texts)
    subwords = shim.text.cut(docs)
    for own, vectors in zip(subwords, encoder.predict(docs) if docs else [], strict=True):
        expected = by_hand(shim, own)[torch.from_numpy(own.rows)].detach()
        np.testing.assert_allclose(vectors.dataXd, expected, atol=1e-5)


def test_the_layer_gives_the_gradients_of_run(tiny_encoder: Path):
    docs = docs_of(TEXTS)
    encoder, shim = make_encoder(tiny_encoder, dropout=0.0, **WINDOWS)
    vectors, backprop = encoder.begin_update(docs)
    total = sum(len(v.dataXd) for v in vectors)
    weights = a_gradient(torch.zeros(total, 32)).numpy()
    ends = np.cumsum([len(v.dataXd) for v in vectors])
    d_vectors = [
        type(v)(weights[end - len(v.dataXd) : end], v.lengths)
        for v, end in zip(vectors, ends, strict=True)
    ]
    assert backprop(d_vectors) == docs
    found = gradients(shim.network)

    _, other = make_encoder(tiny_encoder, dropout=0.0, **WINDOWS)
    subwords = other.text.cut(docs)
    expected = torch.cat([by_hand(other, p)[torch.from_numpy(p.rows)] for p in subwords])
    np.testing.assert_allclose(
        np.concatenate([v.dataXd for v in vectors]), expected.detach(), atol=1e-5
    )
    expected.backward(torch.from_numpy(weights))
    close(found, gradients(other.network))


def test_before_it_is_initialized(tiny_encoder: Path):
    encoder = build_transformer_encoder("no/such-encoder")  # nothing is fetched yet
    with pytest.raises(
        ValueError, match=r"no weights yet: call nlp.initialize\(\) or load a trained"
    ):
        encoder.predict(docs_of([LONG]))


# The interface ------------------------------------------------------------------------------------


def test_parts_fit_the_budget_and_hold_each_document_once(tiny_encoder: Path):
    model, shim = make_encoder(tiny_encoder, batch_subwords=120)
    encoder, docs = TransformerEncoder(model), docs_of(TEXTS)
    parts = encoder.split(docs)
    assert sorted(i for part in parts for i in part.tolist()) == list(range(len(docs)))
    costs = shim.text.costs(docs)
    assert len(parts) > 1 and max(costs) > 120
    assert all(len(part) == 1 or costs[part].sum() <= 120 for part in parts)
    wide, _ = make_encoder(tiny_encoder)
    assert len(TransformerEncoder(wide).split(docs)) == 1
    assert encoder.split([]) == []


def test_weights_are_saved_apart_and_read_again(tiny_encoder: Path, tmp_path: Path):
    model, _ = make_encoder(tiny_encoder)
    encoder = TransformerEncoder(model)
    encoder.save(tmp_path / "encoder")
    whole = model.to_bytes()
    with encoder.weights_apart():
        without = model.to_bytes()
    assert len(without) < len(whole) / 10 and model.to_bytes() == whole
    other = build_transformer_encoder("no/such-encoder").from_bytes(without)
    assert not TransformerEncoder(other).shim.ready
    TransformerEncoder(other).load(tmp_path / "encoder")
    docs = docs_of(TEXTS)
    for a, b in zip(model.predict(docs), other.predict(docs), strict=True):
        assert np.array_equal(a.dataXd, b.dataXd)


def test_without_weights_there_is_nothing_to_save_but_a_text_side(
    tiny_encoder: Path, tmp_path: Path
):
    encoder = TransformerEncoder(build_transformer_encoder(str(tiny_encoder), window=9, overlap=2))
    assert encoder.budget == 0
    encoder.save(tmp_path / "encoder")
    encoder.load(tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists() and not encoder.shim.ready
    text = encoder.text()
    assert (text.window, text.overlap) == (9, 2) and not encoder.shim.ready
    _, fetched = make_encoder(tiny_encoder)
    docs = docs_of(TEXTS)
    for a, b in zip(text.cut(docs), fetched.text.cut(docs), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
    with pytest.raises(ValueError, match="no weights yet"):
        encoder.cut(docs)


def test_a_folder_that_ought_to_be_there(tiny_encoder: Path, tmp_path: Path):
    model, _ = make_encoder(tiny_encoder)
    with pytest.raises(OSError, match="gone: expected config.json, got no such file"):
        TransformerEncoder(model).load(tmp_path / "gone")


def test_precision_by_the_interface(tiny_encoder: Path):
    model, shim = make_encoder(tiny_encoder, batch_subwords=7)
    encoder = TransformerEncoder(model)
    encoder.precision = "bf16"
    assert encoder.precision == shim.precision == "bf16" and encoder.budget == 7


def test_networks_are_imported_when_one_is_read(run_python: Callable[..., str]):
    script = """
import sys
import spacy_bio_crf.encoders.batcher, spacy_bio_crf.encoders.listener, spacy_bio_crf.pipes.bio_ner
print(*sys.modules, sep=";")
"""
    names = run_python(script).split(";")
    assert "spacy_bio_crf.encoders.transformer.pretrained" in names
    # It loads torch's compiler, which takes longer than all the rest.
    assert "transformers.masking_utils" not in names
    assert "transformers.models.auto.modeling_auto" not in names
