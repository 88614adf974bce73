"""Networks for prediction: weights are cast once, and again after any change."""

import pytest
import torch
from thinc.api import SGD, Adam
from torch.profiler import ProfilerActivity, profile

from spacy_bio_crf.encoders.transformer import pretrained as storage
from spacy_bio_crf.encoders.transformer.run import Forward
from spacy_bio_crf.kernels.cpu import SWITCH
from spacy_bio_crf.kernels.prediction import PredictionNetwork
from tests.support.encoder_tools import TEXTS, all_rows, docs_of
from tests.support.pipelines import MakeNlp, make_examples
from tests.support.tiny_models import make_encoder

CPU = torch.device("cpu")


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
