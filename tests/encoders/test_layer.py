"""The encoder that owns its transformer: what it computes, in which pieces, and what it learns."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from thinc.api import SGD, Adam
from torch import Tensor, nn

from spacy_bio_crf.encoders.transformer import pretrained as storage
from spacy_bio_crf.encoders.transformer import shim as shim_module
from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder
from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from spacy_bio_crf.kernels.mode import fast_kernels
from spacy_bio_crf.subwords.batches import make_packs
from spacy_bio_crf.subwords.tokenizer import Subwords
from spacy_bio_crf.subwords.windows import cut
from tests.support.tiny_models import make_encoder

NLP = spacy.blank("en")
LONG = "Ana Ruiz met Bo in New York City and moved from Lisbon to Washington ."
TEXTS = [
    LONG,
    "",
    "Bo",
    "   ",
    "\ufe0f\ufe0f",
    f"{LONG} {LONG} {LONG} {LONG}",
    "Nobody\n\nworks  today .",
    "\n",
    " ".join([LONG] * 9),
]


def docs_of(texts: list[str]) -> list[Doc]:
    return [NLP.make_doc(text) for text in texts]


def network_alone(shim: TransformerShim, ids: np.ndarray) -> Tensor:
    """Vectors of some sub-words that pass the network by themselves, [n, d]."""
    framed = [*shim.frame.prefix, *ids.tolist(), *shim.frame.suffix]
    hidden = shim.network(input_ids=torch.tensor([framed])).last_hidden_state[0]
    return hidden[len(shim.frame.prefix) : len(framed) - len(shim.frame.suffix)]


def by_hand(shim: TransformerShim, piece: Subwords) -> Tensor:
    """Vectors of a document's sub-words: each window alone, each sub-word from the window in which
    it is furthest from an edge that cuts the text, [n, d]."""
    n = len(piece.ids)
    windows = cut(n, size=shim.window, overlap=shim.overlap, boundaries=piece.word_starts)
    best = np.full(n, -1.0)
    vectors: list[Any] = [None] * n
    for start, end in zip(windows.starts, windows.ends, strict=True):
        hidden = network_alone(shim, piece.ids[start:end])
        for p in range(start, end):
            left = p - start if start > 0 else np.inf
            right = end - 1 - p if end < n else np.inf
            if min(left, right) > best[p]:
                best[p], vectors[p] = min(left, right), hidden[p - start]
    return torch.stack(vectors) if vectors else torch.zeros((0, 32))


def gradients(*networks: nn.Module) -> list[Tensor]:
    return [
        p.grad.clone() for network in networks for p in network.parameters() if p.grad is not None
    ]


def all_rows(pieces: list[Subwords]) -> list[np.ndarray]:
    return [np.arange(len(piece.ids)) for piece in pieces]


# Forward ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_subwords": 1}, {"window": 8, "overlap": 3}, {"window": 5, "overlap": 4}],
)
def test_packs_give_what_the_network_gives_window_by_window(tiny_encoder: Path, options):
    _, shim = make_encoder(tiny_encoder, **options)
    pieces = shim.tokenize(docs_of(TEXTS))
    with torch.no_grad():
        vectors, _ = shim.run(pieces, all_rows(pieces), train=False)
        expected = torch.cat([by_hand(shim, piece) for piece in pieces])
    assert vectors.dtype == torch.float32
    assert vectors.shape == expected.shape and len(vectors) > 200
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


def test_rows_may_be_asked_for_in_any_order_and_twice(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, window=8, overlap=3)
    (piece,) = shim.tokenize(docs_of([LONG]))
    n = len(piece.ids)
    asked = np.array([n - 1, 0, 0, n // 2, n - 1])
    every, _ = shim.run([piece], [np.arange(n)], train=False)
    some, _ = shim.run([piece], [asked], train=False)
    torch.testing.assert_close(some, every[torch.from_numpy(asked)], atol=1e-6, rtol=0)


def test_a_window_as_long_as_the_text_changes_nothing(tiny_encoder: Path):
    docs = docs_of(TEXTS[:5])
    wide, shim = make_encoder(tiny_encoder)
    n = max(len(piece.ids) for piece in shim.tokenize(docs))
    assert n < shim.window
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


def test_text_that_looks_like_a_special_sub_word_is_text(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    tokenizer = shim.tokenizer
    (piece,) = shim.tokenize(docs_of(["a [SEP] b [PAD] [CLS] c"]))
    assert not set(piece.ids.tolist()) & {
        tokenizer.sep_token_id,
        tokenizer.pad_token_id,
        tokenizer.cls_token_id,
    }
    vectors, _ = shim.run([piece], all_rows([piece]), train=False)
    torch.testing.assert_close(vectors, by_hand(shim, piece).detach(), atol=1e-5, rtol=0)


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
    pieces = shim.tokenize(docs)
    for piece, vectors in zip(pieces, encoder.predict(docs) if docs else [], strict=True):
        expected = by_hand(shim, piece)[torch.from_numpy(piece.rows)].detach()
        np.testing.assert_allclose(vectors.dataXd, expected, atol=1e-5)


# Training -----------------------------------------------------------------------------------------


def a_gradient(like: Tensor) -> Tensor:
    """Of the size that a loss divided by the batch has; the same each time."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(7)) / len(like)


