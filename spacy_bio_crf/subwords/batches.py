"""Padded batches ("packs") of windows, and where in them each wanted sub-word is found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .tokenizer import Subwords
from .windows import cut, pack


@dataclass(frozen=True)
class Frame:
    """What the network adds around every window.

    prefix (tuple[int, ...]): Ids of the special sub-words before the text ([CLS], <s>).
    suffix (tuple[int, ...]): Ids of those after it ([SEP], </s>).
    padding (int): Id that fills a window up to the longest of its pack.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    padding: int

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class Pack:
    """Windows that pass the network together, and which of their rows are wanted.

    ids (np.ndarray): Sub-word ids with special ones and padding; int64 [B, T].
    mask (np.ndarray): True where a sub-word is, False in padding; bool [B, T].
    rows (np.ndarray): Wanted rows of the flattened output, `b * T + t`; int64 [r].
    targets (np.ndarray): Where in the result each of them goes; int64 [r].
    shapes (np.ndarray): How words are written, 0 where that is not told; int64 [B, T].
    """

    ids: np.ndarray
    mask: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    shapes: np.ndarray

    @property
    def size(self) -> int:
        """Sub-words the network computes for this pack, padding among them."""
        return int(self.ids.size)


def make_packs(
    pieces: Sequence[Subwords],
    wanted: Sequence[np.ndarray],
    *,
    frame: Frame,
    window: int,
    overlap: int,
    budget: int,
    overhead: int,
) -> list[Pack]:
    """Cut documents into windows, sort those by length and fill packs under a budget.

    pieces (Sequence[Subwords]): The sub-words of every document.
    wanted (Sequence[np.ndarray]): For every document the indices of the sub-words whose vectors are
        asked for, in the order of the result; may repeat; int64 [m].
    frame (Frame): Special sub-words and padding.
    window (int): Most sub-words of a document in one window, special ones not counted.
    overlap (int): Sub-words that neighbouring windows share.
    budget (int): Most sub-words in a pack, special ones and padding counted; a window that is
        longer by itself has a pack of its own.
    overhead (int): What one more pack costs by itself, in sub-words.
    RETURNS (list[Pack]): The packs; their `targets` together are 0 to the sum of m, each once.
    """
    ids = _concatenate([p.ids for p in pieces])
    told = [np.zeros_like(p.ids) if p.shapes is None else p.shapes for p in pieces]
    shapes = _concatenate(told)
    bases = np.cumsum([0, *(len(p.ids) for p in pieces)])
    cuts = [cut(len(p.ids), size=window, overlap=overlap, boundaries=p.word_starts) for p in pieces]
    # shape of each: [n_windows], counted in the sub-words of all documents together
    starts = _concatenate([c.starts + base for c, base in zip(cuts, bases[:-1], strict=True)])
    ends = _concatenate([c.ends + base for c, base in zip(cuts, bases[:-1], strict=True)])
    core_ends = _concatenate([c.core_ends + base for c, base in zip(cuts, bases[:-1], strict=True)])
    # shape: [sum of m]
    asked = _concatenate([w + base for w, base in zip(wanted, bases[:-1], strict=True)])
    # Cores follow one another without a gap, so the window that answers for a sub-word is the first
    # whose core ends after it.
    window_of_asked = np.searchsorted(core_ends, asked, side="right")

    packs = []
    by_window = np.argsort(window_of_asked, kind="stable")
    first_of_window = np.searchsorted(window_of_asked[by_window], np.arange(len(starts) + 1))
    for members in pack(ends - starts + len(frame), budget=budget, overhead=overhead):
        width = int((ends[members] - starts[members]).max()) + len(frame)
        batch = np.full((len(members), width), frame.padding, dtype=np.int64)
        mask = np.zeros((len(members), width), dtype=bool)
        shape_batch = np.zeros_like(batch)
        rows, targets = [], []
        for b, w in enumerate(members):
            start, end = int(starts[w]), int(ends[w])
            text = len(frame.prefix) + end - start
            batch[b, : len(frame.prefix)] = frame.prefix
            batch[b, len(frame.prefix) : text] = ids[start:end]
            shape_batch[b, len(frame.prefix) : text] = shapes[start:end]
            batch[b, text : text + len(frame.suffix)] = frame.suffix
            mask[b, : text + len(frame.suffix)] = True
            target = by_window[first_of_window[w] : first_of_window[w + 1]]
            rows.append(b * width + len(frame.prefix) + asked[target] - start)
            targets.append(target)
        packs.append(Pack(batch, mask, np.concatenate(rows), np.concatenate(targets), shape_batch))
    return packs


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
