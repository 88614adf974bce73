"""Pairing of gold and predicted entities that overlap.

Gold entities do not overlap each other, nor do predictions. Overlapping pairs therefore never
cross, and dynamic programming from left to right finds the best pairing, as for the longest common
subsequence. A greedy pairing may be worse. Here P1 overlaps only G1, P2 both, P3 only G2:

    gold        [== G1: LOC ==]  [==== G2: PER ====]
    predicted   [P1: PER] [== P2: LOC ==] [P3: PER]

From left to right, P1 takes G1 and P2 takes G2, both with the wrong label, and P3 is left over. The
best pairing is P2 with G1 and P3 with G2, both with the right label.
"""

from collections.abc import Iterator, Sequence

from ..errors import check_choice
from ..tags.spans import Span
from .documents import Document

Pair = tuple[int, int]  # indices of a gold and of a predicted entity
Worth = tuple[int, int, int, int]

NO_PAIR: Worth = (0, 0, 0, 0)
PREFERENCES = ("label", "pairs")


def match(gold: Sequence[Span], predicted: Sequence[Span], *, prefer: str) -> list[Pair]:
    """Pair gold and predicted entities that share a token, each with at most one.

    Exact matches come first. The second criterion is the number of pairs with the same label
    ("label") or of all pairs ("pairs"), the third the other of the two, the last the number of
    shared tokens.

    gold (Sequence[Span]): Start, exclusive end and label.
    predicted (Sequence[Span]): The same of the predictions.
    prefer (str): "label" or "pairs".
    RETURNS (list[tuple[int, int]]): Indices in `gold` and in `predicted`, from left to right.
    RAISES: ValueError for another preference.
    """
    check_choice("prefer", prefer, PREFERENCES)
    pairs: list[Pair] = []
    for golds, answers in _clusters(gold, predicted):
        pairs += _best(gold, predicted, golds, answers, prefer)
    return pairs


def match_document(document: Document, *, prefer: str) -> list[Pair]:
    """Pair the entities of a document, as `match` does; of groups of labels each by itself.

    In one group gold entities overlap only where its annotation can't be learned, and predictions
    never do.

    document (Document): Gold and predictions.
    prefer (str): "label" or "pairs".
    RETURNS (list[tuple[int, int]]): Indices of gold and predicted entities.
    """
    sides = (document.gold, document.predicted)
    groups = {document.group_of(span[2]): None for side in sides for span in side}
    if len(groups) < 2:
        return match(*sides, prefer=prefer)
    pairs: list[Pair] = []
    for group in groups:
        gold, predicted = (
            [i for i, span in enumerate(side) if document.group_of(span[2]) == group]
            for side in sides
        )
        found = match([sides[0][i] for i in gold], [sides[1][i] for i in predicted], prefer=prefer)
        pairs += [(gold[g], predicted[p]) for g, p in found]
    return pairs


def strict_match(gold: Sequence[Span], predicted: Sequence[Span]) -> list[bool]:
    """Judge predictions: first token, last token and label are right, each gold entity counts once.

    gold (Sequence[Span]): Start, exclusive end and label.
    predicted (Sequence[Span]): The same of the predictions.
    RETURNS (list[bool]): Whether each prediction is right.
    """
    left = set(gold)
    right = []
    for span in predicted:
        right.append(span in left)
        left.discard(span)
    return right


def _clusters(
    gold: Sequence[Span], predicted: Sequence[Span]
) -> Iterator[tuple[list[int], list[int]]]:
    """Indices of entities connected by overlaps, with at least one on each side."""
    spans = sorted(
        (start, end, side, i)
        for side, entities in enumerate((gold, predicted))
        for i, (start, end, _) in enumerate(entities)
    )
    sides: tuple[list[int], list[int]] = ([], [])
    reach = -1
    for start, end, side, i in spans:
        if start >= reach:
            if all(sides):
                yield sides
            sides = ([], [])
        sides[side].append(i)
        reach = max(reach, end)
    if all(sides):
        yield sides


def _best(
    gold: Sequence[Span],
    predicted: Sequence[Span],
    golds: Sequence[int],
    answers: Sequence[int],
    prefer: str,
) -> list[Pair]:
    # worth[i][j] is that of the best pairing of the first i gold entities and j predictions.
    worth = [[NO_PAIR] * (len(answers) + 1) for _ in range(len(golds) + 1)]
    for i, g in enumerate(golds):
        for j, p in enumerate(answers):
            best = max(worth[i][j + 1], worth[i + 1][j])
            own = _worth(gold[g], predicted[p], prefer)
            if own > NO_PAIR:
                best = max(best, _add(worth[i][j], own))
            worth[i + 1][j + 1] = best
    pairs: list[Pair] = []
    i, j = len(golds), len(answers)
    while i and j:
        if worth[i][j] == worth[i - 1][j]:
            i -= 1
        elif worth[i][j] == worth[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((golds[i], answers[j]))
    return pairs[::-1]


def _worth(gold: Span, predicted: Span, prefer: str) -> Worth:
    shared = min(gold[1], predicted[1]) - max(gold[0], predicted[0])
    if shared <= 0:
        return NO_PAIR
    same_span, same_label = gold[:2] == predicted[:2], gold[2] == predicted[2]
    exact = same_span + (same_span and same_label)
    first, second = (same_label, True) if prefer == "label" else (True, same_label)
    return exact, int(first), int(second), shared


def _add(a: Worth, b: Worth) -> Worth:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]
