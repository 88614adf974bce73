"""Scores of entities as they are stored on a Doc: in span groups, in the form of `spancat`."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import srsly
from spacy.tokens import Doc, SpanGroup
from spacy.tokens import Span as SpacySpan

from .tags.spans import SCORES, Span

# A span in `SpanGroup.to_bytes`: id, kb_id, label, start, end, start_char and end_char.
_STORED = struct.Struct(">QQQllll")
# First character, end (exclusive) and label of a span; the list with its score, the place there.
_Index = dict[tuple[int, int, str], tuple[Sequence[float], int]]
# The index of a document, and its groups as they were when it was made.
_indices: "WeakKeyDictionary[Doc, tuple[list[Any], _Index]]" = WeakKeyDictionary()


class ScoredGroup(SpanGroup):
    """A span group with scores, which stays right when tokens are merged or split.

    spaCy moves no span group when a document is retokenized. This one finds its spans again by
    their characters, and drops those that no longer begin and end with a token.
    """

    def __init__(self, doc: Doc, **fields: Any):
        super().__init__(doc, **fields)
        self._n_tokens = len(doc)

    def __len__(self) -> int:
        if len(self.doc) != self._n_tokens:
            self._find_again()
        return super().__len__()

    def __getitem__(self, i: int) -> SpacySpan:
        len(self)
        span = super().__getitem__(i)
        if _fits(self.doc, span.start, span.end, span.start_char, span.end_char):
            return span
        self._find_again()
        return super().__getitem__(i)

    def __iter__(self) -> Iterator[SpacySpan]:
        self._check_all()
        return (self[i] for i in range(len(self)))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The group as spaCy writes it."""
        self._check_all()
        return super().to_bytes()

    def copy(self, doc: Doc | None = None) -> "ScoredGroup":
        """RETURNS (ScoredGroup): A copy, on another document if one is given."""
        plain = super().copy(doc)
        return ScoredGroup(plain.doc, name=plain.name, attrs=plain.attrs, spans=list(plain))

    def _check_all(self) -> None:
        if not all(_fits(self.doc, *stored[3:]) for stored in _stored(self)):
            self._find_again()

    def _find_again(self) -> None:
        found, scores = _find_spans(self), self.attrs.get(SCORES, ())
        attrs = dict(self.attrs)
        if len(scores) == len(found):
            attrs[SCORES] = [s for s, span in zip(scores, found, strict=True) if span is not None]
        stored = [
            _STORED.pack(s.id, s.kb_id, s.label, s.start, s.end, s.start_char, s.end_char)
            for s in found
            if s is not None
        ]
        # Not by deleting: `SpanGroup.__delitem__` of spaCy 3.8 frees memory that it does not own.
        self.from_bytes(srsly.msgpack_dumps({"name": self.name, "attrs": attrs, "spans": stored}))
        self._n_tokens = len(self.doc)


def read_scores(doc: Doc, key: str | None = None) -> dict[Span, float]:
    """The scores of the span groups that have some.

    key (str | None): One group's name; None reads all of them.
    RETURNS (dict[Span, float]): From a span in tokens to its probability. Where two groups score a
        span, the first one counts.
    """
    scores: dict[Span, float] = {}
    index = _index_of(doc) if key is None else _make_index([doc.spans[key]], doc)
    for (start, end, label), (group_scores, i) in index.items():
        span = doc.char_span(start, end, label=label)
        if span is not None:
            scores[span.start, span.end, label] = float(group_scores[i])
    return scores


def read_score(span: SpacySpan) -> float | None:
    """The score of one span, in time that does not depend on the length of its document.

    span (Span): A span, usually an entity.
    RETURNS (float | None): Its score; None if no group has one for this span and label.
    """
    found = _index_of(span.doc).get((span.start_char, span.end_char, span.label_))
    return None if found is None else float(found[0][found[1]])


def _index_of(doc: Doc) -> _Index:
    """The scores of a document by characters, made again when its groups have changed."""
    groups = [group for group in doc.spans.values() if SCORES in group.attrs]
    state = [(group, SpanGroup.__len__(group), group.attrs[SCORES]) for group in groups]
    known, index = _indices.get(doc, ([], {}))
    if len(known) == len(state) and all(
        a is b and n == m and s is t for (a, n, s), (b, m, t) in zip(known, state, strict=True)
    ):
        return index
    index = _make_index(groups, doc)
    _indices[doc] = state, index
    return index


def _make_index(groups: Sequence[SpanGroup], doc: Doc) -> _Index:
    index: _Index = {}
    for group in groups:
        scores = group.attrs.get(SCORES, ())
        for i, (stored, _score) in enumerate(zip(_stored(group), scores, strict=False)):
            _id, _kb_id, label, _start, _end, start_char, end_char = stored
            index.setdefault((start_char, end_char, doc.vocab.strings[label]), (scores, i))
    return index


def _stored(group: SpanGroup) -> list[tuple[int, ...]]:
    """The spans of a group as they were stored, whatever has become of the tokens since."""
    try:
        spans = [SpanGroup.__getitem__(group, i) for i in range(SpanGroup.__len__(group))]
    except IndexError:  # a span of tokens that were merged
        # Slow: srsly looks for its encoders among all entry points, every time.
        return [_STORED.unpack(s) for s in srsly.msgpack_loads(SpanGroup.to_bytes(group))["spans"]]
    return [(s.id, s.kb_id, s.label, s.start, s.end, s.start_char, s.end_char) for s in spans]


def _find_spans(group: SpanGroup) -> list[SpacySpan | None]:
    """The spans of a group on the present tokens; None for one that does not fit them."""
    return [
        group.doc.char_span(start_char, end_char, label=label, kb_id=kb_id, span_id=span_id)
        for span_id, kb_id, label, _start, _end, start_char, end_char in _stored(group)
    ]


def _fits(doc: Doc, start: int, end: int, start_char: int, end_char: int) -> bool:
    """RETURNS (bool): The tokens from `start` to `end` are the characters of the span."""
    return (
        0 <= start < end <= len(doc)
        and doc[start].idx == start_char
        and doc[end - 1].idx + len(doc[end - 1]) == end_char
    )
