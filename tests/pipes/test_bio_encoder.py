"""BioEncoder: one encoder for several components, in prediction, in training and on disk."""

import copy
import gc
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import SGD, Adam

from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder
from spacy_bio_crf.errors import BioError
from spacy_bio_crf.model import emitter_shim, torch_shims
from spacy_bio_crf.pipes.bio_encoder import BioEncoder
from tests.support.encoder_tools import LONG, by_hand
from tests.support.layered import GROUPS, KEY, LAYERED, layered_examples, layers_of
from tests.support.pipelines import (
    SENTENCES,
    MakeNlp,
    make_examples,
    spans_of,
    train,
)
from tests.support.sharing import (
    SHARED,
    add_head,
    add_owner,
    make_shared,
    owner_of,
    passes,
    shim_of,
)
from tests.support.taggers import TAGGED, tagged_examples, tagger_config

TEXTS = [" ".join(words) for words, _ in SENTENCES] * 3 + ["", "   ", LONG * 3]
HEADS = ("bio_ner", "second")


@pytest.fixture(scope="module")
def shared(tiny_encoder: Path) -> Language:
    """A pipeline whose two components have learned the sentences. Do not change it."""
    nlp = make_shared(tiny_encoder, lr_scale=0.25)
    return train(nlp, make_examples(nlp))


@pytest.fixture
def fresh(tiny_encoder: Path) -> Language:
    """The same pipeline, initialized."""
    nlp = make_shared(tiny_encoder)
    torch.manual_seed(0)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def weights_of(nlp: Language) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": p.detach().clone()
        for name, pipe in nlp.components
        for shim in torch_shims(pipe.model)
        for key, p in shim.network.named_parameters()
    }


def gradients_of(nlp: Language) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, pipe in nlp.components
        for shim in torch_shims(pipe.model)
        for key, p in shim.network.named_parameters()
    }


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=atol, rtol=1e-5, msg=name)


def changed(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> set[str]:
    """The components whose weights differ."""
    return {name.partition(".")[0] for name in one if not torch.equal(one[name], two[name])}


def found(docs: list[Doc]) -> list[Any]:
    return [(spans_of(doc), [str(span) for span in doc.spans["second"]]) for doc in docs]


# Prediction


def test_both_components_learn(shared: Language):
    for words, ents in SENTENCES:
        doc = shared(Doc(shared.vocab, words=words))
        assert spans_of(doc) == ents
        assert [(s.start, s.end, s.label_) for s in doc.spans["bio_ner"]] == ents


@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_entities_and_parts_of_speech(tiny_encoder: Path, monkeypatch, head: str):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder)
    model = {**tagger_config(tiny_encoder, head), "encoder": {"@architectures": SHARED}}
    nlp.add_pipe("bio_tagger", config={"target": "pos", "model": model})
    add_head(nlp)
    # Documents with entities alone, and documents with parts of speech alone.
    examples = [*make_examples(nlp), *tagged_examples(nlp)]
    for example in examples[len(SENTENCES) :]:
        example.reference.set_ents([], missing=[example.reference[:]])
    train(nlp, examples, lr=4e-3)
    with passes(monkeypatch) as counts:
        docs = list(nlp.pipe(texts := [eg.reference.text for eg in examples]))
    assert counts == [len(texts)]
    for (_, ents), doc in zip(SENTENCES, docs, strict=False):
        assert spans_of(doc) == ents and all(token.pos_ for token in doc)
    for (_, parts), doc in zip(TAGGED, docs[len(SENTENCES) :], strict=True):
        assert [token.pos_ for token in doc] == parts
    assert nlp.get_pipe("bio_tagger").kbest(TEXTS[0], 2)[0].probability > 0


def test_groups_of_labels(tiny_encoder: Path, monkeypatch):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder)
    add_head(nlp, groups=GROUPS, gold_spans_key=KEY)
    options = {"gold_spans_key": KEY, "spans_key": "second", "overwrite": True}
    add_head(nlp, "second", groups="per_label", **options)
    train(nlp, layered_examples(nlp), steps=60)
    with passes(monkeypatch) as counts:
        docs = list(nlp.pipe(Doc(nlp.vocab, words=words) for words, _ in LAYERED))
    assert counts == [len(LAYERED)]
    for (_, ents), doc in zip(LAYERED, docs, strict=True):
        assert sorted(layers_of(doc)) == sorted(layers_of(doc, "second")) == sorted(ents)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_a_stream_passes_the_encoder_once(shared: Language, monkeypatch, batch_size: int):
    with passes(monkeypatch) as counts:
        docs = list(shared.pipe(TEXTS, batch_size=batch_size))
    assert sum(counts) == len(TEXTS)
    assert max(counts) == min(batch_size, len(TEXTS))
    assert not owner_of(shared).upstream._held
    with passes(monkeypatch) as counts:
        assert found([shared(text) for text in TEXTS]) == found(docs)
    assert counts == [1] * len(TEXTS)


