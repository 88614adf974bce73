"""Viterbi in pieces: the cuts change nothing, and pieces that do not fit are run again."""

import numpy as np
import pytest
import torch

from spacy_bio_crf.crf import pieces
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.chain_oracle import CHAINS, Chain, chains, random_chain


def in_pieces(chain: Chain, piece_length: int | None) -> np.ndarray:
    scores = (chain.emissions, chain.start, chain.transitions, chain.end)
    return pieces.decode_in_pieces(
        *(x.numpy() for x in scores), lengths=np.array(chain.lengths), piece_length=piece_length
    )


@chains
def test_pieces_do_not_change_a_tag(chain):
    whole = in_pieces(chain, 4096)
    for piece_length in (8, 16, 64, None):
        found = in_pieces(chain, piece_length)
        assert np.array_equal(found, whole)


@pytest.mark.parametrize("candidates, block", [(0, 2**17), (0, 200), (2**20, 200)])
def test_a_time_step_in_blocks_changes_no_tag(monkeypatch, candidates, block):
    chain = random_chain(0, 13, [200, 70, 3])
    whole = in_pieces(chain, 16)
    monkeypatch.setattr(pieces, "NUMPY_CANDIDATES", candidates)
    monkeypatch.setattr(pieces, "BLOCK", block)
    assert np.array_equal(in_pieces(chain, 16), whole)


@chains
@pytest.mark.parametrize("few", [1, 4])
def test_leaving_out_forbidden_transitions_changes_no_tag(chain, few):
    whole = in_pieces(chain, 16)
    even = Chain(chain.emissions, chain.lengths, chain.start, 0 * chain.transitions, chain.end)
    open_ones = chain.transitions > -torch.inf
    even.transitions[:] = torch.where(open_ones, 0.5, chain.transitions)
    whole_even = in_pieces(even, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "MANY_TAGS", 1)
        patch.setattr(pieces, "FEW_ORIGINS", few)
        assert np.array_equal(in_pieces(chain, 16), whole)
        assert np.array_equal(in_pieces(even, 16), whole_even)


@pytest.mark.parametrize("scheme", ["BIO", "BILUO"])
@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_tags_of_a_scheme(monkeypatch, scheme, learned, dtype):
    """The scores of the way to each tag are equal bit for bit, at every step."""
    tagset = TagSet(tuple(f"L{i}" for i in range(50)), scheme)
    n_tags = len(tagset.tags)
    chain = random_chain(1, n_tags, [60, 7, 1], dtype=dtype)
    scores = chain.transitions if learned else torch.zeros_like(chain.transitions)
    closed = torch.from_numpy(~tagset.legal)
    chain.transitions[:] = scores.masked_fill(closed, -torch.inf)
    steps, whole = chain.transitions.numpy(), in_pieces(chain, 16)
    reach, dense = pieces._sparse_max_plus(steps, 5), pieces._max_plus(steps, 5)
    results = [np.empty((n_tags, 5), steps.dtype) for _ in range(2)]
    before = np.random.default_rng(0).normal(size=(n_tags, 5)).astype(steps.dtype)
    before[::7] = -np.inf
    reach(before, results[0])
    dense(before, results[1])
    assert np.array_equal(*results)
    monkeypatch.setattr(pieces, "MANY_TAGS", 10**6)
    assert np.array_equal(in_pieces(chain, 16), whole)


def test_pieces_that_do_not_fit_are_mended(monkeypatch):
    mended = []
    original = pieces._mend
    monkeypatch.setattr(pieces, "_mend", lambda *args: (mended.append(1), original(*args)))
    chain = dict(CHAINS)["5 tags, stay"]
    whole = in_pieces(chain, 4096)
    assert not mended
    assert np.array_equal(in_pieces(chain, 8), whole)
    assert mended


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_usual_pieces_fit_at_once(monkeypatch, dtype):
    def fail(*args):
        raise AssertionError("a piece had to run by itself")

    monkeypatch.setattr(pieces, "_mend", fail)
    chain = random_chain(0, 9, [2000, 300], scale=2.0, dtype=dtype)
    in_pieces(chain, 64)


def test_pieces_cut_as_drawn():
    cut = pieces.cut_pieces(np.array([20, 0, 8, 3]), 8)
    assert cut.packing.lengths.tolist() == [8, 8, 4, 8, 3]
    assert cut.firsts.tolist() == [0, 3, 4]
    assert cut.follows.tolist() == [1, 2]
