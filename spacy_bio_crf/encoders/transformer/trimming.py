"""Fewer rows for the embedding of a network, and the tokenizer that goes with them."""

import json
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from torch import nn

from ...errors import BioError, Plain, describe
from ...io import write_json
from ...subwords.batches import SpecialIds
from ...subwords.tokenizer import Subwords
from ...subwords.vocabulary import NO_CHARACTERS, SEEN_CHARACTERS, WORDPIECE, Vocabulary
from .folder import TOKENIZER, TOKENIZER_SETTINGS, TOKENS
from .pretrained import Pretrained, load_saved_tokenizer, save_tokenizer
from .surgery import find_special_ids

_ID = "_token_id"  # the end of names in a configuration


class PieceCounts:
    """The sub-words and characters that some texts need of an encoder.

    pretrained (Pretrained): The encoder.
    characters (str): Characters that keep pieces of their own: one of `KEPT_CHARACTERS`.
    RAISES: BioError for a tokenizer without a file of its own, or of an unknown kind.
    """

    def __init__(self, pretrained: Pretrained, *, characters: str = SEEN_CHARACTERS):
        tokenizer = pretrained.tokenizer
        if not getattr(tokenizer, "is_fast", False):
            got = Plain(f"{type(tokenizer).__name__}, written in Python")
            raise BioError(describe("tokenizer", expected="a fast one, with its file", got=got))
        self._pretrained = pretrained
        self._engine = tokenizer.backend_tokenizer
        self._vocabulary = Vocabulary(json.loads(self._engine.to_str()))
        self._characters = characters
        self._seen: set[str] = set()
        # shape: [largest id + 1]
        self._counts = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=np.int64)

    def add(self, docs: Sequence[Doc], subwords: Sequence[Subwords]) -> None:
        """Count the sub-words of some documents.

        subwords (Sequence[Subwords]): Those of each document.
        """
        unknown = self._pretrained.tokenizer.unk_token_id
        for doc, own in zip(docs, subwords, strict=True):
            np.add.at(self._counts, own.ids, 1)
            is_lost = self._vocabulary.kind == WORDPIECE and (own.ids == unknown).any()
            if self._characters != SEEN_CHARACTERS and not is_lost:
                continue
            words = self._words_of(doc.text)
            self._seen.update(*words)
            for word in words if is_lost else ():
                if unknown in (piece.id for piece in self._engine.model.tokenize(word)):
                    np.add.at(self._counts, self._vocabulary.taken_before_unknown(word), 1)

    def _words_of(self, text: str) -> list[str]:
        engine = self._engine
        text = engine.normalizer.normalize_str(text) if engine.normalizer else text
        if engine.pre_tokenizer is None:
            return [text]
        return [word for word, _ in engine.pre_tokenizer.pre_tokenize_str(text)]

    def trim(self, *, min_count: int = 1) -> tuple[Pretrained, np.ndarray]:
        """Make an encoder with the sub-words that are needed.

        min_count (int): Sub-words that occur less often go, too.
        RETURNS (tuple[Pretrained, np.ndarray]): The encoder, which shares all other weights with
            the given one; and for each of its sub-words the id that it has in that one, int64.
        """
        network, tokenizer = self._pretrained.network, self._pretrained.tokenizer
        special = find_special_ids(tokenizer, network.config)
        # What a text is tokenized for, when the special sub-words are found and a file is checked.
        probe = tokenizer("a", add_special_tokens=False)["input_ids"]
        kept = {*np.flatnonzero(self._counts >= min_count).tolist(), *probe}
        if self._characters != NO_CHARACTERS:
            seen = self._seen if self._characters == SEEN_CHARACTERS else None
            kept |= self._vocabulary.spellings(seen)
        kept |= self._vocabulary.always_needed() | {*tokenizer.all_special_ids}
        kept |= _ids_in_config(network, len(self._counts)) | _ids_in_place(network, special)
        content, order = self._vocabulary.select(self._vocabulary.needed_with(kept))
        own = _with_content(tokenizer, content)
        return Pretrained(_with_rows(network, order), own), np.array(order, dtype=np.int64)


def _ids_in_config(network: Any, size: int) -> set[int]:
    values = [v for key, v in network.config.to_dict().items() if key.endswith(_ID)]
    listed = [i for v in values for i in (v if isinstance(v, list) else [v])]
    return {i for i in listed if isinstance(i, int) and 0 <= i < size}


def _ids_in_place(network: Any, special: SpecialIds) -> set[int]:
    """Ids that stay the same: RoBERTa and its like count positions from the id for padding."""
    counts = any(
        name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        for name, module in network.named_modules()
    )
    return {*range(special.padding + 1)} if counts else {special.padding}


def _with_content(tokenizer: Any, content: dict[str, Any]) -> Any:
    """The tokenizer with another tokenizer.json, as it will be when it is loaded again."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_tokenizer(tokenizer, folder)
        for path in folder.iterdir():
            # The other files, of the family's own class, have the whole vocabulary.
            if path.name not in (TOKENIZER_SETTINGS, TOKENS[0]):
                path.unlink()
        write_json(folder / TOKENIZER, content)
        settings = json.loads((folder / TOKENIZER_SETTINGS).read_text(encoding="utf-8"))
        # The ids there are the old ones; tokenizer.json says the same with the new ones.
        settings.pop("added_tokens_decoder", None)
        write_json(folder / TOKENIZER_SETTINGS, settings)
        return load_saved_tokenizer(folder)


def _with_rows(network: Any, order: Sequence[int]) -> Any:
    """A network whose embedding has some of the rows; it shares all other weights."""
    embedding = network.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding):
        place, got = f"encoder of the family {network.config.model_type}", Plain("none")
        raise BioError(describe(place, expected="an embedding of sub-words", got=got))
    # Special sub-words that no text has may have no row.
    order = [i for i in order if i < embedding.num_embeddings]
    new = {old: i for i, old in enumerate(order)}
    whole = embedding.weight
    rows = nn.Parameter(whole.detach()[torch.tensor(order, device=whole.device)].clone())
    rows.requires_grad_(whole.requires_grad)
    # Wherever else the network has the same weights, it has the new ones.
    shared: dict[int, Any] = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    trimmed = deepcopy(network, {**shared, id(whole): rows})
    own = trimmed.get_input_embeddings()
    own.num_embeddings = len(order)
    if own.padding_idx is not None:
        own.padding_idx = new.get(own.padding_idx)
    config = trimmed.config
    config.vocab_size = len(order)
    for key, value in network.config.to_dict().items():
        if not key.endswith(_ID):
            continue
        if isinstance(value, list):
            setattr(config, key, [new.get(i, i) for i in value])
        elif isinstance(value, int):
            setattr(config, key, new.get(value, value))
    return trimmed
