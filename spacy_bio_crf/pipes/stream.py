"""Streams of documents: gathering many of them, and halving on failure."""

from collections.abc import Callable, Iterable, Iterator

from spacy.tokens import Doc

_Work = Callable[[list[Doc]], None]
_Report = Callable[[list[Doc], Exception], None]


def gather(stream: Iterable[Doc], *, docs: int, tokens: float) -> Iterator[list[Doc]]:
    """Gather groups of documents, in order.

    A network works on padded batches of windows, and a larger choice of windows needs less padding.

    stream (Iterable[Doc]): The documents. No more are drawn than the next group needs.
    docs (int): The most documents in a group.
    tokens (float): A group is full with the document that brings it to this number of tokens.
    YIELDS (list[Doc]): The groups; together they are the stream.
    """
    group: list[Doc] = []
    total = 0
    for doc in stream:
        group.append(doc)
        total += len(doc)
        if total >= tokens or len(group) >= docs:
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
