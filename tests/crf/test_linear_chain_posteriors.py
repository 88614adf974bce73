"""What the CRF engine tells of the distribution over paths, against a listing of all paths."""

import itertools
import math
from collections import Counter

import numpy as np
import torch

from spacy_bio_crf import crf as linear_chain
from spacy_bio_crf.crf import distribution
from tests.support.chain_oracle import (
    LENGTHS,
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
    result = linear_chain.marginals(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        p = probabilities(all_paths(chain, i))
        for row, tag in itertools.product(range(LENGTHS[i]), range(n_tags)):
            wanted = math.fsum(x for tags, x in p.items() if tags[row] == tag)
            assert result[begin + row, tag].item() == close(wanted)
        total = 1.0 if any(p.values()) else 0.0
        assert result[begin : begin + LENGTHS[i]].sum(dim=1).tolist() == close([total] * LENGTHS[i])


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
    result = linear_chain.segment_log_posteriors(
        *chain.args,
        starts=starts,
        ends=ends,
        tags=torch.tensor(tags),
        followers=torch.stack(followers),
    )
    assert (result <= 0).all()
    assert result.tolist() == close(expected)


@cases
def test_entropy(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    result = linear_chain.entropy(*chain.args).tolist()
    for i, found in enumerate(result):
        p = probabilities(all_paths(chain, i)).values()
        if any(p):
            assert found == close(-math.fsum(x * math.log(x) for x in p if x > 0))
        else:
            assert math.isnan(found)


def test_samples_have_the_distribution_of_paths():
    chain = random_chain(1, 3, [3, 0, 1, 4], forbidden=0.15)
    n = 4000
    drawn = linear_chain.sample(
        *chain.args, num_samples=n, generator=torch.Generator().manual_seed(1)
    )
    assert drawn.shape == (n, 8)
    for i, begin in enumerate(chain.first_rows):
        p = probabilities(all_paths(chain, i))
        counts = Counter(map(tuple, drawn[:, begin : begin + chain.lengths[i]].tolist()))
        for path, probability in p.items():
            # five standard deviations
            margin = 5 * math.sqrt(probability * (1 - probability) / n)
            assert abs(counts[path] / n - probability) <= margin
        assert sum(counts.values()) == n


def test_tags_without_weight_are_never_drawn():
    never = -math.inf
    weights = np.array([[never, 0.0, never, -0.5, never]])
    almost_one = np.nextafter(1.0, 0.0)
    drawn = distribution._draw(np.repeat(weights, 3, axis=0), np.array([0.0, 0.5, almost_one]))
    assert drawn.tolist() == [1, 1, 3]


def test_samples_repeat_with_their_generator():
    chain = random_chain(1, 4, [5, 2])
    draw = [
        linear_chain.sample(*chain.args, generator=torch.Generator().manual_seed(seed))
        for seed in (5, 5, 6)
    ]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
