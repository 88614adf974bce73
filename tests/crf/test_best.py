"""The best paths: against a listing of all paths, by tree, alone and in a batch."""

import math

import pytest
import torch

from spacy_bio_crf import crf
from tests.support.chain_oracle import (
    LENGTHS,
    Chain,
    all_paths,
    cases,
    chains,
    close,
    make,
    probabilities,
    random_chain,
)


@cases
def test_viterbi(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    tags, scores = crf.viterbi(*chain.args)
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
    tags, _ = crf.viterbi(*chain.args)
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
    results = crf.kbest(*chain.args, k=k)
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


@chains
def test_viterbi_of_a_sequence_does_not_depend_on_its_batch(chain):
    tags, scores = crf.viterbi(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        alone, score = crf.viterbi(*chain.sequence(i).args)
        assert torch.equal(tags[begin : begin + chain.lengths[i]], alone)
        assert torch.equal(scores[i : i + 1], score)


def test_k_is_one_or_more():
    with pytest.raises(ValueError, match="k: expected 1 or more, got 0"):
        crf.kbest(*random_chain(0, 3, [2, 4]).args, k=0)


@pytest.mark.slow
def test_a_document_of_200_000_rows_decodes():
    chain = random_chain(0, 25, [200_000], dtype=torch.float32)
    tags, score = crf.viterbi(*chain.args)
    assert torch.isfinite(score).all()
    head = crf.viterbi(chain.emissions[:2000], [2000], chain.start, chain.transitions, chain.end)
    # what comes so much later has no say in the beginning
    assert torch.equal(tags[:1900], head[0][:1900])
