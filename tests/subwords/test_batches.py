"""Batches under a budget, and where in them each wanted sub-word is."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.subwords.batches import PaddedBatch, SpecialIds, make_batches, plan_batches
from spacy_bio_crf.subwords.tokenizer import Subwords
from tests.support.many import PROFILE

SPECIAL = SpecialIds(prefix=(-1,), suffix=(-2, -3), padding=-9)


def make_subwords(n: int, base: int, cuts: list[bool] | None = None) -> Subwords:
    """A document whose sub-word p has the id `base + p`, and starts a word where `cuts` says."""
    starts = np.ones(n, dtype=bool) if cuts is None else np.array(cuts[:n], dtype=bool)
    return Subwords(
        np.arange(base, base + n), np.arange(n), np.ones(n, dtype=np.int32), word_starts=starts
    )


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[Subwords], list[np.ndarray]]:
    subwords, wanted = [], []
    for i in range(draw(st.integers(0, 5))):
        n = draw(st.integers(0, 30))
        cuts = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        subwords.append(make_subwords(n, 1000 * i, cuts))
        asked = draw(st.lists(st.integers(0, n - 1), max_size=40)) if n else []
        wanted.append(np.array(asked, dtype=np.int64))
    return subwords, wanted


def windows_of(batches: list[PaddedBatch]) -> list[list[int]]:
    """The text of every window: what its mask shows, without the frame."""
    return [
        ids[mask].tolist()[1:-2] for p in batches for ids, mask in zip(p.ids, p.mask, strict=True)
    ]


def context(position: int, window: list[int], n: int) -> float:
    """How far a sub-word is from the nearer end of a window that is not an end of the document."""
    left = position - window[0] if window[0] % 1000 else np.inf
    right = window[-1] - position if window[-1] % 1000 != n - 1 else np.inf
    return min(left, right)


@PROFILE
@given(documents(), st.integers(1, 12), st.data(), st.integers(1, 60))
def test_every_sub_word_asked_for_comes_once_from_its_best_window(documents, window, data, budget):
    subwords, wanted = documents
    overlap = data.draw(st.integers(0, window - 1))
    batches = make_batches(
        subwords,
        wanted,
        special=SPECIAL,
        window=window,
        overlap=overlap,
        budget=budget,
        overhead=64,
    )
    asked = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(p.ids[w] for p, w in zip(subwords, wanted, strict=True))]
    )
    targets = np.concatenate([np.zeros(0, dtype=np.int64), *(p.targets for p in batches)])
    assert sorted(targets) == list(range(len(asked)))
    windows = windows_of(batches)
    for p in batches:
        assert p.size == p.ids.size == p.mask.size
        assert len(p.ids) == 1 or p.size <= budget
        for ids, mask in zip(p.ids, p.mask, strict=True):
            assert ids[0] == -1 and ids[mask].tolist()[-2:] == [-2, -3]
            assert mask.tolist() == sorted(mask.tolist(), reverse=True)
            assert set(ids[~mask]) <= {-9}
        assert p.ids.ravel()[p.rows].tolist() == asked[p.targets].tolist()
        for row, target in zip(p.rows, p.targets, strict=True):
            ids, mask = p.ids[row // p.ids.shape[1]], p.mask[row // p.ids.shape[1]]
            here, position = ids[mask].tolist()[1:-2], int(asked[target])
            n = len(subwords[position // 1000].ids)
            best = max(context(position, w, n) for w in windows if position in w)
            assert context(position, here, n) == best
    for i, document in enumerate(subwords):
        own = sorted(w for w in windows if w[0] // 1000 == i)
        assert all(len(w) <= window and w == list(range(w[0], w[-1] + 1)) for w in own)
        assert all(a[-1] - b[0] + 1 >= overlap for a, b in zip(own, own[1:], strict=False))
        assert {i for w in own for i in w} == set(document.ids.tolist())


def test_an_example_in_full():
    batches = make_batches(
        [make_subwords(2, 10), make_subwords(0, 20), make_subwords(6, 30)],
        [np.array([1, 0, 1]), np.array([], dtype=np.int64), np.array([0, 2, 3, 5])],
        special=SpecialIds((1,), (2,), 0),
        window=4,
        overlap=2,
        budget=12,
        overhead=64,
    )
    # windows of the third: 30 31 32 33 and 32 33 34 35, whose cores meet between 32 and 33
    assert [p.ids.tolist() for p in batches] == [
        [[1, 30, 31, 32, 33, 2], [1, 32, 33, 34, 35, 2]],
        [[1, 10, 11, 2]],
    ]
    assert [p.rows.tolist() for p in batches] == [[1, 3, 8, 10], [2, 1, 2]]
    assert [p.targets.tolist() for p in batches] == [[3, 4, 5, 6], [0, 1, 2]]


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nothing_makes_no_batches(lengths: list[int]):
    subwords = [make_subwords(n, 0) for n in lengths]
    wanted = [np.zeros(0, dtype=np.int64)] * len(lengths)
    assert (
        make_batches(subwords, wanted, special=SPECIAL, window=4, overlap=1, budget=8, overhead=64)
        == []
    )


def test_costly_batches_are_few():
    subwords = [make_subwords(n, 1000 * n) for n in (1, 5, 9, 20, 21, 22)]
    wanted = [np.arange(len(p.ids)) for p in subwords]
    options = {"special": SPECIAL, "window": 30, "overlap": 0, "budget": 1000}
    counts = [len(make_batches(subwords, wanted, **options, overhead=n)) for n in (0, 40, 10_000)]
    assert counts == sorted(counts, reverse=True) and counts[0] == 6 and counts[-1] == 1


# Plans --------------------------------------------------------------------------------------------


@PROFILE
@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 200))
def test_planned_batches(lengths, budget):
    batches = plan_batches(lengths, budget=budget, overhead=64)
    order = [i for batch in batches for i in batch.tolist()]
    # Longest first; equally long ones stay in order.
    assert order == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for batch in batches:
        longest = lengths[batch[0]]
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert len(batch) > 0
        assert batch.dtype == np.int64


def cost(batches, overhead):
    return sum(overhead + max(batch[0], 1) * len(batch) for batch in batches)


@PROFILE
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=7),
    st.integers(1, 80),
    st.sampled_from([0, 1, 5, 64, 1000]),
)
def test_batches_cost_the_least(lengths, budget, overhead):
    """Against all ways to cut the sorted sequences."""
    ordered = sorted(lengths, reverse=True)
    least = min(
        cost(ways, overhead)
        for cuts in itertools.product([False, True], repeat=len(ordered) - 1)
        for ways in [split(ordered, cuts)]
        if all(len(b) == 1 or max(b[0], 1) * len(b) <= budget for b in ways)
    )
    planned = plan_batches(lengths, budget=budget, overhead=overhead)
    assert cost([[lengths[i] for i in batch] for batch in planned], overhead) == least


def split(values, cuts):
    batches = [[values[0]]]
    for value, cut_here in zip(values[1:], cuts, strict=True):
        if cut_here:
            batches.append([])
        batches[-1].append(value)
    return batches


def test_examples_of_plans():
    def lists(lengths, budget, overhead):
        return [batch.tolist() for batch in plan_batches(lengths, budget=budget, overhead=overhead)]

    assert lists([], 10, 0) == []
    assert lists([3, 1, 4, 1, 5, 9], 9, 100) == [[5], [4], [2, 0], [1, 3]]
    assert lists([3, 1, 4, 1, 5, 9], 9, 0) == [[5], [4], [2], [0], [1, 3]]
    assert lists([9, 9], 3, 0) == [[0], [1]]
    assert lists(np.array([2, 2, 2, 2], dtype=np.int32), 4, 0) == [[0, 1], [2, 3]]
    assert lists([0, 0, 2], 2, 5) == [[2], [0, 1]]
