"""Sub-words of Docs by a Hugging Face tokenizer, and the spaCy tokens that they belong to.

Sub-words are made from the Doc's text, never from its words joined with spaces, so they look as
they did when the transformer was pre-trained. Character offsets relate them to tokens:

    tokens      do|n't|  |panic          (the white space between is a token of its own)
    sub-words   don|'|t|   pan|##ic      ids     = [don, ', t, pan, ##ic]
                                         rows    = [0, 0, 1, 2, 3, 4]
                                         lengths = [1, 3, 0, 2]

"don" overlaps both "do" and "n't", so its row occurs twice. White space never counts: not in a
token, and not in a sub-word's offsets, which in some families begin with the space in front of the
word.

A normalizer may write several characters as one sub-word whose offsets name only the first of them.
A token of the other characters then has no sub-word. Examples are an accent that is a token of its
own, composed with the letter in front of it, and the second of two apostrophes that ALBERT writes
as one quotation mark. They are counted as tokens without a sub-word; none occurs in public corpora.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc

from .chunks import Chunk, Encoding, join_chunks, make_chunks

# Most texts, and characters, in one call of the tokenizer, and most characters of Docs that are
# aligned together: they bound the memory of intermediate results.
CALL_TEXTS, CALL_CHARACTERS = 256, 2**18
GROUP_CHARACTERS = 2_000_000
# How many words a tokenizer written in Python remembers, none of so many characters.
REMEMBERED_WORDS, LONG_WORD = 1 << 16, 100
# The sub-words with which sentencepiece and byte-level BPE write a space.
SPACE_MARKERS = ("\u2581", "\u0120")

_SPACES = np.zeros(0x3002, dtype=bool)
_SPACES[[code for code in range(0x3001) if chr(code).isspace()]] = True


@dataclass(frozen=True, eq=False)
class Subwords:
    """The sub-words of one Doc and the tokens they belong to.

    ids (ndarray): All sub-words of the Doc in order, without special ones; int64 [n_subwords].
    rows (ndarray): For each token in turn, the indices into `ids` of the sub-words that overlap it;
        int64 [n_rows].
    lengths (ndarray): How many of `rows` belong to each token, 0 where a token has none; int32
        [n_tokens].
    word_starts (ndarray): True where a sub-word begins a token; bool [n_subwords].
    shapes (ndarray | None): The `casing.Shape` of each sub-word's word, for an encoder that uses
        it; int64 [n_subwords].
    """

    ids: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray
    word_starts: np.ndarray
    shapes: np.ndarray | None = None


def sequence_rows(lengths: np.ndarray, *, every: bool) -> tuple[np.ndarray, np.ndarray]:
    """Select the rows of a document that make its sequence.

    lengths (np.ndarray): Sub-words of each token; int [n_tokens].
    every (bool): All sub-words; otherwise the first of each token.
    RETURNS (tuple[np.ndarray, np.ndarray]): Indices of rows, and the token of each; int64 [n] both.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if every:
        return np.arange(int(lengths.sum())), np.repeat(np.arange(len(lengths)), lengths)
    tokens = np.flatnonzero(lengths)
    return (np.cumsum(lengths) - lengths)[tokens], tokens