def test_components_may_gather_in_groups_of_their_own(
    tiny_encoder: Path, shared: Language, monkeypatch
):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder, buffer=15)
    add_head(nlp, buffer_tokens=70)
    add_head(nlp, "second", "softmax", overwrite=True, spans_key="second", buffer_tokens=4)
    nlp.initialize(lambda: make_examples(nlp))
    nlp.from_bytes(shared.to_bytes(exclude=["config"]))
    with passes(monkeypatch) as counts:
        docs = list(nlp.pipe(TEXTS, batch_size=3))
    assert sum(counts) == len(TEXTS)
    assert found(docs) == found(list(shared.pipe(TEXTS)))


def test_scores_are_those_of_an_owned_encoder_to_the_bit(shared: Language):
    alone = copy.deepcopy(shared)
    for name in HEADS:
        alone.replace_listeners("bio_encoder", name, ["model.encoder"])
    docs = [shared.make_doc(text) for text in TEXTS]
    for name in HEADS:
        own = alone.get_pipe(name)
        assert isinstance(own.encoder, TransformerEncoder)
        expected = own.lattice(docs)
        owner_of(shared).set_annotations(docs, owner_of(shared).predict(docs))
        for lattice in (shared.get_pipe(name).lattice(docs), shared.get_pipe(name).lattice(docs)):
            assert torch.equal(lattice.emissions, expected.emissions)
            assert all(map(np.array_equal, lattice.tokens, expected.tokens))


def test_a_component_alone_runs_the_encoder_itself(shared: Language, monkeypatch):
    ner = shared.get_pipe("bio_ner")
    expected = [spans_of(shared(text)) for text in TEXTS[:6]]
    with passes(monkeypatch) as counts:
        docs = [shared.make_doc(text) for text in TEXTS[:6]]
        assert [[tuple(e) for e in one.found] for one in ner.predict(docs)] == expected
        assert len(ner.kbest(TEXTS[0], 2)) == 2
        assert ner.marginals(TEXTS[0]).shape == (9, 5)
        with shared.select_pipes(disable="bio_encoder"):
            assert [spans_of(doc) for doc in shared.pipe(TEXTS[:6])] == expected
    assert counts == [6, 1, 1, 6, 6]


def test_some_documents_may_have_emissions_and_others_not(shared: Language, monkeypatch):
    owner, ner = owner_of(shared), shared.get_pipe("bio_ner")
    docs = [shared.make_doc(text) for text in TEXTS[:6]]
    expected = ner.lattice(docs)
    for doc in docs[1::2]:
        owner(doc)
    with passes(monkeypatch) as counts:
        lattice = ner.lattice(docs)
    assert counts == [3]
    torch.testing.assert_close(lattice.emissions, expected.emissions, atol=1e-5, rtol=0)
    assert all(map(np.array_equal, lattice.tokens, expected.tokens))
    assert ner.lattice([]).emissions.shape == (0, 5)


def test_emissions_go_with_their_document(shared: Language):
    owner = owner_of(shared)
    docs = list(shared.pipe(TEXTS, disable=["second"]))
    assert len(owner.upstream._held) == len(docs)
    (kept,) = {kept.emissions.shape[1] for kept in owner.upstream._held.values()}
    assert kept == 10  # of two heads, and no vectors of width 32
    del docs
    gc.collect()
    assert not owner.upstream._held


def test_nothing_is_computed_for_components_that_are_disabled(shared: Language, monkeypatch):
    owner = owner_of(shared)
    doc = shared.make_doc(TEXTS[0])
    with shared.select_pipes(disable=["second"]):
        owner(doc)
    assert owner.upstream._held[doc].emissions.shape[1] == 5
    with passes(monkeypatch) as counts, shared.select_pipes(enable=["bio_encoder"]):
        list(shared.pipe(TEXTS))
    assert counts == []


def test_emissions_of_other_tokens_or_weights_are_not_used(shared: Language):
    nlp = copy.deepcopy(shared)
    owner, ner = owner_of(nlp), nlp.get_pipe("bio_ner")

    def fresh_lattice(doc: Doc) -> torch.Tensor:
        return ner.lattice([Doc(nlp.vocab, words=[t.text for t in doc])]).emissions

    doc = owner(nlp.make_doc(TEXTS[0]))
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
        retokenizer.split(doc[6], ["Yo", "rk"], [(doc[6], 0), (doc[6], 1)])
    assert len(doc) == 9
    lattice = ner.lattice([doc])
    assert torch.equal(lattice.emissions, ner.lattice([doc]).emissions)
    for change in ("head", "encoder", "precision"):
        doc = owner(nlp.make_doc(TEXTS[0]))
        if change == "precision":
            ner.precision = "int8"
        else:
            model = ner.model if change == "head" else owner.model
            for shim in torch_shims(model):
                for p in shim.network.parameters():
                    p.grad = torch.ones_like(p)
            model.finish_update(Adam(1e-2))
        assert torch.equal(ner.lattice([doc]).emissions, fresh_lattice(doc))


