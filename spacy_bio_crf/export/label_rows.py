"""Labels of token classifiers: their rows in the order of a tag set, and back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..corpora.options import IO
from ..corpora.readers.tag_forms import PLAIN, USUAL, TagForm, detect_form
from ..errors import BioError, Plain, describe
from ..tags.schemes import FILE_SCHEMES, MISSING, OUTSIDE, scheme_name, split_tag
from ..tags.tagset import NO_SCHEME, TagSet
from ..tags.targets import normal_label

ONLY_LABEL = "ENTITY"  # of tags that are a prefix alone
# A tag that a classifier lacks scores this much less than another one of its label: it never wins,
# has next to no probability, and can still be learned.
PENALTY = 10.0


@dataclass(frozen=True)
class LabelRows:
    """The rows of a classifier that make the emissions of a tag set.

    tagset (TagSet): The tags.
    scheme (str): The scheme of the classifier's labels: a key of `FILE_SCHEMES`, IO, or "none" for
        labels of single tokens.
    sources (tuple[int, ...]): The row of each tag, [K].
    added (tuple[int, ...]): Tags that the classifier lacks. Their sources are rows of other tags.
    unused (tuple[int, ...]): Rows that no tag has: those called "-".
    """

    tagset: TagSet
    scheme: str
    sources: tuple[int, ...]
    added: tuple[int, ...]
    unused: tuple[int, ...]

    def gather(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Put rows, float32 [rows, d] and [rows], in the order of the tags, [K, d] and [K]."""
        sources, added = list(self.sources), list(self.added)
        weight, bias = weight[sources], bias[sources]
        bias[added] -= PENALTY
        return weight, bias


def read_label_rows(names: Sequence[str], scheme: str | None = None) -> LabelRows:
    """Read the labels of a classifier.

    names (Sequence[str]): The name of each row: "O", a tag or a plain label, or "-" for a row to
        leave out.
    scheme (str | None): A scheme of files, or IO for plain labels; None finds out.
    RETURNS (LabelRows): The tags, and their rows.
    RAISES: BioError if the labels are none, not named, of several schemes or without an "O";
        ValueError for an unknown scheme.
    """
    if scheme is not None:
        scheme = scheme_name(scheme, more=[IO])
    kept = _named(names)
    if not any(name.upper() == OUTSIDE for name in kept):
        remedy = "name it by --labels"
        raise _unfit("an 'O' for the words outside", f"only {', '.join(kept[:5])}", remedy)
    form = PLAIN if scheme == IO else detect_form(dict.fromkeys(kept, 1), ONLY_LABEL)
    if form is PLAIN and scheme not in (None, IO):
        form = USUAL
    tags = [_usual(form, name) for name in names]
    _check_once(names, tags)
    if scheme is None:
        scheme = IO if form is PLAIN else _find_scheme(tags)
    prefixes = FILE_SCHEMES["BIO" if scheme == IO else scheme]
    rows: dict[str, int] = {}
    labels: list[str] = []
    for row, tag in enumerate(tags):
        if tag == OUTSIDE:
            rows[OUTSIDE] = row
        elif tag != MISSING:
            prefix, label = split_tag(tag)
            if prefix not in prefixes:
                expected = f"one of the prefixes of {scheme}, {', '.join(prefixes)}"
                raise BioError(describe("labels", expected=expected, got=names[row]))
            rows[f"{prefixes[prefix]}-{label}"] = row
            labels += [label] * (label not in labels)
    if not labels:
        raise _unfit("at least one besides 'O'", "none")
    tagset = TagSet(tuple(labels), "BILUO" if "L" in prefixes.values() else "BIO")
    added = [i for i, tag in enumerate(tagset.tags) if tag not in rows]
    sources = []
    for tag, label in zip(tagset.tags, tagset.label_of.tolist(), strict=True):
        alike = [tag, *(f"{prefix}-{labels[label]}" for prefix in "BILU")]
        sources.append(next(rows[other] for other in alike if other in rows))
    unused = [i for i, name in enumerate(names) if name == MISSING]
    return LabelRows(tagset, scheme, tuple(sources), tuple(added), tuple(unused))


