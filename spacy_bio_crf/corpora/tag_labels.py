"""Labels that are none: tags on the pieces of an entity, and marks of what nobody knows.

Some tools export B-PER and I-PER for PER. Trained as they are, they would become tags such as
B-B-PER.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from spacy.tokens import Doc

from ..errors import ConvertError, Plain, describe
from ..tags.spans import Span
from .options import ConvertOptions
from .passages import Passage, Sentence, Summary, TextSpan, Unit

LEFT_OPEN = "spans whose label means that nobody knows were left unannotated (`ignore`)"
JOINED = "entities had tags for labels, such as {tag}: prefixes were taken off, pieces joined"
LIKE_TAGS = "entities have labels that look like tags, such as {tag}"
_TAG = re.compile(r"([BIESLUMW])-(.+)", re.DOTALL)
# Forms that other labels have, too, such as e-mail and vitamin_B.
_UNUSUAL = re.compile(r"([bieslumwBIESLUMW])[-_](.+)", re.DOTALL)
_LAST = re.compile(r"(.+)[-_]([BIESLUMW])", re.DOTALL)
_OPEN, _GOING_ON = ("B", "I", "M"), ("I", "E", "M", "L")  # before a piece that goes on, and its own

AnySpan = TypeVar("AnySpan", Span, TextSpan)


def leave_open(units: Iterable[Unit], options: ConvertOptions, summary: Summary) -> Iterator[Unit]:
    """Make unannotated stretches of spans whose label means that nobody knows.

    units (Iterable[Sentence | Passage | Doc]): The units of a reader.
    options (ConvertOptions): `ignore` is read.
    summary (Summary): Gets a remark if there are such spans, and their labels.
    YIELDS (Sentence | Passage | Doc): The units.
    """
    for unit in units:
        if options.ignore and isinstance(unit, Passage):
            spans = [span for span in unit.spans if span.label.strip() not in options.ignore]
            if len(spans) < len(unit.spans):
                left = [span for span in unit.spans if span not in spans]
                summary.labels_ignored.update(span.label.strip() for span in left)
                summary.remarks[LEFT_OPEN] += len(left)
                given = [span[:2] for span in left]
                unit = replace(unit, spans=spans, missing=[*unit.missing, *given])
        yield unit


def without_tags(
    units: Iterable[Unit], options: ConvertOptions, summary: Summary
) -> Iterator[Unit]:
    """Deal with labels that are tags as `tag_labels` says. Docs stay as they are.

    units (Iterable[Sentence | Passage | Doc]): The units of a reader.
    options (ConvertOptions): `tag_labels`, `rename` and `drop` are read.
    summary (Summary): Gets a remark if there are such labels.
    YIELDS (Sentence | Passage | Doc): The units.
    RAISES: ConvertError at the end if all labels are tags and nobody has said what to do.
    """
    labels: Counter[str] = Counter()
    is_error = options.tag_labels == "error"
    for unit in units:
        if isinstance(unit, Doc):
            labels.update(ent.label_ for ent in unit.ents)
            is_error = False
        elif not isinstance(unit, ConvertError):
            labels.update(span[2] for span in unit.spans)
        if options.tag_labels == "join" and isinstance(unit, Sentence):
            unit = replace(unit, spans=_joined(unit.spans, None))
        elif options.tag_labels == "join" and isinstance(unit, Passage):
            unit = replace(unit, spans=_joined(unit.spans, unit.text))
        yield unit
    for label in (*options.rename, *options.drop):
        del labels[label]
    found = {label: _prefix_and_label(label) for label in labels}
    prefixes = {prefix for prefix, _ in found.values()}
    sure = "B" in prefixes and not prefixes.isdisjoint(_GOING_ON)
    tags = Counter(
        {
            label: labels[label]
            for label, (prefix, _) in found.items()
            if prefix and (sure or _TAG.fullmatch(label))
        }
    )
    if not tags or options.tag_labels == "keep":
        return
    if is_error and len(tags) == len(labels):
        got = Plain(f"tags alone, such as {next(iter(tags))!r}")
        remedy = "set `tag_labels` to join, to take them for tags, or to keep"
        raise ConvertError(describe("labels", expected="PER and the like", got=got, remedy=remedy))
    remark = JOINED if options.tag_labels == "join" else LIKE_TAGS
    remark += " (`tag_labels`)" if is_error else ""
    summary.remarks[remark.format(tag=next(iter(tags)))] += tags.total()


def _joined(spans: Sequence[AnySpan], text: str | None) -> list[AnySpan]:
    """Spans with labels for tags; pieces that go on from the one before them are joined to it.

    `text` is that of spans in characters, between the pieces of which white space may be.
    """
    joined: list[AnySpan] = []
    before = ""
    for span in sorted(spans, key=lambda span: span[:2]):
        prefix, label = _prefix_and_label(span[2])
        last = joined[-1] if joined and prefix in _GOING_ON and before in _OPEN else None
        if last and last[2] == label and not _is_between(last[1], span[0], text):
            joined[-1] = _changed(last, span[1], label)
        else:
            joined.append(_changed(span, span[1], label))
        before = prefix
    return joined


def _prefix_and_label(label: str) -> tuple[str, str]:
    """The parts of a tag; an empty prefix and the label as it is if it is none."""
    if first := _UNUSUAL.fullmatch(label):
        return first[1].upper(), first[2]
    last = _LAST.fullmatch(label)
    return (last[2], last[1]) if last else ("", label)


def _is_between(start: int, end: int, text: str | None) -> bool:
    """Whether something lies between two spans."""
    return start != end if text is None else start > end or bool(text[start:end].strip())


def _changed(span: AnySpan, end: int, label: str) -> AnySpan:
    if isinstance(span, TextSpan):
        return span._replace(end=end, label=label)
    return span[0], end, label
