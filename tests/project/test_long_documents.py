"""Documents longer than a window, and very much longer: nothing is lost, nothing is held."""

import gc
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from torch import Tensor, nn
from torchcrf import CRF

from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.encoders.transformer.run import Forward, run
from spacy_bio_crf.model import emitter_shim
from spacy_bio_crf.subwords.batches import SpecialIds, make_batches
from spacy_bio_crf.subwords.tokenizer import Subwords, SubwordTokenizer
from spacy_bio_crf.subwords.windows import make_windows
from tests.support.encoder_tools import Held, all_rows, by_hand
from tests.support.many import PROFILE
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, spans_of, train

# Which window a sub-word's vector comes from ------------------------------------------------------

SPECIAL = SpecialIds(prefix=(-1,), suffix=(-2,), padding=-3)


class Telltale(nn.Module):
    """A network whose vectors say what it has seen: the sub-word, and both ends of its window."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor]:
        # shape: [B, T]
        text = input_ids >= 0
        first = input_ids.masked_fill(~text, 1 << 20).amin(dim=1, keepdim=True)
        last = input_ids.masked_fill(~text, -1).amax(dim=1, keepdim=True)
        ends = [end.expand_as(input_ids) for end in (first, last)]
        return (torch.stack([input_ids, *ends], dim=2).float(),)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Subwords, int, int, int]:
    """From nothing to fifty times the window, with words of any length."""
    window = draw(st.integers(1, 8))
    overlap = draw(st.integers(0, window - 1))
    n = draw(st.one_of(st.integers(0, 3 * window), st.integers(0, 50 * window)))
    period = draw(st.integers(1, 2 * window))
    seed = draw(st.integers(0, 2**16))
    starts = np.random.default_rng(seed).integers(0, period, size=n) == 0
    budget = draw(st.integers(1, 200))
    own = Subwords(np.arange(n), np.arange(n), np.ones(n, dtype=np.int32), starts)
    return own, window, overlap, budget


@PROFILE
@given(sequences())
def test_every_vector_comes_from_the_window_with_most_context(case):
    own, window, overlap, budget = case
    n = len(own.ids)
    batches = make_batches(
        *([own], [np.arange(n)]),
        special=SPECIAL,
        window=window,
        overlap=overlap,
        budget=budget,
        overhead=64,
    )
    forward = Forward(Telltale(), torch.device("cpu"), "fp32", nn.Identity())
    vectors, _ = run(batches, forward, width=3, train=False, budget=budget)
    windows = make_windows(n, size=window, overlap=overlap, boundaries=own.word_starts)
    p = np.arange(n)
    # shape: [n_windows, n]; the document's own ends are no edges
    left = np.where(windows.starts[:, None] == 0, np.inf, p - windows.starts[:, None])
    right = np.where(windows.ends[:, None] == n, np.inf, windows.ends[:, None] - 1 - p)
    inside = (windows.starts[:, None] <= p) & (p < windows.ends[:, None])
    context = np.where(inside, np.minimum(left, right), -1)
    got = vectors.numpy().astype(np.int64)
    assert got[:, 0].tolist() == p.tolist()
    if n:
        best = context.max(axis=0)
        # It is the whole of a window that was seen, and one with as much context as any.
        seen = (windows.starts[:, None] == got[:, 1]) & (windows.ends[:, None] - 1 == got[:, 2])
        assert (seen.sum(axis=0) == 1).all()
        assert (context[seen.argmax(axis=0), p] == best).all()
        if n <= window:
            assert (got[:, 1:] == [0, n - 1]).all()


# Training -----------------------------------------------------------------------------------------

WINDOWS = {"window": 9, "overlap": 4, "dropout": 0.0}


def long_example(nlp: Language, n_sentences: int, seed: int = 0) -> Any:
    words: list[str] = []
    ents: list[tuple[int, int, str]] = []
    rng = random.Random(seed)
    for _ in range(n_sentences):
        more, spans = rng.choice(SENTENCES)
        ents += [(len(words) + start, len(words) + end, label) for start, end, label in spans]
        words += more
    return make_example(nlp, words, ents)


def test_an_update_cuts_every_document_once(make_nlp: MakeNlp, monkeypatch: pytest.MonkeyPatch):
    nlp = make_nlp(encoder_options={**WINDOWS, "batch_subwords": 40})
    examples = [long_example(nlp, 5, seed) for seed in range(4)]
    nlp.initialize(lambda: examples)
    ner = nlp.get_pipe("bio_ner")
    seen: list[Doc] = []
    cut_up = SubwordTokenizer.__call__

    def count(subwords: Any, docs: Any) -> Any:
        docs = list(docs)
        seen.extend(docs)
        return cut_up(subwords, docs)

    monkeypatch.setattr(SubwordTokenizer, "__call__", count)
    assert len(ner.encoder.split([eg.predicted for eg in examples])) > 1
    seen.clear()
    ner.update(examples)
    assert [id(doc) for doc in seen] == [id(eg.predicted) for eg in examples]
    # Nothing is remembered afterwards: the documents may change.
    seen.clear()
    ner.predict([examples[0].predicted])
    assert len(seen) == 1


def test_a_batch_of_unequal_documents_is_one_part_while_its_batches_fit(make_nlp: MakeNlp):
    """Padded to the longest they would not fit together; side by side in two batches they do."""
    nlp = make_nlp(encoder_options={"batch_subwords": 300, "dropout": 0.0})
    examples = [make_example(nlp, ["a"] * n, []) for n in [50, *[3] * 20]]
    labelled = long_example(nlp, 1)
    nlp.initialize(lambda: [labelled, *examples])
    ner = nlp.get_pipe("bio_ner")
    (part,) = ner.encoder.split([eg.predicted for eg in examples])
    assert sorted(part.tolist()) == list(range(21))
    more = [make_example(nlp, ["a"] * 50, []) for _ in range(9)]
    parts = ner.encoder.split([eg.predicted for eg in [*examples, *more]])
    assert len(parts) > 1
    assert sorted(i for part in parts for i in part.tolist()) == list(range(30))


@pytest.mark.parametrize("head", ["softmax", "crf"])
@pytest.mark.parametrize("budget", [20, 100_000])
def test_the_loss_of_a_long_document_is_that_of_its_windows_cores(
    make_nlp: MakeNlp, head: str, budget: int
):
    nlp = make_nlp(head, encoder_options={**WINDOWS, "batch_subwords": budget})
    example = long_example(nlp, 20)
    nlp.initialize(lambda: [example])
    component = nlp.get_pipe("bio_ner")
    shim = transformer_shim(component.model.get_ref("encoder"))
    emitter = emitter_shim(component.model.get_ref("emitter")).network
    (own,) = shim.text.cut([example.predicted])
    assert len(own.ids) > 20 * shim.text.window
    firsts = own.rows[np.cumsum(own.lengths) - own.lengths]
    spans = [(e.start, e.end, e.label_) for e in example.reference.ents]
    tags = torch.from_numpy(component.tagset.encode(spans, len(example.predicted)))
    with torch.no_grad():
        # Each window by itself, each sub-word from the window whose core it is in; shape: [n, K]
        emissions = emitter.dense(by_hand(shim, own)[torch.from_numpy(firsts)])
        if head == "crf":
            crf = CRF(len(component.tagset.tags), batch_first=True)
            for name, scores in zip(
                ("start_transitions", "transitions", "end_transitions"),
                emitter.scores(),
                strict=True,
            ):
                getattr(crf, name).copy_(scores)
            expected = -float(crf(emissions[None], tags[None])) / len(tags)
        else:
            expected = 0.0
            windows = make_windows(len(own.ids), size=9, overlap=4, boundaries=own.word_starts)
            for low, high in pairwise([0, *windows.core_ends]):
                core = torch.from_numpy((low <= firsts) & (firsts < high))
                losses = nn.functional.cross_entropy(emissions[core], tags[core], reduction="sum")
                expected += float(losses) / len(tags)
    assert nlp.update([example], drop=0.0)["bio_ner"] == pytest.approx(expected, rel=1e-4)


def test_training_on_one_long_document_holds_no_more_than_a_pack(make_nlp: MakeNlp):
    def measure(n_sentences: int, budget: int) -> int:
        nlp = make_nlp(encoder_options={**WINDOWS, "batch_subwords": budget})
        example = long_example(nlp, n_sentences)
        nlp.initialize(lambda: [example])
        shim = transformer_shim(nlp.get_pipe("bio_ner").model.get_ref("encoder"))
        subwords = shim.text.cut([example.predicted])
        held = Held(shim.network)
        with held.watch():
            vectors, backprop = shim.run(
                subwords, all_rows(subwords), train=True, project=nn.Linear(32, 3)
            )
            gc.collect()
            assert (held.now == 0) == (budget == 50)
            backprop(torch.ones_like(vectors))
        return held.peak

    peak = measure(20, 50)
    assert measure(60, 50) <= 1.1 * peak
    assert measure(20, 100_000) > 5 * peak


# Prediction ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(make_nlp: MakeNlp) -> Language:
    """Has learnt to find the last sentence of documents that are dull up to there."""
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    words, ents = LAST
    examples = [
        make_example(nlp, [*DULL * n, *words], [(4 * n + s, 4 * n + e, x) for s, e, x in ents])
        for n in (0, 1, 2, 4, 7, 11, 16)
    ]
    return train(nlp, examples, steps=120, lr=4e-3, settle=True)


DULL, LAST = SENTENCES[4][0], SENTENCES[1]


def with_a_last_sentence(nlp: Language, n_tokens: int) -> Doc:
    """A document without entities, but for its last sentence."""
    n = n_tokens - len(LAST[0])
    return Doc(nlp.vocab, words=[*(DULL * (n // len(DULL) + 1))[:n], *LAST[0]])


def assert_found(nlp: Language, n_tokens: int) -> None:
    doc = with_a_last_sentence(nlp, n_tokens)
    assert len(doc) == n_tokens
    nlp(doc)
    first = n_tokens - len(LAST[0])
    assert [s for s in spans_of(doc) if s[0] >= first] == [
        (first + start, first + end, label) for start, end, label in LAST[1]
    ]
    # Nor is anything found where there is nothing.
    assert len(doc.ents) == len(LAST[1])


def test_entities_at_the_end_of_the_longest_document_of_a_corpus(fitted: Language):
    assert_found(fitted, 22_640)


@pytest.mark.slow
@pytest.mark.parametrize("n_tokens", [200_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_entities_at_the_end_of_very_many_tokens(fitted: Language, n_tokens: int):
    fitted.max_length = 10**8
    assert_found(fitted, n_tokens)


def test_a_document_cut_off_at_the_limit_would_be_noticed(fitted: Language, monkeypatch):
    """The tests above would not pass if the tail went missing."""
    shim = transformer_shim(fitted.get_pipe("bio_ner").model.get_ref("encoder"))
    cut = shim.text.cut

    def truncated(docs: list[Doc]) -> list[Subwords]:
        result = []
        for p in cut(docs):
            n = int((np.cumsum(p.lengths) <= 500).sum())
            lengths = np.where(np.arange(len(p.lengths)) < n, p.lengths, 0)
            result.append(Subwords(p.ids, p.rows[: lengths.sum()], lengths, p.word_starts))
        return result

    monkeypatch.setattr(shim.text, "cut", truncated)
    with pytest.raises(AssertionError):
        assert_found(fitted, 1_000)