def step_of(
    folder: Path, texts: list[str], *, seed: int = 1, **options: Any
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
    """One forward and backward pass: emissions, the gradients of network and emitter, and the next
    random number after both."""
    _, shim = make_encoder(folder, **options)
    torch.manual_seed(0)
    emitter = nn.Linear(32, 3)
    pieces = shim.tokenize(docs_of(texts))
    torch.manual_seed(seed)
    emissions, backprop = shim.run(pieces, all_rows(pieces), train=True, project=emitter)
    torch.rand(2)  # Others draw numbers, too, before the backward pass.
    backprop(a_gradient(emissions))
    return emissions, gradients(shim.network), gradients(emitter), torch.rand(3)


def close(a: list[Tensor], b: list[Tensor]) -> None:
    """Equal up to rounding, measured by the largest of all numbers: some gradients are sums that
    nearly cancel."""
    assert len(a) == len(b) > 0
    atol = 1e-5 * max(float(x.abs().max()) for x in b)
    assert atol > 0
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, atol=atol, rtol=1e-4)


WINDOWS = {"window": 9, "overlap": 4}


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_gradients_are_those_of_the_windows_by_hand(tiny_encoder: Path, budget: int):
    options = {**WINDOWS, "dropout": 0.0}
    emissions, network, emitter, _ = step_of(tiny_encoder, TEXTS, batch_subwords=budget, **options)

    _, shim = make_encoder(tiny_encoder, **options)
    torch.manual_seed(0)
    own = nn.Linear(32, 3)
    expected = own(torch.cat([by_hand(shim, p) for p in shim.tokenize(docs_of(TEXTS))]))
    torch.testing.assert_close(emissions, expected.detach(), atol=1e-5, rtol=0)
    expected.backward(a_gradient(expected))
    close(network, gradients(shim.network))
    close(emitter, gradients(own))


def test_training_and_prediction_have_packs_of_their_own(tiny_encoder: Path, monkeypatch):
    monkeypatch.setattr(shim_module, "TRAINING_OVERHEAD", 100_000)
    monkeypatch.setattr(shim_module, "PREDICTION_OVERHEAD", 0)
    _, shim = make_encoder(tiny_encoder)
    shapes: list[tuple[int, ...]] = []
    shim.network.embeddings.register_forward_hook(lambda *args: shapes.append(args[2].shape[:2]))
    pieces = shim.tokenize(docs_of(["Bo", "Bo met Ana Ruiz in Lisbon .", "Bo"]))
    for train, rows in ((True, [3]), (False, [1, 2])):
        shapes.clear()
        shim.run(pieces, all_rows(pieces), train=train)
        assert sorted(n for n, _ in shapes) == rows


