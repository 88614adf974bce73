"""The network of an ensemble: scores, settings, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from thinc.api import Model

from spacy_bio_crf.averaging import build_ensemble, members_of
from spacy_bio_crf.encoders.api import encoder_of
from tests.support.tiny_models import make_tagger, write_checkpoint

TEXTS = ["Ana Ruiz met Bo in New York.", "Nobody works", "x"]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Two networks of other families, with sub-words of their own."""
    folder = tmp_path_factory.mktemp("encoders")
    families = ("bert", "roberta")
    return {
        family: make_tagger(write_checkpoint(folder / family, family), seed=i)
        for i, family in enumerate(families)
    }


def test_scores_are_the_mean_of_those_of_the_members(members: dict[str, Model]):
    docs = list(map(spacy.blank("en").make_doc, TEXTS))
    ensemble = build_ensemble(members)
    lattice = ensemble.predict(docs)
    apart = [member.predict(docs) for member in members.values()]
    for mean, one, two in zip(lattice.scores, *(x.scores for x in apart), strict=True):
        assert torch.allclose(mean, (one + two) / 2)
        assert not torch.allclose(one, two)
    assert members_of(ensemble) == list(members.values())
    assert members_of(members["bert"]) == [members["bert"]]


def test_a_copy_predicts_the_same(members: dict[str, Model]):
    docs = list(map(spacy.blank("en").make_doc, TEXTS))
    ensemble = build_ensemble(members)
    copy = ensemble.copy()
    for one, two in zip(ensemble.predict(docs).scores, copy.predict(docs).scores, strict=True):
        assert torch.equal(one, two)


def test_precision_and_budget_are_those_of_all(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "bert", "bert")
    options = [{"batch_subwords": 512}, {"batch_subwords": 256, "precision": "int8"}]
    taggers = {str(i): make_tagger(folder, **own) for i, own in enumerate(options)}
    encoder = encoder_of(build_ensemble(taggers).get_ref("encoder"))
    assert encoder.budget == 256
    assert encoder.precision == "fp32, int8"
    encoder.precision = "int8"
    assert encoder.precision == "int8"
    assert [encoder_of(t.layers[0]).precision for t in taggers.values()] == ["int8", "int8"]


def test_training_is_refused_and_the_message_says_how(members: dict[str, Model]):
    ensemble = build_ensemble(members)
    message = "model: expected a single network for training, got an ensemble; train its models"
    with pytest.raises(ValueError, match=message):
        ensemble.initialize()
    with pytest.raises(ValueError, match="bio-ner distill"):
        ensemble.begin_update([spacy.blank("en").make_doc("x")])
    with pytest.raises(ValueError, match="a call of each network by itself"):
        ensemble.get_ref("encoder").predict([])


def test_members_are_two_single_networks_or_more(members: dict[str, Model]):
    with pytest.raises(ValueError, match=r"members: expected two networks or more, got \['bert'\]"):
        build_ensemble({"bert": members["bert"]})
    nested = {"a": build_ensemble(members), "b": members["bert"]}
    with pytest.raises(
        ValueError, match="members, 'a': expected a spacy-bio-crf.BioTagger.v1, got"
    ):
        build_ensemble(nested)


def test_documents_without_tokens(members: dict[str, Model]):
    nlp = spacy.blank("en")
    lattice = build_ensemble(members).predict([nlp.make_doc(""), nlp.make_doc("Bo")])
    assert lattice.lengths == [0, 1]
    assert np.isfinite(lattice.emissions.numpy()).all()
