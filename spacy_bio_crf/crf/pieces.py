"""Viterbi on a CPU: sequences cut into pieces that run side by side, until they fit together.

A time step costs about the same for one sequence as for dozens, so long sequences are cut:

    |--- piece 0 ---|--- piece 1 ---|--- piece 2 ---|
                    ^ what enters a piece is what leaves the one before

All pieces run at once from a guess of what enters them, then again from what their neighbours
left. Best paths meet after some rows whatever they came from, so this second run soon finds
the values that are already there, and stops. A piece that then still does not fit runs
again by itself. Values are compared bit for bit, so that the result is exactly that of one run
without cuts. The way back from the last tag to the first does the same with tags.

For the values to become equal and not only equally far apart, every `STRIDE`-th row is lowered by
its maximum, counted from a sequence's own first row.
"""

from dataclasses import dataclass

import numpy as np

from .batch import Packing, first_rows, make_packing

# Rows from one normalisation to the next; the length of pieces is a multiple of it.
STRIDE = 8
# Candidates (from tag, to tag, piece) of a time step: with fewer its fixed cost dominates, and more
# bring nothing.
GOOD_STEP = 2**16
SHORTEST_PIECE = 48


@dataclass(frozen=True)
class Pieces:
    """The pieces of a batch, and how they lie.

    packing (Packing): Their layout. A piece that has a successor is as long as any, so all of
        those have their last rows in the last time step.
    rank (ndarray): Each piece's place in a time step, int64 [P].
    firsts (ndarray): The pieces that begin a sequence, int64 [F].
    follows (ndarray): The pieces that come after another one of the same sequence, int64 [P - F].
    """

    packing: Packing
    rank: np.ndarray
    firsts: np.ndarray
    follows: np.ndarray


def choose_piece_length(lengths: np.ndarray, n_tags: int) -> int:
    """Choose pieces so long that a time step of all of them is worth its fixed cost.

    lengths (ndarray): int64 [B].
    n_tags (int): K.
    RETURNS (int): Rows, a multiple of `STRIDE`.
    """
    rows = max(SHORTEST_PIECE, int(lengths.sum()) * n_tags**2 // GOOD_STEP)
    return -(-rows // STRIDE) * STRIDE


def cut(lengths: np.ndarray, piece_length: int) -> Pieces:
    """Cut sequences into pieces of one length, but for each sequence's last one."""
    lengths = lengths[lengths > 0]
    counts = -(-lengths // piece_length)
    firsts = first_rows(counts)
    piece_lengths = np.full(counts.sum(), piece_length)
    piece_lengths[firsts + counts - 1] = lengths - (counts - 1) * piece_length
    packing = make_packing(piece_lengths)
    rank = np.empty_like(packing.order)
    rank[packing.order] = np.arange(len(rank))
    is_first = np.zeros(len(rank), dtype=bool)
    is_first[firsts] = True
    return Pieces(packing, rank, np.flatnonzero(is_first), np.flatnonzero(~is_first))
