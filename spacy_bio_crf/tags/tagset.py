"""Tags and spans: which tags a set of labels has, which tag may follow which, the way to and fro.

The same sentence in every scheme. `spans_of_tags` reads all of them, `TagSet` has the first two:

    tokens  Ana    Ruiz   met  Bo     in  New    York   City   .
    BIO     B-PER  I-PER  O    B-PER  O   B-LOC  I-LOC  I-LOC  O   also IOB2
    BILUO   B-PER  L-PER  O    U-PER  O   B-LOC  I-LOC  L-LOC  O   also BILOU
    IOB1    I-PER  I-PER  O    I-PER  O   I-LOC  I-LOC  I-LOC  O   B- only between neighbours
    BIOES   B-PER  E-PER  O    S-PER  O   B-LOC  I-LOC  E-LOC  O   also IOBES
    BMES    B-PER  E-PER  O    S-PER  O   B-LOC  M-LOC  E-LOC  O
    BMEWO   B-PER  E-PER  O    W-PER  O   B-LOC  M-LOC  E-LOC  O

Tags that break the rules of their scheme are cut into pieces as the conlleval script of the
CoNLL-2000 shared task cuts them: a piece ends before O, before a change of label, before B- and
after a closing tag. A named rule says what becomes of a piece that is not a legal entity:

    begin    it is an entity: a stray I- or L- begins it, and what was left open is closed
    discard  it is no entity
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .spans import Span

SCHEMES = ("BIO", "BILUO")
REPAIRS = ("begin", "discard")
OUTSIDE = "O"
MISSING = "-"  # in a file: nobody has annotated this token

# For every scheme a file may be written in: its prefixes, and what BILUO calls them.
FILE_SCHEMES: dict[str, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BILUO": {"B": "B", "I": "I", "L": "L", "U": "U"},
    "BIOES": {"B": "B", "I": "I", "E": "L", "S": "U"},
    "BMES": {"B": "B", "M": "I", "E": "L", "S": "U"},
    "BMEWO": {"B": "B", "M": "I", "E": "L", "W": "U"},
}
SCHEME_ALIASES = {"IOB2": "BIO", "BILOU": "BILUO", "IOBES": "BIOES"}
_PREFIXES = frozenset(prefix for table in FILE_SCHEMES.values() for prefix in table)
# Schemes in which an entity has to be closed by a tag of its own.
_CLOSED_SCHEMES = frozenset(name for name, table in FILE_SCHEMES.items() if "L" in table.values())


def split_tag(tag: str) -> tuple[str, str]:
    """Split a tag into prefix and label, at the first hyphen: labels may have hyphens of their own.

    tag (str): "O" or a prefix and a label, for example "B-cell-line".
    RETURNS (tuple[str, str]): The prefix and the label, ("B", "cell-line"); ("O", "") for "O".
    RAISES: ValueError if the tag is neither.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, hyphen, label = tag.partition("-")
    if prefix not in _PREFIXES or not hyphen or not label:
        wanted = ", ".join(sorted(_PREFIXES))
        raise ValueError(
            f"unknown tag {tag!r}: expected 'O' or one of {wanted}, a hyphen and a label"
        )
    return prefix, label


def scheme_name(name: str) -> str:
    """The name this module uses for a file's scheme.

    name (str): A scheme or an alias of one, in any case: "iob2", "BILOU", "IOBES".
    RETURNS (str): A key of `FILE_SCHEMES`.
    RAISES: ValueError if there is no such scheme.
    """
    upper = name.upper()
    upper = SCHEME_ALIASES.get(upper, upper)
    if upper not in FILE_SCHEMES:
        known = ", ".join([*FILE_SCHEMES, *SCHEME_ALIASES])
        raise ValueError(f"unknown scheme {name!r}: expected one of {known}")
    return upper