class SubwordTokenizer:
    """Turns Docs into sub-words with a Hugging Face tokenizer, and does not change the tokenizer.

    Text that looks like a special sub-word ("[SEP]", "</s>") is treated as text. Nothing is
    truncated or padded.

    tokenizer (PreTrainedTokenizerBase): A fast tokenizer reads whole texts. One written in Python
        has no offsets, so it reads token by token, each with a space in front where the Doc has
        white space there.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        fast = getattr(tokenizer, "is_fast", False)
        self._engine = _Engine(tokenizer) if fast else None
        self._word = lru_cache(maxsize=REMEMBERED_WORDS)(self._tokenize_word)
        vocab: dict[str, int] = tokenizer.get_vocab()
        # Codes and ids of the markers that this vocabulary has.
        self._markers = {ord(marker): vocab[marker] for marker in SPACE_MARKERS if marker in vocab}
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {i for i, token in added.items() if token.special} | {*tokenizer.all_special_ids}
        # In GPT-2's vocabulary the unknown sub-word is also the end of a text.
        marks = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._unknown = None if tokenizer.unk_token_id in marks else tokenizer.unk_token_id
        # shape: [largest id + 1]
        self._special = np.zeros(max(special | {*vocab.values()}, default=0) + 1, dtype=bool)
        self._special[list(special - {self._unknown})] = True

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        # Neither the engine's settings nor the cache survive pickling; both are made again.
        return SubwordTokenizer, (self.tokenizer,)

    def __call__(self, docs: Iterable[Doc]) -> list[Subwords]:
        """Cut Docs into sub-words. A Doc's result does not depend on the others.

        docs (Iterable[Doc]): The Docs.
        RETURNS (list[Subwords]): One for each Doc, in order.
        """
        engine = self._engine
        if engine is None:
            return [self._by_words(doc) for doc in docs]
        return [subwords for group in _groups(docs) for subwords in self._by_offsets(engine, group)]

    @property
    def unknown(self) -> int | None:
        """The id of the sub-word that stands for unknown text; None if the vocabulary knows all."""
        return self._unknown

    def _by_offsets(self, engine: "_Engine", docs: list[Doc]) -> list[Subwords]:
        texts = [doc.text for doc in docs]
        uncut: set[int] = set()
        while True:
            chunks = make_chunks(texts, uncut)
            unknown = self.tokenizer.unk_token_id
            encoding, torn = join_chunks(chunks, engine.encode(chunks), unknown)
            if not torn:
                break
            uncut |= torn
        return _align(docs, _codes("".join(texts)), self._without_special(encoding), self._markers)

    def _without_special(self, encoding: Encoding) -> Encoding:
        # A vocabulary may offer its special sub-words for ordinary text, as sentencepiece's does.
        leaked = self._special[encoding.ids]
        if not leaked.any():
            return encoding
        if self._unknown is None:
            return encoding.select(~leaked)
        return replace(encoding, ids=np.where(leaked, self._unknown, encoding.ids))

    def _by_words(self, doc: Doc) -> Subwords:
        ids: list[int] = []
        rows: list[int] = []
        lengths = np.zeros(len(doc), dtype=np.int32)
        starts: list[int] = []
        after_space = False
        for token in doc:
            space = token.text.isspace()
            if not space:
                cut = self._word if len(token) < LONG_WORD else self._tokenize_word
                own, skip = cut(token.text, after_space)
                if len(own) > skip:
                    starts.append(len(ids) + skip)
                rows.extend(range(len(ids) + skip, len(ids) + len(own)))
                lengths[token.i] = len(own) - skip
                ids.extend(own)
            after_space = space or bool(token.whitespace_)
        word_starts = np.zeros(len(ids), dtype=bool)
        word_starts[starts] = True
        return Subwords(
            np.array(ids, dtype=np.int64), np.array(rows, dtype=np.int64), lengths, word_starts
        )

    def _tokenize_word(self, text: str, after_space: bool) -> tuple[tuple[int, ...], int]:
        """Ids of a word's sub-words, and how many at its beginning are only a space."""
        spaced = f" {text}" if after_space else text
        names = self.tokenizer.tokenize(spaced, split_special_tokens=True)
        ids = np.array(self.tokenizer.convert_tokens_to_ids(names), dtype=np.int64)
        ids = self._without_special(Encoding(ids, ids, ids, ids)).ids
        lone = np.isin(ids, [i for code, i in self._markers.items() if ord(text[0]) != code])
        skip = len(ids) if lone.all() else int(np.argmin(lone))
        return tuple(ids.tolist()), skip


