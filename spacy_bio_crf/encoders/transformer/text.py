"""Preprocessing for a transformer: sub-words, windows and batches of documents, without torch."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ...errors import describe
from ...subwords.batches import SpecialIds, make_batches
from ...subwords.cache import SubwordCache
from ...subwords.casing import shapes_of_subwords
from ...subwords.shared_tokenizers import share_tokenizer
from ...subwords.tokenizer import Subwords, SubwordTokenizer

DEFAULT_OVERLAP = 64
# Longest default window of a network that has no limit of its own.
UNLIMITED_WINDOW = 512


class Preprocessor:
    """Turns documents into sub-words, and sub-words into batches of windows.

    tokenizer (PreTrainedTokenizerBase): Makes the sub-words.
    special (SpecialIds): Special sub-words around every window.
    limit (int | None): Most sub-words of a text that the network sees at once; None for no limit.
    window, overlap (int | None), casing (bool): As the encoder's options.
    shared (bool): Use the tokenizer of another component of this process, if it has the same.
    RAISES: ValueError if the window is longer than the limit, or the overlap is not smaller than
        the window.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        special: SpecialIds,
        limit: int | None,
        window: int | None = None,
        overlap: int | None = None,
        casing: bool = False,
        shared: bool = False,
    ):
        if window is not None and limit is not None and window > limit:
            most = (
                f"at most {limit}, the model's limit without its {len(special)} special sub-words"
            )
            raise ValueError(describe("window", expected=most, got=window))
        make = share_tokenizer if shared else SubwordTokenizer
        self._subword_tokenizer = make(tokenizer)
        self.tokenizer = self._subword_tokenizer.tokenizer
        self.special = special
        self.window = window or limit or UNLIMITED_WINDOW
        self.overlap = min(DEFAULT_OVERLAP, self.window // 4) if overlap is None else overlap
        self.casing = casing
        check_window(self.window, self.overlap)
        self.make_batches = partial(
            make_batches, special=special, window=self.window, overlap=self.overlap
        )
        self._cache = SubwordCache()

    @property
    def unknown(self) -> int | None:
        """The id of the sub-word that stands for unknown text; None if the vocabulary knows all."""
        return self._subword_tokenizer.unknown

    def cut(self, docs: Sequence[Doc]) -> list[Subwords]:
        """RETURNS (list[Subwords]): Sub-words of each document, and the tokens they belong to."""
        return self._cache.look_up(docs, self._cut)

    def remembering(self, docs: Sequence[Doc]) -> contextlib.AbstractContextManager:
        """Cut documents at most once for all calls of `cut` within, and not at all if an earlier
        epoch has cut them; the documents must not change until the end."""
        return self._cache.holding(docs, self._cut)

    def _cut(self, docs: list[Doc]) -> list[Subwords]:
        subwords = self._subword_tokenizer(docs)
        if not self.casing:
            return subwords
        return [
            replace(own, shapes=shapes_of_subwords(doc, own))
            for doc, own in zip(docs, subwords, strict=True)
        ]

    def costs(self, docs: Sequence[Doc]) -> np.ndarray:
        """RETURNS (np.ndarray): Padded sub-words of each document if all its windows have full
        length; int64 [n_docs]."""
        counts = np.array([len(s.ids) for s in self.cut(docs)], dtype=np.int64)
        step = self.window - self.overlap
        windows = np.maximum(1, -(-(counts - self.overlap) // step))
        return windows * (np.minimum(counts, self.window) + len(self.special))


def check_window(window: int, overlap: int | None) -> None:
    """RAISES: ValueError for a window or an overlap out of range."""
    if window < 1:
        raise ValueError(describe("window", expected="1 or more", got=window))
    if overlap is not None and not 0 <= overlap < window:
        expected = f"0 or more and less than the window of {window}"
        raise ValueError(describe("overlap", expected=expected, got=overlap))
