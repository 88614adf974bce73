"""Groups of labels that are tagged apart, so that their entities may overlap."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from ..errors import BioError, Plain, describe
from .spans import Span
from .tagset import TagSet

PER_LABEL = "per_label"
MOST_PROBABLE, OUTERMOST = "most_probable", "outermost"
OF_GROUP = "group:"  # before a group's name

# The option `groups`: from a name to labels, or PER_LABEL; None without groups.
Groups = Mapping[str, Sequence[str]] | str | None


@dataclass(frozen=True)
class TagGroups:
    """The tag sets of groups of labels, side by side: columns of the same emissions.

    names (tuple[str, ...]): The groups.
    tagsets (tuple[TagSet, ...]): The tags of each.
    """

    names: tuple[str, ...]
    tagsets: tuple[TagSet, ...]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All labels, group by group."""
        return tuple(label for tagset in self.tagsets for label in tagset.labels)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """All tags, group by group. Each group begins with an O of its own."""
        return tuple(tag for tagset in self.tagsets for tag in tagset.tags)

    @cached_property
    def columns(self) -> tuple[slice, ...]:
        """The places of each group's tags in `tags`."""
        ends = [0]
        for tagset in self.tagsets:
            ends.append(ends[-1] + len(tagset.tags))
        return tuple(map(slice, ends[:-1], ends[1:]))

    @cached_property
    def name_of(self) -> dict[str, str]:
        """From a label to the name of its group."""
        return {x: name for name, tagset in self for x in tagset.labels}

    def __iter__(self) -> Iterator[tuple[str, TagSet]]:
        return iter(zip(self.names, self.tagsets, strict=True))

    def place(self, name: str) -> int:
        """RETURNS (int): The number of a group. RAISES: ValueError for an unknown name."""
        if name not in self.names:
            expected = f"a group of {', '.join(map(repr, self.names)) or 'none'}"
            raise ValueError(describe("group", expected=expected, got=name))
        return self.names.index(name)


def check_groups(groups: Any) -> None:
    """Check the option `groups`.

    RAISES: ValueError for anything but None, "per_label" or a mapping from names to lists of
        labels, for an empty group, and for a label that is given twice.
    """
    if groups is None or groups == PER_LABEL:
        return
    if not isinstance(groups, Mapping) or not groups:
        expected = f"{PER_LABEL!r}, or a list of labels for the name of each group"
        raise ValueError(describe("groups", expected=expected, got=groups))
    owners: dict[str, str] = {}
    for name, labels in groups.items():
        if not isinstance(name, str) or not name:
            raise ValueError(describe("groups", expected="names of groups, not empty", got=name))
        if isinstance(labels, str) or not isinstance(labels, Sequence) or not labels:
            place, expected = f"groups, {name!r}", "a list of labels, one at least"
            raise ValueError(describe(place, expected=expected, got=labels))
        TagSet(tuple(labels))
        for label in labels:
            if label in owners:
                got = Plain(f"{label!r} in {owners[label]!r} and {name!r}")
                raise ValueError(describe("groups", expected="each label in one group", got=got))
            owners[label] = name


def make_groups(groups: Groups, labels: Sequence[str], scheme: str) -> TagGroups:
    """Make the tag sets of groups.

    groups (Mapping[str, Sequence[str]] | str): The groups, or "per_label".
    labels (Sequence[str]): The labels of the component: "per_label" has no others.
    scheme (str): The scheme of all tags.
    RETURNS (TagGroups): The groups in order, with all their labels.
    RAISES: ValueError for a label that is in no group.
    """
    if isinstance(groups, str):
        return _make(tuple((label, (label,)) for label in TagSet(tuple(labels)).labels), scheme)
    made = _make(tuple((name, tuple(own)) for name, own in (groups or {}).items()), scheme)
    homeless = [label for label in labels if label not in made.name_of]
    if homeless:
        known = ", ".join(f"{name!r} {list(tagset.labels)}" for name, tagset in made)
        expected = f"a label of a group, of {known}"
        raise BioError(describe("label", expected=expected, got=homeless[0]))
    return made


# Equal settings share one object, and with it the arrays that its tag sets derive.
@lru_cache(maxsize=64)
def _make(members: tuple[tuple[str, tuple[str, ...]], ...], scheme: str) -> TagGroups:
    names = tuple(name for name, _ in members)
    return TagGroups(names, tuple(TagSet(labels, scheme) for _, labels in members))


def check_flat_rule(rule: Any, groups: Groups) -> None:
    """Check the option `ents`, the rule for the entities that go to `doc.ents`.

    RAISES: ValueError for an unknown rule, or one of a group that is none of `groups`.
    """
    name = rule.removeprefix(OF_GROUP) if isinstance(rule, str) else ""
    of_group = isinstance(rule, str) and rule.startswith(OF_GROUP) and bool(name)
    if rule not in (MOST_PROBABLE, OUTERMOST) and not of_group:
        expected = f"{MOST_PROBABLE!r}, {OUTERMOST!r} or '{OF_GROUP}NAME'"
        raise ValueError(describe("ents", expected=expected, got=rule))
    if of_group and isinstance(groups, Mapping) and name not in groups:
        listed = ", ".join(map(repr, groups)) or "none"
        raise ValueError(describe("ents", expected=f"a group of {listed}", got=name))


def choose_flat(
    spans: Sequence[Span],
    scores: Sequence[float],
    *,
    rule: str,
    name_of: Mapping[str, str],
) -> list[Span]:
    """Choose entities that share no tokens.

    spans (Sequence[Span]): Entities of all groups.
    scores (Sequence[float]): A probability for each.
    rule (str): "most_probable": of entities that overlap the most probable one stays, of equals
        the longest; "outermost": the longest, of equals the most probable; "group:NAME": the
        entities of this group, which never overlap.
    name_of (Mapping[str, str]): From a label to its group.
    RETURNS (list[Span]): Those that stay, in order.
    """
    chosen = list(zip(spans, scores, strict=True))
    if rule.startswith(OF_GROUP):
        chosen = [pair for pair in chosen if name_of[pair[0][2]] == rule.removeprefix(OF_GROUP)]
    by_score = rule == MOST_PROBABLE

    def worth(pair: tuple[Span, float]) -> tuple:
        (start, end, _), score = pair
        return (-score, start - end, start) if by_score else (start - end, -score, start)

    taken: set[int] = set()
    kept = []
    for span, _ in sorted(chosen, key=worth):
        tokens = range(span[0], span[1])
        if taken.isdisjoint(tokens):
            taken.update(tokens)
            kept.append(span)
    return sorted(kept)
