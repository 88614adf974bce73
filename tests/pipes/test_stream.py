"""Streams of documents, without a model and through a component."""

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.pipes import stream
from spacy_bio_crf.pipes.stream import gather, halve_on_failure
from tests.support.pipelines import SENTENCES, MakeNlp, make_examples, spans_of, train

HARD = [
    [],
    ["\n\n", " "],
    ["\ufffd", "\u200b"],
    ["\ufffd", "Ana", "\u200b", "Ruiz", "\n"],
]
# Every kind of document beside every other, the empty ones first, in the middle and last.
WORDS = [
    *HARD,
    *[words for pair in zip([w for w, _ in SENTENCES], HARD * 2, strict=False) for words in pair],
    SENTENCES[0][0] * 12,  # longer than the encoder's 64 positions
    [],
]


def docs_of(nlp: Language) -> list[Doc]:
    return [Doc(nlp.vocab, words=words) for words in WORDS]


def failing(nlp: Language, monkeypatch: pytest.MonkeyPatch, word: str) -> list[int]:
    """Make the encoder fail on documents with a word; the list counts the sizes of its batches."""
    shim: Any = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]
    cut, sizes = shim.text.cut, []

    def broken(docs):
        sizes.append(len(docs))
        if any(word in doc.text for doc in docs):
            raise RuntimeError(f"can't read {word}")
        return cut(docs)

    monkeypatch.setattr(shim.text, "cut", broken)
    return sizes


@pytest.fixture
def collected(trained: Language) -> Iterator[list[tuple[str, list[str], Exception]]]:
    """What the error handler of `trained` is given: component, texts, error."""
    seen: list[tuple[str, list[str], Exception]] = []

    def handler(name, proc, docs, error):
        assert proc is trained.get_pipe(name)
        seen.append((name, [doc.text for doc in docs], error))

    ner = trained.get_pipe("bio_ner")
    before = ner.get_error_handler()
    ner.set_error_handler(handler)
    yield seen
    ner.set_error_handler(before)


@pytest.fixture(scope="module")
def expected(trained: Language) -> list[list]:
    return [spans_of(trained(doc)) for doc in docs_of(trained)]


def test_documents_one_by_one(expected: list[list]):
    assert expected[:4] == [[], [], [], [(1, 4, "PER")]]
    assert expected[4] == SENTENCES[0][1]
    assert len(expected[-2]) >= 24
    assert sum(map(bool, expected)) >= 8


@contextlib.contextmanager
def buffering(nlp: Language, tokens: int | None) -> Iterator[None]:
    ner: Any = nlp.get_pipe("bio_ner")
    before = ner.buffer_tokens
    ner.buffer_tokens = tokens
    yield
    ner.buffer_tokens = before


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
@pytest.mark.parametrize("tokens", [0, 1, 20, None])
def test_pipe_gives_what_call_gives(
    trained: Language, expected: list[list], batch_size: int, tokens: int | None
):
    docs = docs_of(trained)
    with buffering(trained, tokens):
        out = list(trained.pipe(docs, batch_size=batch_size))
    assert [id(doc) for doc in out] == [id(doc) for doc in docs]
    assert [spans_of(doc) for doc in out] == expected


@pytest.mark.parametrize("seed", range(3))
def test_pipe_in_any_order(trained: Language, expected: list[list], seed: int):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(WORDS), generator=generator).tolist()
    out = list(trained.pipe([docs_of(trained)[i] for i in order], batch_size=5))
    assert [spans_of(doc) for doc in out] == [expected[i] for i in order]


def test_pipe_is_lazy(trained: Language):
    drawn = []

    def stream() -> Iterator[Doc]:
        for words, _ in SENTENCES:
            drawn.append(words)
            yield Doc(trained.vocab, words=words)

    def first(tokens: int | None) -> int:
        drawn.clear()
        with buffering(trained, tokens):
            next(iter(trained.get_pipe("bio_ner").pipe(stream(), batch_size=2)))
        return len(drawn)

    lengths = [len(words) for words, _ in SENTENCES]
    assert first(0) == 2
    assert first(lengths[0]) == 1
    assert first(lengths[0] + 1) == 2
    assert first(sum(lengths[:4])) == 4
    assert first(None) == 2


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("tokens", [None, 0])
@pytest.mark.parametrize("tuples", [False, True])
def test_a_stream_is_answered_batch_by_batch(
    trained: Language, batch_size: int, tokens: int | None, tuples: bool
):
    """A producer that waits for the answer to each batch does not wait for ever."""
    answered, drawn = 0, 0

    def stream() -> Iterator[Any]:
        nonlocal drawn
        for words, _ in SENTENCES:
            assert drawn - answered < batch_size
            drawn += 1
            doc = Doc(trained.vocab, words=words)
            yield (doc, drawn) if tuples else doc

    with buffering(trained, tokens):
        for _ in trained.pipe(stream(), batch_size=batch_size, as_tuples=tuples):
            answered += 1
    assert answered == drawn == len(SENTENCES)