class _Engine:
    """A copy of a fast tokenizer's engine that does not truncate, pad or obey special text.

    All calls of the tokenizers library stand here. It promises neither that engines can be copied,
    nor what `encode_special_tokens` does.

    tokenizer (PreTrainedTokenizerFast): Stays as it is.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._engine = deepcopy(tokenizer).backend_tokenizer
        self._engine.no_truncation()
        self._engine.no_padding()
        self._engine.encode_special_tokens = True
        normalizer = self._engine.normalizer
        self._normalize = lru_cache(maxsize=REMEMBERED_WORDS)(
            normalizer.normalize_str if normalizer else str
        )

    def encode(self, chunks: list[Chunk]) -> Encoding:
        """RETURNS (Encoding): The sub-words of all chunks, context included, owned by chunks."""
        result = []
        for i, j in _calls(chunks):
            texts = [chunk.text for chunk in chunks[i:j]]
            skips = [self._deleted(text) for text in texts]
            encodings = self._engine.encode_batch(
                [text[skip:] if skip else text for text, skip in zip(texts, skips, strict=True)],
                add_special_tokens=False,
            )
            counts = np.array([len(encoding) for encoding in encodings])
            owners = np.repeat(np.arange(i, i + len(texts)), counts)
            begins = np.array([chunk.begin for chunk in chunks[i:j]]) + skips
            begins = np.repeat(begins, counts)
            ids = chain.from_iterable(encoding.ids for encoding in encodings)
            pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
            flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int64, count=2 * len(owners))
            result.append(
                Encoding(
                    np.fromiter(ids, dtype=np.int64, count=len(owners)),
                    flat[0::2] + begins,
                    flat[1::2] + begins,
                    owners,
                )
            )
        columns = ("ids", "starts", "ends", "owners")
        return Encoding(*(np.concatenate([getattr(e, name) for e in result]) for name in columns))

    def _deleted(self, text: str) -> int:
        """How many characters at the beginning of a text the normalizer deletes.

        `encode` leaves them out: sentencepiece's normalizer, as the tokenizers library has it,
        forgets them and then moves the offsets of the whole text.
        """
        kept = (i for i, character in enumerate(text) if self._normalize(character))
        return next(kept, len(text))


def _groups(docs: Iterable[Doc]) -> Iterator[list[Doc]]:
    group: list[Doc] = []
    total = 0
    for doc in docs:
        group.append(doc)
        total += doc[-1].idx if len(doc) else 0
        if total >= GROUP_CHARACTERS:
            yield group
            group, total = [], 0
    if group:
        yield group


def _calls(chunks: list[Chunk]) -> Iterator[tuple[int, int]]:
    """Chunks that go to the tokenizer together: first and exclusive end, one or more."""
    begin, total = 0, 0
    for i, chunk in enumerate(chunks):
        total += len(chunk.text)
        if total >= CALL_CHARACTERS or i + 1 - begin == CALL_TEXTS:
            yield begin, i + 1
            begin, total = i + 1, 0
    if begin < len(chunks):
        yield begin, len(chunks)


def _align(
    docs: list[Doc], codes: np.ndarray, encoding: Encoding, markers: dict[int, int]
) -> list[Subwords]:
    """Assign sub-words to tokens, all Docs at once: their texts are laid end to end.

    codes (np.ndarray): The code of each character; uint32 [n_characters].
    markers (dict[int, int]): Codes and ids of the sub-words that mark a space.
    """
    # Measured in characters that are not white space, white space has no length, so sub-words and
    # tokens overlap exactly if they share a character that counts.
    solid = _solid(codes)
    token_starts, token_ends = (solid[offsets] for offsets in _token_offsets(docs))
    visible = np.flatnonzero(token_starts < token_ends)
    starts, ends = solid[encoding.starts], solid[encoding.ends]
    # Each sub-word overlaps the tokens first, first + 1, …, last - 1. shape: [n_subwords]
    first = np.searchsorted(token_ends[visible], starts, side="right")
    last = np.searchsorted(token_starts[visible], ends, side="left")
    counts = np.where((starts < ends) & ~_only_space(encoding, codes, markers), last - first, 0)
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
    return _split(docs, encoding, rows, lengths, word_starts)


def _split(
    docs: list[Doc], encoding: Encoding, rows: np.ndarray, lengths: np.ndarray, marks: np.ndarray
) -> list[Subwords]:
    """Give each Doc its own share."""
    token_ends = np.cumsum([0, *map(len, docs)])
    row_ends = np.concatenate([[0], np.cumsum(lengths)])[token_ends]
    subword_ends = np.searchsorted(encoding.owners, np.arange(len(docs) + 1))
    return [
        Subwords(encoding.ids[p:q], rows[r:s] - p, lengths[t:u], marks[p:q])
        for (p, q), (r, s), (t, u) in zip(
            pairwise(subword_ends), pairwise(row_ends), pairwise(token_ends), strict=True
        )
    ]


def _token_offsets(docs: list[Doc]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets where tokens begin and end, the texts laid end to end; int64 [n_tokens] each."""
    starts, lengths = [], []
    base = 0
    for doc in docs:
        # shape: [n_tokens, 2]
        spans = doc.to_array([IDX, LENGTH]).reshape(-1, 2).astype(np.int64)
        starts.append(spans[:, 0] + base)
        lengths.append(spans[:, 1])
        if len(doc):
            base = int(starts[-1][-1] + lengths[-1][-1]) + len(doc[-1].whitespace_)
    begins = np.concatenate(starts)
    return begins, begins + np.concatenate(lengths)


def _codes(text: str) -> np.ndarray:
    """The code of each character; uint32 [n_characters]."""
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _solid(codes: np.ndarray) -> np.ndarray:
    """How many characters before each offset are not white space; int32 [n_characters + 1]."""
    solid = np.zeros(len(codes) + 1, dtype=np.int32)
    np.cumsum(~_SPACES[np.minimum(codes, 0x3001)], out=solid[1:])
    return solid


def _only_space(encoding: Encoding, codes: np.ndarray, markers: dict[int, int]) -> np.ndarray:
    """Which sub-words only mark a space. One that the tokenizer put in front of the text, or made
    of a character such as U+FEFF, has the offsets of a character that is no white space."""
    result = np.zeros(len(encoding.ids), dtype=bool)
    for code, marker in markers.items():
        (found,) = np.nonzero(encoding.ids == marker)
        found = found[encoding.starts[found] < len(codes)]
        result[found] = codes[encoding.starts[found]] != code
    return result