def test_averages_of_weights_are_other_weights(shared: Language):
    nlp = copy.deepcopy(shared)
    ner, shim = nlp.get_pipe("bio_ner"), shim_of(nlp)
    zeros = {(shim.id, n): np.zeros(p.shape, "f") for n, p in shim.network.named_parameters()}
    doc = owner_of(nlp)(nlp.make_doc(TEXTS[0]))
    with nlp.use_params(zeros):
        emissions = ner.lattice([doc]).emissions
    assert torch.equal(emissions, emissions[:1].expand(9, 5))


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_the_precision_is_that_of_the_owner(shared: Language, precision: str):
    nlp = copy.deepcopy(shared)
    nlp.get_pipe("second").precision = precision
    assert owner_of(nlp).precision == nlp.get_pipe("bio_ner").precision == precision
    docs = [nlp.make_doc(text) for text in TEXTS[:6]]
    for doc in docs:
        owner_of(nlp)(doc)
    rounded = nlp.get_pipe("bio_ner").lattice(docs).emissions
    exact = shared.get_pipe("bio_ner").lattice(docs).emissions
    assert 0 < float((rounded - exact).abs().max()) < 1.0
    owner_of(nlp).precision = "fp32"
    assert nlp.get_pipe("bio_ner").precision == "fp32"


def test_windows_of_long_documents(shared: Language, tiny_encoder: Path):
    nlp = make_shared(tiny_encoder, window=9, overlap=4, batch_subwords=40)
    nlp.initialize(lambda: make_examples(nlp))
    nlp.from_bytes(shared.to_bytes(exclude=["config"]))
    doc = nlp.make_doc(" ".join([LONG] * 30))
    (own,) = owner_of(nlp).encoder.cut([doc])
    with torch.no_grad():
        vectors = by_hand(shim_of(nlp), own)[own.rows[np.cumsum(own.lengths) - own.lengths]]
        network = emitter_shim(nlp.get_pipe("second").model.layers[1]).network
        expected = network.dense(vectors)
    owner_of(nlp)(doc)
    emissions = nlp.get_pipe("second").lattice([doc]).emissions
    torch.testing.assert_close(emissions, expected, atol=1e-4, rtol=0)


def test_a_failure_concerns_one_document(shared: Language, monkeypatch):
    nlp = copy.deepcopy(shared)
    failed: list[str] = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append(docs[0].text))
    cut = type(shim_of(nlp).text).cut

    def refuse(self: Any, docs: Any) -> Any:
        if any("Nobody" in doc.text for doc in docs):
            raise ValueError("Nobody")
        return cut(self, docs)

    monkeypatch.setattr(type(shim_of(nlp).text), "cut", refuse)
    docs = list(nlp.pipe(TEXTS[:6]))
    assert failed == [TEXTS[4]]
    assert found(docs) == found([shared(t) for t in TEXTS[:6] if "Nobody" not in t])


