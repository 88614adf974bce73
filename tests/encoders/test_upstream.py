"""Upstream: what it holds for several heads, in prediction and in training."""

import gc
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_bio_crf.encoders.upstream import JointEmissions, TrainingBatch
from spacy_bio_crf.errors import SettingsError
from tests.support.encoder_tools import Held
from tests.support.pipelines import make_examples
from tests.support.sharing import make_shared, owner_of, shim_of

VOCAB = spacy.blank("en").vocab


def merge(doc: Doc) -> None:
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[:2])


def a_batch(lengths: list[list[int]], *, every: bool) -> tuple[list[Doc], TrainingBatch, list]:
    docs = [Doc(VOCAB, words=["x"] * len(own)) for own in lengths]
    n = sum(map(sum, lengths))
    given: list[torch.Tensor] = []
    vectors = torch.arange(2.0 * n).reshape(n, 2)
    arrays = [np.array(own, dtype=np.int64) for own in lengths]
    return docs, TrainingBatch(docs, arrays, vectors, every=every, backprop=given.append), given


def test_rows_of_documents_in_any_order():
    docs, batch, _ = a_batch([[2, 0, 1], [], [1, 3]], every=True)
    rows, tokens = batch.select(docs, every=True)
    assert rows.tolist() == list(range(7))
    assert [t.tolist() for t in tokens] == [[0, 0, 2], [], [0, 1, 1, 1]]
    rows, tokens = batch.select([docs[2], docs[0]], every=False)
    assert rows.tolist() == [3, 4, 0, 2]
    assert [t.tolist() for t in tokens] == [[0, 1], [0, 2]]
    rows, tokens = batch.select([docs[1]], every=True)
    assert rows.tolist() == [] and rows.dtype == torch.int64


def test_gradients_add_up():
    docs, batch, given = a_batch([[1, 1], [1]], every=False)
    batch.backprop()
    assert given == []  # no head has given any
    batch.add(torch.tensor([0, 2]), torch.ones(2, 2))
    batch.add(torch.tensor([2, 1]), 2 * torch.ones(2, 2))
    batch.backprop()
    assert given[0][:, 0].tolist() == [1.0, 2.0, 3.0]


def test_what_a_batch_has():
    docs, batch, _ = a_batch([[1, 1], [1]], every=False)
    assert batch.has(docs[1:], every=False) and batch.learns
    assert not batch.has(docs, every=True)
    assert not batch.has([*docs, Doc(VOCAB, words=["x"])], every=False)
    frozen = TrainingBatch(docs, [], torch.zeros(0, 2), every=True, backprop=None)
    assert frozen.has(docs, every=False) and frozen.has(docs, every=True) and not frozen.learns
    frozen.backprop()


def test_a_batch_has_nothing_of_other_tokens():
    docs = [Doc(VOCAB, words=["New", "York"]), Doc(VOCAB, words=["x"])]
    lengths = [np.ones(len(doc), dtype=np.int64) for doc in docs]
    batch = TrainingBatch(docs, lengths, torch.zeros(3, 2), every=False, backprop=None)
    merge(docs[0])
    assert batch.outdated(docs) and not batch.has(docs, every=False)
    assert not batch.outdated(docs[1:]) and batch.has(docs[1:], every=False)
    assert not batch.outdated([Doc(VOCAB, words=["New", "York"])])


@pytest.fixture
def nlp(tiny_encoder: Path) -> Language:
    nlp = make_shared(tiny_encoder)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def test_each_head_reads_its_columns_once(nlp: Language):
    upstream = owner_of(nlp).upstream
    one, two = (nlp.get_pipe(name).model.layers[0] for name in ("bio_ner", "second"))
    docs = [Doc(VOCAB, words=["a", "b"]), Doc(VOCAB)]
    emissions = torch.arange(6.0).reshape(2, 3)
    tokens = [np.array([0, 1]), np.zeros(0, dtype=np.int64)]
    columns = {one: slice(0, 1), two: slice(1, 3)}
    upstream.keep(docs, JointEmissions(emissions, tokens, columns))
    (first, empty) = upstream.recall(two, docs)
    assert first is not None and first[0].tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert empty is not None and empty[0].shape == (0, 2)
    assert upstream.recall(two, docs) == [None, None]
    (first, _) = upstream.recall(one, docs)
    assert first is not None and first[0].tolist() == [[0.0], [3.0]]
    assert not upstream._held
    upstream.keep(docs, JointEmissions(emissions, tokens, columns))
    docs.pop()
    gc.collect()
    assert len(upstream._held) == 1


def test_vectors_of_later_sub_words_only_where_a_head_trains_them(nlp: Language):
    upstream = owner_of(nlp).upstream
    doc = nlp.make_doc("Ana met Bo in Washington")
    (own,) = upstream.encoder.cut([doc])
    assert len(upstream.open_batch([doc], learns=True).vectors) == 5 < len(own.rows)
    nlp.get_pipe("second").model.attrs["subword_labels"] = "all"
    assert len(upstream.open_batch([doc], learns=True).vectors) == len(own.rows)
    nlp.replace_listeners("bio_encoder", "second", ["model.encoder"])
    assert len(upstream.open_batch([doc], learns=True).vectors) == 5


def test_activations_are_held_for_one_batch(tiny_encoder: Path):
    def peak(budget: int, n: int) -> int:
        nlp = make_shared(tiny_encoder, batch_subwords=budget)
        nlp.initialize(lambda: make_examples(nlp))
        held = Held(shim_of(nlp).network)
        with held.watch():
            nlp.update([make_examples(nlp)[0]] * n, sgd=False)
        assert held.now == 0
        return held.peak

    # Emissions and losses grow with the documents; the activations of the network do not.
    assert peak(60, 40) < 2 * peak(60, 2) < peak(100_000, 40) / 3


def test_documents_of_a_batch_are_not_mixed_up(nlp: Language):
    upstream = owner_of(nlp).upstream
    docs = [nlp.make_doc("Ana met Bo"), nlp.make_doc("Bo")]
    batch = upstream.open_batch(docs, learns=True)
    assert upstream.batch_of(docs[::-1], every=False) is batch
    other = upstream.batch_of([nlp.make_doc("Bo")], every=False)
    assert other is not batch and not other.learns
    assert upstream.batch is other


@pytest.mark.parametrize("learns", [True, False])
def test_tokens_that_change_within_a_batch(nlp: Language, learns: bool):
    """What is frozen reads them once more; the gradients of one step are those of one reading."""
    upstream = owner_of(nlp).upstream
    doc = nlp.make_doc("Ana Ruiz met Bo")
    upstream.open_batch([doc], learns=learns)
    merge(doc)
    if learns:
        expected = "^'bio_encoder': expected the tokens that it has read, .*; give the components"
        with pytest.raises(SettingsError, match=expected):
            upstream.batch_of([doc], every=False)
    else:
        assert len(upstream.batch_of([doc], every=False).vectors) == 3


def test_heads_that_end_with_an_earlier_batch_leave_the_one_at_hand(nlp: Language):
    upstream = owner_of(nlp).upstream
    earlier, now = (upstream.open_batch([nlp.make_doc("Bo")], learns=True) for _ in range(2))
    for batch, at_hand in ((earlier, now), (now, None)):
        for layer in upstream.heads():
            assert upstream.batch is now
            upstream.serve(layer, batch)
        assert upstream.batch is at_hand
