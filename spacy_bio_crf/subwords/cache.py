"""The sub-words of documents that are asked for again: in the same step, or in the next epoch."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from spacy.attrs import ORTH, SPACY
from spacy.tokens import Doc

from .tokenizer import Subwords

# What may be kept from epoch to epoch, in bytes, and what each document takes beside its arrays.
ROOM, PER_DOCUMENT = 100_000_000, 1000

Cut = Callable[[list[Doc]], list[Subwords]]


class SubwordMemory:
    """Remembers the sub-words of documents.

    room (int): Bytes that may be kept from epoch to epoch. When they are full, what is there stays:
        in epochs over more than fits, making room would throw out every document before it comes
        again.
    """

    def __init__(self, *, room: int = ROOM):
        self._left = room
        self._kept: dict[bytes, Subwords] = {}
        self._at_hand: dict[int, Subwords] = {}

    def look_up(self, docs: Sequence[Doc], cut: Cut) -> list[Subwords]:
        """The sub-words of documents, cut unless all of them are at hand.

        docs (Sequence[Doc]): The documents.
        cut (Cut): Cuts documents.
        RETURNS (list[Subwords]): One for each.
        """
        at_hand = self._at_hand
        known = [at_hand[id(doc)] for doc in docs if id(doc) in at_hand]
        return known if known and len(known) == len(docs) else cut(list(docs))

    def again(self, docs: Sequence[Doc], cut: Cut) -> list[Subwords]:
        """The sub-words of documents that are expected to come again, as other objects.

        docs (Sequence[Doc]): The documents.
        cut (Cut): Cuts documents; what it gives depends on their tokens alone.
        RETURNS (list[Subwords]): One for each.
        """
        keys = [_content(doc) for doc in docs]
        missing = [i for i, key in enumerate(keys) if key not in self._kept]
        found = {i: self._kept[key] for i, key in enumerate(keys) if key in self._kept}
        for i, pieces in zip(missing, cut([docs[i] for i in missing]), strict=True):
            found[i] = pieces
            size = PER_DOCUMENT + sum(array.nbytes for array in _arrays(pieces).values())
            if size <= self._left and keys[i] not in self._kept:
                # The arrays may be parts of larger ones.
                copies = {name: array.copy() for name, array in _arrays(pieces).items()}
                self._kept[keys[i]] = replace(pieces, **copies)
                self._left -= size
        return [found[i] for i in range(len(docs))]

    @contextlib.contextmanager
    def holding(self, docs: Sequence[Doc], pieces: Sequence[Subwords]) -> Iterator[None]:
        """Keep the sub-words of some documents at hand.

        docs (Sequence[Doc]): The documents; they are left as they are until the end.
        pieces (Sequence[Subwords]): Their sub-words.
        """
        before = self._at_hand
        self._at_hand = {id(doc): piece for doc, piece in zip(docs, pieces, strict=True)}
        try:
            yield
        finally:
            self._at_hand = before


def _arrays(pieces: Subwords) -> dict[str, np.ndarray]:
    return {name: array for name, array in vars(pieces).items() if array is not None}


def _content(doc: Doc) -> bytes:
    """What tells one text, cut into one sequence of tokens, from all others."""
    return blake2b(doc.to_array([ORTH, SPACY]).tobytes(), digest_size=16).digest()