def test_processes_and_threads(shared: Language):
    expected = found(list(shared.pipe(TEXTS)))
    assert found(list(shared.pipe(TEXTS, n_process=2, batch_size=5))) == expected
    results: dict[int, Any] = {}

    def work(i: int) -> None:
        results[i] = found(list(shared.pipe(TEXTS, batch_size=3)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[i] == expected for i in range(3))


# Training


def direct_step(
    nlp: Language, examples: list[Example], factors: dict[str, float], rate: float
) -> None:
    """Plain gradient descent on the sum of both losses, window by window, by autograd alone."""
    shim = shim_of(nlp)
    docs = [eg.predicted for eg in examples]
    size = sum(map(len, docs))
    vectors, losses = [], []
    for own in shim.text.cut(docs):
        firsts = own.rows[np.cumsum(own.lengths) - own.lengths]
        vectors.append(by_hand(shim, own)[torch.from_numpy(firsts)])
    for name, factor in factors.items():
        pipe = nlp.get_pipe(name)
        network = emitter_shim(pipe.model.layers[1]).network
        index = {tag: i for i, tag in enumerate(pipe.tagset.tags)}
        for eg, v in zip(examples, vectors, strict=True):
            # The gradient of a head for the encoder has a factor, its own weights have none.
            v = v.clone()
            v.register_hook(lambda grad, factor=factor: factor * grad)
            tags = ["O"] * len(eg.reference)
            for start, end, label in spans_of(eg.reference):
                tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
            gold = torch.tensor([index[tag] for tag in tags])
            emissions = network(v)
            if network.crf is None:
                losses.append(torch.nn.functional.cross_entropy(emissions, gold, reduction="sum"))
            else:
                losses.append(-network.crf(emissions[None], gold[None]))
    (sum(losses) / size).backward()
    with torch.no_grad():
        for _, pipe in nlp.pipeline:
            for own in torch_shims(pipe.model):
                for name, p in own.network.named_parameters():
                    p -= rate * own.lr_scale(name) * p.grad
                    p.grad = None


@pytest.mark.parametrize("road", ["update", "train", "accumulated"])
@pytest.mark.parametrize("budget", [None, 30])
def test_weights_are_those_of_a_direct_computation(tiny_encoder: Path, road: str, budget):
    nlp = make_shared(tiny_encoder, batch_subwords=budget, window=12, overlap=4)
    nlp.get_pipe("second").model.layers[0].grad_factor = 0.5
    torch.manual_seed(0)
    nlp.initialize(lambda: make_examples(nlp))
    direct = copy.deepcopy(nlp)
    before = weights_of(nlp)
    examples = make_examples(nlp)
    rate, optimizer = 2e-3, SGD(2e-3, L2=0.0, grad_clip=0.0)
    # In parts, the divisor is that of each part: the same if all have the same tokens.
    if road == "accumulated":
        examples = [examples[0]] * 4
    for _ in range(4):
        if road == "update":
            nlp.update(examples, sgd=optimizer)
        else:
            for part in [examples[:2], examples[2:]] if road == "accumulated" else [examples]:
                nlp.update(part, sgd=False)
            for _, pipe in nlp.pipeline:
                pipe.finish_update(optimizer)
        scale = 2.0 if road == "accumulated" else 1.0
        direct_step(direct, examples, {"bio_ner": 1.0, "second": 0.5}, scale * rate)
    equal(weights_of(nlp), weights_of(direct))
    assert changed(before, weights_of(nlp)) == {"bio_encoder", *HEADS}


@pytest.mark.parametrize("labels", ["first", "all"])
def test_gradients_are_the_sum_of_two_owned_encoders(tiny_encoder: Path, labels: str):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder, batch_subwords=40)
    add_head(nlp, subword_labels=labels)
    add_head(nlp, "second", "softmax")
    nlp.initialize(lambda: make_examples(nlp))
    alone = copy.deepcopy(nlp)
    for name in HEADS:
        alone.replace_listeners("bio_encoder", name, ["model.encoder"])
    examples = make_examples(nlp)
    losses = nlp.update(examples, sgd=False)
    expected_losses = alone.update(examples, sgd=False)
    assert losses == pytest.approx({**expected_losses, "bio_encoder": 0.0})
    shared, own = gradients_of(nlp), gradients_of(alone)
    encoder = [n.removeprefix("bio_encoder.") for n in shared if n.startswith("bio_encoder.")]
    for name in encoder:
        total = own[f"bio_ner.{name}"] + own[f"second.{name}"]
        torch.testing.assert_close(shared[f"bio_encoder.{name}"], total, atol=1e-6, rtol=1e-4)
    heads = [n for n in shared if not n.startswith("bio_encoder.")]
    equal({n: shared[n] for n in heads}, {n: own[n] for n in heads})


def encoder_learns(nlp: Language) -> bool:
    return any(g.any() for name, g in gradients_of(nlp).items() if name.startswith("bio_encoder."))


def test_gradients_are_complete_before_the_step(fresh: Language):
    examples, twin = make_examples(fresh), copy.deepcopy(fresh)
    for nlp in (fresh, twin):
        # The encoder waits for the head that is left out.
        nlp.update(examples, sgd=False, exclude=["second"])
        assert not encoder_learns(nlp)
    owner_of(fresh).complete_gradients()
    assert encoder_learns(fresh)
    for nlp in (fresh, twin):
        for _, pipe in nlp.pipeline:
            pipe.finish_update(SGD(0.1, L2=0.0, grad_clip=0.0))
    equal(weights_of(fresh), weights_of(twin), atol=0.0)


def test_one_pass_and_one_step_for_each_update(fresh: Language, monkeypatch):
    steps: list[str] = []
    for name, pipe in fresh.pipeline:
        for shim in torch_shims(pipe.model):
            finish = shim.finish_update
            monkeypatch.setattr(
                shim,
                "finish_update",
                lambda sgd, n=name, f=finish, s=shim: (
                    steps.append((n, bool(s.trained()))),
                    f(sgd),
                ),
            )
    with passes(monkeypatch) as counts:
        fresh.update(make_examples(fresh), sgd=Adam(1e-3))
    assert counts == [6]
    assert steps == [("bio_ner", True), ("bio_encoder", True), ("second", True)]
    assert owner_of(fresh).upstream.batch is None


