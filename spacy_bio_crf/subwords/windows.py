"""Cut long sequences into overlapping windows, and group sequences into batches under a budget.

A transformer sees a bounded number of sub-words at once, so a longer document is cut into windows
that overlap. Each window answers only for its core; the cores lie end to end, so that the results
are put together again by concatenation:

    sub-words   0 ........................................ n
    window 0    [================------)
    window 1                    [------=======------)
    window 2                                  [------======)
    cores       |...................|...........|..........|

    ------  the overlap of two neighbours. The border between their cores lies in its middle, so
            that each sub-word is taken from the window in which its distance to the nearest edge
            is greatest. The two ends of the document are no edges: nothing is missing there.

Pure numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over one sequence, in order: int64 arrays of shape [n_windows], ends exclusive.

    starts (ndarray): First sub-word of each window.
    ends (ndarray): End of each window.
    core_starts (ndarray): First sub-word that the window answers for.
    core_ends (ndarray): End of what the window answers for. The cores partition the sequence.
    """

    starts: np.ndarray
    ends: np.ndarray
    core_starts: np.ndarray
    core_ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def cut(n: int, *, size: int, overlap: int, boundaries: np.ndarray | None = None) -> Windows:
    """Cut a sequence of `n` sub-words into windows of at most `size`.

    Windows are about equally long, so there is no tiny last one. Neighbours share `overlap`
    sub-words, or more where a start was moved back to the beginning of a word. Starts and ends both
    strictly increase.

    n (int): Length of the sequence. 0 gives no window; `n <= size` gives one.
    size (int): Greatest length of a window, without special sub-words; at least 1.
    overlap (int): How many sub-words neighbours share; at least 0 and less than `size`.
    boundaries (ndarray): Optional, bool [n]: True where a word begins. Edges of windows are moved
        to such places where that leaves at least half of a window's fresh part; a word that is too
        long for that is cut.
    RETURNS (Windows): The windows and their cores.
    RAISES: ValueError for a size, overlap or length that makes no sense, or boundaries of the wrong
        shape.
    """
    if n < 0:
        raise ValueError(f"cannot cut a sequence of negative length: got n = {n}")
    if size < 1:
        raise ValueError(f"a window needs room for at least 1 sub-word: got size = {size}")
    if not 0 <= overlap < size:
        raise ValueError(
            f"the overlap of windows must be at least 0 and less than their size: "
            f"got overlap = {overlap}, size = {size}"
        )
    if boundaries is not None and np.shape(boundaries) != (n,):
        raise ValueError(
            f"boundaries must have one entry per sub-word: "
            f"got shape {np.shape(boundaries)}, expected ({n},)"
        )
    # shape: [n_words]
    words = np.flatnonzero(boundaries) if boundaries is not None else None
    starts, ends = _edges(n, size, overlap, words)
    # A sub-word p in the overlap of two neighbours is (end - 1 - p) from the edge of the first and
    # (p - start) from the edge of the second. It belongs to the first while the former is not
    # smaller, hence the rounding.
    borders = (ends[:-1] + starts[1:] + 1) // 2
    if n:
        core_starts = np.concatenate([[0], borders])
        core_ends = np.concatenate([borders, [n]])
    else:
        core_starts, core_ends = starts, ends
    return Windows(starts, ends, core_starts, core_ends)


def _edges(
    n: int, size: int, overlap: int, words: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    starts: list[int] = []
    ends: list[int] = []
    start, end = 0, 0
    while end < n:
        rest = n - start
        starts.append(start)
        if rest <= size:
            ends.append(n)
            break
        # The fewest windows that can hold the rest, and their length if it is shared out evenly
        # among them.
        count = -(-(rest - overlap) // (size - overlap))
        length = -(-(rest + (count - 1) * overlap) // count)
        # The next window starts behind this one's start only if the end lies further than the
        # overlap.
        end = _word_end(words, max(end, start + overlap), start + length, start + size)
        ends.append(end)
        target = end - overlap
        start = _word_start(words, max(start, target - (size - overlap) // 2 - 1), target)
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def _word_end(words: np.ndarray | None, above: int, target: int, limit: int) -> int:
    """The last word start in (above, target], or the first in (target, limit], or the target."""
    if words is None:
        return target
    i = int(np.searchsorted(words, target, side="right"))
    if i > 0 and words[i - 1] > above:
        return int(words[i - 1])
    if i < len(words) and words[i] <= limit:
        return int(words[i])
    return target


def _word_start(words: np.ndarray | None, above: int, target: int) -> int:
    """The last word start in (above, target], else the target."""
    if words is None:
        return target
    i = int(np.searchsorted(words, target, side="right"))
    return int(words[i - 1]) if i > 0 and words[i - 1] > above else target


def pack(
    lengths: Sequence[int] | np.ndarray, *, budget: int, overhead: int = 64
) -> list[np.ndarray]:
    """Group sequences into batches that stay under a budget after padding, at the least cost.

    A batch costs its padded size, longest length × number of sequences, and the overhead. Sequences
    are sorted by length, longest first, equally long ones in their order, and cut into batches
    where the sum of costs is least, by dynamic programming over the places to cut.

    lengths (Sequence[int]): Length of each sequence, in sub-words.
    budget (int): Greatest padded size of a batch. A sequence longer than that makes a batch of its
        own.
    overhead (int): What one more batch costs by itself, in sub-words: much of it makes few batches,
        none of it pads nothing.
    RETURNS (list[ndarray]): int64 indices into `lengths`, one array per batch; each index occurs
        once.
    RAISES: ValueError for a budget under 1, a negative length or a negative overhead.
    """
    if budget < 1:
        raise ValueError(f"the budget of a batch must be at least 1 sub-word: got {budget}")
    if overhead < 0:
        raise ValueError(f"the overhead of a batch cannot be negative: got {overhead}")
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and sizes.min() < 0:
        raise ValueError(f"a sequence cannot have a negative length: got {int(sizes.min())}")
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