@dataclass(frozen=True)
class TagSet:
    """The tags of some labels in one scheme. Tag ids are indices in `tags`; 0 is always O.

    labels (tuple[str, ...]): The labels, in the order the tags are to have.
    scheme (str): "BIO" or "BILUO".
    """

    labels: tuple[str, ...]
    scheme: str = "BIO"

    def __post_init__(self) -> None:
        given: Any = self.labels
        if isinstance(given, str):
            raise ValueError(f"labels must be a sequence of strings, got {given!r}")
        object.__setattr__(self, "labels", tuple(given))
        if self.scheme not in SCHEMES:
            raise ValueError(
                f"unknown scheme {self.scheme!r}: expected one of {', '.join(SCHEMES)}"
            )
        for label in self.labels:
            if not isinstance(label, str) or not label:
                raise ValueError(f"a label must be a string that is not empty, got {label!r}")
        if len(set(self.labels)) < len(self.labels):
            twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
            raise ValueError(f"every label may be given once only, got twice: {', '.join(twice)}")

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): All K tags: O, then every label's, B first."""
        prefixes = FILE_SCHEMES[self.scheme]
        return (OUTSIDE, *(f"{p}-{label}" for label in self.labels for p in prefixes))

    @cached_property
    def ids(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): From a tag to its id."""
        return {tag: i for i, tag in enumerate(self.tags)}

    @cached_property
    def prefix_of(self) -> np.ndarray:
        """RETURNS (np.ndarray): Every tag's prefix, "O" for O; str of one character, [K]."""
        return _frozen(np.array([tag[0] for tag in self.tags]))

    @cached_property
    def label_of(self) -> np.ndarray:
        """RETURNS (np.ndarray): The index in `labels` of every tag's label, -1 for O; int64 [K]."""
        n_prefixes = len(FILE_SCHEMES[self.scheme])
        labels = np.repeat(np.arange(len(self.labels), dtype=np.int64), n_prefixes)
        return _frozen(np.concatenate([np.array([-1], dtype=np.int64), labels]))

    @cached_property
    def begins(self) -> np.ndarray:
        """RETURNS (np.ndarray): Does the tag begin an entity (B, U)? bool [K]."""
        return _frozen(np.isin(self.prefix_of, ["B", "U"]))

    @cached_property
    def closes(self) -> np.ndarray:
        """RETURNS (np.ndarray): Does the tag say that its entity ends here (L, U)? bool [K]."""
        return _frozen(np.isin(self.prefix_of, ["L", "U"]))

    @cached_property
    def legal(self) -> np.ndarray:
        """RETURNS (np.ndarray): May the second tag follow the first? bool [K, K], (from, to)."""
        same_label = self.label_of[:, None] == self.label_of[None, :]
        # An entity goes on from a tag that does not close it to one that does not begin one.
        inside = np.isin(self.prefix_of, ["B", "I"])
        goes_on = same_label & inside[:, None] & self._continues[None, :]
        return _frozen(goes_on | (self.legal_end[:, None] & self.legal_start[None, :]))

    @cached_property
    def legal_start(self) -> np.ndarray:
        """RETURNS (np.ndarray): May a document begin with the tag? bool [K]."""
        return _frozen(~self._continues)

    @cached_property
    def legal_end(self) -> np.ndarray:
        """RETURNS (np.ndarray): May a document end with the tag? bool [K]."""
        if self.scheme == "BIO":
            return _frozen(np.ones(len(self.tags), dtype=bool))
        return _frozen(self.closes | (self.label_of < 0))

    @cached_property
    def _continues(self) -> np.ndarray:
        return np.isin(self.prefix_of, ["I", "L"])

    def encode(self, spans: Iterable[Span], n: int) -> np.ndarray:
        """Write spans as tags.

        spans (Iterable[tuple[int, int, str]]): Start, exclusive end and label; in any order.
        n (int): The number of tokens.
        RETURNS (np.ndarray): Tag ids, int64 [n].
        RAISES: ValueError if a span is empty, leaves the tokens, overlaps another, or has a label
            that is not in `labels`.
        """
        tag_ids = np.zeros(n, dtype=np.int64)
        for start, end, label in spans:
            begin = self.ids.get(f"B-{label}")
            if begin is None:
                known = ", ".join(self.labels) or "none"
                raise ValueError(
                    f"unknown label {label!r} of span ({start}, {end}); labels: {known}"
                )
            if not 0 <= start < end <= n:
                raise ValueError(
                    f"span ({start}, {end}, {label!r}) must have 0 <= start < end <= {n} (tokens)"
                )
            if tag_ids[start:end].any():
                raise ValueError(f"span ({start}, {end}, {label!r}) overlaps another span")
            tag_ids[start] = begin
            tag_ids[start + 1 : end] = begin + 1
            if self.scheme == "BILUO":  # B, I, L and U of a label are neighbours
                tag_ids[end - 1] = begin + (3 if end - start == 1 else 2)
        return tag_ids

    def decode(self, tag_ids: Any, *, repair: str = "begin") -> list[Span]:
        """Read tags as spans. Neighbouring entities of one label stay two.

        tag_ids (array-like): Tag ids, int [n].
        repair (str): What becomes of sequences that are not `legal`: "begin" or "discard".
        RETURNS (list[tuple[int, int, str]]): Start, exclusive end and label, in order.
        RAISES: ValueError if a tag id or the rule is unknown.
        """
        _check_repair(repair)
        tag_ids = np.asarray(tag_ids)
        if tag_ids.size == 0:
            return []
        if tag_ids.min() < 0 or tag_ids.max() >= len(self.tags):
            wrong = tag_ids[(tag_ids < 0) | (tag_ids >= len(self.tags))][0]
            raise ValueError(f"tag ids must lie in 0 to {len(self.tags) - 1}, got {wrong}")
        label_of = self.label_of[tag_ids]
        starts, ends = _pieces(label_of, self.begins[tag_ids], self.closes[tag_ids])
        if repair == "discard":
            whole = self.begins[tag_ids[starts]] & self.legal_end[tag_ids[ends - 1]]
            starts, ends = starts[whole], ends[whole]
        labels = map(self.labels.__getitem__, label_of[starts].tolist())
        return list(zip(starts.tolist(), ends.tolist(), labels, strict=True))

    def continuation(self, tag_ids: Any) -> np.ndarray:
        """The tags of a word's later sub-words where all of them carry its label: B- becomes I-.

        tag_ids (array-like): The words' tag ids, int of any shape.
        RETURNS (np.ndarray): Tag ids of the same shape, int64.
        RAISES: ValueError in BILUO, where no tag can continue L- or U-.
        """
        if self.scheme != "BIO":
            raise ValueError(
                f"only in BIO can later sub-words continue a word's tag, not in {self.scheme}"
            )
        tag_ids = np.asarray(tag_ids, dtype=np.int64)
        return tag_ids + self.begins[tag_ids]  # I- comes right after B-


