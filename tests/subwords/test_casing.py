"""Casing: shapes of words reach an encoder that lower-cases, and are saved with it."""

import numpy as np
import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.subwords.casing import (
    DIGITS,
    LOWER,
    MIXED,
    OTHER,
    TITLE,
    UPPER,
    shape_of,
    shapes_of_subwords,
)
from spacy_bio_crf.subwords.tokenizer import Subwords
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("red", LOWER),
        ("ação", LOWER),
        ("Rome", TITLE),
        ("Évora", TITLE),
        ("A", TITLE),
        ("NATO", UPPER),
        ("AT&T", UPPER),
        ("iPhone", MIXED),
        ("McCoy", MIXED),
        ("v2.1", DIGITS),
        ("2024", DIGITS),
        ("...", OTHER),
        ("東京", OTHER),
        ("🎉", OTHER),
        (" ", OTHER),
    ],
)
def test_shapes(text, shape):
    assert shape_of(text) == shape


def test_subwords_have_the_shape_of_their_token():
    """Piece 1 overlaps both "do" and "'TX"; piece 4 belongs to no token."""
    doc = Doc(Vocab(), words=["Dom", "do", "'TX", "x"])
    pieces = Subwords(
        ids=np.arange(5),
        rows=np.array([0, 1, 1, 2, 3]),
        lengths=np.array([1, 1, 2, 1], dtype=np.int32),
        word_starts=np.ones(5, dtype=bool),
    )
    assert shapes_of_subwords(doc, pieces).tolist() == [TITLE, UPPER, UPPER, LOWER, OTHER]


@pytest.fixture
def nlp(make_nlp: MakeNlp):
    return make_nlp(encoder_options={"casing": True, "dropout": 0.0})


def emissions(nlp, text: str) -> torch.Tensor:
    return nlp.get_pipe("bio_ner").lattice([nlp.make_doc(text)]).emissions


def test_an_untrained_embedding_changes_nothing_and_a_trained_one_tells_cases_apart(
    make_nlp: MakeNlp,
):
    tagger = make_nlp(encoder_options={"casing": True, "dropout": 0.0})
    plain = make_nlp(encoder_options={"dropout": 0.0})
    for pipeline in (tagger, plain):
        torch.manual_seed(0)
        pipeline.initialize(lambda p=pipeline: make_examples(p))
    text = "Ana Ruiz met Bo ."
    torch.testing.assert_close(emissions(tagger, text), emissions(plain, text))
    network = tagger.get_pipe("bio_ner").model.get_ref("encoder").shims[0].network
    with torch.no_grad():
        # No constant: the layer norm after it would take that away.
        network.casing.weight[TITLE] = torch.linspace(-1, 1, network.config.hidden_size)
    assert not torch.allclose(emissions(tagger, text), emissions(plain, text), atol=1e-3)


def test_casing_learns_and_is_saved(nlp, tmp_path):
    train(nlp, make_examples(nlp), steps=40)
    network = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0].network
    weight = network.casing.weight.detach()
    assert bool(weight[TITLE].abs().sum() > 0)
    assert bool((weight[DIGITS] == 0).all())  # no word of the examples has a digit
    nlp.to_disk(tmp_path / "model")
    import spacy

    again = spacy.load(tmp_path / "model")
    copy = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    for text in ("Ana Ruiz met Bo in New York City .", "ana ruiz MET bo"):
        assert spans_of(again(text)) == spans_of(copy(text)) == spans_of(nlp(text))
        assert torch.equal(emissions(again, text), emissions(nlp, text))
        assert torch.equal(emissions(copy, text), emissions(nlp, text))


def test_casing_needs_something_to_learn(make_nlp: MakeNlp):
    with pytest.raises(ValueError, match="'casing' of the encoder is true; expected false"):
        make_nlp(encoder_options={"casing": True, "frozen_layers": -1})
