"""Parts of speech, tags and features of CoNLL-U's words, on tokens that may be several words.

    3-4  do    _    _    _            token "do"
    3    de    ADP  prp  _            its word with the head outside: ADP
    4    o     DET  art  Gender=Masc  both: prp_art, Gender=Masc

A token of several words has the tags of all of them, joined by an underscore, their features
together, and the part of speech of the one that heads it, as in spaCy's own converter.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...tags.targets import NO_FEATURES, UNIVERSAL

NOT_UNIVERSAL = "parts of speech that are none of the universal ones were left out"
OTHER_FEATURES = "morphological features of another form than Name=Value were left out"
NO_VALUE = "_"  # a column without a value
_FEATURES = re.compile(r"[^=|]+=[^=|]+(\|[^=|]+=[^=|]+)*")


@dataclass(frozen=True)
class UdWord:
    """A word in the columns of CoNLL-U.

    token (int): The token that it belongs to.
    number (str): Its number in the sentence.
    pos (str), tag (str), features (str), head (str): UPOS, XPOS, FEATS and HEAD.
    """

    token: int
    number: str
    pos: str
    tag: str
    features: str
    head: str


def merge_words(
    words: Sequence[UdWord], n_tokens: int, *, has_features: bool, remarks: Counter[str]
) -> dict[str, list[str]]:
    """Put the columns of words on their tokens.

    words (Sequence[UdWord]): The words of a sentence.
    n_tokens (int): The number of its tokens.
    has_features (bool): The file has features, so that `_` says that there are none.
    remarks (Counter[str]): Gets the values that are left out.
    RETURNS (dict[str, list[str]]): For "tag", "pos" and "morph" the label of each token; "" without
        one.
    """
    by_token: list[list[UdWord]] = [[] for _ in range(n_tokens)]
    for word in words:
        by_token[word.token].append(word)
    labels: dict[str, list[str]] = {"tag": [], "pos": [], "morph": []}
    for own in by_token:
        tags = [word.tag for word in own if word.tag != NO_VALUE]
        labels["tag"].append("_".join(tags) if len(tags) == len(own) else "")
        numbers = {word.number for word in own}
        heading = [word.pos for word in own if word.head not in numbers] or [NO_VALUE]
        labels["pos"].append(universal(heading[0], remarks))
        labels["morph"].append(_merged(own, remarks) if has_features and own else "")
    return labels


def universal(pos: str, remarks: Counter[str]) -> str:
    """RETURNS (str): A part of speech; "" if there is none, or it is no universal one."""
    if pos in ("", NO_VALUE):
        return ""
    if pos not in UNIVERSAL:
        remarks[NOT_UNIVERSAL] += 1
        return ""
    return pos


def _merged(words: Sequence[UdWord], remarks: Counter[str]) -> str:
    """All features of some words; of one name, all values."""
    found: dict[str, set[str]] = {}
    for word in words:
        if word.features == NO_VALUE:
            continue
        if not _FEATURES.fullmatch(word.features):
            remarks[OTHER_FEATURES] += 1
            return ""
        for feature in word.features.split("|"):
            name, values = feature.split("=")
            found.setdefault(name, set()).update(values.split(","))
    pairs = sorted(f"{name}={','.join(sorted(values))}" for name, values in found.items())
    return "|".join(pairs) or NO_FEATURES