@pytest.mark.parametrize("budget", [40, 100_000])
def test_dropout_is_the_same_when_a_pack_is_computed_again(tiny_encoder: Path, budget: int):
    """The expected gradients keep the graph of every pack; a budget of 40 makes `run` drop them."""
    options = {**WINDOWS, "dropout": 0.3, "batch_subwords": budget}
    emissions, network, emitter, after = step_of(tiny_encoder, TEXTS, **options)

    _, shim = make_encoder(tiny_encoder, **options)
    torch.manual_seed(0)
    own = nn.Linear(32, 3)
    pieces = shim.tokenize(docs_of(TEXTS))
    packs = make_packs(
        pieces,
        all_rows(pieces),
        frame=shim.frame,
        budget=budget,
        overhead=shim.overhead(train=True),
        **WINDOWS,
    )
    assert (len(packs) > 3) == (budget == 40)
    torch.manual_seed(1)
    shim.network.train()
    expected = torch.zeros(emissions.shape)
    for p in packs:
        mask = None if p.mask.all() else torch.from_numpy(p.mask)
        with fast_kernels(torch.device("cpu"), training=True):
            hidden = shim.network(input_ids=torch.from_numpy(p.ids), attention_mask=mask)[0]
        rows = own(hidden.flatten(0, 1)[torch.from_numpy(p.rows)])
        expected = expected.index_put((torch.from_numpy(p.targets),), rows)
    assert torch.equal(emissions, expected.detach())
    expected.backward(a_gradient(expected))
    close(network, gradients(shim.network))
    close(emitter, gradients(own))
    # Computing again takes no random numbers from those that come next.
    torch.rand(2)
    assert torch.equal(after, torch.rand(3))
    _, without, _, _ = step_of(tiny_encoder, TEXTS, **WINDOWS, dropout=0.0)
    assert not torch.allclose(without[0], network[0], atol=1e-3)


class Held:
    """Counts the bytes that autograd holds for the backward pass, weights not counted."""

    def __init__(self, network: nn.Module):
        self.now = self.peak = 0
        self.weights = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def pack(self, tensor: Tensor) -> Any:
        holder = [tensor.detach()]

        class Box(list):
            pass

        box = Box(holder)
        if tensor.untyped_storage().data_ptr() not in self.weights:
            size = tensor.numel() * tensor.element_size()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(box, self._drop, size)
        return box

    def _drop(self, size: int) -> None:
        self.now -= size

    def watch(self) -> Any:
        return torch.autograd.graph.saved_tensors_hooks(self.pack, lambda box: box[0])


def test_beyond_the_budget_no_more_than_one_pack_is_held(tiny_encoder: Path):
    def measure(budget: int, n_docs: int) -> tuple[int, int]:
        _, shim = make_encoder(tiny_encoder, batch_subwords=budget)
        pieces = shim.tokenize(docs_of([LONG] * n_docs))
        held = Held(shim.network)
        with held.watch():
            vectors, backprop = shim.run(
                pieces, all_rows(pieces), train=True, project=nn.Linear(32, 3)
            )
            gc.collect()
            after_forward = held.now
            backprop(torch.ones_like(vectors))
        return after_forward, held.peak

    one_document = len(LONG)  # a budget that two documents do not fit in
    kept, kept_peak = measure(100_000, 8)
    assert kept > 0 and kept_peak >= kept
    dropped, peak = measure(one_document, 8)
    assert dropped == 0
    assert peak < kept_peak / 4
    # Twice the documents need no more memory.
    assert measure(one_document, 16) == (0, peak)