def test_a_batch_of_books_is_worked_on_in_parts(trained: Language, monkeypatch):
    sizes = failing(trained, monkeypatch, "no such word")
    docs = [Doc(trained.vocab, words=["Ana"] * 1000) for _ in range(40)]
    assert len(list(trained.pipe(docs, batch_size=40))) == 40
    assert sizes == [17, 17, 6]  # of 8 x 2,048 tokens


def test_documents_are_gathered_up_to_a_number_of_tokens():
    vocab = Vocab()
    lengths = [3, 0, 4, 9, 0, 1, 1, 0]
    docs = [Doc(vocab, words=["a"] * n) for n in lengths]
    groups = list(gather(iter(docs), docs=9, tokens=6))
    assert [[len(doc) for doc in group] for group in groups] == [[3, 0, 4], [9], [0, 1, 1, 0]]
    assert [doc for group in groups for doc in group] == docs
    groups = list(gather(iter(docs), docs=3, tokens=6))
    assert [[len(doc) for doc in group] for group in groups] == [[3, 0, 4], [9], [0, 1, 1], [0]]
    groups = list(gather(iter(docs), docs=3, tokens=math.inf))
    assert [[len(doc) for doc in group] for group in groups] == [[3, 0, 4], [9, 0, 1], [1, 0]]
    assert list(gather(iter([]), docs=3, tokens=6)) == []


def test_documents_without_a_token_do_not_gather_for_ever(trained: Language, monkeypatch):
    monkeypatch.setattr(stream, "MOST_DOCS", 3)
    sizes = failing(trained, monkeypatch, "no such word")
    with buffering(trained, 6):
        docs = [Doc(trained.vocab) for _ in range(7)]
        assert len(list(trained.pipe(docs, batch_size=1))) == 7
    assert sizes == [3, 3, 1]


def test_failures_are_halved_without_a_model():
    docs = [Doc(Vocab(), words=[str(i)]) for i in range(8)]
    worked: list[list[str]] = []
    reported = []

    def work(group: list[Doc]) -> None:
        worked.append([doc.text.strip() for doc in group])
        if "5" in worked[-1]:
            raise RuntimeError("five")

    def report(group: list[Doc], error: Exception) -> None:
        reported.append((group, str(error)))

    assert list(halve_on_failure(docs, work, report)) == [*docs[:5], *docs[6:]]
    assert reported == [([docs[5]], "five")]
    sizes = [len(group) for group in worked]
    assert sizes == [8, 4, 4, 2, 1, 1, 2] and worked[4:6] == [["4"], ["5"]]


def test_an_error_of_the_consumer_is_no_failure():
    docs = [Doc(Vocab(), words=["a"]) for _ in range(2)]
    stream = halve_on_failure(docs, lambda group: None, lambda group, error: pytest.fail("no"))
    next(stream)
    with pytest.raises(RuntimeError, match="mine"):
        stream.throw(RuntimeError("mine"))


def test_contexts_stay_with_their_documents(trained: Language, expected: list[list]):
    pairs = [(doc, i) for i, doc in enumerate(docs_of(trained))]
    out = list(trained.pipe(pairs, as_tuples=True, batch_size=3))
    assert [i for _, i in out] == list(range(len(WORDS)))
    assert [spans_of(doc) for doc, _ in out] == expected


def test_nothing_but_python_numbers_stays_on_a_document(trained: Language):
    docs = list(trained.pipe(docs_of(trained)))
    assert any(doc.ents for doc in docs)
    for doc in docs:
        assert doc.user_data == {} and doc.tensor.size == 0 and not doc.user_hooks
        assert list(doc.spans) == ["bio_ner"]
        scores = doc.spans["bio_ner"].attrs["scores"]
        assert all(type(score) is float for score in scores)
        assert spans_of(Doc(doc.vocab).from_bytes(doc.to_bytes())) == spans_of(doc)


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_one_bad_document_is_reported_alone(
    trained: Language, expected, collected, monkeypatch, batch_size: int
):
    failing(trained, monkeypatch, "Washington")
    pairs = [(doc, i) for i, doc in enumerate(docs_of(trained))]
    bad = [i for i, words in enumerate(WORDS) if "Washington" in words]
    assert len(bad) == 2
    out = list(trained.pipe(pairs, as_tuples=True, batch_size=batch_size))
    assert [i for _, i in out] == [i for i in range(len(WORDS)) if i not in bad]
    assert [spans_of(doc) for doc, _ in out] == [
        spans for i, spans in enumerate(expected) if i not in bad
    ]
    assert [texts for _, texts, _ in collected] == [[docs_of(trained)[i].text] for i in bad]
    assert [str(error) for *_, error in collected] == ["can't read Washington"] * 2


