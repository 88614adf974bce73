"""Ensembles and soups of pipelines: predictions, files, and what does not go together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language

from spacy_bio_crf.combine import make_ensemble, make_soup
from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.model import chain_scores
from tests.support.combined import TEXTS, make_member
from tests.support.components import component
from tests.support.pipelines import MakeNlp, make_examples, spans_of
from tests.support.tiny_models import write_checkpoint

Save = Callable[[Language], Language]


@pytest.fixture
def reload(tmp_path: Path) -> Save:
    """Save a pipeline, and load it from there."""

    def reload(nlp: Language) -> Language:
        nlp.to_disk(tmp_path / "saved")
        return spacy.load(tmp_path / "saved")

    return reload


def lattice(nlp: Language) -> Lattice:
    return component(nlp).lattice([nlp.make_doc(text) for text in TEXTS])


def test_an_ensemble_predicts_the_mean_and_is_saved_whole(make_nlp: MakeNlp, reload: Save):
    members = [make_member(make_nlp, seed=seed) for seed in range(3)]
    apart = [lattice(nlp) for nlp in members]
    ensemble = make_ensemble({str(i): nlp for i, nlp in enumerate(members)})
    loaded = reload(ensemble)
    for i, found in enumerate(lattice(loaded).scores):
        assert torch.equal(found, lattice(ensemble).scores[i])
        assert torch.allclose(found, torch.stack([own.scores[i] for own in apart]).mean(dim=0))
    ner = component(loaded)
    assert ner.labels == ("LOC", "PER") and ner.temperature == 1.0
    for scores, own in zip(ner.transition_scores(), lattice(loaded).scores[1:], strict=True):
        assert np.allclose(scores, own.numpy())
    doc = loaded(TEXTS[0])
    assert len(doc.spans["bio_ner"].attrs["scores"]) == len(doc.ents)
    assert len(ner.kbest(TEXTS[0], 3)) == 3
    assert np.allclose(ner.marginals(TEXTS[0]).sum(axis=1), 1.0, atol=1e-5)
    assert repr(ner) == "<BioNer 'bio_ner': 2 labels ('LOC', 'PER'), BIO, CRF>"


def test_an_ensemble_of_one_model_twice_predicts_as_the_model(make_nlp: MakeNlp, reload: Save):
    nlp = make_member(make_nlp, seed=0, steps=20)
    before = [spans_of(nlp(text)) for text in TEXTS]
    assert any(before)
    twice = make_ensemble({"a": nlp, "b": make_member(make_nlp, seed=0, steps=20)})
    assert [spans_of(doc) for doc in reload(twice).pipe(TEXTS)] == before


@pytest.mark.parametrize("options", [{}, {"groups": "per_label"}, {"scheme": "BILUO"}])
@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_labels_may_have_another_order(make_nlp: MakeNlp, head: str, options: dict):
    nlp, other = (
        make_member(make_nlp, seed=0, labels=labels, head=head, **options)
        for labels in (("LOC", "PER"), ("PER", "LOC"))
    )
    own, theirs = component(nlp), component(other)
    tags = [list(x.tagset.tags if x.groups is None else x.tag_groups.tags) for x in (own, theirs)]
    before = lattice(nlp), lattice(other)
    found = lattice(make_ensemble({"one": nlp, "two": other}))
    # Each group has an O of its own.
    order = [3, 4, 5, 0, 1, 2] if own.groups else [tags[1].index(tag) for tag in tags[0]]
    mean = (before[0].emissions + before[1].emissions[:, order]) / 2
    assert torch.allclose(found.emissions, mean)
    chain = (before[0].transitions + before[1].transitions[order][:, order]) / 2
    assert torch.allclose(found.transitions, chain)


def test_encoders_may_differ(make_nlp: MakeNlp, tmp_path: Path, reload: Save):
    other = write_checkpoint(tmp_path / "roberta", "roberta")
    members = {
        "bert": make_member(make_nlp, seed=0),
        "roberta": make_member(make_nlp, seed=1, encoder_options={"name": str(other)}),
    }
    component(members["bert"]).precision = "int8"
    before = [lattice(nlp).emissions for nlp in members.values()]
    loaded = reload(make_ensemble(members))
    assert torch.allclose(lattice(loaded).emissions, (before[0] + before[1]) / 2, atol=1e-6)
    assert component(loaded).precision == "int8, fp32"
    with pytest.raises(ValueError, match="label: expected a single model, got an ensemble"):
        component(loaded).add_label("ORG")
    assert component(loaded).labels == ("LOC", "PER")
    with pytest.raises(ValueError, match="single network for training"):
        loaded.update(make_examples(loaded), sgd=loaded.create_optimizer())


def test_a_damaged_member_is_noticed(make_nlp: MakeNlp, tmp_path: Path):
    members = {str(seed): make_member(make_nlp, seed=seed) for seed in range(2)}
    make_ensemble(members).to_disk(tmp_path / "saved")
    weights = tmp_path / "saved" / "bio_ner" / "encoder" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(OSError, match="encoder/1/model.safetensors"):
        spacy.load(tmp_path / "saved")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"labels": ("LOC", "ORG", "PER")}, "b, labels: expected the same as in a, got .*ORG"),
        ({"scheme": "BILUO"}, "b, scheme: expected the same as in a, got BILUO, not BIO"),
        ({"head": "softmax"}, "b, head: expected the same as in a, got softmax, not CRF"),
        ({"head_options": {"constrained": False}}, "b, constrained: .* got False, not True"),
        ({"groups": "per_label"}, "b, groups: expected the same as in a, got {'LOC'"),
    ],
)
def test_what_differs_is_named(make_nlp: MakeNlp, options: dict, message: str):
    members = {"a": make_member(make_nlp, seed=0), "b": make_member(make_nlp, seed=1, **options)}
    with pytest.raises(SettingsError, match=message):
        make_ensemble(members)


def test_texts_have_to_be_cut_alike(make_nlp: MakeNlp):
    one = make_member(make_nlp, seed=0)
    other = make_member(make_nlp, seed=1, nlp=spacy.blank("pt"))
    with pytest.raises(
        SettingsError, match="b, language: expected the same as in a, got pt, not xx"
    ):
        make_ensemble({"a": one, "b": other})
    other = make_member(make_nlp, seed=1)
    other.tokenizer.add_special_case("gonna", [{"ORTH": "gon"}, {"ORTH": "na"}])
    with pytest.raises(SettingsError, match="rules of the tokenizer: .* got others"):
        make_ensemble({"a": one, "b": other})


def test_trained_single_models_are_combined(make_nlp: MakeNlp):
    one = make_member(make_nlp, seed=0)
    with pytest.raises(SettingsError, match="models: expected two trained pipelines or more"):
        make_ensemble({"a": one})
    with pytest.raises(SettingsError, match="b: expected a trained pipeline, got one without"):
        make_ensemble({"a": one, "b": make_nlp()})
    with pytest.raises(SettingsError, match="b, component: expected one bio_ner, got none"):
        make_ensemble({"a": one, "b": spacy.blank("en")})
    both = make_ensemble({"a": one, "b": make_member(make_nlp, seed=1)})
    with pytest.raises(SettingsError, match="both: expected a single model, got an ensemble"):
        make_ensemble({"both": both, "c": make_member(make_nlp, seed=2)})


def test_a_soup_has_the_mean_of_the_weights(make_nlp: MakeNlp, reload: Save):
    members = [make_member(make_nlp, seed=seed) for seed in range(3)]
    own = [component(nlp) for nlp in members]

    def weight(ner) -> torch.Tensor:
        network = ner.model.layers[0].shims[0].network
        return network.encoder.layer[1].output.dense.weight.detach().clone()

    weights, chains = [weight(ner) for ner in own], [chain_scores(ner.model)[1] for ner in own]
    own[0].temperature = 2.0
    soup = make_soup({str(i): nlp for i, nlp in enumerate(members)})
    assert torch.allclose(weight(component(soup)), torch.stack(weights).mean(dim=0), atol=1e-7)
    assert torch.allclose(chain_scores(component(soup).model)[1], torch.stack(chains).mean(dim=0))
    assert component(soup).temperature == 1.0
    loaded = reload(soup)
    assert torch.equal(lattice(loaded).emissions, lattice(soup).emissions)
    assert loaded.config["components"]["bio_ner"]["model"]["@architectures"].endswith(
        "BioTagger.v1"
    )
    # It trains as any other.
    loaded.update(make_examples(loaded), sgd=loaded.resume_training())


def test_a_soup_of_models_with_labels_in_another_order(make_nlp: MakeNlp):
    one = make_member(make_nlp, seed=0)
    expected = lattice(one).emissions
    other = make_member(make_nlp, seed=0)
    emitter = component(other).model.layers[1].shims[0].network
    order = [0, 3, 4, 1, 2]
    emitter.reorder(order)
    component(other).cfg["labels"] = ["PER", "LOC"]
    assert torch.allclose(lattice(other).emissions, expected[:, order], atol=1e-6)
    assert torch.allclose(lattice(make_soup({"a": one, "b": other})).emissions, expected, atol=1e-6)


def test_a_soup_of_adapters_averages_what_they_compute(make_nlp: MakeNlp, tmp_path: Path):
    """Not A and B, whose means have another product; another component keeps its base."""
    pytest.importorskip("peft", reason="adapters need peft")

    def shim_of(nlp: Language) -> TransformerShim:
        return transformer_shim(component(nlp, "bio_ner").model.get_ref("encoder"))

    plain = make_member(make_nlp, seed=2, steps=1)
    shim_of(plain).save(tmp_path / "other_base")
    options = {"lora": {"r": 4, "alpha": 8, "merge": False}, "lr_scale": 10.0, "dropout": 0.0}
    both = make_nlp(name="second", encoder_options=options)
    one = make_member(make_nlp, seed=0, nlp=both, encoder_options=options)
    options["name"] = str(tmp_path / "other_base")
    other = make_member(make_nlp, seed=1, encoder_options=options)
    second = component(one, "second")
    before = second.lattice([one.make_doc(text) for text in TEXTS]).emissions
    own, theirs = (shim_of(nlp).pretrained.network.state_dict() for nlp in (one, other))
    expected = {name: (own[name] + theirs[name]) / 2 for name in own}
    soup = make_soup({"one": one, "other": other}, component="bio_ner")
    for name, weight in shim_of(soup).network.state_dict().items():
        assert torch.allclose(weight, expected[name], atol=1e-6), name
    after = second.lattice([one.make_doc(text) for text in TEXTS]).emissions
    assert torch.equal(after, before)


@pytest.mark.parametrize("combine", [make_ensemble, make_soup])
def test_a_label_is_untrained_if_no_model_was_trained_on_it(
    make_nlp: MakeNlp, reload: Save, combine: Callable
):
    members = {}
    for name, seed, added in (("a", 0, "AB"), ("b", 1, "BA")):
        members[name] = make_member(make_nlp, seed=seed, steps=1)
        for label in added:
            component(members[name]).add_label(label)
    assert component(members["a"]).untrained == ("A", "B")
    component(members["b"]).cfg["untrained"] = ["A"]  # as if it had trained B
    loaded = reload(combine(members))
    made = component(loaded)
    assert made.labels == ("LOC", "PER", "A", "B") and made.untrained == ("A",)
    chances = made.marginals(TEXTS[0])
    closed = [made.tagset.tags.index(tag) for tag in ("B-A", "I-A")]
    assert not chances[:, closed].any()
    assert (chances[:, made.tagset.tags.index("B-B")] > 0).all()


def test_a_soup_needs_one_start(make_nlp: MakeNlp, tmp_path: Path):
    def refused(message: str, **encoder_options: object) -> None:
        members = {
            "a": make_member(make_nlp, seed=0),
            "b": make_member(make_nlp, seed=0, encoder_options=encoder_options),
        }
        with pytest.raises(SettingsError, match=message):
            make_soup(members)

    roberta = write_checkpoint(tmp_path / "roberta", "roberta")
    refused("b, encoder: expected the tokenizer of a, got another one", name=str(roberta))
    refused("b, weights: expected encoder.layer.1.* of the shape in a, .* got none", layers=1)
    source = make_nlp().get_pipe("bio_ner").model.layers[0]  # type: ignore[attr-defined]
    source.initialize()
    shim = source.shims[0]
    torch.manual_seed(1)
    for parameter in shim.network.parameters():
        torch.nn.init.normal_(parameter)
    shim.save(tmp_path / "other")
    refused(
        "b, encoder: expected weights trained from the same start", name=str(tmp_path / "other")
    )
