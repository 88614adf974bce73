"""Gather the documents of a stream, so that many of them can be sorted by length."""

from collections.abc import Iterable, Iterator

from spacy import util
from spacy.tokens import Doc

# So that documents without a token do not gather for ever.
MOST_DOCS = 10_000


def gather(stream: Iterable[Doc], *, batch_size: int, tokens: int) -> Iterator[list[Doc]]:
    """Groups of documents, in order.

    A network works on padded batches of windows, and the more windows there are to choose from, the
    less is padding: the batches of a stream are too small for that where documents are sentences,
    and needlessly large where they are books.

    stream (Iterable[Doc]): The documents. No more are drawn than make the next group.
    batch_size (int): Documents in a group, if `tokens` is 0.
    tokens (int): A group is full with the document that brings it to so many tokens, however many
        documents that are.
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