@pytest.mark.parametrize("budget", [1, 100_000])
def test_a_prediction_between_the_passes_changes_nothing(tiny_encoder: Path, budget: int):
    def run(dropout: float, annotates: list[str]) -> dict[str, torch.Tensor]:
        nlp = make_shared(tiny_encoder, batch_subwords=budget, dropout=dropout)
        torch.manual_seed(0)
        nlp.initialize(lambda: make_examples(nlp))
        torch.manual_seed(1)
        nlp.update(make_examples(nlp), sgd=False, annotates=annotates)
        return gradients_of(nlp)

    expected = run(0.3, [])
    equal(run(0.3, ["bio_ner"]), expected, atol=0.0)
    name = "bio_encoder.encoder.layer.0.output.dense.weight"
    assert not torch.allclose(run(0.0, [])[name], expected[name], rtol=1e-2)


def test_a_frozen_owner_stays_and_is_run_once(fresh: Language, monkeypatch):
    before = weights_of(fresh)
    optimizer = Adam(1e-2)
    with passes(monkeypatch) as counts:
        for _ in range(30):
            fresh.update(make_examples(fresh), sgd=optimizer, exclude=["bio_encoder"])
    assert counts == [6] * 30
    assert changed(before, weights_of(fresh)) == set(HEADS)
    losses: dict[str, float] = {}
    fresh.update(make_examples(fresh), sgd=False, exclude=["bio_encoder"], losses=losses)
    first: dict[str, float] = {}
    make_first = copy.deepcopy(fresh)
    make_first.initialize(lambda: make_examples(fresh))
    make_first.update(make_examples(fresh), sgd=False, losses=first)
    assert losses["bio_ner"] < first["bio_ner"]
    assert owner_of(fresh).upstream.batch is None


def test_a_frozen_owner_has_no_dropout(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder, dropout=0.5)
    nlp.initialize(lambda: make_examples(nlp))
    losses = [nlp.update(make_examples(nlp), sgd=False, exclude=["bio_encoder"]) for _ in range(2)]
    assert losses[0] == losses[1]
    trained = [nlp.update(make_examples(nlp), sgd=False) for _ in range(2)]
    assert trained[0] != trained[1]


def test_layers_that_are_frozen_as_a_whole(tiny_encoder: Path, monkeypatch):
    nlp = make_shared(tiny_encoder, frozen_layers=-1, batch_subwords=20)
    nlp.initialize(lambda: make_examples(nlp))
    before = weights_of(nlp)
    for _ in range(2):
        nlp.update(make_examples(nlp), sgd=Adam(1e-2))
    assert changed(before, weights_of(nlp)) == set(HEADS)
    # Nothing is kept, or computed again, for a gradient that nobody takes.
    assert not owner_of(nlp).upstream.open_batch([nlp.make_doc(LONG)], learns=True).learns


def test_a_frozen_component_gives_no_gradient(fresh: Language, tmp_path: Path):
    alone = copy.deepcopy(fresh)
    alone.remove_pipe("second")
    before = weights_of(fresh)
    examples = make_examples(fresh)
    for _ in range(3):
        fresh.update(examples, sgd=SGD(1e-2, L2=0.0), exclude=["second"])
        alone.update(examples, sgd=SGD(1e-2, L2=0.0))
    # The last step waits for the component that is left out, until the pipeline is saved.
    fresh.to_disk(tmp_path)
    assert changed(before, weights_of(fresh)) == {"bio_encoder", "bio_ner"}
    equal(
        {n: p for n, p in weights_of(fresh).items() if not n.startswith("second")},
        weights_of(alone),
    )
    # As in `spacy train`, where steps come after all updates.
    optimizer = SGD(1e-2, L2=0.0)
    for nlp, exclude in ((fresh, ["second"]), (alone, [])):
        nlp.update(examples, sgd=False, exclude=exclude)
        for name, pipe in nlp.pipeline:
            if name not in exclude:
                pipe.finish_update(optimizer)
    equal(
        {n: p for n, p in weights_of(fresh).items() if not n.startswith("second")},
        weights_of(alone),
    )


def test_a_disabled_component_is_not_waited_for(fresh: Language):
    before = weights_of(fresh)
    with fresh.select_pipes(disable=["second"]):
        fresh.update(make_examples(fresh), sgd=Adam(1e-3))
    assert changed(before, weights_of(fresh)) == {"bio_encoder", "bio_ner"}
    assert owner_of(fresh).upstream.batch is None


def test_a_component_without_a_say(fresh: Language):
    for name in HEADS:
        fresh.get_pipe(name).model.layers[0].grad_factor = 0.0
    before = weights_of(fresh)
    fresh.update(make_examples(fresh), sgd=Adam(1e-3))
    assert changed(before, weights_of(fresh)) == set(HEADS)


