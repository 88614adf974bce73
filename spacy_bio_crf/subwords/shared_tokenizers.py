"""Tokenizers that several components of one process hold together, found by their content."""

import threading
import weakref
from hashlib import sha256
from typing import Any

from .tokenizer import SubwordTokenizer

_TOKENIZERS: "weakref.WeakValueDictionary[str, SubwordTokenizer]" = weakref.WeakValueDictionary()
_LOCK = threading.Lock()
# Settings that tell where a tokenizer was read.
_PLACES = ("name_or_path", "tokenizer_file", "vocab_file", "merges_file", "backend")


def share_tokenizer(tokenizer: Any) -> SubwordTokenizer:
    """Find the tokenizer of the same content in this process, or else let others find this one.

    tokenizer (PreTrainedTokenizerBase): One written in Python is never shared.
    RETURNS (SubwordTokenizer): To be kept as long as it is in use. Nobody may change it, nor its
        `tokenizer`.
    """
    if not getattr(tokenizer, "is_fast", False):
        return SubwordTokenizer(tokenizer)
    settings = {k: v for k, v in tokenizer.init_kwargs.items() if k not in _PLACES}
    content = (type(tokenizer), tokenizer.backend_tokenizer.to_str(), sorted(settings.items()))
    digest = sha256(repr(content).encode("utf-8", "surrogatepass")).hexdigest()
    with _LOCK:
        shared = _TOKENIZERS.get(digest)
        if shared is None:
            shared = _TOKENIZERS[digest] = SubwordTokenizer(tokenizer)
    return shared
