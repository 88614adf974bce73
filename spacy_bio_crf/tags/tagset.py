"""The tags of a set of labels: legal sequences, and spans to tags and back.

Without a scheme the labels are the tags, one for each token, and every sequence is legal.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import Plain, check_choice, describe
from .schemes import FILE_SCHEMES, OUTSIDE, REPAIRS, find_runs
from .spans import Span

SCHEMES = ("BIO", "BILUO")
NO_SCHEME = "none"


@dataclass(frozen=True)
class TagSet:
    """The tags of some labels in one scheme. Tag ids are indices in `tags`; in a scheme 0 is O.

    labels (tuple[str, ...]): The labels, in the order of their tags.
    scheme (str): "BIO", "BILUO", or "none" for labels of single tokens.
    RAISES: ValueError for labels that are no strings, empty or given twice, or another scheme.
    """

    labels: tuple[str, ...]
    scheme: str = "BIO"

    def __post_init__(self) -> None:
        given: Any = self.labels
        if isinstance(given, str):
            raise ValueError(describe("labels", expected="a sequence of strings", got=given))
        object.__setattr__(self, "labels", tuple(given))
        check_choice("scheme", self.scheme, (*SCHEMES, NO_SCHEME))
        for label in self.labels:
            if not isinstance(label, str) or not label:
                raise ValueError(describe("label", expected="a string, not empty", got=label))
        if len(set(self.labels)) < len(self.labels):
            twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
            got = Plain(f"{', '.join(map(repr, twice))} more than once")
            raise ValueError(describe("labels", expected="each label once", got=got))

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """All K tags: O, then those of each label, B first. Without a scheme, the labels."""
        if self.scheme == NO_SCHEME:
            return self.labels
        prefixes = FILE_SCHEMES[self.scheme]
        return (OUTSIDE, *(f"{p}-{label}" for label in self.labels for p in prefixes))

    @cached_property
    def ids(self) -> dict[str, int]:
        """From a tag to its id."""
        return {tag: i for i, tag in enumerate(self.tags)}

    @cached_property
    def prefix_of(self) -> np.ndarray:
        """The prefix of each tag, "O" for O; str of one character, [K].

        Without a scheme a tag is that of one token, as U- is.
        """
        if self.scheme == NO_SCHEME:
            return _frozen(np.full(len(self.labels), "U"))
        return _frozen(np.array([tag[0] for tag in self.tags]))

    @cached_property
    def label_of(self) -> np.ndarray:
        """The index in `labels` of each tag's label, -1 for O; int64 [K]."""
        if self.scheme == NO_SCHEME:
            return _frozen(np.arange(len(self.labels), dtype=np.int64))
        n_prefixes = len(FILE_SCHEMES[self.scheme])
        labels = np.repeat(np.arange(len(self.labels), dtype=np.int64), n_prefixes)
        return _frozen(np.concatenate([np.array([-1], dtype=np.int64), labels]))

    @cached_property
    def begins(self) -> np.ndarray:
        """Whether the tag begins an entity (B, U); bool [K]."""
        return _frozen(np.isin(self.prefix_of, ["B", "U"]))

    @cached_property
    def closes(self) -> np.ndarray:
        """Whether the tag closes its entity (L, U); bool [K]."""
        return _frozen(np.isin(self.prefix_of, ["L", "U"]))

    @cached_property
    def legal(self) -> np.ndarray:
        """Whether one tag may follow another; bool [K, K], (from, to)."""
        same_label = self.label_of[:, None] == self.label_of[None, :]
        # An entity continues from a tag that does not close it to one that does not begin one.
        inside = np.isin(self.prefix_of, ["B", "I"])
        goes_on = same_label & inside[:, None] & self._continues[None, :]
        return _frozen(goes_on | (self.legal_end[:, None] & self.legal_start[None, :]))

    @cached_property
    def legal_start(self) -> np.ndarray:
        """Whether a document may begin with the tag; bool [K]."""
        return _frozen(~self._continues)

    @cached_property
    def legal_end(self) -> np.ndarray:
        """Whether a document may end with the tag; bool [K]."""
        if self.scheme == "BIO":
            return _frozen(np.ones(len(self.tags), dtype=bool))
        return _frozen(self.closes | (self.label_of < 0))

    @cached_property
    def _continues(self) -> np.ndarray:
        return np.isin(self.prefix_of, ["I", "L"])

    def has_label(self, labels: Collection[str]) -> np.ndarray:
        """RETURNS (np.ndarray): Whether each tag is one of these labels; bool [K]."""
        chosen = np.array([label in labels for label in self.labels] + [False], dtype=bool)
        return chosen[self.label_of]  # the last one is that of O, -1

    def encode(self, spans: Iterable[Span], n: int) -> np.ndarray:
        """Write spans as tags.

        spans (Iterable[tuple[int, int, str]]): Start, exclusive end and label; in any order.
        n (int): The number of tokens.
        RETURNS (np.ndarray): Tag ids, int64 [n].
        RAISES: ValueError for a span that is empty, leaves the tokens, overlaps another, or has a
            label that is not in `labels`, and without a scheme.
        """
        self._check_scheme()
        tag_ids = np.zeros(n, dtype=np.int64)
        for span in spans:
            start, end, label = span
            begin = self.ids.get(f"B-{label}")
            if begin is None:
                expected = f"a label of {list(self.labels)}"
            elif not 0 <= start < end <= n:
                expected = f"0 <= start < end <= {n} (tokens)"
            elif tag_ids[start:end].any():
                expected = "spans that do not overlap"
            else:
                tag_ids[start] = begin
                tag_ids[start + 1 : end] = begin + 1
                if self.scheme == "BILUO":  # B, I, L and U of a label are neighbors
                    tag_ids[end - 1] = begin + (3 if end - start == 1 else 2)
                continue
            raise ValueError(describe("spans", expected=expected, got=span))
        return tag_ids

    def decode(self, tag_ids: Any, *, repair: str = "begin") -> list[Span]:
        """Read tags as spans. Neighboring entities of one label stay two.

        tag_ids (array-like): Tag ids, int [n].
        repair (str): The rule for sequences that are not `legal`: "begin" or "discard".
        RETURNS (list[tuple[int, int, str]]): Start, exclusive end and label, in order.
        RAISES: ValueError for an unknown tag id or rule, and without a scheme.
        """
        self._check_scheme()
        check_choice("repair", repair, REPAIRS)
        tag_ids = np.asarray(tag_ids)
        if tag_ids.size == 0:
            return []
        if tag_ids.min() < 0 or tag_ids.max() >= len(self.tags):
            wrong = int(tag_ids[(tag_ids < 0) | (tag_ids >= len(self.tags))][0])
            expected = f"tag ids from 0 to {len(self.tags) - 1}"
            raise ValueError(describe("tag_ids", expected=expected, got=wrong))
        label_of = self.label_of[tag_ids]
        starts, ends = find_runs(label_of, self.begins[tag_ids], self.closes[tag_ids])
        if repair == "discard":
            whole = self.begins[tag_ids[starts]] & self.legal_end[tag_ids[ends - 1]]
            starts, ends = starts[whole], ends[whole]
        labels = map(self.labels.__getitem__, label_of[starts].tolist())
        return list(zip(starts.tolist(), ends.tolist(), labels, strict=True))

    def _check_scheme(self) -> None:
        if self.scheme == NO_SCHEME:
            expected = f"one of {', '.join(map(repr, SCHEMES))}, whose tags make spans"
            raise ValueError(describe("scheme", expected=expected, got=self.scheme))


def count_tags(n_labels: int, scheme: str) -> int:
    """RETURNS (int): The number of tags, K, that labels have in a scheme."""
    return n_labels if scheme == NO_SCHEME else 1 + n_labels * len(FILE_SCHEMES[scheme])


def _frozen(array: np.ndarray) -> np.ndarray:
    """Protect a derived array from writing, because all callers share it."""
    array.setflags(write=False)
    return array