def test_annotation_in_training(fresh: Language):
    examples = make_examples(fresh)
    names = ["bio_encoder", "bio_ner"]
    for _ in range(60):
        fresh.update(examples, sgd=Adam(2e-3), annotates=names)
    # Examples are copied by nlp.update, so the annotation is seen by a component behind.
    seen: list[Any] = []

    @Language.component("look_at_entities")
    def look(doc: Doc) -> Doc:
        seen.append(spans_of(doc))
        return doc

    fresh.add_pipe("look_at_entities", before="second")
    fresh.update(examples, sgd=False, annotates=[*names, "look_at_entities"])
    assert seen == [ents for _, ents in SENTENCES]


def test_tokens_that_change_between_two_components(fresh: Language):
    @Language.component("merge_two")
    def merge_two(doc: Doc) -> Doc:
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[:2])
        return doc

    fresh.add_pipe("merge_two", before="second")
    examples = make_examples(fresh)[:1]
    with pytest.raises(ValueError, match="'bio_encoder': expected the tokens that it has read"):
        fresh.update(examples, sgd=Adam(1e-3), annotates=["merge_two"])
    # A frozen encoder reads the new ones for the components behind.
    assert examples[0].reference[0].text == "Ana"
    losses = fresh.update(
        examples, sgd=Adam(1e-3), annotates=["merge_two"], exclude=["bio_encoder"]
    )
    assert losses["second"] > 0
    fresh.replace_listeners("bio_encoder", "second", ["model.encoder"])
    assert fresh.update(examples, sgd=Adam(1e-3), annotates=["merge_two"])["second"] > 0


def test_new_docs_between_two_components(tiny_encoder: Path):
    """The later component trains the encoder, too, whoever has made the Docs."""

    @Language.component("make_a_new_doc")
    def make_a_new_doc(doc: Doc) -> Doc:
        return doc.copy()

    @Language.component("make_other_tokens")
    def make_other_tokens(doc: Doc) -> Doc:
        return Doc(doc.vocab, words=[doc.text])

    def run(*annotates: str) -> dict[str, torch.Tensor]:
        nlp = make_shared(tiny_encoder)
        for name in annotates:
            nlp.add_pipe(name, before="second")
        torch.manual_seed(0)
        nlp.initialize(lambda: make_examples(nlp))
        nlp.update(make_examples(nlp), sgd=False, annotates=annotates)
        owner_of(nlp).complete_gradients()
        for name in annotates:
            nlp.remove_pipe(name)
        return gradients_of(nlp)

    equal(run("make_a_new_doc"), run())
    with pytest.raises(ValueError, match="'bio_encoder': expected the tokens that it has read"):
        run("make_a_new_doc", "make_other_tokens")


def test_batches_without_a_token(fresh: Language, monkeypatch):
    empty = [Example(Doc(fresh.vocab), Doc(fresh.vocab))] * 2
    with passes(monkeypatch) as counts:
        fresh.update(empty, sgd=Adam(1e-3))
        fresh.update([*empty, *make_examples(fresh)], sgd=Adam(1e-3))
    assert counts == [8]


def test_rates_norms_and_their_warnings(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder, lr_scale=None)
    nlp.initialize(lambda: make_examples(nlp))
    # spaCy's own rate of 0.001 stands for none: the encoder trains at 2e-4, the heads at ten times.
    before = weights_of(nlp)
    optimizer = Adam(1e-3, L2=0.0, use_averages=False)
    nlp.update(make_examples(nlp), sgd=optimizer)
    step = {n: float((p - before[n]).abs().max()) for n, p in weights_of(nlp).items()}
    assert step["bio_encoder.encoder.layer.0.output.dense.weight"] == pytest.approx(2e-4, rel=0.02)
    assert step["second.dense.weight"] == pytest.approx(2e-3, rel=0.02)
    with pytest.warns(UserWarning, match="'bio_encoder' trains at a learning rate of 0.01"):
        nlp.update(make_examples(nlp), sgd=Adam(1e-2))
    with torch.no_grad():
        shim_of(nlp).network.encoder.layer[0].output.dense.bias.fill_(float("nan"))
    with pytest.raises(BioError, match="not finite"):
        nlp.update(make_examples(nlp), sgd=Adam(1e-2))


