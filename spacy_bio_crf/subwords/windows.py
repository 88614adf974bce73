"""Overlapping windows over long sequences of sub-words.

A transformer sees a bounded number of sub-words at once, so a longer document is cut into windows
that overlap. Each window answers only for its core. The cores lie end to end, so the results are
joined by concatenation:

    sub-words   0 ........................................ n
    window 0    [================------)
    window 1                    [------=======------)
    window 2                                  [------======)
    cores       |...................|...........|..........|

    ------  the overlap of two neighbors. The border between their cores lies in its middle, so
            each sub-word belongs to the window in which its distance to the nearest edge is
            greatest. The two ends of the document are no edges: nothing is missing there.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over one sequence, in order: int64 arrays of shape [n_windows], ends exclusive.

    starts (ndarray): First sub-word of each window.
    ends (ndarray): End of each window.
    core_ends (ndarray): End of each core. Each begins where the one before ends.
    """

    starts: np.ndarray
    ends: np.ndarray
    core_ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def make_windows(
    n: int, *, size: int, overlap: int, boundaries: np.ndarray | None = None
) -> Windows:
    """Cut a sequence of `n` sub-words into windows of at most `size`.

    Windows are about equally long, so the last one is not tiny. Neighbors share `overlap`
    sub-words, or more where a start was moved back to the beginning of a word. Starts and ends both
    strictly increase.

    n (int): Length of the sequence. 0 gives no window; `n <= size` gives one.
    size (int): Greatest length of a window, without special sub-words; at least 1.
    overlap (int): How many sub-words neighbors share; at least 0 and less than `size`.
    boundaries (ndarray | None): bool [n], True where a word begins. Edges of windows move to such
        places if that leaves at least half of a window's fresh part; a longer word is cut.
    RETURNS (Windows): The windows and their cores.
    """
    # shape: [n_words]
    words = np.flatnonzero(boundaries) if boundaries is not None else None
    starts, ends = _edges(n, size, overlap, words)
    # A sub-word p in the overlap of two neighbors is (end - 1 - p) from the edge of the first and
    # (p - start) from the edge of the second. It belongs to the first while the former is not
    # smaller, hence the rounding.
    borders = (ends[:-1] + starts[1:] + 1) // 2
    return Windows(starts, ends, np.concatenate([borders, ends[-1:]]))


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
        # The fewest windows that can hold the rest, and their length if they share it evenly.
        count = -(-(rest - overlap) // (size - overlap))
        length = -(-(rest + (count - 1) * overlap) // count)
        # The next window starts behind this one only if this end lies beyond the overlap.
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