def spans_of_tags(
    tags: Sequence[str], *, scheme: str, repair: str = "begin"
) -> tuple[list[Span], list[tuple[int, str]]]:
    """Read tags as they stand in files.

    IOB1 leaves nothing to repair: there an I- that continues no entity begins one by definition.

    tags (Sequence[str]): "O", "-" (missing, part of no entity) or a prefix and a label.
    scheme (str): A key of `FILE_SCHEMES` or an alias of one.
    repair (str): "begin" or "discard".
    RETURNS (tuple[list[tuple[int, int, str]], list[tuple[int, str]]]): The spans, in order, and the
        repairs: the position of a tag and what was done: "begun" (an entity, by this stray tag),
        "closed" (the entity, after this tag), "discarded" (the piece that this tag begins).
    RAISES: ValueError if a tag, the scheme or the rule is unknown, or a tag is not of the scheme.
    """
    _check_repair(repair)
    scheme = scheme_name(scheme)
    split = [_outside_or_split(tag, scheme) for tag in tags]
    label_ids = {"": -1}
    for _, label in split:
        label_ids.setdefault(label, len(label_ids) - 1)
    label_of = np.array([label_ids[label] for _, label in split], dtype=np.int64)
    begins = np.array([prefix in "BU" for prefix, _ in split], dtype=bool)
    closes = np.array([prefix in "LU" for prefix, _ in split], dtype=bool)

    spans: list[Span] = []
    repairs: list[tuple[int, str]] = []
    starts, ends = _pieces(label_of, begins, closes)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        begun = scheme != "IOB1" and not begins[start]
        closed = scheme in _CLOSED_SCHEMES and not closes[end - 1]
        if (begun or closed) and repair == "discard":
            repairs.append((start, "discarded"))
            continue
        if begun:
            repairs.append((start, "begun"))
        if closed:
            repairs.append((end - 1, "closed"))
        spans.append((start, end, split[start][1]))
    return spans, repairs


@lru_cache(maxsize=4096)
def _outside_or_split(tag: str, scheme: str) -> tuple[str, str]:
    """A tag of a file's scheme as BILUO prefix and label."""
    if tag in (OUTSIDE, MISSING):
        return OUTSIDE, ""
    prefix, label = split_tag(tag)
    prefixes = FILE_SCHEMES[scheme]
    if prefix not in prefixes:
        raise ValueError(
            f"tag {tag!r} does not belong to {scheme}, whose prefixes are {', '.join(prefixes)}"
        )
    return prefixes[prefix], label


def _pieces(
    label_of: np.ndarray, begins: np.ndarray, closes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut tags into maximal runs that can be read as one entity each.

    label_of (np.ndarray): Every position's label, -1 outside; int64 [n].
    begins (np.ndarray): Does the tag begin an entity (B, U)? bool [n].
    closes (np.ndarray): Does the tag end its entity (L, U)? bool [n].
    RETURNS (tuple[np.ndarray, np.ndarray]): Starts and exclusive ends; int64 [pieces] each.
    """
    inside = np.flatnonzero(label_of >= 0)  # [m], mostly far fewer than n
    if inside.size == 0:
        return inside, inside
    labels = label_of[inside]
    opens = np.ones(inside.size, dtype=bool)
    opens[1:] = (
        begins[inside[1:]]
        | (inside[1:] != inside[:-1] + 1)
        | (labels[1:] != labels[:-1])
        | closes[inside[:-1]]
    )
    first = np.flatnonzero(opens)
    last = np.append(first[1:], inside.size) - 1
    return inside[first], inside[last] + 1


def _check_repair(repair: str) -> None:
    if repair not in REPAIRS:
        raise ValueError(f"unknown repair rule {repair!r}: expected one of {', '.join(REPAIRS)}")


def _frozen(array: np.ndarray) -> np.ndarray:
    """Derived arrays are shared by every caller: no one may write to them."""
    array.setflags(write=False)
    return array
