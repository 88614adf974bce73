"""The state of a pipeline in training: set in another pipeline, it goes on the same way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import SGD, Adam, Optimizer, PyTorchWrapper, RAdam, warmup_linear

from spacy_bio_crf.training.pipeline_state import PipelineState, pack, pack_states, unpack_states
from tests.support.components import component
from tests.support.pipelines import MakeNlp, make_examples

OPTIMIZERS: dict[str, Any] = {
    "Adam": lambda: Adam(warmup_linear(0.002, 3, 20), L2=0.01),
    "Adam without averages": lambda: Adam(0.002, use_averages=False),
    "RAdam": lambda: RAdam(0.01),
    "SGD": lambda: SGD(0.01, L2=0.1),
}


def step(nlp: Language, optimizer: Optimizer) -> None:
    nlp.update(make_examples(nlp), sgd=False, drop=0.0)
    for _, pipe in nlp.pipeline:
        pipe.finish_update(optimizer)
    optimizer.step_schedules()


def make(make_nlp: MakeNlp, seed: int, **options: Any) -> Language:
    nlp = make_nlp(encoder_options={"dropout": 0.0, **options})
    nlp.add_pipe("textcat").add_label("A")
    nlp.get_pipe("textcat").add_label("B")
    spacy.util.fix_random_seed(seed)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def same(one: PipelineState, two: PipelineState) -> None:
    (tensors, values), (others, other_values) = one.read(), two.read()
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert values == other_values


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_goes_on_in_another_pipeline(kind: str, make_nlp: MakeNlp):
    one, two = make(make_nlp, 0), make(make_nlp, 1)
    first, second = OPTIMIZERS[kind](), OPTIMIZERS[kind]()
    for _ in range(4):
        step(one, first)
    state, other = PipelineState(one, first), PipelineState(two, second)
    tensors, values = state.read()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    other.set(tensors, json.loads(json.dumps(values)), steps=4)
    same(state, other)
    for _ in range(3):
        step(one, first)
        step(two, second)
    same(state, other)
    # What was read is a copy.
    assert all(torch.equal(kept[name], tensors[name]) for name in kept)
    if kind == "Adam":
        assert {name.partition("/")[0] for name in kept} >= {
            *("weights", "gradients", "step", "mom1", "mom2", "averages", "settings"),
        }


def test_the_loss_scale(make_nlp: MakeNlp, monkeypatch):
    monkeypatch.setattr("spacy_bio_crf.training.optimizer.GROWTH_STEPS", 3)
    with pytest.warns(UserWarning, match="fp16"):
        one, two = (make(make_nlp, seed, precision="fp16") for seed in (0, 1))
    first, second = Adam(0.001), Adam(0.001)
    for _ in range(4):
        step(one, first)
    scale = component(one).encoder.shim.loss_scale
    assert scale.state() != component(two).encoder.shim.loss_scale.state()
    tensors, values = PipelineState(one, first).read()
    PipelineState(two, second).set(tensors, values, steps=4)
    assert component(two).encoder.shim.loss_scale.state() == scale.state()


class Wrapped:
    """A component whose model is a torch network in thinc's own wrapper."""

    is_trainable = True

    def __init__(self) -> None:
        self.model = PyTorchWrapper(torch.nn.Linear(3, 2))

    def __call__(self, doc):
        return doc


def test_networks_in_thincs_wrapper():
    pairs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        nlp, optimizer = spacy.blank("en"), Adam(0.01)
        pipe = Wrapped()
        Language.factory("test_wrapped", func=lambda nlp, name, pipe=pipe: pipe)
        nlp.add_pipe("test_wrapped")
        pairs.append((nlp, pipe.model, optimizer))

    def take(model, optimizer, *, learns: bool = True) -> None:
        out, backprop = model.begin_update(np.ones((2, 3), dtype="f"))
        if learns:
            backprop(out)
        model.finish_update(optimizer)

    (one, model, first), (two, other, second) = pairs
    for _ in range(3):
        take(model, first)
    tensors, values = PipelineState(one, first).read()
    PipelineState(two, second).set(tensors, json.loads(json.dumps(values)), steps=3)
    # thinc takes a step with a gradient of zero, too: moments move the weights on.
    for learns in (False, True):
        take(model, first, learns=learns)
        take(other, second, learns=learns)
    same(PipelineState(one, first), PipelineState(two, second))


def test_frozen_components_are_left_out(make_nlp: MakeNlp):
    nlp = make(make_nlp, 0)
    tensors, _ = PipelineState(nlp, Adam(0.1), ["textcat"]).read()
    assert {name.split("/")[1] for name in tensors} == {"bio_ner"}


def test_shapes(make_nlp: MakeNlp):
    nlp = make(make_nlp, 0)
    state = PipelineState(nlp, Adam(0.1))
    tensors, _ = state.read()
    expected = {name: tuple(t.shape) for name, t in tensors.items() if name.startswith("weights/")}
    assert state.shapes() == expected and len(expected) > 30


def test_bytes():
    assert pack(b"ab").tolist() == [97, 98] and pack(b"").numel() == 0


def test_what_a_component_learns_beside_its_weights(tmp_path: Path):
    """The trees of a lemmatizer grow in training."""
    pipelines = []
    for _ in range(2):
        nlp = spacy.blank("en")
        nlp.add_pipe("trainable_lemmatizer", config={"min_tree_freq": 1})
        doc = spacy.tokens.Doc(nlp.vocab, words=["cats", "ran"], lemmas=["cat", "run"])
        known = [Example(nlp.make_doc("cats ran"), doc)]
        nlp.initialize(lambda known=known: known)
        pipelines.append(nlp)
    one, two = pipelines
    doc = spacy.tokens.Doc(one.vocab, words=["mice"], lemmas=["mouse"])
    one.update([Example(one.make_doc("mice"), doc)])
    lemmatizers = [nlp.get_pipe("trainable_lemmatizer") for nlp in pipelines]
    assert len(lemmatizers[0].trees) > len(lemmatizers[1].trees)
    tensors, values = PipelineState(one, Adam(0.1)).read()
    PipelineState(two, Adam(0.1)).set(tensors, values, steps=1)
    assert len(lemmatizers[0].trees) == len(lemmatizers[1].trees)


def test_random_states_by_name():
    states = {3: {"numpy": b"ab", "cuda.0": b"c"}, "now": {"python": b"d"}}
    tensors = pack_states(states)
    assert set(tensors) == {"random/3/numpy", "random/3/cuda.0", "random/now/python"}
    found = unpack_states({**tensors, "weights/x": pack(b"e")})
    assert found == {"3": states[3], "now": states["now"]}
