"""Vocabularies of tokenizers, and the part of one that some texts need.

A vocabulary is cut so that it gives the same sub-words for these texts:

* WordPiece takes the longest piece at each place. All pieces that it takes are kept, those of words
  that end as unknown too: without them, other pieces might spell the word.
* BPE merges neighbors in a fixed order. A kept piece keeps all merges that make it, and the pieces
  that these join; the merges between them then happen as before, in the same order.
* A unigram model takes the segmentation with the best sum of scores. It stays the best among fewer.
  The lowest score of the vocabulary is kept, for the score of unknown text is derived from it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from ..errors import BioError, check_choice

UNIGRAM, WORDPIECE, BPE = "Unigram", "WordPiece", "BPE"
# Characters that keep pieces of their own: those of the texts, all of the vocabulary, none.
SEEN_CHARACTERS, ALL_CHARACTERS, NO_CHARACTERS = "seen", "all", "none"
KEPT_CHARACTERS = (SEEN_CHARACTERS, ALL_CHARACTERS, NO_CHARACTERS)


class Vocabulary:
    """The vocabulary of a tokenizer.

    content (dict[str, Any]): The tokenizer as tokenizer.json has it.
    RAISES: BioError for a model other than unigram, WordPiece and BPE.
    """

    def __init__(self, content: dict[str, Any]):
        self._content = content
        self._model: dict[str, Any] = content["model"]
        kind = self._model.get("type")
        check_choice("tokenizer", kind, (UNIGRAM, WORDPIECE, BPE), error=BioError)
        self.kind: str = kind
        listed = self._model["vocab"]
        if kind == UNIGRAM:
            listed = {piece: i for i, (piece, _) in enumerate(listed)}
        self.pieces: dict[str, int] = listed
        self._added = {int(token["id"]) for token in content["added_tokens"]}
        self._prefix = self._model.get("continuing_subword_prefix") or ""
        self._suffix = self._model.get("end_of_word_suffix") or ""

    def always_needed(self) -> set[int]:
        """RETURNS (set[int]): Ids of added and special sub-words, of bytes, and of the sub-word for
        unknown text."""
        names = {self._model.get("unk_token")}
        if self._model.get("byte_fallback"):
            names |= {f"<0x{byte:02X}>" for byte in range(256)}
        parts = _parts([self._content.get("normalizer"), self._content.get("pre_tokenizer")])
        if any(part.get("type") == "ByteLevel" for part in parts):
            names |= {*ByteLevel.alphabet()}
        found = {self.pieces[name] for name in names if name in self.pieces}
        if self.kind == UNIGRAM:
            scores = {piece: score for piece, score in self._model["vocab"]}
            found.add(self.pieces[min(scores, key=scores.__getitem__)])
            if self._model["unk_id"] is not None:
                found.add(self._model["unk_id"])
        found |= {i for part in _parts(self._content.get("post_processor")) for i in _ids_of(part)}
        return found | self._added

    def needed_with(self, ids: Iterable[int]) -> set[int]:
        """RETURNS (set[int]): These ids and, in BPE, those of all pieces that they are made of."""
        found = {*ids}
        if self.kind != BPE:
            return found
        halves: dict[int, list[int]] = {}
        for left, right, whole in self._merges():
            halves.setdefault(whole, []).extend((left, right))
        waiting = list(found)
        while waiting:
            new = {*halves.get(waiting.pop(), ())} - found
            found |= new
            waiting.extend(new)
        return found

    def taken_before_unknown(self, word: str) -> list[int]:
        """Find the pieces that WordPiece takes of a word before it meets text that it does not
        know, and the word becomes unknown as a whole.

        word (str): A word as the tokenizer cuts them.
        RETURNS (list[int]): Ids.
        """
        found: list[int] = []
        start = 0
        while self.kind == WORDPIECE and start < len(word):
            prefix = self._prefix if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.pieces), None)
            if end is None:
                break
            found.append(self.pieces[prefix + word[start:end]])
            start = end
        return found

    def spellings(self, characters: Iterable[str] | None) -> set[int]:
        """Find the pieces of single characters, at the beginning of a word and within it.

        characters (Iterable[str] | None): The characters; None takes all of the vocabulary.
        RETURNS (set[int]): Ids.
        """
        if characters is None:
            bare = {p: p.removeprefix(self._prefix).removesuffix(self._suffix) for p in self.pieces}
            return {i for piece, i in self.pieces.items() if len(bare[piece]) == 1}
        names = {
            prefix + character + suffix
            for character in characters
            for prefix in {"", self._prefix}
            for suffix in {"", self._suffix}
        }
        return {self.pieces[name] for name in names if name in self.pieces}

    def select(self, ids: Iterable[int]) -> tuple[dict[str, Any], list[int]]:
        """Make a tokenizer with fewer pieces, which are numbered anew in their old order.

        ids (Iterable[int]): Ids to keep, those of `always_needed` among them.
        RETURNS (tuple[dict[str, Any], list[int]]): Its tokenizer.json; the old id of each new one.
        """
        kept = {*ids}
        # Added sub-words that the model does not know have the ids behind its own.
        order = sorted(kept & {*self.pieces.values()})
        order += sorted(kept - {*order})
        new = {old: i for i, old in enumerate(order)}
        model = dict(self._model)
        if self.kind == UNIGRAM:
            own_ids = kept & {*self.pieces.values()}
            model["vocab"] = [own for i, own in enumerate(self._model["vocab"]) if i in own_ids]
            model["unk_id"] = new.get(self._model["unk_id"])
        else:
            model["vocab"] = {piece: new[i] for piece, i in self.pieces.items() if i in kept}
        if self.kind == BPE:
            pairs = zip(self._model["merges"], self._merges(), strict=True)
            model["merges"] = [merge for merge, own in pairs if kept.issuperset(own)]
        content = {**self._content, "model": model}
        content["added_tokens"] = [
            {**token, "id": new[token["id"]]} for token in self._content["added_tokens"]
        ]
        content["post_processor"] = _renumber(self._content.get("post_processor"), new)
        if padding := self._content.get("padding"):
            content["padding"] = {**padding, "pad_id": new.get(padding["pad_id"], 0)}
        return content, order

    def _merges(self) -> Iterator[tuple[int, int, int]]:
        """The ids of both halves, and of the whole, of each merge."""
        for merge in self._model["merges"]:
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            whole = left + right.removeprefix(self._prefix)
            yield self.pieces[left], self.pieces[right], self.pieces[whole]


def _parts(settings: Any) -> Iterator[dict[str, Any]]:
    """Each part of some settings, at any depth."""
    if isinstance(settings, dict):
        yield settings
        settings = list(settings.values())
    for value in settings if isinstance(settings, list) else ():
        yield from _parts(value)


def _ids_of(part: dict[str, Any]) -> list[int]:
    # TemplateProcessing has lists of ids, BertProcessing and RobertaProcessing pairs with a name.
    pairs = [part[key] for key in ("sep", "cls") if isinstance(part.get(key), list)]
    return [*part.get("ids", ()), *(i for _, i in pairs)]


def _renumber(settings: Any, new: dict[int, int]) -> Any:
    """The settings with other ids in the places that `_ids_of` reads."""
    if isinstance(settings, list):
        return [_renumber(value, new) for value in settings]
    if not isinstance(settings, dict):
        return settings
    result = {key: _renumber(value, new) for key, value in settings.items()}
    if "ids" in result:
        result["ids"] = [new[i] for i in settings["ids"]]
    for key in ("sep", "cls"):
        if isinstance(settings.get(key), list):
            name, i = settings[key]
            result[key] = [name, new[i]]
    return result
