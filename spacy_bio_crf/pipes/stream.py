"""Streams of documents: gathering many of them, and halving on failure."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from spacy.tokens import Doc

from ..errors import check_count
from .disk import StoredPipe

# Batches of the encoder's budget that `pipe` works on together, which bounds memory for books.
MOST_BATCHES = 8
# The limit for documents without a token, which would gather forever.
MOST_DOCS = 10_000

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


class StreamedPipe(StoredPipe):
    """A component with an encoder that works on a stream in groups of documents."""

    @property
    def buffer_tokens(self) -> int | None:
        """The option of that name. RAISES: ValueError when set to anything but None, 0 or more."""
        return self._buffer_tokens

    @buffer_tokens.setter
    def buffer_tokens(self, value: int | None) -> None:
        if value is not None:
            check_count("buffer_tokens", value, least=0)
        self._buffer_tokens = value

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of documents, in order.

        The windows of a batch are sorted by length. After a failure documents are tried in halves:
        the error handler gets only the documents at fault.

        stream (Iterable[Doc]): The documents. No more are drawn than a batch, unless
            `buffer_tokens` asks for more.
        batch_size (int): Most documents to work on at once, if `buffer_tokens` is None or 0.
        YIELDS (Doc): The same documents, in order, without those that failed.
        """
        size = MOST_DOCS if self.buffer_tokens else batch_size
        tokens = self.buffer_tokens
        if tokens is None:
            tokens = MOST_BATCHES * self.encoder.budget
        report = partial(self.get_error_handler(), self.name, self)
        for docs in gather(stream, docs=size, tokens=tokens or math.inf):
            yield from halve_on_failure(docs, self._annotate, report)

    def _annotate(self, docs: list[Doc]) -> None:
        self.set_annotations(docs, self.predict(docs))
