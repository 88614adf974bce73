"""Cut the text of Docs into a transformer's sub-words, and say which belong to each spaCy token.

Sub-words are made from the Doc's text, never from its words joined with spaces, so that they look
as they did when the transformer was pre-trained; character offsets then tell which tokens they
overlap:

    tokens      do|n't|  |panic          (the white space between is a token of its own)
    sub-words   don|'|t|   pan|##ic      ids     = [don, ', t, pan, ##ic]
                                         rows    = [0, 0, 1, 2, 3, 4]
                                         lengths = [1, 3, 0, 2]

"don" overlaps both "do" and "n't", so its row occurs twice. White space never counts: not in a
token, and not in a sub-word's offsets, which in some families begin with the space in front of the
word.

Pure numpy; the tokenizer comes from Hugging Face but nothing is imported from there.
"""

import os
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
from spacy.tokens import Doc

from .chunks import Part, Pieces, join_parts, make_parts
from .rewritten import stretch, token_offsets

# How many texts, and characters of them, go to the tokenizer in one call, and how many characters
# of Docs are treated at once: they bound the memory that intermediate results take.
CALL, CALL_CHARACTERS = 256, 2**18
GROUP = 2_000_000
# How many texts of words a tokenizer written in Python remembers.
CACHE = 1 << 16
# The pieces with which sentencepiece and byte-level BPE write a space.
MARKERS = ("\u2581", "\u0120")

_SPACES = np.zeros(0x3002, dtype=bool)
_SPACES[[code for code in range(0x3001) if chr(code).isspace()]] = True


@dataclass(frozen=True, eq=False)
class Subwords:
    """The sub-words of one Doc and the tokens they belong to.

    ids (ndarray): int64 [n_subwords]: all sub-words of the Doc in order, without special ones.
    rows (ndarray): int64 [n_rows]: for each token in turn, the indices into `ids` of the sub-words
        that overlap it.
    lengths (ndarray): int32 [n_tokens]: how many of `rows` belong to each token, 0 where a token
        has none.
    word_starts (ndarray): bool [n_subwords]: True where a sub-word begins a token: a good place to
        cut.
    shapes (ndarray | None): int64 [n_subwords]: how the word of each sub-word is written, where an
        encoder is told so.
    """

    ids: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray
    word_starts: np.ndarray
    shapes: np.ndarray | None = None


