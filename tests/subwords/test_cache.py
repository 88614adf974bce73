"""Sub-words that are remembered: by the object for a while, by the tokens from epoch to epoch."""

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.subwords.cache import PER_DOCUMENT, Cut, SubwordCache
from spacy_bio_crf.subwords.tokenizer import Subwords, SubwordTokenizer
from tests.support.pipelines import MakeNlp, make_examples, train

VOCAB = Vocab()


class Cutter:
    """Cuts every token into as many sub-words as it has letters, and counts documents."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, docs: list[Doc]) -> list[Subwords]:
        self.seen += [doc.text for doc in docs]
        return [subwords_of(doc) for doc in docs]


def subwords_of(doc: Doc) -> Subwords:
    lengths = np.array([len(token) for token in doc], dtype=np.int32)
    ids = np.arange(lengths.sum())
    return Subwords(ids, ids, lengths, np.ones(len(ids), dtype=bool))


def doc_of(text: str, spaces: list[bool] | None = None) -> Doc:
    words = text.split()
    return Doc(VOCAB, words=words, spaces=spaces or [True] * len(words))


def recall(cache: SubwordCache, docs: list[Doc], cut: Cut) -> list[Subwords]:
    """The sub-words of documents in one step of an epoch."""
    with cache.holding(docs, cut):
        return cache.look_up(docs, cut)


def same(subwords: list[Subwords], docs: list[Doc]) -> bool:
    expected = [subwords_of(doc).lengths.tolist() for doc in docs]
    return [p.lengths.tolist() for p in subwords] == expected


def test_what_comes_again_is_not_cut_again():
    cache, cut = SubwordCache(), Cutter()
    for texts, cut_now in (
        (["a bc", "def", ""], ["a bc ", "def ", ""]),
        (["def", "a bc", "g", ""], ["g "]),
        (["a bc", "def", ""], []),
    ):
        docs = [doc_of(text) for text in texts]
        cut.seen = []
        assert same(recall(cache, docs, cut), docs)
        assert cut.seen == cut_now


@pytest.mark.parametrize(
    "other",
    [
        doc_of("ab cd", [True, False]),
        doc_of("ab cd", [False, True]),
        doc_of("a b cd"),
        doc_of("ab"),
    ],
)
def test_other_tokens_or_spaces_are_another_text(other: Doc):
    cache, cut = SubwordCache(), Cutter()
    recall(cache, [doc_of("ab cd")], cut)
    assert same(recall(cache, [other], cut), [other]) and len(cut.seen) == 2


def test_it_stops_at_its_room():
    docs = [doc_of(text) for text in ("abc", "defg", "hi", "j")]
    sizes = [PER_DOCUMENT + sum(x.nbytes for x in arrays(subwords_of(doc))) for doc in docs]
    cache, cut = SubwordCache(room=sizes[0] + sizes[2]), Cutter()
    for _ in range(2):
        assert same(recall(cache, docs, cut), docs)
    # "abc" and "hi" fill it; the others are cut anew.
    assert cut.seen == ["abc ", "defg ", "hi ", "j ", "defg ", "j "]


def test_a_text_twice_in_a_batch_takes_room_once():
    docs = [doc_of("hi"), doc_of("hi"), doc_of("abc")]
    sizes = [PER_DOCUMENT + sum(x.nbytes for x in arrays(subwords_of(doc))) for doc in docs]
    cache, cut = SubwordCache(room=sizes[0] + sizes[2]), Cutter()
    for _ in range(2):
        assert same(recall(cache, docs, cut), docs)
    assert cut.seen == ["hi ", "hi ", "abc "]


def arrays(subwords: Subwords) -> list[np.ndarray]:
    return [array for array in vars(subwords).values() if array is not None]


def test_it_holds_no_more_than_it_counts():
    """What is cut together may lie in one array, which must not be kept for a part of it."""
    whole = np.zeros(10_000, dtype=np.int64)

    def cut(docs: list[Doc]) -> list[Subwords]:
        return [Subwords(whole[:3], whole[:3], whole[:1], whole[:3]) for _ in docs]

    cache = SubwordCache()
    recall(cache, [doc_of("abc")], cut)
    (kept,) = recall(cache, [doc_of("abc")], cut)
    assert kept.ids.tolist() == [0, 0, 0]
    assert not any(np.shares_memory(array, whole) for array in arrays(kept))


def test_documents_at_hand_are_known_until_the_end():
    cache, cut = SubwordCache(), Cutter()
    docs = [doc_of("a b"), doc_of("c")]
    with pytest.raises(KeyError), cache.holding(docs, cut):
        cut.seen = []
        assert same(cache.look_up(docs[::-1], cut), docs[::-1]) and cut.seen == []
        cache.look_up([docs[0], doc_of("a b")], cut)
        assert cut.seen == ["a b ", "a b "]
        others = [doc_of("d")]
        with cache.holding(others, cut):
            cut.seen = []
            cache.look_up(others, cut)
        cache.look_up(docs, cut)
        assert cut.seen == []
        raise KeyError
    cut.seen = []
    cache.look_up(docs, cut)
    assert len(cut.seen) == 2
    assert cache.look_up([], cut) == []


def test_an_epoch_cuts_nothing_that_the_one_before_has_cut(
    make_nlp: MakeNlp, monkeypatch: pytest.MonkeyPatch
):
    nlp = make_nlp(encoder_options={"casing": True})
    train(nlp, make_examples(nlp), steps=1)
    shim: Any = transformer_shim(nlp.get_pipe("bio_ner").model.get_ref("encoder"))
    counts: list[int] = []
    cut = SubwordTokenizer.__call__

    def count(subwords: Any, docs: Any) -> Any:
        docs = list(docs)
        counts.append(len(docs))
        return cut(subwords, docs)

    monkeypatch.setattr(SubwordTokenizer, "__call__", count)
    examples = make_examples(nlp)
    nlp.update(examples)
    assert sum(counts) == 0
    # A copy has a cache of its own.
    for copy in (shim.copy(), pickle.loads(pickle.dumps(shim))):
        counts.clear()
        with copy.text.remembering([eg.predicted for eg in examples]):
            assert sum(counts) == len(examples)


def test_threads_do_not_share_what_is_at_hand():
    """Two threads whose steps overlap: afterwards nothing is at hand, whoever ended last."""
    cache, cut = SubwordCache(), Cutter()
    mine, other = [doc_of("a bc")], [doc_of("def")]
    inside, leave = threading.Event(), threading.Event()
    seen: list[list[Subwords]] = []

    def work() -> None:
        with cache.holding(other, cut):
            inside.set()
            leave.wait(10)
            cut.seen = []
            seen.append(cache.look_up(other, cut))
            assert not cut.seen

    thread = threading.Thread(target=work)
    with cache.holding(mine, cut):
        thread.start()
        inside.wait(10)
        assert same(cache.look_up(mine, cut), mine)
    leave.set()
    thread.join()
    assert len(seen) == 1 and same(seen[0], other)
    cut.seen = []
    for docs in (mine, other):
        assert same(cache.look_up(docs, cut), docs)
    # What is looked up outside is cut, not remembered by the id of a document.
    assert cut.seen == ["a bc ", "def "]