def test_gradients_are_clipped(fresh: Language):
    before = weights_of(fresh)
    fresh.update(make_examples(fresh), sgd=SGD(1.0, L2=0.0, grad_clip=1e-3))
    moved = {n: p - before[n] for n, p in weights_of(fresh).items()}
    encoder = [p.norm() for n, p in moved.items() if n.startswith("bio_encoder.")]
    assert float(torch.stack(encoder).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_int8_does_not_train(fresh: Language):
    owner_of(fresh).precision = "int8"
    for exclude in ([], ["bio_encoder"]):
        with pytest.raises(ValueError, match="precision: expected .* in training, got 'int8'"):
            fresh.update(make_examples(fresh), sgd=Adam(1e-3), exclude=exclude)


def test_float16_and_bfloat16_train(tiny_encoder: Path):
    for precision in ("bf16", "fp16"):
        nlp = make_shared(tiny_encoder, precision=precision)
        nlp.initialize(lambda nlp=nlp: make_examples(nlp))
        before = weights_of(nlp)
        nlp.update(make_examples(nlp), sgd=Adam(1e-3))
        assert changed(before, weights_of(nlp)) == {"bio_encoder", *HEADS}


def test_beginning_anew(shared: Language, tiny_encoder: Path):
    nlp = copy.deepcopy(shared)
    nlp.initialize(lambda: make_examples(nlp))
    fresh = make_shared(tiny_encoder)
    fresh.initialize(lambda: make_examples(fresh))
    one, two = shim_of(nlp).network, shim_of(fresh).network
    assert all(map(torch.equal, one.parameters(), two.parameters()))


# Files and copies


def test_saving_and_loading(shared: Language, tmp_path: Path, make_nlp: MakeNlp):
    expected = found(list(shared.pipe(TEXTS)))
    shared.to_disk(tmp_path / "a")
    loaded = spacy.load(tmp_path / "a")
    assert found(list(loaded.pipe(TEXTS))) == expected
    # The same files as those of a component with an encoder of its own, and weights once.
    own = make_nlp()
    own.initialize(lambda: make_examples(own))
    own.to_disk(tmp_path / "own")

    def files(folder: Path) -> set[str]:
        return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    assert files(tmp_path / "a" / "bio_encoder") == files(tmp_path / "own" / "bio_ner")
    for name in HEADS:
        assert files(tmp_path / "a" / name) == {"cfg", "checksums.json", "model"}
    loaded = spacy.load(tmp_path / "a")
    loaded.to_disk(tmp_path / "again")
    for name in loaded.pipe_names:
        assert (tmp_path / "again" / name / "cfg").read_bytes() == (
            tmp_path / "a" / name / "cfg"
        ).read_bytes()
    assert sum(p.stat().st_size for p in (tmp_path / "a" / "second").iterdir()) < 10_000
    from_config = spacy.util.load_model_from_config(shared.config)
    from_config.from_disk(tmp_path / "a")
    assert found(list(from_config.pipe(TEXTS))) == expected


def test_bytes_copies_and_pickles(shared: Language, tiny_encoder: Path, monkeypatch):
    expected = found(list(shared.pipe(TEXTS)))
    by_bytes = make_shared(tiny_encoder)
    by_bytes.from_bytes(shared.to_bytes())
    owner_of(shared)(shared.make_doc("held"))
    for nlp in (by_bytes, copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))):
        with passes(monkeypatch) as counts:
            assert found(list(nlp.pipe(TEXTS))) == expected
        assert counts == [len(TEXTS)]
        assert nlp.get_pipe("second").encoder.upstream.owner is owner_of(nlp)
        assert owner_of(nlp) is not owner_of(shared)
    alone = pickle.loads(pickle.dumps(shared.get_pipe("bio_ner")))
    doc = shared.make_doc(TEXTS[0])
    assert spans_of(alone(doc)) == SENTENCES[0][1]


def test_a_component_is_tied_to_the_weights_of_its_owner(
    shared: Language, fresh: Language, tmp_path: Path
):
    shared.to_disk(tmp_path / "a")
    fresh.to_disk(tmp_path / "b")
    owner_of(fresh).to_disk(tmp_path / "a" / "bio_encoder")
    with pytest.raises(OSError, match=r"a/bio_encoder/encoder/model\.safetensors \(of another pip"):
        spacy.load(tmp_path / "a")
    # One of the heads alone may be saved again.
    emitter = emitter_shim(fresh.get_pipe("bio_ner").model.layers[1]).network
    torch.nn.init.ones_(emitter.dense.bias)
    fresh.get_pipe("bio_ner").to_disk(tmp_path / "b" / "bio_ner")
    loaded = spacy.load(tmp_path / "b").get_pipe("bio_ner")
    assert emitter_shim(loaded.model.layers[1]).network.dense.bias.eq(1.0).all()
    damaged = tmp_path / "b" / "bio_encoder" / "encoder" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(OSError, match="b/bio_encoder: expected its files as saved"):
        spacy.load(tmp_path / "b")


