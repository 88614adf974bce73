"""The distribution over paths against a listing of all paths."""

import itertools
import math

import pytest
import torch

from spacy_bio_crf import crf
from tests.support.chain_oracle import (
    LENGTHS,
    RAGGED,
    all_paths,
    cases,
    close,
    log_sum,
    make,
    probabilities,
    random_chain,
)


@cases
def test_marginals(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    result = crf.marginals(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        p = probabilities(all_paths(chain, i))
        for row, tag in itertools.product(range(LENGTHS[i]), range(n_tags)):
            wanted = math.fsum(x for tags, x in p.items() if tags[row] == tag)
            assert result[begin + row, tag].item() == close(wanted)
        total = 1.0 if any(p.values()) else 0.0
        assert result[begin : begin + LENGTHS[i]].sum(dim=1).tolist() == close([total] * LENGTHS[i])


@cases
def test_entropy(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    result = crf.entropy(*chain.args).tolist()
    for i, found in enumerate(result):
        p = probabilities(all_paths(chain, i)).values()
        if any(p):
            assert found == close(-math.fsum(x * math.log(x) for x in p if x > 0))
        else:
            assert math.isnan(found)


@cases
def test_segment_log_posteriors(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    segments, expected, tags, followers = [], [], [], []
    generator = torch.Generator().manual_seed(3)
    for i, begin in enumerate(chain.first_rows):
        paths = all_paths(chain, i)
        log_z = log_sum(list(paths.values()))
        for first, last in itertools.combinations(range(LENGTHS[i] + 1), 2):
            wished = tuple(torch.randint(n_tags, (last - first,), generator=generator).tolist())
            next_tags = torch.rand(n_tags, generator=generator) < 0.6
            wanted = log_sum(
                [
                    score
                    for path, score in paths.items()
                    if path[first:last] == wished and (last == LENGTHS[i] or next_tags[path[last]])
                ]
            )
            expected.append(wanted - log_z if wanted > -math.inf else -math.inf)
            segments.append((begin + first, begin + last))
            tags += wished
            followers.append(next_tags)
    starts, ends = torch.tensor(segments).T
    result = crf.segment_log_posteriors(
        *chain.args,
        starts=starts,
        ends=ends,
        tags=torch.tensor(tags),
        followers=torch.stack(followers),
    )
    assert (result <= 0).all()
    assert result.tolist() == close(expected)


@pytest.mark.parametrize(
    "starts, ends, n_tags, message",
    [
        ([1], [1], 0, "expected spans with rows, each of one sequence, got 1 to 1"),
        ([1], [3], 2, "got 1 to 3"),
        ([5], [7], 2, "got 5 to 7"),
        ([-1], [1], 2, "got -1 to 1"),
        ([0], [2], 1, r"tags: expected shape \(2,\), got \(1,\)"),
        ([0, 2], [2], 2, r"starts, ends: expected two shapes \[S\], got \(2,\) and \(1,\)"),
    ],
)
def test_mistakes_in_segments_are_named(starts, ends, n_tags, message):
    chain = random_chain(0, 3, [2, 4])
    with pytest.raises(ValueError, match=message):
        crf.segment_log_posteriors(
            *chain.args,
            starts=torch.tensor(starts),
            ends=torch.tensor(ends),
            tags=torch.zeros(n_tags, dtype=torch.int64),
            followers=torch.ones(len(starts), 3).bool(),
        )


def test_sums_of_a_sequence_do_not_depend_on_its_batch():
    chain = random_chain(3, 7, RAGGED, dtype=torch.float32, scale=3.0)
    log_z = crf.log_partition(*chain.args)
    marginals = crf.marginals(*chain.args)
    entropies = crf.entropy(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        alone = chain.sequence(i).args
        torch.testing.assert_close(crf.log_partition(*alone)[0], log_z[i])
        torch.testing.assert_close(crf.entropy(*alone)[0], entropies[i])
        rows = marginals[begin : begin + chain.lengths[i]]
        torch.testing.assert_close(crf.marginals(*alone), rows)
