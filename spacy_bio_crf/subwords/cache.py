"""Cache of documents' sub-words, for one step and from epoch to epoch."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from spacy.attrs import ORTH, SPACY
from spacy.tokens import Doc

from .tokenizer import Subwords

# Bytes kept from epoch to epoch, and those that each document takes beside its arrays.
ROOM, PER_DOCUMENT = 100_000_000, 1000

Cut = Callable[[list[Doc]], list[Subwords]]


class SubwordCache:
    """Keeps the sub-words of documents. A copy of a cache begins empty.

    room (int): Bytes kept from epoch to epoch. A full cache is never evicted: if an epoch exceeds
        it, eviction would drop each document just before its next use.
    """

    def __init__(self, *, room: int = ROOM):
        self._left = room
        self._kept: dict[bytes, Subwords] = {}
        # Each thread has its own documents at hand. Those of one that trains are no one else's.
        self._own = threading.local()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return SubwordCache, ()

    def look_up(self, docs: Sequence[Doc], cut: Cut) -> list[Subwords]:
        """Find the sub-words of documents within `holding`, or cut the documents."""
        at_hand = self._at_hand
        known = [at_hand[id(doc)] for doc in docs if id(doc) in at_hand]
        return known if known and len(known) == len(docs) else cut(list(docs))

    @contextlib.contextmanager
    def holding(self, docs: Sequence[Doc], cut: Cut) -> Iterator[None]:
        """Cut documents at most once for all calls of `look_up` within, and not at all if an
        earlier epoch has cut documents of the same tokens.

        docs (Sequence[Doc]): The documents; they must not change until the end.
        cut (Cut): Cuts documents into sub-words, which depend on their tokens alone.
        """
        before = self._at_hand
        subwords = self._recall(docs, cut)
        self._own.at_hand = {id(doc): own for doc, own in zip(docs, subwords, strict=True)}
        try:
            yield
        finally:
            self._own.at_hand = before

    @property
    def _at_hand(self) -> dict[int, Subwords]:
        return getattr(self._own, "at_hand", {})

    def _recall(self, docs: Sequence[Doc], cut: Cut) -> list[Subwords]:
        keys = [content_of(doc) for doc in docs]
        missing = [i for i, key in enumerate(keys) if key not in self._kept]
        found = {i: self._kept[key] for i, key in enumerate(keys) if key in self._kept}
        for i, subwords in zip(missing, cut([docs[i] for i in missing]), strict=True):
            found[i] = subwords
            size = PER_DOCUMENT + sum(array.nbytes for array in _arrays(subwords).values())
            if size <= self._left and keys[i] not in self._kept:
                # The arrays may be parts of larger ones.
                copies = {name: array.copy() for name, array in _arrays(subwords).items()}
                self._kept[keys[i]] = replace(subwords, **copies)
                self._left -= size
        return [found[i] for i in range(len(docs))]


def _arrays(subwords: Subwords) -> dict[str, np.ndarray]:
    return {name: array for name, array in vars(subwords).items() if array is not None}


def content_of(doc: Doc) -> bytes:
    """RETURNS (bytes): A hash of the tokens and the white space between them."""
    return blake2b(doc.to_array([ORTH, SPACY]).tobytes(), digest_size=16).digest()
