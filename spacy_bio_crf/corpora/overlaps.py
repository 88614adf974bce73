"""The choice among entities that share tokens."""

from collections.abc import Sequence
from typing import NamedTuple

from ..tags.spans import Span


class Kept(NamedTuple):
    """Indices of spans that stay, in the order of their tokens, and of those that overlap them, in
    the order given; and the number of spans equal to an earlier one."""

    kept: list[int]
    overlapping: list[int]
    repeated: int


def without_overlaps(spans: Sequence[Span], *, rule: str) -> Kept:
    """Choose spans that share no tokens.

    spans (Sequence[tuple[int, int, str]]): Start, exclusive end and label, none of them empty, in
        the order of the input.
    rule (str): "longest": the one with most tokens stays, of equals the one that begins first, of
        these the one given first; "first": the one given first stays; "error".
    RETURNS (Kept): The spans that stay and those that don't.
    RAISES: ValueError under "error" if two spans share tokens; its `args` are the message and the
        index of the later one.
    """
    order = list(range(len(spans)))
    if rule == "longest":
        order.sort(key=lambda i: (spans[i][0] - spans[i][1], spans[i][0]))
    owner: dict[int, int] = {}  # token -> its span
    kept, overlapping, repeated = [], [], 0
    for i in order:
        start, end, label = spans[i]
        rival = next((owner[token] for token in range(start, end) if token in owner), None)
        if rival is None:
            owner.update(dict.fromkeys(range(start, end), i))
            kept.append(i)
        elif spans[rival] == spans[i]:
            repeated += 1
        elif rule == "error":
            first, last, other = spans[rival]
            raise ValueError(
                f"expected entities that share no tokens, got {label} on tokens {start} to {end} "
                f"and {other} on tokens {first} to {last}",
                i,
            )
        else:
            overlapping.append(i)
    return Kept(sorted(kept, key=lambda i: spans[i]), sorted(overlapping), repeated)
