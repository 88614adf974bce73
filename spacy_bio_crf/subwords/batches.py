"""Padded batches of windows, under a budget of sub-words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .tokenizer import Subwords
from .windows import make_windows


@dataclass(frozen=True)
class SpecialIds:
    """The special sub-words that a network expects around every window.

    prefix (tuple[int, ...]): Ids before the text ([CLS], <s>).
    suffix (tuple[int, ...]): Ids after the text ([SEP], </s>).
    padding (int): Id that fills a window up to the longest of its batch.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    padding: int

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class PaddedBatch:
    """Windows that pass the network together, and their wanted rows.

    ids (np.ndarray): Sub-word ids with special ones and padding; int64 [B, T].
    mask (np.ndarray): True for sub-words, False for padding; bool [B, T].
    rows (np.ndarray): Wanted rows of the flattened output, `b * T + t`; int64 [r].
    targets (np.ndarray): The place of each of them in the result; int64 [r].
    shapes (np.ndarray): A `casing.Shape` for each sub-word; int64 [B, T].
    """

    ids: np.ndarray
    mask: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    shapes: np.ndarray

    @property
    def size(self) -> int:
        """Sub-words that the network computes for this batch, padding included."""
        return int(self.ids.size)


def plan_batches(
    lengths: Sequence[int] | np.ndarray, *, budget: int, overhead: int
) -> list[np.ndarray]:
    """Group sequences into batches whose padded sizes stay under a budget, at the least cost.

    A batch costs its padded size, longest length × number of sequences, and the overhead. Sequences
    are sorted by length, longest first, equally long ones in their order. Dynamic programming over
    the places to cut finds the batches with the least sum of costs.

    lengths (Sequence[int]): Length of each sequence, in sub-words.
    budget (int): Greatest padded size of a batch. A longer sequence makes a batch of its own.
    overhead (int): Cost of each batch by itself, in sub-words: a high one makes few batches, none
        makes batches without padding.
    RETURNS (list[ndarray]): int64 indices into `lengths`, one array per batch; each index occurs
        once.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    n = len(order)
    # least[i] is the least cost of the i longest sequences, their last batch beginning at came[i]
    least = np.full(n + 1, np.iinfo(np.int64).max)
    least[0] = 0
    came = np.zeros(n + 1, dtype=np.int64)
    for i in range(n):
        longest = max(int(sizes[order[i]]), 1)
        count = min(max(budget // longest, 1), n - i)
        costs = least[i] + overhead + longest * np.arange(1, count + 1)
        better = np.flatnonzero(costs < least[i + 1 : i + 1 + count]) + i + 1
        least[better] = costs[better - i - 1]
        came[better] = i
    cuts = [n]
    while cuts[-1] > 0:
        cuts.append(int(came[cuts[-1]]))
    return [order[a:b] for b, a in zip(cuts[-2::-1], cuts[:0:-1], strict=True)]


def make_batches(
    subwords: Sequence[Subwords],
    wanted: Sequence[np.ndarray],
    *,
    special: SpecialIds,
    window: int,
    overlap: int,
    budget: int,
    overhead: int,
) -> list[PaddedBatch]:
    """Cut documents into windows, and group those by length into batches under a budget.

    subwords (Sequence[Subwords]): The sub-words of every document.
    wanted (Sequence[np.ndarray]): For every document the indices of sub-words whose vectors are
        wanted, in the order of the result, with or without repetition; int64 [m].
    special (SpecialIds): Special sub-words and padding.
    window (int): Most sub-words of a document in one window, special ones not counted.
    overlap (int): Sub-words that neighboring windows share.
    budget (int): Most sub-words in a batch, special ones and padding counted; a longer window has a
        batch of its own.
    overhead (int): Cost of each batch by itself, in sub-words.
    RETURNS (list[PaddedBatch]): The batches; their `targets` together are 0 to the sum of m, each
        once.
    """
    bases = np.cumsum([0, *(len(s.ids) for s in subwords)])[:-1]

    def lay_end_to_end(positions: Sequence[np.ndarray]) -> np.ndarray:
        return _concatenate([p + base for p, base in zip(positions, bases, strict=True)])

    ids = _concatenate([s.ids for s in subwords])
    shapes = _concatenate(
        [np.zeros_like(s.ids) if s.shapes is None else s.shapes for s in subwords]
    )
    windows = [
        make_windows(len(s.ids), size=window, overlap=overlap, boundaries=s.word_starts)
        for s in subwords
    ]
    # shape of each: [n_windows], counted in the sub-words of all documents together
    starts = lay_end_to_end([w.starts for w in windows])
    ends = lay_end_to_end([w.ends for w in windows])
    core_ends = lay_end_to_end([w.core_ends for w in windows])
    # shape: [sum of m]
    asked = lay_end_to_end(wanted)
    # Cores follow one another without a gap, so a sub-word belongs to the first window whose core
    # ends after it.
    window_of_asked = np.searchsorted(core_ends, asked, side="right")

    batches = []
    by_window = np.argsort(window_of_asked, kind="stable")
    first_of_window = np.searchsorted(window_of_asked[by_window], np.arange(len(starts) + 1))
    for members in plan_batches(ends - starts + len(special), budget=budget, overhead=overhead):
        width = int((ends[members] - starts[members]).max()) + len(special)
        batch_ids = np.full((len(members), width), special.padding, dtype=np.int64)
        mask = np.zeros((len(members), width), dtype=bool)
        batch_shapes = np.zeros_like(batch_ids)
        rows, targets = [], []
        for b, w in enumerate(members):
            start, end = int(starts[w]), int(ends[w])
            text = len(special.prefix) + end - start
            batch_ids[b, : len(special.prefix)] = special.prefix
            batch_ids[b, len(special.prefix) : text] = ids[start:end]
            batch_shapes[b, len(special.prefix) : text] = shapes[start:end]
            batch_ids[b, text : text + len(special.suffix)] = special.suffix
            mask[b, : text + len(special.suffix)] = True
            target = by_window[first_of_window[w] : first_of_window[w + 1]]
            rows.append(b * width + len(special.prefix) + asked[target] - start)
            targets.append(target)
        batches.append(
            PaddedBatch(
                batch_ids, mask, np.concatenate(rows), np.concatenate(targets), batch_shapes
            )
        )
    return batches


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