def test_the_graph_is_gone_after_the_backward_pass(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    pieces = shim.tokenize(docs_of([LONG]))
    held = Held(shim.network)
    with held.watch():
        vectors, backprop = shim.run(pieces, all_rows(pieces), train=True)
        backprop(torch.ones_like(vectors))
    gc.collect()
    assert held.now == 0 < held.peak


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
    pieces = other.tokenize(docs)
    expected = torch.cat([by_hand(other, p)[torch.from_numpy(p.rows)] for p in pieces])
    np.testing.assert_allclose(
        np.concatenate([v.dataXd for v in vectors]), expected.detach(), atol=1e-5
    )
    expected.backward(torch.from_numpy(weights))
    close(found, gradients(other.network))


def test_a_prediction_has_no_gradient(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    pieces = shim.tokenize(docs_of([LONG]))
    vectors, backprop = shim.run(pieces, all_rows(pieces), train=False)
    with pytest.raises(RuntimeError, match="call begin_update instead of predict"):
        backprop(vectors)
    # An ordinary tensor all the same, which others may compute with.
    assert (vectors.requires_grad_() * 2).sum().requires_grad


def test_gradient_checkpointing_gives_the_same_gradients(tiny_encoder: Path):
    plain = step_of(tiny_encoder, TEXTS, dropout=0.2, **WINDOWS)
    frugal = step_of(tiny_encoder, TEXTS, dropout=0.2, gradient_checkpointing=True, **WINDOWS)
    assert torch.equal(plain[0], frugal[0])
    close(plain[1], frugal[1])
    close(plain[2], frugal[2])

    def held(**options: Any) -> int:
        _, shim = make_encoder(tiny_encoder, **options)
        pieces = shim.tokenize(docs_of([LONG] * 4))
        counter = Held(shim.network)
        with counter.watch():
            result = shim.run(pieces, all_rows(pieces), train=True)
        assert result is not None
        return counter.now

    assert held(gradient_checkpointing=True) < held() / 2


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_dropout_reaches_every_part_of_the_network(tiny_encoder: Path, dropout: float):
    _, shim = make_encoder(tiny_encoder, dropout=dropout)
    rates = {m.p for m in shim.network.modules() if isinstance(m, nn.Dropout)}
    assert rates == {dropout}
    a, b = (step_of(tiny_encoder, [LONG], dropout=dropout, seed=seed)[0] for seed in (1, 2))
    assert torch.equal(a, b) == (dropout == 0.0)


def test_dropout_is_the_config_s_by_default_and_off_in_prediction(tiny_encoder: Path):
    encoder, shim = make_encoder(tiny_encoder)
    assert {m.p for m in shim.network.modules() if isinstance(m, nn.Dropout)} == {0.1}
    a, b = (step_of(tiny_encoder, [LONG], seed=seed)[0] for seed in (1, 2))
    assert not torch.equal(a, b)
    docs = docs_of([LONG])
    encoder.begin_update(docs)
    assert np.array_equal(encoder.predict(docs)[0].dataXd, encoder.predict(docs)[0].dataXd)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "'window' of the encoder is 0; expected 1 or more"),
        ({"window": 63}, "'window' of the encoder is 63; expected at most 62, the model's limit"),
        ({"window": 8, "overlap": 8}, "'overlap' of the encoder is 8; expected 0 or more and less"),
        ({"window": 8, "overlap": -1}, "'overlap' .* is -1; .* less than the window of 8"),
        ({"overlap": 62}, "'overlap' of the encoder is 62; .* less than the window of 62"),
        ({"precision": "int4"}, r"'precision' .* is 'int4'; expected one of \['fp32', 'bf16', 'f"),
        ({"frozen_layers": -2}, "'frozen_layers' of the encoder is -2; expected -1, 0 or a number"),
        ({"frozen_layers": 3}, "'frozen_layers' .* is 3; expected at most 2, the layers of this b"),
        ({"layers": 0}, "'layers' of the encoder is 0; expected a number of layers, or null for"),
        ({"layers": 3}, "'layers' .* is 3; expected 1 to 2, or -1 to -1, for the 2 layers of this"),
        ({"layers": -2}, "'layers' .* is -2; expected 1 to 2, or -1 to -1, for the 2 layers of"),
        ({"layers": 1, "frozen_layers": 2}, "'frozen_layers' .* is 2; expected at most 1"),
        ({"batch_subwords": 0}, "'batch_subwords' of the encoder is 0; expected 1 or more"),
        ({"lr_scale": -1.0}, "'lr_scale' of the encoder is -1.0; expected 0 or more"),
        ({"dropout": -0.1}, "'dropout' of the encoder is -0.1; expected 0 <= p < 1"),
        ({"dropout": 1.0}, "'dropout' of the encoder is 1.0; expected 0 <= p < 1"),
    ],
)
def test_options_out_of_range(tiny_encoder: Path, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        make_encoder(tiny_encoder, **options)


def test_defaults_follow_the_model(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    assert (shim.window, shim.overlap, shim.budget) == (62, 15, 2048)
    _, shim = make_encoder(tiny_encoder, window=62, overlap=61, batch_subwords=7)
    assert (shim.window, shim.overlap, shim.budget) == (62, 61, 7)


def test_before_it_is_initialised(tiny_encoder: Path):
    encoder = build_transformer_encoder("no/such-encoder")  # nothing is fetched yet
    with pytest.raises(
        ValueError, match=r"no weights yet: call nlp.initialize\(\) or load a trained"
    ):
        encoder.predict(docs_of([LONG]))


def layers_of(shim: TransformerShim) -> dict[str, list[Tensor]]:
    """Copies of a BERT's parameters by part."""
    parts = {"embeddings": shim.network.embeddings}
    parts |= {str(i): layer for i, layer in enumerate(shim.network.encoder.layer)}
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}


@pytest.mark.parametrize(
    ("frozen_layers", "still"),
    [
        (0, []),
        (1, ["embeddings", "0"]),
        (2, ["embeddings", "0", "1"]),
        (-1, ["embeddings", "0", "1"]),
    ],
)
def test_frozen_layers_stay_and_the_others_learn(
    tiny_encoder: Path, frozen_layers: int, still: list[str]
):
    _, shim = make_encoder(tiny_encoder, frozen_layers=frozen_layers)
    before = layers_of(shim)
    emitter = nn.Linear(32, 3)
    pieces = shim.tokenize(docs_of(TEXTS))
    vectors, backprop = shim.run(pieces, all_rows(pieces), train=True, project=emitter)
    backprop(a_gradient(vectors))
    shim.finish_update(Adam(0.01))
    after = layers_of(shim)
    for part, parameters in before.items():
        same = [torch.equal(x, y) for x, y in zip(parameters, after[part], strict=True)]
        assert all(same) if part in still else not any(same), part
    assert emitter.weight.grad is not None and emitter.weight.grad.abs().max() > 0


@pytest.mark.parametrize(("frozen_layers", "computed"), [(0, {0, 1}), (1, {1}), (2, set())])
def test_the_backward_pass_ends_at_the_frozen_layers(
    tiny_encoder: Path, frozen_layers: int, computed: set[int]
):
    _, shim = make_encoder(tiny_encoder, frozen_layers=frozen_layers)
    reached = set()

    def watch(i: int, hidden: Tensor) -> None:
        if hidden.requires_grad:
            hidden.register_hook(lambda _: reached.add(i))

    for i, layer in enumerate(shim.network.encoder.layer):
        layer.register_forward_hook(lambda module, given, out, i=i: watch(i, out[0]))
    pieces = shim.tokenize(docs_of([LONG]))
    vectors, backprop = shim.run(pieces, all_rows(pieces), train=True, project=nn.Linear(32, 3))
    backprop(a_gradient(vectors))
    assert reached == computed


def test_a_frozen_network_has_no_dropout(tiny_encoder: Path):
    a, b = (step_of(tiny_encoder, [LONG], frozen_layers=-1, dropout=0.5, seed=s)[0] for s in (1, 2))
    assert torch.equal(a, b)


def test_a_frozen_network_keeps_no_graph(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, frozen_layers=-1)
    pieces = shim.tokenize(docs_of([LONG]))
    held = Held(shim.network)
    with held.watch():
        vectors, backprop = shim.run(pieces, all_rows(pieces), train=True)
        backprop(torch.ones_like(vectors))
    assert held.peak == 0 and gradients(shim.network) == []


# Layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, -1])
def test_the_first_layers_alone(tiny_encoder: Path, tmp_path: Path, layers: int):
    _, whole = make_encoder(tiny_encoder, dropout=0.0)
    encoder, shim = make_encoder(tiny_encoder, dropout=0.0, layers=layers)
    pieces = shim.tokenize(docs_of([LONG[:40]]))
    found, _ = shim.run(pieces, all_rows(pieces), train=False)
    ids = torch.tensor([[*whole.frame.prefix, *pieces[0].ids.tolist(), *whole.frame.suffix]])
    with torch.inference_mode():
        hidden = whole.network.eval()(input_ids=ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(found, hidden[1][0, 1:-1][pieces[0].rows], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(hidden[1], hidden[2], atol=1e-2)
    # What is saved has one layer; under the same options it is read again and keeps it.
    storage.save(shim.pretrained, tmp_path / "encoder")
    again = storage.load(tmp_path / "encoder")
    assert again.network.config.num_hidden_layers == 1
    shim.set_pretrained(again)
    assert torch.equal(shim.run(pieces, all_rows(pieces), train=False)[0], found)
    assert encoder.get_dim("nO") == 32


# Precision ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "atol"), [("bf16", 0.1), ("fp16", 0.01)])
def test_lower_precision_is_close_to_float32(tiny_encoder: Path, precision: str, atol: float):
    full, network, emitter, _ = step_of(tiny_encoder, TEXTS, dropout=0.0)
    low, low_network, low_emitter, _ = step_of(
        tiny_encoder, TEXTS, dropout=0.0, precision=precision
    )
    assert low.dtype == torch.float32 and not torch.equal(full, low)
    torch.testing.assert_close(low, full, atol=atol, rtol=0)
    # The gradient that reaches the emitter takes part in no scaling of the loss.
    for a, b in zip(low_emitter, emitter, strict=True):
        torch.testing.assert_close(a, b, atol=0.02 * float(b.abs().max()) + atol, rtol=0)
    scale = 2.0**16 if precision == "fp16" else 1.0
    for a, b in zip(low_network, network, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a / scale, b, atol=0.1 * float(b.abs().max()) + 1e-3, rtol=0)


def test_float16_steps_as_float32_does(tiny_encoder: Path):
    weights = {}
    for precision in ("fp32", "fp16"):
        _, shim = make_encoder(tiny_encoder, dropout=0.0, precision=precision)
        pieces = shim.tokenize(docs_of([LONG]))
        vectors, backprop = shim.run(pieces, all_rows(pieces), train=True)
        backprop(1e-3 * a_gradient(vectors))
        before = shim.network.embeddings.word_embeddings.weight.detach().clone()
        shim.finish_update(SGD(1.0, grad_clip=0.0, use_averages=False))
        weights[precision] = shim.network.embeddings.word_embeddings.weight.detach() - before
    step = weights["fp32"]
    assert step.abs().max() > 0
    torch.testing.assert_close(weights["fp16"], step, atol=0.02 * float(step.abs().max()), rtol=0)


def test_float16_skips_a_step_that_overflows_and_halves_its_scale(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, dropout=0.0, precision="fp16")
    assert shim.loss_scale is not None and shim.loss_scale.factor == 2.0**16
    pieces = shim.tokenize(docs_of([LONG]))
    before = layers_of(shim)
    vectors, backprop = shim.run(pieces, all_rows(pieces), train=True)
    backprop(1e4 * a_gradient(vectors))
    assert not all(g.isfinite().all() for g in gradients(shim.network))
    shim.finish_update(Adam(0.01))
    assert shim.loss_scale.factor == 2.0**15
    assert gradients(shim.network) == []
    for part, parameters in layers_of(shim).items():
        assert all(torch.equal(x, y) for x, y in zip(parameters, before[part], strict=True))
    # The next good one is taken.
    vectors, backprop = shim.run(pieces, all_rows(pieces), train=True)
    backprop(1e-3 * a_gradient(vectors))
    shim.finish_update(Adam(0.01))
    assert shim.loss_scale.factor == 2.0**15
    assert not torch.equal(layers_of(shim)["0"][0], before["0"][0])
