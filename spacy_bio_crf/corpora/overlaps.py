"""Entities that share tokens: a document's entities may not, so a rule says which of them stays."""

from collections.abc import Sequence
from typing import NamedTuple

from ..tags.spans import Span

OVERLAPS = ("longest", "first", "error")


class Kept(NamedTuple):
    """Which spans stay, as indices.

    kept (list[int]): Those that stay, in the order of their tokens.
    overlapping (list[int]): Those that give way to another, in the order they were given.
    repeated (int): How many say again what an earlier one says.
    """

    kept: list[int]
    overlapping: list[int]
    repeated: int


def without_overlaps(spans: Sequence[Span], *, rule: str) -> Kept:
    """Choose spans that share no tokens.

    spans (Sequence[tuple[int, int, str]]): Start, exclusive end and label, none of them empty, in
        the order of the input.
    rule (str): "longest": the one with most tokens stays, of equals the one that begins first, of
        these the one given first; "first": the one given first stays; "error".
    RETURNS (Kept): Which spans stay and which don't.
    RAISES: ValueError under "error" if two spans share tokens; its `args` are the message and the
        index of the later one.
    """
    order = list(range(len(spans)))
    if rule == "longest":
        order.sort(key=lambda i: (spans[i][0] - spans[i][1], spans[i][0]))
    owner: dict[int, int] = {}  # token -> the span that has it
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
            other = spans[rival]
            raise ValueError(
                f"entities overlap: {label} on tokens {start} to {end} and {other[2]} on tokens "
                f"{other[0]} to {other[1]}",
                i,
            )
        else:
            overlapping.append(i)
    return Kept(sorted(kept, key=lambda i: spans[i]), sorted(overlapping), repeated)
