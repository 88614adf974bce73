"""Streams of documents: gathering many of them, and halving on failure."""

from collections.abc import Callable, Iterable, Iterator

from spacy import util
from spacy.tokens import Doc

# The limit for documents without a token, which would gather forever.
MOST_DOCS = 10_000

_Work = Callable[[list[Doc]], None]
_Report = Callable[[list[Doc], Exception], None]


def gather(stream: Iterable[Doc], *, batch_size: int, tokens: int) -> Iterator[list[Doc]]:
    """Gather groups of documents, in order.

    A network works on padded batches of windows, and a larger choice of windows needs less padding.
    The batches of a stream are too small for that if documents are sentences, and needlessly large
    if they are books.

    stream (Iterable[Doc]): The documents. No more are drawn than the next group needs.
    batch_size (int): Documents in a group, if `tokens` is 0.
    tokens (int): A group is full with the document that brings it to this number of tokens,
        whatever the number of documents.
    YIELDS (list[Doc]): The groups; together they are the stream.
    """
    if tokens == 0:
        yield from util.minibatch(stream, size=batch_size)
        return
    group: list[Doc] = []
    total = 0
    for doc in stream:
        group.append(doc)
        total += len(doc)
        if total >= tokens or len(group) == MOST_DOCS:
            yield group
            group, total = [], 0
    if group:
        yield group


def halve_on_failure(docs: list[Doc], work: _Work, report: _Report) -> Iterator[Doc]:
    """Work on documents together; after a failure in halves, down to the documents at fault.

    work (Callable): Works on a list of documents, in place.
    report (Callable): Is given a list of one document that failed, and the error.
    YIELDS (Doc): The same documents, in order, without those that failed.
    """
    failure = _failure(work, docs)
    if failure is None:
        yield from docs
    elif len(docs) == 1:
        report(docs, failure)
    else:
        half = len(docs) // 2
        yield from halve_on_failure(docs[:half], work, report)
        yield from halve_on_failure(docs[half:], work, report)


def _failure(work: _Work, docs: list[Doc]) -> Exception | None:
    try:
        work(docs)
    except Exception as error:
        return error
    return None