def read_target_rows(names: Sequence[str], target: str) -> LabelRows:
    """Read the labels of a classifier that are labels of single tokens, such as parts of speech.

    names (Sequence[str]): The name of each row: a label, or "-" for a row to leave out.
    target (str): The attribute of tokens that gets them, as `bio_tagger` has it.
    RETURNS (LabelRows): The labels, and their rows.
    RAISES: BioError if the labels are none, not named, given twice or none of the target's.
    """
    _named(names)
    labels = []
    for name in names:
        try:
            labels.append(name if name == MISSING else normal_label(target, name))
        except ValueError as error:
            remedy = 'rename it, or leave it out by "-", by --labels'
            raise BioError(f"{error}; {remedy}") from error
    _check_once(names, labels)
    rows = [row for row, label in enumerate(labels) if label != MISSING]
    if not rows:
        raise _unfit("at least one", "none")
    unused = [row for row, label in enumerate(labels) if label == MISSING]
    tagset = TagSet(tuple(labels[row] for row in rows), NO_SCHEME)
    return LabelRows(tagset, NO_SCHEME, tuple(rows), (), tuple(unused))


def written_rows(
    tagset: TagSet, weight: Tensor, bias: Tensor, former: Sequence[str]
) -> tuple[tuple[str, ...], list[int]]:
    """Find the names and the order in which a pipeline's rows are written.

    tagset (TagSet): The pipeline's tags.
    weight (Tensor): float32 [K, d].
    bias (Tensor): float32 [K].
    former (Sequence[str]): The labels in the encoder's config: those of the checkpoint that the
        pipeline comes from, if it comes from one.
    RETURNS (tuple[tuple[str, ...], list[int]]): The name of each row, and its tag: the former
        labels if they still say everything, else the tags.
    """
    try:
        rows = read_label_rows(former)
    except ValueError:
        return tagset.tags, list(range(len(tagset.tags)))
    if rows.tagset == tagset and not rows.unused:
        order = [0] * len(former)
        for tag, row in enumerate(rows.sources):
            if tag not in rows.added:
                order[row] = tag
        again = rows.gather(weight[order], bias[order])
        if torch.equal(again[0], weight) and torch.equal(again[1], bias):
            return tuple(former), order
    return tagset.tags, list(range(len(tagset.tags)))


def _named(names: Sequence[str]) -> list[str]:
    """The rows that are not left out. RAISES: BioError if they have numbers for names."""
    kept = [name for name in names if name != MISSING]
    if kept and all(re.fullmatch(r"LABEL_\d+", name) for name in kept):
        remedy = "name them in a file, one on each line, by --labels"
        raise _unfit("names of labels", f"{len(kept)} numbers, such as {names[0]}", remedy)
    return kept


def _check_once(names: Sequence[str], tags: Sequence[str]) -> None:
    for name, tag in zip(names, tags, strict=True):
        if tag != MISSING and tags.count(tag) > 1:
            remedy = 'rename one, or leave it out by "-", by --labels'
            raise _unfit("each once", f"{name!r} more than once", remedy)


def _find_scheme(tags: Sequence[str]) -> str:
    split = [split_tag(tag) for tag in tags if tag not in (OUTSIDE, MISSING)]
    used = {prefix for prefix, _ in split}
    fitting = [scheme for scheme, table in FILE_SCHEMES.items() if used <= set(table)]
    if not fitting:
        raise _unfit("the prefixes of one scheme", ", ".join(sorted(used)))
    begun = {label for prefix, label in split if prefix == "B"}
    if fitting[0] == "BIO" and not begun.issuperset(label for _, label in split):
        return "IOB1"
    return fitting[0]


def _usual(form: TagForm, name: str) -> str:
    try:
        return form.usual(name)
    except ValueError:
        remedy = "rename labels by --labels, or read them all as labels by --scheme IO"
        raise _unfit("all with a prefix and a hyphen, or none", repr(name), remedy) from None


def _unfit(expected: str, got: str, remedy: str | None = None) -> BioError:
    return BioError(describe("labels", expected=expected, got=Plain(got), remedy=remedy))
