"""Tokens whose text a normaliser rewrites together with that of their neighbours.

The offsets of a sub-word then name some of the characters it stands for, and a token may be left
with nothing:

    tokens      e|\u0301|t      "e", an acute accent, "t"
    sub-words   é|t             offsets (0, 1), (2, 3): composed with the letter in front
    tokens      x|'|'           ALBERT writes two apostrophes as one quotation mark
    sub-words   x|"             offsets (0, 1), (2, 3): the first apostrophe is missing

The sub-word is stretched over such a token: one before it over a combining mark, one behind it over
anything else. What the tokenizer deletes wherever it stands has no sub-word.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc

from .chunks import Pieces


def stretch(
    docs: list[Doc],
    text: str,
    pieces: Pieces,
    only_space: np.ndarray,
    solid: np.ndarray,
    *,
    represented: Callable[[str], bool],
) -> Pieces:
    """Let sub-words reach over the tokens that were rewritten into them.

    docs (list[Doc]): The Docs.
    text (str): Their texts, laid end to end.
    pieces (Pieces): Their sub-words, with offsets in that text.
    only_space (np.ndarray): Which of these stand for a space alone, and so for no token; bool
        [n_subwords].
    solid (np.ndarray): How many characters before each offset are not white space; int32
        [n_characters + 1].
    represented (Callable[[str], bool]): Whether the tokenizer has sub-words for a token's text
        where it stands alone.
    RETURNS (Pieces): The sub-words, some with other offsets.
    """
    token_starts, token_ends = token_offsets(docs)
    if not len(token_starts) or not len(pieces.ids):
        return pieces
    # How far the pieces that begin before each token's end reach, without white space: a piece that
    # lies on white space alone reaches no token. shape: [n_tokens]
    firsts, lasts = solid[pieces.starts], solid[pieces.ends]
    lasts = np.where(only_space | (firsts == lasts), 0, lasts)
    reach = np.concatenate([[0], np.maximum.accumulate(lasts)])
    reach = reach[np.searchsorted(firsts, solid[token_ends], side="left")]
    starts, ends = pieces.starts.copy(), pieces.ends.copy()
    owners = np.repeat(np.arange(len(docs)), [len(doc) for doc in docs])
    behind = []
    for i in np.flatnonzero(reach <= solid[token_starts]).tolist():
        start, end = int(token_starts[i]), int(token_ends[i])
        if text[start:end].isspace() or not represented(text[start:end]):
            continue
        if unicodedata.category(text[start])[0] == "M":
            ends[(ends == start) & (starts < start) & (pieces.owners == owners[i])] = end
        else:
            behind.append((i, start, end))
    # From the right, so that one token after the other is reached.
    for i, start, end in reversed(behind):
        starts[(starts == end) & (ends > end) & (pieces.owners == owners[i])] = start
    return replace(pieces, starts=starts, ends=ends)


def token_offsets(docs: list[Doc]) -> tuple[np.ndarray, np.ndarray]:
    """Where each token begins and ends, the texts of the Docs laid end to end.

    docs (list[Doc]): The Docs.
    RETURNS (tuple[ndarray, ndarray]): Offsets of characters, int64 [n_tokens of all Docs] each.
    """
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
