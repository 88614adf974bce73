"""How words are written, told to an encoder whose tokenizer lower-cases them."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from torch import nn

from .tokenizer import Subwords

# What a token's letters look like; 0 also stands for special sub-words and padding.
OTHER, LOWER, TITLE, UPPER, MIXED, DIGITS = range(6)
NAME = "casing"
# How many different words are remembered.
CACHE = 1 << 16


def shapes_of_tokens(doc: Doc) -> np.ndarray:
    """The shape of every token.

    doc (Doc): The document.
    RETURNS (np.ndarray): LOWER ("red"), TITLE ("Rome", "A"), UPPER ("NATO"), MIXED ("iPhone",
        "McCoy"), DIGITS (a digit in it: "v2.1", "3M"), OTHER (no letter, no digit); int64
        [n_tokens].
    """
    return np.array([shape_of(token.text) for token in doc], dtype=np.int64)


@lru_cache(maxsize=CACHE)
def shape_of(text: str) -> int:
    """The shape of a word.

    text (str): The word.
    RETURNS (int): One of the six.
    """
    if any(c.isdigit() for c in text):
        return DIGITS
    if text.islower():
        return LOWER
    if text.istitle():
        return TITLE
    if text.isupper():
        return UPPER
    return MIXED if any(c.isupper() or c.islower() for c in text) else OTHER


def shapes_of_subwords(doc: Doc, pieces: Subwords) -> np.ndarray:
    """The shape of the token that each sub-word belongs to.

    doc (Doc): The document.
    pieces (Subwords): Its sub-words.
    RETURNS (np.ndarray): int64 [n_subwords]; OTHER where a sub-word belongs to no token, the last
        of its tokens where it belongs to several.
    """
    shapes = np.full(len(pieces.ids), OTHER, dtype=np.int64)
    shapes[pieces.rows] = np.repeat(shapes_of_tokens(doc), pieces.lengths)
    return shapes


def add_casing(network: Any) -> None:
    """Give a network an embedding of shapes, of zeros: it starts out as it was pre-trained.

    network (PreTrainedModel): Gets a sub-module `casing`, which is saved with its weights.
    """
    if getattr(network, NAME, None) is None:
        words = network.get_input_embeddings().weight
        zeros = torch.zeros((DIGITS + 1, words.shape[1]), device=words.device)
        network.add_module(NAME, nn.Embedding.from_pretrained(zeros, freeze=False))
