"""Precisions: the meaning of "auto", the head in float32, casts within an update, and networks for
prediction, whose weights are cast once and again after any change."""

import pytest
import torch
from thinc.api import SGD, Adam
from torch.profiler import ProfilerActivity, profile

from spacy_bio_crf.encoders.transformer import pretrained as storage
from spacy_bio_crf.encoders.transformer.run import Forward
from spacy_bio_crf.kernels.cpu import SWITCH
from spacy_bio_crf.kernels.precision import (
    PRECISIONS,
    PredictionNetwork,
    resolve,
    shared_casts,
)
from tests.support.encoder_tools import TEXTS, all_rows, docs_of
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train
from tests.support.tiny_models import make_encoder

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def pretend(monkeypatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def test_auto_asks_the_processor(monkeypatch):
    for fast, expected in ((True, "bf16"), (False, "fp32")):
        pretend(monkeypatch, avx512_bf16=fast)
        assert resolve("auto", CPU) == expected


def test_a_torch_that_can_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve("auto", CPU) == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16")])
def test_auto_asks_the_gpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve("auto", GPU) == expected


def test_other_precisions_are_what_they_say(monkeypatch):
    pretend(monkeypatch, avx512_bf16=True)
    assert resolve("auto", CPU, "deberta") == "fp32"
    assert [resolve(p, CPU) for p in PRECISIONS] == ["fp32", "bf16", "fp16", "int8", "bf16"]


@pytest.mark.parametrize("fast", [False, True])
def test_auto_computes_as_what_it_stands_for(monkeypatch, tiny_encoder, fast):
    pretend(monkeypatch, avx512_bf16=fast)
    vectors = {}
    for precision in ("auto", "fp32", "bf16"):
        _, shim = make_encoder(tiny_encoder, dropout=0.0, precision=precision)
        subwords = shim.text.cut(docs_of(TEXTS))
        vectors[precision], _ = shim.run(subwords, all_rows(subwords), train=False)
    assert torch.equal(vectors["auto"], vectors["bf16" if fast else "fp32"])
    assert not torch.equal(vectors["fp32"], vectors["bf16"])


def test_the_head_stays_in_float32(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"precision": "bf16", "dropout": 0.0})
    train(nlp, make_examples(nlp))
    ner = nlp.get_pipe("bio_ner")
    docs = [example.predicted for example in make_examples(nlp)]
    seen = []
    emitter = ner.model.get_ref("emitter").shims[0].network
    emitter.register_forward_hook(lambda module, given, result: seen.append((given[0], result)))
    ner.lattice(docs)
    assert seen and all(x.dtype == y.dtype == torch.float32 for x, y in seen)
    for vectors, emissions in seen:
        with torch.inference_mode():
            exact = torch.nn.functional.linear(vectors, emitter.dense.weight, emitter.dense.bias)
        torch.testing.assert_close(emissions, exact, atol=1e-6, rtol=1e-6)
    for example, doc in zip(make_examples(nlp), nlp.pipe(docs), strict=True):
        assert spans_of(doc) == spans_of(example.reference)


@pytest.mark.parametrize("budget", [40, 100_000])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_an_update_casts_weights_once_for_all_batches(tiny_encoder, precision, budget):
    """Once forward, and once more where batches are computed again; their gradients once as well,
    unless a batch's activations have to go before the next."""
    _, shim = make_encoder(tiny_encoder, precision=precision, dropout=0.0, batch_subwords=budget)
    subwords = shim.text.cut(docs_of([*TEXTS, "A b. " * 60]))
    batches = shim.text.make_batches(
        subwords, all_rows(subwords), budget=budget, overhead=shim.overhead(train=True)
    )
    assert len(batches) > 1
    weight = next(m.weight for m in shim.network.modules() if isinstance(m, torch.nn.Linear))
    count = sum(p.shape == weight.shape for p in shim.network.parameters())

    def casts(work) -> int:
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
            work()
        of_weights = [
            e
            for e in seen.events()
            if e.name == "aten::_to_copy" and e.input_shapes[0] == list(weight.shape)
        ]
        return len(of_weights)

    made: list = []
    assert casts(lambda: made.extend(shim.run(subwords, all_rows(subwords), train=True))) == count
    vectors, backprop = made
    kept = budget == 100_000
    d_vectors = torch.linspace(-1, 1, vectors.numel()).view(vectors.shape)
    assert casts(lambda: backprop(d_vectors)) == (count if kept else count * (1 + len(batches)))


def test_a_caller_s_own_autocast_costs_no_gradient(tiny_encoder):
    """The first pass over a batch is without gradient, the second one with it."""
    gradients = []
    for within in (False, True):
        _, shim = make_encoder(tiny_encoder, precision="bf16", dropout=0.0, batch_subwords=40)
        subwords = shim.text.cut(docs_of(TEXTS))
        with torch.autocast("cpu", enabled=within, dtype=torch.bfloat16):
            vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
            backprop(torch.linspace(-1, 1, vectors.numel()).view(vectors.shape))
        gradients.append({name: p.grad for name, p in shim.trained()})
    assert list(gradients[0]) == list(gradients[1])
    for a, b in zip(*(g.values() for g in gradients), strict=True):
        torch.testing.assert_close(a, b)


