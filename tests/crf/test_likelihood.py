"""Sums over paths, scores of paths and losses against a listing of all paths."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf import crf
from tests.support.chain_oracle import (
    LENGTHS,
    Chain,
    all_paths,
    cases,
    close,
    leaves_of,
    log_sum,
    make,
    probabilities,
    random_chain,
    score_of,
)


@cases
def test_log_partition(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    expected = [log_sum(list(all_paths(chain, i).values())) for i in range(len(LENGTHS))]
    assert crf.log_partition(*chain.args).tolist() == close(expected)
    assert expected[1] == 0.0


@cases
def test_gradients_are_expected_counts(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    leaves = leaves_of(chain)
    weights = torch.arange(1.0, len(LENGTHS) + 1, dtype=torch.float64)
    log_z = crf.log_partition(*chain.args)
    grads = torch.autograd.grad(log_z, leaves, weights)
    expected = [torch.zeros_like(x) for x in leaves]
    for i, begin in enumerate(chain.first_rows):
        for tags, p in probabilities(all_paths(chain, i)).items():
            p *= weights[i].item()
            for row, tag in enumerate(tags):
                expected[0][begin + row, tag] += p
            for before, after in itertools.pairwise(tags):
                expected[2][before, after] += p
            if tags:
                expected[1][tags[0]] += p
                expected[3][tags[-1]] += p
    for grad, wanted in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-9)


@cases
def test_path_score_and_its_gradient(n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    tags = torch.randint(n_tags, (sum(LENGTHS),), generator=torch.Generator().manual_seed(7))
    leaves = leaves_of(chain)
    scores = crf.path_score(
        chain.emissions, tags, LENGTHS, chain.start, chain.transitions, chain.end
    )
    grads = torch.autograd.grad(scores, leaves, torch.full((len(LENGTHS),), 2.0).double())
    expected, used = [], [torch.zeros_like(x) for x in leaves]
    for i, begin in enumerate(chain.first_rows):
        path = tuple(tags[begin : begin + LENGTHS[i]].tolist())
        expected.append(score_of(chain, i, path))
        for row, tag in enumerate(path):
            used[0][begin + row, tag] += 2
        for before, after in itertools.pairwise(path):
            used[2][before, after] += 2
        if path:
            used[1][path[0]] += 2
            used[3][path[-1]] += 2
    assert scores.tolist() == close(expected)
    for grad, wanted in zip(grads, used, strict=True):
        assert torch.equal(grad, wanted)


@cases
def test_negative_log_likelihood_of_allowed_tags(engine, n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    allowed = torch.rand(chain.emissions.shape, generator=torch.Generator().manual_seed(2)) < 0.7
    loss = crf.negative_log_likelihood(*chain.args, allowed=allowed).tolist()
    for i, begin in enumerate(chain.first_rows):
        paths = all_paths(chain, i)
        kept = [
            score
            for tags, score in paths.items()
            if all(allowed[begin + row, tag] for row, tag in enumerate(tags))
        ]
        if log_sum(kept) == -math.inf:
            assert loss[i] == math.inf
        else:
            assert loss[i] == close(log_sum(list(paths.values())) - log_sum(kept))


def test_an_impossible_path_has_no_gradient():
    chain = random_chain(0, 3, [2, 3])
    chain.transitions[0, 1] = -math.inf
    tags = torch.tensor([0, 1, 0, 2, 1])
    leaves = leaves_of(chain)
    loss = crf.negative_log_likelihood(*chain.args, tags=tags)
    assert loss[0] == math.inf
    grads = torch.autograd.grad(loss, leaves, torch.ones(2).double())
    alone = crf.negative_log_likelihood(*chain.sequence(1).args, tags=tags[2:])
    for grad, wanted in zip(grads, torch.autograd.grad(alone, leaves), strict=True):
        torch.testing.assert_close(grad, wanted)


def test_no_path_gives_minus_infinity_and_no_gradient(engine):
    chain = random_chain(0, 3, [4, 5, 1])
    chain.emissions[2] = -math.inf
    leaves = leaves_of(chain)
    log_z = crf.log_partition(*chain.args)
    assert log_z[0] == -math.inf
    assert torch.isfinite(log_z[1:]).all()
    alone = [chain.sequence(1), chain.sequence(2)]
    expected = sum(crf.log_partition(*x.args).sum() for x in alone)
    grads = torch.autograd.grad(log_z.sum(), leaves)
    wanted = torch.autograd.grad(expected, leaves)
    assert torch.equal(grads[0][:4], torch.zeros(4, 3).double())
    for grad, other in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, other)
    _, scores = crf.viterbi(*chain.args)
    assert scores[0] == -math.inf
    assert crf.kbest(*chain.args, k=3)[0] == []


def test_the_only_path_costs_nothing(engine):
    # both sides of the difference are rounded, and neither may come out the larger
    chain = random_chain(0, 1, list(range(1, 200)), scale=10.0)
    tags = torch.zeros(len(chain.emissions), dtype=torch.int64)
    loss = crf.negative_log_likelihood(*chain.args, tags=tags)
    assert loss.min() >= 0
    assert loss.max() < 1e-9


def test_worked_example():
    # softmax rows over B-PER, I-PER, O; a score is a sum of log-probabilities and transitions
    emissions = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]).log()
    transitions = torch.tensor([[0.5, 1.0, -2.0], [-1.0, 0.8, -0.5], [-0.5, -1.0, 0.9]])
    none = torch.zeros(3)
    for path, expected in (((0, 1, 2), -0.44), ((0, 0, 2), -3.69)):
        score = crf.path_score(emissions, torch.tensor(path), [3], none, transitions, none)
        assert score.item() == pytest.approx(expected, abs=0.005)
    # staying inside costs log(0.7 / 0.2) = 1.25 and brings 0.8 + 0.5
    tags, scores = crf.viterbi(emissions, [3], none, transitions, none)
    assert tags.tolist() == [0, 1, 1]
    assert scores.item() == pytest.approx(-0.39, abs=0.005)


@pytest.mark.parametrize("n_tags, forbidden", [(1, 0.0), (2, 0.0), (3, 0.0), (3, 0.25), (4, 0.25)])
def test_gradcheck(engine, n_tags, forbidden):
    chain = random_chain(10 + n_tags, n_tags, [3, 0, 1, 2, 5])
    closed = torch.rand(n_tags, n_tags, generator=torch.Generator().manual_seed(4)) < forbidden
    chain.transitions[closed] = -math.inf
    assert closed.any() == (forbidden > 0)
    tags = torch.zeros(11, dtype=torch.int64)
    allowed = torch.rand(11, n_tags, generator=torch.Generator().manual_seed(5)) < 0.8
    allowed[:, 0] = True

    def of(function, **more):
        return lambda e, s, a, z: function(e, chain.lengths, s, a, z, **more)

    nll = crf.negative_log_likelihood
    for function in (
        of(crf.log_partition),
        of(nll, allowed=allowed),
        *([] if forbidden else [of(nll, tags=tags)]),
        lambda e, s, a, z: crf.path_score(e, tags, chain.lengths, s, a.clamp(min=-9), z),
    ):
        assert torch.autograd.gradcheck(function, leaves_of(chain))


def test_tags_may_change_before_the_way_back():
    chain = random_chain(0, 3, [4, 2])
    tags = torch.tensor([0, 1, 2, 0, 1, 1])
    leaves = leaves_of(chain)
    wanted = torch.autograd.grad(crf.negative_log_likelihood(*chain.args, tags=tags).sum(), leaves)
    loss = crf.negative_log_likelihood(*chain.args, tags=tags).sum()
    tags.zero_()
    for grad, other in zip(torch.autograd.grad(loss, leaves), wanted, strict=True):
        assert torch.equal(grad, other)


def test_scores_that_change_before_the_way_back_are_noticed():
    chain = random_chain(0, 3, [4], dtype=torch.float32)
    emissions = chain.emissions.requires_grad_()
    copy = emissions.clone()
    log_z = crf.log_partition(copy, *chain.args[1:])
    with torch.no_grad():
        copy.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        log_z.sum().backward()


scores = st.floats(-30, 30, width=32) | st.sampled_from([0.0, -1e4, 1e4, -math.inf])


@given(st.data())
def test_loss_is_never_negative(data):
    n_tags = data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))

    def draw(*shape: int) -> torch.Tensor:
        n = math.prod(shape)
        values = data.draw(st.lists(scores, min_size=n, max_size=n))
        return torch.tensor(values, dtype=torch.float32).reshape(shape)

    n_rows = sum(lengths)
    chain = Chain(draw(n_rows, n_tags), lengths, draw(n_tags), draw(n_tags, n_tags), draw(n_tags))
    leaves = leaves_of(chain)
    n = n_rows
    tags = torch.tensor(
        data.draw(st.lists(st.integers(0, n_tags - 1), min_size=n, max_size=n)), dtype=torch.int64
    )
    loss = crf.negative_log_likelihood(*chain.args, tags=tags)
    assert (loss >= 0).all()
    allowed = torch.nn.functional.one_hot(tags, n_tags).bool()
    same = crf.negative_log_likelihood(*chain.args, allowed=allowed)
    torch.testing.assert_close(loss, same, rtol=1e-5, atol=1e-5)
    for grad in torch.autograd.grad(loss, leaves, torch.ones_like(loss)):
        assert torch.isfinite(grad).all()