def pick_rows(lengths: np.ndarray, *, every: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which of a document's rows make the sequence, and the tokens they stand for.

    lengths (np.ndarray): Sub-words of each token; int [n_tokens].
    every (bool): All sub-words; otherwise the first of each token.
    RETURNS (tuple[np.ndarray, np.ndarray]): Row indices and token indices; int64 [n] both.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if every:
        return np.arange(int(lengths.sum())), np.repeat(np.arange(len(lengths)), lengths)
    tokens = np.flatnonzero(lengths)
    return (np.cumsum(lengths) - lengths)[tokens], tokens


class SubwordTokenizer:
    """Turns Docs into sub-words with a Hugging Face tokenizer, which is left as it is.

    Text that looks like a special sub-word ("[SEP]", "</s>") is treated as text. Nothing is
    truncated or padded.

    tokenizer (PreTrainedTokenizerBase): A fast tokenizer, which sees whole texts, or one written in
        Python, which has no offsets and so is given token by token, each with a space in front
        where the Doc has white space there.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._fast: Any = _private_copy(tokenizer) if getattr(tokenizer, "is_fast", False) else None
        self._word = lru_cache(maxsize=CACHE)(self._tokenize_word)
        normalizer = self._fast.normalizer if self._fast is not None else None
        self._normalize = lru_cache(maxsize=CACHE)(normalizer.normalize_str if normalizer else str)
        vocab: dict[str, int] = tokenizer.get_vocab()
        # Codes and ids of the markers that this vocabulary has.
        self._markers = {ord(marker): vocab[marker] for marker in MARKERS if marker in vocab}
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {i for i, token in added.items() if token.special} | {*tokenizer.all_special_ids}
        # In GPT-2's vocabulary the unknown sub-word is also the end of a text.
        marks = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._unknown = None if tokenizer.unk_token_id in marks else tokenizer.unk_token_id
        # shape: [largest id + 1]
        self._special = np.zeros(max(special | {*vocab.values()}, default=0) + 1, dtype=bool)
        self._special[list(special - {self._unknown})] = True

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        # Neither the copy's settings nor the cache survive pickling; both are made again.
        return SubwordTokenizer, (self.tokenizer,)

    def __call__(self, docs: Iterable[Doc]) -> list[Subwords]:
        """Cut Docs into sub-words. A Doc's result does not depend on the others.

        docs (Iterable[Doc]): The Docs.
        RETURNS (list[Subwords]): One for each Doc, in order.
        """
        if self._fast is None:
            return [self._by_words(doc) for doc in docs]
        return [subwords for group in _groups(docs) for subwords in self._by_offsets(group)]

    @property
    def unknown(self) -> int | None:
        """The id of the sub-word that stands for unknown text; None if the vocabulary knows all."""
        return self._unknown

    def _by_offsets(self, docs: list[Doc]) -> list[Subwords]:
        texts = [doc.text for doc in docs]
        uncut: set[int] = set()
        while True:
            parts = make_parts(texts, uncut)
            pieces, torn = join_parts(parts, self._encode(parts))
            if not torn:
                break
            uncut |= torn
        text = "".join(texts)
        codes = _codes(text)
        solid = _solid(codes)
        spaces = _only_space(pieces, codes, self._markers)
        pieces = stretch(docs, text, pieces, spaces, solid, represented=self._represented)
        return _align(docs, codes, solid, self._without_special(pieces), self._markers)

    def _represented(self, text: str) -> bool:
        """Has a text sub-words by itself, others than the mark of a space?"""
        found = self._fast.encode(text, add_special_tokens=False).ids
        return not set(found) <= {*self._markers.values()}

    def _encode(self, parts: list[Part]) -> Pieces:
        """Pieces of all parts, the context included; their owners are the parts."""
        result = []
        for i, j in _calls(parts):
            texts = [part.text for part in parts[i:j]]
            skips = [self._deleted(text) for text in texts]
            encodings = self._fast.encode_batch(
                [text[skip:] if skip else text for text, skip in zip(texts, skips, strict=True)],
                add_special_tokens=False,
            )
            counts = np.array([len(encoding) for encoding in encodings])
            owners = np.repeat(np.arange(i, i + len(texts)), counts)
            begins = np.array([part.begin for part in parts[i:j]]) + skips
            begins = np.repeat(begins, counts)
            ids = chain.from_iterable(encoding.ids for encoding in encodings)
            pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
            flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int64, count=2 * len(owners))
            result.append(
                Pieces(
                    np.fromiter(ids, dtype=np.int64, count=len(owners)),
                    flat[0::2] + begins,
                    flat[1::2] + begins,
                    owners,
                )
            )
        columns = ("ids", "starts", "ends", "owners")
        return Pieces(*(np.concatenate([getattr(p, name) for p in result]) for name in columns))

    def _deleted(self, text: str) -> int:
        """How many characters at the beginning of a text does the tokenizer's normaliser delete?

        They are left out: sentencepiece's normaliser, as the tokenizers library has it, forgets
        them and then moves the offsets of the whole text.
        """
        i = 0
        while i < len(text) and self._normalize(text[i]) == "":
            i += 1
        return i

    def _without_special(self, pieces: Pieces) -> Pieces:
        """A vocabulary may offer its special pieces for ordinary text, as sentencepiece's does."""
        leaked = self._special[pieces.ids]
        if not leaked.any():
            return pieces
        if self._unknown is None:
            return pieces.select(~leaked)
        return replace(pieces, ids=np.where(leaked, self._unknown, pieces.ids))

    def _by_words(self, doc: Doc) -> Subwords:
        ids: list[int] = []
        rows: list[int] = []
        lengths = np.zeros(len(doc), dtype=np.int32)
        starts: list[int] = []
        after_space = False
        for token in doc:
            space = token.text.isspace()
            if not space:
                pieces, skip = self._word(token.text, after_space)
                if len(pieces) > skip:
                    starts.append(len(ids) + skip)
                rows.extend(range(len(ids) + skip, len(ids) + len(pieces)))
                lengths[token.i] = len(pieces) - skip
                ids.extend(pieces)
            after_space = space or bool(token.whitespace_)
        word_starts = np.zeros(len(ids), dtype=bool)
        word_starts[starts] = True
        return Subwords(
            np.array(ids, dtype=np.int64), np.array(rows, dtype=np.int64), lengths, word_starts
        )

    def _tokenize_word(self, text: str, after_space: bool) -> tuple[tuple[int, ...], int]:
        """Ids of a word's sub-words, and how many at its beginning only stand for a space."""
        spaced = f" {text}" if after_space else text
        names = self.tokenizer.tokenize(spaced, split_special_tokens=True)
        ids = np.array(self.tokenizer.convert_tokens_to_ids(names), dtype=np.int64)
        ids = self._without_special(Pieces(ids, ids, ids, ids)).ids
        lone = np.isin(ids, [i for code, i in self._markers.items() if ord(text[0]) != code])
        skip = len(ids) if lone.all() else int(np.argmin(lone))
        return tuple(ids.tolist()), skip


def _private_copy(tokenizer: Any) -> Any:
    """A copy of a fast tokenizer's engine that does not truncate, pad or obey special text."""
    engine = deepcopy(tokenizer).backend_tokenizer
    engine.no_truncation()
    engine.no_padding()
    engine.encode_special_tokens = True
    _keep_forks_quiet()
    return engine


@lru_cache(maxsize=1)
def _keep_forks_quiet() -> None:
    """Let forked processes tokenise on one thread, as the library would anyway, with a warning."""
    name = "TOKENIZERS_PARALLELISM"
    ours: list[bool] = []

    def before() -> None:
        ours.append(name not in os.environ)
        os.environ.setdefault(name, "false")

    def after() -> None:
        if ours.pop():
            os.environ.pop(name, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after)


def _groups(docs: Iterable[Doc]) -> Iterator[list[Doc]]:
    group: list[Doc] = []
    total = 0
    for doc in docs:
        group.append(doc)
        total += doc[-1].idx if len(doc) else 0
        if total >= GROUP:
            yield group
            group, total = [], 0
    if group:
        yield group


def _calls(parts: list[Part]) -> Iterator[tuple[int, int]]:
    """Which parts go to the tokenizer together: first and exclusive end, one or more."""
    begin, total = 0, 0
    for i, part in enumerate(parts):
        total += len(part.text)
        if total >= CALL_CHARACTERS or i + 1 - begin == CALL:
            yield begin, i + 1
            begin, total = i + 1, 0
    if begin < len(parts):
        yield begin, len(parts)


def _align(
    docs: list[Doc],
    codes: np.ndarray,
    solid: np.ndarray,
    pieces: Pieces,
    markers: dict[int, int],
) -> list[Subwords]:
    """All Docs at once: their texts are laid end to end, and so are their tokens and pieces.

    docs (list[Doc]): The Docs.
    codes (np.ndarray): The code of each character; uint32 [n_characters].
    solid (np.ndarray): What `_solid` says of them.
    pieces (Pieces): Their sub-words.
    markers (dict[int, int]): Codes and ids of the pieces that stand for a space.
    RETURNS (list[Subwords]): One for each Doc.
    """
    # Measured in characters that are not white space, white space has no length, so sub-words and
    # tokens overlap exactly if they share a character that counts.
    token_starts, token_ends = (solid[offsets] for offsets in token_offsets(docs))
    visible = np.flatnonzero(token_starts < token_ends)
    starts, ends = solid[pieces.starts], solid[pieces.ends]
    # Each sub-word overlaps the tokens first, first + 1, …, last - 1. shape: [n_subwords]
    first = np.searchsorted(token_ends[visible], starts, side="right")
    last = np.searchsorted(token_starts[visible], ends, side="left")
    counts = np.where((starts < ends) & ~_only_space(pieces, codes, markers), last - first, 0)
    # All pairs (sub-word, token), ordered by token and within a token by sub-word. shape: [n_rows]
    rows = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    tokens = np.repeat(first, counts) + nth
    if (tokens[1:] < tokens[:-1]).any():
        order = np.argsort(tokens, kind="stable")
        rows, tokens, nth = rows[order], tokens[order], nth[order]
    lengths = np.zeros(len(token_starts), dtype=np.int32)
    lengths[visible] = np.bincount(tokens, minlength=len(visible))
    # A sub-word begins a token if it is the first row of the first token that it overlaps.
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = tokens[1:] != tokens[:-1]
    word_starts = np.zeros(len(counts), dtype=bool)
    word_starts[rows[opens & (nth == 0)]] = True
    return _split(docs, pieces, rows, lengths, word_starts)


def _split(
    docs: list[Doc], pieces: Pieces, rows: np.ndarray, lengths: np.ndarray, marks: np.ndarray
) -> list[Subwords]:
    """Give each Doc its own share."""
    token_ends = np.cumsum([0, *map(len, docs)])
    row_ends = np.concatenate([[0], np.cumsum(lengths)])[token_ends]
    piece_ends = np.searchsorted(pieces.owners, np.arange(len(docs) + 1))
    return [
        Subwords(pieces.ids[p:q], rows[r:s] - p, lengths[t:u], marks[p:q])
        for (p, q), (r, s), (t, u) in zip(
            pairwise(piece_ends), pairwise(row_ends), pairwise(token_ends), strict=True
        )
    ]


def _codes(text: str) -> np.ndarray:
    """The code of each character; uint32 [n_characters]."""
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _solid(codes: np.ndarray) -> np.ndarray:
    """How many characters before each offset are not white space; int32 [n_characters + 1]."""
    solid = np.zeros(len(codes) + 1, dtype=np.int32)
    np.cumsum(~_SPACES[np.minimum(codes, 0x3001)], out=solid[1:])
    return solid


def _only_space(pieces: Pieces, codes: np.ndarray, markers: dict[int, int]) -> np.ndarray:
    """Which pieces only stand for a space? One that the tokenizer put in front of the text, or made
    of a character such as U+FEFF, has the offsets of a character that is no white space."""
    result = np.zeros(len(pieces.ids), dtype=bool)
    for code, marker in markers.items():
        (found,) = np.nonzero(pieces.ids == marker)
        found = found[pieces.starts[found] < len(codes)]
        result[found] = codes[pieces.starts[found]] != code
    return result