def test_replacing_listeners(shared: Language, tmp_path: Path):
    nlp = copy.deepcopy(shared)
    expected = found(list(nlp.pipe(TEXTS)))
    nlp.replace_listeners("bio_encoder", "second", ["model.encoder"])
    assert owner_of(nlp).listening_components == ["bio_ner"]
    settings = nlp.config["components"]["second"]["model"]["encoder"]
    assert settings["@architectures"] == "spacy-bio-crf.TransformerEncoder.v1"
    assert found(list(nlp.pipe(TEXTS))) == expected
    before = weights_of(nlp)
    nlp.update(make_examples(nlp), sgd=Adam(1e-3), exclude=["bio_ner", "bio_encoder"])
    assert changed(before, weights_of(nlp)) == {"second"}
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    equal(weights_of(loaded), weights_of(nlp), atol=0.0)


@pytest.mark.parametrize(
    "paths", [["model.tok2vec"], ["model.head"], ["model.encoder.tok2vec"], ["model"], ["x"]]
)
def test_wrong_paths_of_listeners(shared: Language, paths: list[str]):
    nlp = copy.deepcopy(shared)
    before = nlp.config["components"]["bio_ner"]
    expected = r"listeners: expected \['model.encoder'\], the place of spacy-bio-crf.SharedEncoder"
    with pytest.raises(ValueError, match=expected):
        nlp.replace_listeners("bio_encoder", "bio_ner", paths)
    assert nlp.config["components"]["bio_ner"] == before
    nlp.replace_listeners("bio_encoder", "bio_ner", [])
    assert owner_of(nlp).listening_components == list(HEADS)


def test_sourcing_components(shared: Language, tmp_path: Path, monkeypatch):
    shared.to_disk(tmp_path / "a")
    expected = [spans_of(doc) for doc in shared.pipe(TEXTS)]
    source = spacy.load(tmp_path / "a")
    nlp = spacy.blank("xx")
    for name in ("bio_encoder", "second"):
        nlp.add_pipe(name, source=source)
    with passes(monkeypatch) as counts:
        assert [spans_of(doc) for doc in nlp.pipe(TEXTS)] == expected
    assert counts == [len(TEXTS)]
    config = {
        "nlp": {"lang": "xx", "pipeline": ["second"]},
        "components": {
            "second": {"source": str(tmp_path / "a"), "replace_listeners": ["model.encoder"]}
        },
    }
    alone = spacy.util.load_model_from_config(config, auto_fill=True)
    assert isinstance(alone.get_pipe("second").encoder, TransformerEncoder)
    assert [spans_of(doc) for doc in alone.pipe(TEXTS)] == expected
    alone.to_disk(tmp_path / "b")
    assert [spans_of(doc) for doc in spacy.load(tmp_path / "b").pipe(TEXTS)] == expected


def test_renaming(shared: Language, tmp_path: Path):
    nlp = copy.deepcopy(shared)
    expected = found(list(nlp.pipe(TEXTS)))
    nlp.rename_pipe("bio_encoder", "trunk")
    nlp.rename_pipe("second", "third")
    assert owner_of(nlp, "trunk").listening_components == ["bio_ner", "third"]
    assert found(list(nlp.pipe(TEXTS))) == expected
    nlp.to_disk(tmp_path)
    assert found(list(spacy.load(tmp_path).pipe(TEXTS))) == expected


# Errors


def test_another_kind_of_encoder(tiny_encoder: Path):
    config = {
        "model": {
            "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
            "tok2vec": {
                "@architectures": "spacy.HashEmbedCNN.v2",
                "pretrained_vectors": None,
                "width": 96,
                "depth": 4,
                "embed_size": 2000,
                "window_size": 1,
                "maxout_pieces": 3,
                "subword_features": True,
            },
        }
    }
    expected = r"model of 'bio_encoder': expected spacy-bio-crf.TransformerEncoder.v1, got tok2vec"
    with pytest.raises(ValueError, match=expected):
        spacy.blank("en").add_pipe("bio_encoder", config=config)


def test_an_owner_without_weights(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder)
    with pytest.raises(ValueError, match=r"E109.*'bio_ner'"):
        nlp("Ana met Bo")
    with (
        nlp.select_pipes(disable=["bio_encoder"]),
        pytest.raises(
            ValueError, match="'bio_encoder': expected an encoder with weights, got none"
        ),
    ):
        nlp.initialize(lambda: make_examples(nlp))
    assert not nlp.get_pipe("bio_ner").model.has_dim("nO")
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp("Ana met Bo")


def test_registered_options(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder)
    assert nlp.config["components"]["bio_ner"]["model"]["encoder"] == {
        "@architectures": SHARED,
        "upstream": "*",
        "grad_factor": 1.0,
    }
    own = spacy.blank("en").add_pipe("bio_encoder")
    assert isinstance(own, BioEncoder) and own.buffer_tokens is None
    with pytest.raises(ValueError, match="buffer_tokens: expected a whole number"):
        own.buffer_tokens = -1
    with pytest.raises(ValueError, match="precision: expected one of"):
        own.precision = "fp8"
