"""Windows: their edges, overlaps and cores."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.subwords.windows import Windows, make_windows
from tests.support.many import PROFILE


@st.composite
def problems(draw: st.DrawFn) -> tuple[int, int, int]:
    """Length, size and overlap: up to some 50 windows."""
    size = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, size - 1))
    n = draw(st.integers(0, 50 * (size - overlap) + size))
    return n, size, overlap


@st.composite
def worded_problems(draw: st.DrawFn) -> tuple[int, int, int, np.ndarray]:
    n, size, overlap = draw(problems())
    words = draw(st.lists(st.one_of(st.integers(1, 4), st.integers(1, 2 * size)), max_size=n))
    boundaries = np.zeros(n, dtype=bool)
    starts = np.cumsum([draw(st.integers(0, 3)), *words])
    boundaries[starts[starts < n]] = True
    return n, size, overlap, boundaries


def context(p: int, start: int, end: int, n: int) -> float:
    """How many sub-words a window shows beside `p` on the poorer side; the document's own ends are
    not poor."""
    left = p - start if start > 0 else float("inf")
    right = end - 1 - p if end < n else float("inf")
    return min(left, right)


def check(windows: Windows, n: int, size: int, overlap: int) -> None:
    edges = [*zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)]
    cores = [*pairwise([0, *windows.core_ends.tolist()])]
    assert all(0 <= start < end <= n and end - start <= size for start, end in edges)
    # Together they cover everything, in order, and neighbors share enough.
    for (start, end), (next_start, next_end) in pairwise(edges):
        assert start < next_start <= end - overlap
        assert end < next_end
    # The cores are a partition, each inside its window.
    assert [i for start, end in cores for i in range(start, end)] == list(range(n))
    for (start, end), (low, high) in zip(edges, cores, strict=True):
        assert start <= low < high <= end
    # From the definition: a sub-word's core is where it has as much context as anywhere.
    for (start, end), (low, high) in zip(edges, cores, strict=True):
        for p in range(low, high):
            best = max(context(p, s, e, n) for s, e in edges if s <= p < e)
            assert context(p, start, end, n) == best
    # And the border lies in the middle of the overlap.
    for (_, end), (next_start, _), (_, border) in zip(edges, edges[1:], cores, strict=False):
        assert abs((border - next_start) - (end - border)) <= 1
    for field in ("starts", "ends", "core_ends"):
        assert getattr(windows, field).dtype == np.int64
        assert getattr(windows, field).shape == (len(windows),)


@PROFILE
@given(problems())
def test_windows(problem):
    n, size, overlap = problem
    windows = make_windows(n, size=size, overlap=overlap)
    check(windows, n, size, overlap)
    # Without words the overlap is exact, and there are as few windows as possible.
    assert (windows.ends[:-1] - windows.starts[1:] == overlap).all()
    assert len(windows) == (n > 0) + max(0, -(-(n - size) // (size - overlap)))
    # None is tiny.
    lengths = windows.ends - windows.starts
    assert n == 0 or lengths.max() - lengths.min() <= 1


@PROFILE
@given(worded_problems())
def test_windows_between_words(problem):
    n, size, overlap, boundaries = problem
    windows = make_windows(n, size=size, overlap=overlap, boundaries=boundaries)
    check(windows, n, size, overlap)
    starts, ends = windows.starts.tolist(), windows.ends.tolist()
    words = {*np.flatnonzero(boundaries).tolist()}
    room = (size - overlap) // 2
    for i in range(1, len(windows)):
        # The next window keeps at least half of its room for what is new.
        assert ends[i - 1] - starts[i] <= overlap + room
        # A cut inside a word is one that no word start nearby could replace.
        if starts[i] not in words:
            target = ends[i - 1] - overlap
            assert starts[i] == target
            assert not words & {*range(max(target - room, starts[i - 1] + 1), target + 1)}
        end = ends[i - 1]
        if end not in words:
            past = ends[i - 2] if i > 1 else 0
            past = max(past, starts[i - 1] + overlap)
            assert not words & {*range(past + 1, starts[i - 1] + size + 1)}


@PROFILE
@given(worded_problems(), st.integers(0, 2**32))
def test_cores_put_the_sequence_together_again(problem, seed):
    n, size, overlap, boundaries = problem
    values = np.random.default_rng(seed).normal(size=(n, 3))
    windows = make_windows(n, size=size, overlap=overlap, boundaries=boundaries)
    outputs = [values[s:e] for s, e in zip(windows.starts, windows.ends, strict=True)]
    cores = [
        output[low - start : high - start]
        for output, start, (low, high) in zip(
            outputs, windows.starts, pairwise([0, *windows.core_ends]), strict=True
        )
    ]
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, 3)), *cores]), values)


def rows(windows: Windows) -> list[tuple[int, int, int, int]]:
    starts, core_ends, ends = (
        x.tolist() for x in (windows.starts, windows.core_ends, windows.ends)
    )
    return [*zip(starts, [0, *core_ends[:-1]], core_ends, ends, strict=False)]


def test_examples():
    #                                      start, core start, core end, end
    assert rows(make_windows(0, size=4, overlap=2)) == []
    assert rows(make_windows(1, size=4, overlap=2)) == [(0, 0, 1, 1)]
    assert rows(make_windows(4, size=4, overlap=2)) == [(0, 0, 4, 4)]
    assert rows(make_windows(5, size=4, overlap=2)) == [(0, 0, 3, 4), (2, 3, 5, 5)]
    assert rows(make_windows(6, size=4, overlap=2)) == [(0, 0, 3, 4), (2, 3, 6, 6)]
    assert rows(make_windows(8, size=4, overlap=0)) == [(0, 0, 4, 4), (4, 4, 8, 8)]
    assert rows(make_windows(3, size=1, overlap=0)) == [(0, 0, 1, 1), (1, 1, 2, 2), (2, 2, 3, 3)]
    # Shared out evenly: not (0, 10), (8, 18), (16, 20).
    assert [(s, e) for s, _, _, e in rows(make_windows(20, size=10, overlap=2))] == [
        *((0, 8), (6, 14), (12, 20))
    ]
    # An odd overlap: the sub-word in the middle, 5, has the same context in both.
    assert rows(make_windows(11, size=7, overlap=3)) == [(0, 0, 6, 7), (4, 6, 11, 11)]


def test_windows_end_and_begin_where_words_do():
    # Words of four.
    boundaries = np.arange(30) % 4 == 0
    windows = make_windows(30, size=12, overlap=4, boundaries=boundaries)
    assert not (windows.starts % 4).any()
    assert not (windows.ends[:-1] % 4).any()
    # The end moves forward where that fits and going back does not.
    boundaries = np.zeros(20, dtype=bool)
    boundaries[[0, 12]] = True
    assert make_windows(20, size=12, overlap=2, boundaries=boundaries).ends.tolist() == [12, 20]


def test_a_word_longer_than_windows_is_cut():
    boundaries = np.zeros(10_020, dtype=bool)
    boundaries[:10] = True
    boundaries[10_010:] = True
    windows = make_windows(10_020, size=510, overlap=128, boundaries=boundaries)
    check(windows, 10_020, 510, 128)
    assert len(windows) <= 28
    # No word begins anywhere that is known of.
    nowhere = make_windows(10_020, size=510, overlap=128, boundaries=np.zeros(10_020, dtype=bool))
    assert rows(nowhere) == rows(make_windows(10_020, size=510, overlap=128))


def test_words_of_every_length_need_few_more_windows():
    """Moving edges to words never makes windows much shorter than they could be."""
    rng = np.random.default_rng(0)
    for longest in (3, 30, 300, 3000):
        boundaries = np.zeros(200_000, dtype=bool)
        starts = np.cumsum(rng.integers(1, longest + 1, size=200_000))
        boundaries[starts[starts < 200_000]] = True
        windows = make_windows(200_000, size=510, overlap=128, boundaries=boundaries)
        assert len(windows) <= 2 * len(make_windows(200_000, size=510, overlap=128))