def test_batches_without_a_bad_document_are_worked_on_once(trained, collected, monkeypatch):
    sizes = failing(trained, monkeypatch, "Washington")
    words = [["Ana"], ["Bo"], ["met"], ["Washington"], ["Lisbon"], ["today"]]
    docs = [Doc(trained.vocab, words=w) for w in words]
    with buffering(trained, 0):
        assert len(list(trained.pipe(docs, batch_size=2))) == 5
    assert sizes == [2, 2, 1, 1, 2]


def test_a_bad_document_among_many_is_found_by_halves(trained, collected, monkeypatch):
    sizes = failing(trained, monkeypatch, "Washington")
    words = [["Ana"]] * 64
    words[37] = ["Washington"]
    out = list(trained.pipe([Doc(trained.vocab, words=w) for w in words]))
    assert len(out) == 63 and len(collected) == 1
    assert sizes == [64, 32, 32, 16, 8, 4, 4, 2, 1, 1, 2, 8, 16]


def test_without_a_handler_the_error_is_raised(trained: Language, monkeypatch):
    failing(trained, monkeypatch, "Washington")
    with pytest.raises(RuntimeError, match="can't read Washington"):
        list(trained.pipe(docs_of(trained)))


def test_call_reports_to_the_handler_too(trained: Language, collected, monkeypatch):
    failing(trained, monkeypatch, "Washington")
    assert trained.get_pipe("bio_ner")(Doc(trained.vocab, words=["Washington"])) is None
    assert [texts for _, texts, _ in collected] == [["Washington "]]


@pytest.fixture
def poisoned(make_nlp: MakeNlp) -> Language:
    """A pipeline whose encoder gives NaN where it reads "%", and nowhere else."""
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    train(nlp, make_examples(nlp), steps=3)
    shim: Any = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]
    unknown = shim.text.tokenizer.unk_token_id
    with torch.no_grad():
        shim.network.get_input_embeddings().weight[unknown] = float("nan")
    return nlp


def test_scores_that_are_not_finite_name_document_and_token(poisoned: Language):
    docs = [Doc(poisoned.vocab, words=w) for w in ([], ["Ana"], ["\n", "met", "%"], ["Bo"])]
    message = r"document 2 of the batch \('\\n met % '\), token 1 \('met'\): expected finite"
    with pytest.raises(ValueError, match=message):
        poisoned.get_pipe("bio_ner").predict(docs)


def test_a_document_whose_scores_are_not_finite_is_reported_alone(poisoned: Language):
    seen = []
    poisoned.set_error_handler(lambda name, proc, docs, error: seen.extend(docs))
    docs = [Doc(poisoned.vocab, words=w) for w in (["Ana"], ["a", "%"], [], ["Bo"], ["%"])]
    assert [doc.text for doc in poisoned.pipe(docs)] == ["Ana ", "", "Bo "]
    assert seen == [docs[1], docs[4]]


def test_transitions_that_are_not_finite_are_told(poisoned: Language):
    emitter: Any = poisoned.get_pipe("bio_ner").model.get_ref("emitter").shims[0].network
    with torch.no_grad():
        emitter.crf.transitions[0, 1] = float("nan")
    with pytest.raises(ValueError, match="transition scores of 'bio_ner': expected finite"):
        poisoned("Ana")


# -- processes ------------------------------------------------------------------------------------

IN_PROCESSES = """
import json, multiprocessing, sys
import spacy, torch
from spacy.tokens import Doc

def spans(docs):
    return [[[e.start, e.end, e.label_] for e in doc.ents] for doc in docs]

if __name__ == "__main__":
    nlp = spacy.load(sys.argv[1])
    words = json.loads(sys.argv[2])
    # More than one thread, and work for all of them before the fork.
    torch.set_num_threads(2)
    (torch.ones(1000, 1000) @ torch.ones(1000, 1000)).exp().sum()
    def docs():
        return [Doc(nlp.vocab, words=w) for w in words]
    alone = spans(nlp.pipe(docs()))
    many = spans(nlp.pipe(docs(), n_process=2, batch_size=4))
    contexts = [c for _, c in nlp.pipe([(d, i) for i, d in enumerate(docs())],
                                       as_tuples=True, n_process=2, batch_size=4)]
    print(json.dumps([alone, many, contexts]))
"""


def test_two_processes_give_what_one_gives(trained: Language, expected, run_python, tmp_path):
    trained.to_disk(tmp_path / "model")
    out = run_python(
        IN_PROCESSES, tmp_path / "model", json.dumps(WORDS), timeout=100, OMP_NUM_THREADS="2"
    )
    alone, many, contexts = json.loads(out)
    assert alone == [[list(span) for span in spans] for spans in expected]
    assert many == alone
    assert contexts == list(range(len(WORDS)))