def test_switched_off_torch_keeps_its_own_casts(monkeypatch):
    calls: list[None] = []
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: calls.append(None))
    with shared_casts(CPU):
        assert len(calls) == 1
    calls.clear()
    monkeypatch.setenv(SWITCH, "0")
    with shared_casts(CPU):
        pass
    assert calls == []


# Networks for prediction -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_weights_are_cast_once_for_all_predictions(tiny_encoder, precision):
    _, shim = make_encoder(tiny_encoder, precision=precision, batch_subwords=16)
    subwords = shim.text.cut(docs_of(TEXTS))
    first, _ = shim.run(subwords, all_rows(subwords), train=False)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        second, _ = shim.run(subwords, all_rows(subwords), train=False)
    calls = [(e.name, e.input_shapes[0]) for e in seen.events() if e.input_shapes]
    assert [name for name, _ in calls if name == "aten::linear"]
    weights = {m.weight.shape for m in shim.network.modules() if isinstance(m, torch.nn.Linear)}
    assert not [shape for name, shape in calls if name == "aten::_to_copy" and (*shape,) in weights]
    assert torch.equal(first, second)
    # They are what autocast makes of them.
    forward = Forward(shim.network.eval(), CPU, precision, torch.nn.Identity())
    batches = shim.text.make_batches(subwords, all_rows(subwords), budget=16, overhead=64)
    with torch.inference_mode():
        cast = [forward(b) for b in batches]
    mine = [second[torch.from_numpy(b.targets)] for b in batches]
    assert all(torch.equal(a, b) for a, b in zip(cast, mine, strict=True))


@pytest.mark.parametrize("rate", [Adam(0.01), SGD(0.1, grad_clip=0.0, use_averages=False)])
def test_the_weights_of_the_last_step_are_used(make_nlp: MakeNlp, rate):
    """torch's fused steps do not count as writing to a weight."""
    nlp = make_nlp(encoder_options={"precision": "bf16", "dropout": 0.0})
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    ner = nlp.get_pipe("bio_ner")
    docs = [example.predicted for example in examples]
    for _ in range(2):
        before = ner.lattice(docs).emissions
        nlp.update(examples, sgd=rate)
        after = ner.lattice(docs).emissions
        fresh = make_nlp(encoder_options={"precision": "bf16", "dropout": 0.0})
        fresh.get_pipe("bio_ner").from_bytes(ner.to_bytes())
        assert torch.equal(fresh.get_pipe("bio_ner").lattice(docs).emissions, after)
        assert not torch.equal(before, after)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_new_weights_are_used(tiny_encoder, precision):
    """Whether they came by a step, by averages, or by another array."""
    _, shim = make_encoder(tiny_encoder, precision=precision)
    subwords = shim.text.cut(docs_of(TEXTS))

    def predict():
        return shim.run(subwords, all_rows(subwords), train=False)[0]

    seen = [predict()]
    weight = shim.network.encoder.layer[0].attention.self.query.weight
    with torch.no_grad():
        weight.mul_(2.0)
    seen.append(predict())
    weight.data = 2.0 * weight.data
    seen.append(predict())
    shim.set_pretrained(storage.load_folder(tiny_encoder))
    assert torch.equal(predict(), seen[0])
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_a_frozen_encoder_is_cast_once(tiny_encoder):
    _, shim = make_encoder(tiny_encoder, precision="bf16", frozen_layers=-1)
    subwords = shim.text.cut(docs_of(TEXTS))
    expected, _ = shim.run(subwords, all_rows(subwords), train=False)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        vectors, _ = shim.run(subwords, all_rows(subwords), train=True)
        shim.finish_update(Adam(0.1))
        shim.run(subwords, all_rows(subwords), train=True)
    weights = {m.weight.shape for m in shim.network.modules() if isinstance(m, torch.nn.Linear)}
    copied = [e.input_shapes[0] for e in seen.events() if e.name == "aten::_to_copy"]
    assert not [shape for shape in copied if (*shape,) in weights]
    assert torch.equal(vectors, expected)


def test_switched_off_autocast_casts(tiny_encoder, monkeypatch):
    _, shim = make_encoder(tiny_encoder, precision="bf16")
    subwords = shim.text.cut(docs_of(TEXTS))
    expected, _ = shim.run(subwords, all_rows(subwords), train=False)
    monkeypatch.setenv(SWITCH, "0")
    for precision in ("fp32", "bf16", "fp16"):
        assert PredictionNetwork().of(shim.network, precision) is shim.network
    found, _ = shim.run(subwords, all_rows(subwords), train=False)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
