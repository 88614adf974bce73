"""The best paths: against a listing of all paths, in pieces, by tree, alone and in a batch."""

import math

import numpy as np
import pytest
import torch

from spacy_bio_crf import crf as linear_chain
from spacy_bio_crf.crf import pieces
from spacy_bio_crf.crf.batch import TUNING
from tests.support.chain_oracle import (
    LENGTHS,
    Chain,
    all_paths,
    cases,
    close,
    make,
    probabilities,
    random_chain,
)


@cases
def test_viterbi(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    tags, scores = linear_chain.viterbi(*chain.args)
    assert tags.dtype == torch.int64
    for i, begin in enumerate(chain.first_rows):
        paths = all_paths(chain, i)
        best = max(paths.values())
        assert scores[i].item() == close(best)
        if best > -math.inf:
            found = tuple(tags[begin : begin + LENGTHS[i]].tolist())
            assert paths[found] == close(best)


@pytest.mark.parametrize("n_tags", [1, 2, 3, 4])
def test_viterbi_ties_go_to_the_lowest_tags_from_the_end(engine, n_tags):
    # scores of -1, 0 and 1 tie often, and their sums are exact
    chain = random_chain(n_tags, n_tags, LENGTHS, forbidden=0.1)
    chain = Chain(
        *(x.clamp(-1, 1).round() if isinstance(x, torch.Tensor) else x for x in chain.args)
    )
    tags, _ = linear_chain.viterbi(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        paths = all_paths(chain, i)
        best = max(paths.values())
        tied = [path for path, score in paths.items() if score == best]
        if best > -math.inf:
            wanted = min(tied, key=lambda path: path[::-1])
            assert tuple(tags[begin : begin + LENGTHS[i]].tolist()) == wanted


@pytest.mark.parametrize("k", [1, 3, 50])
@cases
def test_kbest(n_tags, forbidden, scale, k):
    chain = make(n_tags, forbidden, scale)
    results = linear_chain.kbest(*chain.args, k=k)
    assert len(results) == len(LENGTHS)
    for i, found in enumerate(results):
        paths = all_paths(chain, i)
        p = probabilities(paths)
        wanted = sorted((s for s in paths.values() if s > -math.inf), reverse=True)[:k]
        assert [path.score for path in found] == close(wanted)
        keys = [tuple(path.tags.tolist()) for path in found]
        assert len(set(keys)) == len(keys)
        assert [paths[key] for key in keys] == close(wanted)
        assert [math.exp(x.log_probability) for x in found] == close([p[key] for key in keys])


RAGGED = [70, 0, 1, 200, 33, 2, 129, 64]


def kinds_of_chains() -> list[tuple[str, Chain]]:
    chains = []
    for n_tags in (1, 2, 5, 13):
        for scale, forbidden in ((1.0, 0.0), (5.0, 0.2), (1e4, 0.0)):
            name = f"{n_tags} tags, x{scale}, {forbidden} forbidden"
            for dtype in (torch.float32, torch.float64):
                chain = random_chain(
                    n_tags, n_tags, RAGGED, scale=scale, forbidden=forbidden, dtype=dtype
                )
                chains.append((f"{name}, {dtype}", chain))
        plain = random_chain(n_tags, n_tags, RAGGED, dtype=torch.float32)
        stay = torch.full((n_tags, n_tags), -100.0).fill_diagonal_(0.0)
        # paths never meet, so no piece can know what enters it
        chains.append(
            (f"{n_tags} tags, stay", Chain(plain.emissions, RAGGED, plain.start, stay, plain.end))
        )
        tied = [x.round() if isinstance(x, torch.Tensor) else x for x in plain.args]
        chains.append((f"{n_tags} tags, tied", Chain(*tied)))
    return chains


CHAINS = kinds_of_chains()


def in_pieces(chain: Chain, piece_length: int | None) -> np.ndarray:
    scores = (chain.emissions, chain.start, chain.transitions, chain.end)
    return pieces.decode_in_pieces(
        *(x.numpy() for x in scores), lengths=np.array(chain.lengths), piece_length=piece_length
    )


@pytest.mark.parametrize("chain", [x for _, x in CHAINS], ids=[name for name, _ in CHAINS])
def test_pieces_do_not_change_a_tag(chain):
    whole = in_pieces(chain, 4096)
    for piece_length in (8, 16, 64, None):
        found = in_pieces(chain, piece_length)
        assert np.array_equal(found, whole)


@pytest.mark.parametrize("chain", [x for _, x in CHAINS], ids=[name for name, _ in CHAINS])
def test_viterbi_of_a_sequence_does_not_depend_on_its_batch(chain):
    tags, scores = linear_chain.viterbi(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        alone, score = linear_chain.viterbi(*chain.sequence(i).args)
        assert torch.equal(tags[begin : begin + chain.lengths[i]], alone)
        assert torch.equal(scores[i : i + 1], score)


@pytest.mark.parametrize("chain", [x for _, x in CHAINS], ids=[name for name, _ in CHAINS])
def test_tree_finds_as_good_a_path(monkeypatch, chain):
    tags, scores = linear_chain.viterbi(*chain.args)
    monkeypatch.setattr(TUNING, "tree", True)
    by_tree, tree_scores = linear_chain.viterbi(*chain.args)
    torch.testing.assert_close(tree_scores, scores)
    if torch.equal(chain.emissions, chain.emissions.round()):
        # the sums are exact, and ties go the same way
        assert torch.equal(by_tree[:70], tags[:70])
        assert torch.equal(by_tree, tags)


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


@pytest.mark.slow
def test_a_document_of_200_000_rows_decodes():
    chain = random_chain(0, 25, [200_000], dtype=torch.float32)
    tags, score = linear_chain.viterbi(*chain.args)
    assert torch.isfinite(score).all()
    head = linear_chain.viterbi(
        chain.emissions[:2000], [2000], chain.start, chain.transitions, chain.end
    )
    # what comes so much later has no say in the beginning
    assert torch.equal(tags[:1900], head[0][:1900])
