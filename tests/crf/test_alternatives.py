"""The best tags that differ from given ones against a listing of all paths."""

import itertools
import math
from collections import defaultdict

import pytest
import torch

from spacy_bio_crf import crf
from tests.support.chain_oracle import (
    LENGTHS,
    RAGGED,
    all_paths,
    cases,
    close,
    make,
    probabilities,
    random_chain,
)


@cases
def test_the_most_probable_tags_of_a_window_that_differ(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    generator = torch.Generator().manual_seed(5)
    spans, windows, tags, followers, best = [], [], [], [], []
    for i, begin in enumerate(chain.first_rows):
        p = probabilities(all_paths(chain, i))
        for first, last in itertools.combinations(range(LENGTHS[i] + 1), 2):
            left = int(torch.randint(first + 1, (1,), generator=generator))
            right = last + int(torch.randint(LENGTHS[i] - last + 1, (1,), generator=generator))
            wished = tuple(torch.randint(n_tags, (last - first,), generator=generator).tolist())
            next_tags = torch.rand(n_tags, generator=generator) < 0.6
            sums: dict = defaultdict(float)
            for path, share in p.items():
                goes_on = right > last and not next_tags[path[last]]
                if path[first:last] != wished or goes_on:
                    sums[path[left:right]] += share
            best.append(sums)
            spans.append((begin + first, begin + last))
            windows.append((begin + left, begin + right))
            tags += wished
            followers.append(next_tags)
    (starts, ends), (lefts, rights) = torch.tensor(spans).T, torch.tensor(windows).T
    found, exists = crf.best_differing(
        *chain.args,
        starts=starts,
        ends=ends,
        tags=torch.tensor(tags),
        followers=torch.stack(followers),
        lefts=lefts,
        rights=rights,
    )
    own = found.split((rights - lefts).tolist())
    for sums, path, there in zip(best, own, exists.tolist(), strict=True):
        highest = max(sums.values(), default=0.0)
        if there:
            assert sums[tuple(path.tolist())] == close(highest)
        else:
            assert highest == close(0.0)


def test_only_one_tag_leaves_no_other(engine):
    chain = random_chain(0, 1, [3])
    _, exists = crf.best_differing(
        *chain.args,
        starts=torch.tensor([1]),
        ends=torch.tensor([2]),
        tags=torch.tensor([0]),
        followers=torch.ones(1, 1, dtype=torch.bool),
        lefts=torch.tensor([0]),
        rights=torch.tensor([3]),
    )
    assert exists.tolist() == [False]


def test_sections_and_batches_change_nothing(engine, monkeypatch):
    chain = random_chain(1, 5, RAGGED, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    begins = torch.tensor([0, 60, 71, 100, 199, 271])
    arguments = {
        "starts": begins,
        "ends": begins + 1,
        "tags": torch.randint(5, (6,), generator=generator),
        "followers": torch.rand(6, 5, generator=generator) < 0.5,
        "lefts": begins,
        "rights": begins + 1,
    }
    whole = crf.best_differing(*chain.args, **arguments)
    monkeypatch.setattr("spacy_bio_crf.crf.batch.TUNING.section_rows", 64)
    parts = crf.best_differing(*chain.args, **arguments)
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])
    log_p = crf.marginals(*chain.args)
    for row, tag, given in zip(
        begins.tolist(), whole[0].tolist(), arguments["tags"].tolist(), strict=True
    ):
        others = [x if k != given else -math.inf for k, x in enumerate(log_p[row].tolist())]
        assert others[tag] == max(others)


def test_windows_around_the_spans_alone():
    chain = random_chain(0, 2, [4])
    arguments = {
        "starts": torch.tensor([1]),
        "ends": torch.tensor([3]),
        "tags": torch.tensor([0, 0]),
        "followers": torch.ones(1, 2, dtype=torch.bool),
    }
    for left, right in ((2, 4), (0, 2)):
        with pytest.raises(ValueError, match="^lefts, rights: expected windows around the spans"):
            crf.best_differing(
                *chain.args, **arguments, lefts=torch.tensor([left]), rights=torch.tensor([right])
            )
