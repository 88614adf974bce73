"""Tags as files write them: schemes, splitting a tag, and repair of sequences that break a scheme.

The same sentence in every scheme:

    tokens  Ana    Ruiz   met  Bo     in  New    York   City   .
    BIO     B-PER  I-PER  O    B-PER  O   B-LOC  I-LOC  I-LOC  O   also IOB2
    BILUO   B-PER  L-PER  O    U-PER  O   B-LOC  I-LOC  L-LOC  O   also BILOU
    IOB1    I-PER  I-PER  O    I-PER  O   I-LOC  I-LOC  I-LOC  O   B- only between neighbors
    BIOES   B-PER  E-PER  O    S-PER  O   B-LOC  I-LOC  E-LOC  O   also IOBES
    BMES    B-PER  E-PER  O    S-PER  O   B-LOC  M-LOC  E-LOC  O
    BMEWO   B-PER  E-PER  O    W-PER  O   B-LOC  M-LOC  E-LOC  O

Sequences that break the rules of their scheme are cut into runs, as the conlleval script of the
CoNLL-2000 shared task cuts them: a run ends before O, before a change of label, before B- and after
a closing tag. A named rule decides about a run that is not a legal entity:

    begin    it is an entity: a stray I- or L- begins it, and an open end is closed
    discard  it is no entity
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..errors import check_choice, describe
from .spans import Span

REPAIRS = ("begin", "discard")
OUTSIDE = "O"
MISSING = "-"  # in a file: the token is not annotated

# For each scheme of a file: its prefixes, and their names in BILUO.
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
# Schemes in which a tag of its own closes every entity.
_CLOSED_SCHEMES = frozenset(name for name, table in FILE_SCHEMES.items() if "L" in table.values())


def split_tag(tag: str) -> tuple[str, str]:
    """Split a tag into prefix and label, at the first hyphen: a label may contain hyphens.

    tag (str): "O" or a prefix and a label, for example "B-cell-line".
    RETURNS (tuple[str, str]): The prefix and the label, ("B", "cell-line"); ("O", "") for "O".
    RAISES: ValueError for any other string.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, hyphen, label = tag.partition("-")
    if prefix not in _PREFIXES or not hyphen or not label:
        known = ", ".join(sorted(_PREFIXES))
        expected = f"'O' or a prefix ({known}), a hyphen and a label"
        raise ValueError(describe("tag", expected=expected, got=tag))
    return prefix, label


def scheme_name(name: str, *, more: Sequence[str] = ()) -> str:
    """Look up a key of `FILE_SCHEMES`, or an alias of one, in any case: "iob2", "BILOU", "IOBES".

    name (str): The name.
    more (Sequence[str]): Other schemes that are allowed, in capitals.
    RETURNS (str): The scheme.
    RAISES: ValueError for an unknown scheme.
    """
    upper = name.upper()
    upper = SCHEME_ALIASES.get(upper, upper)
    if upper not in FILE_SCHEMES and upper not in more:
        known = ", ".join([*FILE_SCHEMES, *SCHEME_ALIASES, *more])
        raise ValueError(describe("scheme", expected=f"one of {known}", got=name))
    return upper


def spans_of_tags(
    tags: Sequence[str], *, scheme: str, repair: str = "begin"
) -> tuple[list[Span], list[tuple[int, str]]]:
    """Read the tags of a file as spans.

    IOB1 needs no repair: an I- that continues no entity begins one by definition.

    tags (Sequence[str]): "O", "-" (missing, part of no entity) or a prefix and a label.
    scheme (str): A key of `FILE_SCHEMES` or an alias of one.
    repair (str): "begin" or "discard".
    RETURNS (tuple[list[tuple[int, int, str]], list[tuple[int, str]]]): The spans, in order, and the
        repairs: the position of a tag and the action: "begun" (an entity, by this stray tag),
        "closed" (the entity, after this tag), "discarded" (the run that this tag begins).
    RAISES: ValueError for an unknown tag, scheme or rule, or a tag of another scheme.
    """
    check_choice("repair", repair, REPAIRS)
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
    starts, ends = find_runs(label_of, begins, closes)
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
    """Split a tag of a file's scheme into its BILUO prefix and its label."""
    if tag in (OUTSIDE, MISSING):
        return OUTSIDE, ""
    prefix, label = split_tag(tag)
    prefixes = FILE_SCHEMES[scheme]
    if prefix not in prefixes:
        expected = f"one of the prefixes of {scheme}, {', '.join(prefixes)}"
        raise ValueError(describe("tag", expected=expected, got=tag))
    return prefixes[prefix], label


def find_runs(
    label_of: np.ndarray, begins: np.ndarray, closes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut tags into maximal runs that can be read as one entity each.

    label_of (np.ndarray): The label of each position, -1 outside; int64 [n].
    begins (np.ndarray): Whether the tag begins an entity (B, U); bool [n].
    closes (np.ndarray): Whether the tag ends its entity (L, U); bool [n].
    RETURNS (tuple[np.ndarray, np.ndarray]): Starts and exclusive ends; int64 [runs] each.
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
