"""The algorithms inside the CRF engine against one another, where all paths can not be listed.

`log_space` is the reference: it is checked against a listing of all paths in `test_linear_chain`,
through chains whose scores lie too far apart for the others.
"""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_bio_crf import crf as linear_chain
from spacy_bio_crf.crf.batch import TUNING, make_batch
from spacy_bio_crf.crf.logs import LogMessages
from spacy_bio_crf.crf.scaled import ScaledMessages, Underflow
from spacy_bio_crf.crf.tree import TreeMessages
from tests.support.chain_oracle import Chain, all_paths, leaves_of, log_sum, random_chain

RAGGED = [70, 0, 1, 200, 33, 2, 129, 64]


def in_logs(chain: Chain, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """log Z and its weighted gradients by the recurrence in log space."""
    packed = make_batch(*chain.args)
    messages = LogMessages(packed)
    tags, pairs = messages.counts(packed.by_rank(weights))
    return packed.by_sequence(messages.log_z), packed.unpack(tags), pairs


@pytest.mark.parametrize("forbidden", [0.0, 0.2])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0, 1e4])
@pytest.mark.parametrize("n_tags", [1, 2, 5, 9])
def test_sums_equal_those_in_log_space(engine, n_tags, scale, forbidden):
    chain = random_chain(n_tags, n_tags, RAGGED, scale=scale, forbidden=forbidden)
    weights = torch.linspace(-1, 2, len(RAGGED)).double()
    expected = in_logs(chain, weights)
    leaves = leaves_of(chain)
    log_z = linear_chain.log_partition(*chain.args)
    emissions, start, transitions, end = torch.autograd.grad(log_z, leaves, weights)
    found = log_z.detach(), emissions, transitions
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    firsts = [i for i, n in zip(chain.first_rows, RAGGED, strict=True) if n]
    lasts = [i + n - 1 for i, n in zip(chain.first_rows, RAGGED, strict=True) if n]
    torch.testing.assert_close(start, expected[1][firsts].sum(0), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(end, expected[1][lasts].sum(0), rtol=1e-8, atol=1e-8)


def test_usual_scores_take_the_fast_road():
    packed = make_batch(*random_chain(0, 9, RAGGED, scale=5.0).args)
    weights = torch.ones(len(packed.packing.alive)).double()
    for messages in (ScaledMessages(packed), TreeMessages(packed)):
        assert torch.isfinite(messages.log_z).all()
        assert torch.isfinite(messages.counts(weights)[0]).all()
        assert torch.isfinite(messages.logs()[1]).all()


# What only looks at memory that is there, or makes room for new.
VIEWS = {"_unsafe_view", "alias", "as_strided", "detach", "expand", "permute", "select", "slice"}
VIEWS |= {"split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze", "view"}
FREE = VIEWS | {"empty", "empty_like", "empty_strided", "lift_fresh", "new_empty", "promote_types"}


class Launches(TorchDispatchMode):
    """Counts operations that are a launch or more on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ not in FREE
        return func(*args, **(kwargs or {}))


def test_a_tree_takes_few_launches(monkeypatch):
    monkeypatch.setattr(TUNING, "tree", True)

    def launches(lengths: list[int]) -> tuple[int, int]:
        chain = random_chain(0, 5, lengths, dtype=torch.float32)
        leaves = leaves_of(chain)
        tags = torch.zeros(sum(lengths), dtype=torch.int64)
        with Launches() as loss:
            nll = linear_chain.negative_log_likelihood(*chain.args, tags=tags).sum()
            torch.autograd.grad(nll, leaves)
        with Launches() as decoding:
            linear_chain.viterbi(*chain.args)
        return loss.count, decoding.count

    (loss, decoding), (longer_loss, longer_decoding) = launches([33] * 3), launches([1056] * 3)
    assert loss < 200
    assert decoding < 80
    # five levels more
    assert longer_loss - loss <= 5 * 13
    assert longer_decoding - decoding <= 5 * 13
    # and where nodes have to be brought into their order
    ragged_loss, ragged_decoding = launches([7, 33, 20])
    assert ragged_loss - loss <= 5 * 4
    assert ragged_decoding - decoding <= 5 * 5


def test_a_node_that_has_lost_the_better_way_is_noticed(engine):
    # from tag 0 the better way to tag 3 leads past tag 2, at e^-760 of what else a node of five
    # leaves holds; the worse one, past tag 1, is seen
    never = -math.inf
    transitions = torch.full((6, 6), never).double()
    transitions[0, 2] = transitions[2, 2] = -97.5
    transitions[0, 3], transitions[4, 4], transitions[5, 5] = -460.0, -50.0, 0.0
    transitions[1, 3] = transitions[3, 3] = -100.0
    start = torch.tensor([0.0, -400.0, never, never, never, never]).double()
    end = torch.tensor([never, never, never, 0.0, never, never]).double()
    emissions = torch.zeros(6, 6).double()
    emissions[:, 5] = never
    chain = Chain(emissions, [6], start, transitions, end)
    assert linear_chain.log_partition(*chain.args).item() == pytest.approx(-860.0)


@pytest.mark.parametrize("n_tags", [2, 4])
def test_scores_too_far_apart_leave_the_fast_road(n_tags):
    packed = make_batch(*random_chain(0, n_tags, RAGGED, scale=1e4).args)
    with pytest.raises(Underflow):
        ScaledMessages(packed)


def two_lanes(n_rows: int, step: float) -> Chain:
    """Two tags that never meet, of which the one that falls behind by `step` a row has to win."""
    emissions = torch.tensor([[0.0, -step]], dtype=torch.float64).repeat(n_rows, 1)
    never = -math.inf
    transitions = torch.tensor([[0.0, never], [never, 0.0]], dtype=torch.float64)
    end = torch.tensor([never, 0.0], dtype=torch.float64)
    return Chain(emissions, [n_rows], torch.zeros(2, dtype=torch.float64), transitions, end)


def test_mass_that_seems_lost_is_found_again(engine):
    # after 400 rows tag 1 is at e^-2000 of tag 0, and only then does tag 0 turn out impossible
    chain = two_lanes(400, 5.0)
    assert linear_chain.log_partition(*chain.args).item() == pytest.approx(-2000.0)
    marginals = linear_chain.marginals(*chain.args)
    expected = torch.tensor([[0.0, 1.0]]).double().repeat(400, 1)
    torch.testing.assert_close(marginals, expected, rtol=0.0, atol=1e-12)
    assert linear_chain.entropy(*chain.args).item() == pytest.approx(0.0, abs=1e-9)
    tags, scores = linear_chain.viterbi(*chain.args)
    assert tags.tolist() == [1] * 400
    assert scores.item() == -2000.0


def test_mass_lost_on_the_way_back_is_found_again():
    # seen from the end tag 0 is better by far, but it can not be reached
    chain = two_lanes(400, 5.0)
    open_end = Chain(
        chain.emissions,
        chain.lengths,
        torch.tensor([-math.inf, 0.0]).double(),
        chain.transitions,
        torch.zeros(2).double(),
    )
    messages = ScaledMessages(make_batch(*open_end.args))
    with pytest.raises(Underflow):
        messages.counts(torch.ones(1).double())
    assert torch.equal(
        linear_chain.marginals(*open_end.args), torch.tensor([[0.0, 1.0]]).double().repeat(400, 1)
    )


def test_messages_that_hardly_meet(engine):
    # only tag 1 can be first; in the second half and at the end it falls behind by 855 nats, which
    # is seen from behind, while from the front no more than a quarter of the rows is in one node
    lanes = two_lanes(33, 25.0)
    lanes.emissions[:17] = 0.0
    start, end = torch.tensor([[-math.inf, 0.0], [0.0, -455.0]]).double()
    chain = Chain(lanes.emissions, lanes.lengths, start, lanes.transitions, end)
    assert linear_chain.log_partition(*chain.args).item() == pytest.approx(-855.0)
    expected = torch.tensor([[0.0, 1.0]]).double().repeat(33, 1)
    torch.testing.assert_close(linear_chain.marginals(*chain.args), expected, rtol=0.0, atol=1e-12)


def few_rows(emissions: list, start: list, transitions: list, end: list) -> Chain:
    tensors = [torch.tensor(x, dtype=torch.float64) for x in (emissions, start, transitions, end)]
    return Chain(tensors[0], [len(emissions)], *tensors[1:])


NO = -math.inf
EDGES = {
    # tag 0 leads nowhere, so a row's sum falls to e^-345; of that, e^-391 is left
    "sum": few_rows(
        [[0, -345, NO], [0, 0, 0]],
        [0, 0, 0],
        [[NO, NO, NO], [NO, 0, -391], [NO, NO, NO]],
        [NO, NO, 0],
    ),
    # the only tag that can be last has e^-345 and ends at e^-400
    "end": few_rows([[0, -345, NO]], [0, 0, 0], [[0] * 3] * 3, [NO, -400, 0]),
    # the emission alone is too far down
    "emission": few_rows([[0, -800]], [0, 0], [[0, 0], [0, 0]], [NO, 0]),
    "start": few_rows([[0, 0]], [0, -800], [[0, 0], [0, 0]], [NO, 0]),
    "transition": few_rows([[0, 0], [0, 0]], [0, NO], [[0, -800], [0, 0]], [NO, 0]),
}


@pytest.mark.parametrize("name", EDGES)
def test_scores_at_the_edge_of_float64(engine, name):
    chain = EDGES[name]
    expected = log_sum(list(all_paths(chain, 0).values()))
    assert expected < -700
    assert linear_chain.log_partition(*chain.args).item() == pytest.approx(expected, rel=1e-12)


def test_what_follows_a_tag_that_has_hardly_any_weight(engine):
    chain = few_rows([[0, 0], [0, 0]], [0, 0], [[0, 0], [-740, -741]], [0, 0])
    found = linear_chain.segment_log_posteriors(
        *chain.args,
        starts=torch.tensor([0]),
        ends=torch.tensor([1]),
        tags=torch.tensor([1]),
        followers=torch.tensor([[False, True]]),
    )
    assert found.item() == pytest.approx(-741 - math.log(2), rel=1e-12)


TURNS = {
    # tag 1 has to be last, and comes on the last two of five rows; from tag 0 that costs 800 nats
    "late": (
        few_rows(
            [[0, NO, 0]] * 3 + [[0, 0, 0]] * 2,
            [0, 0, 0],
            [[0, -800, NO], [NO, 0, NO], [NO, 0, 0]],
            [NO, 0, NO],
        ),
        (1, 0),
    ),
    # tag 0 is first and gone by row 3; to tag 1 that costs 800 nats, to tag 2 nothing
    "early": (
        few_rows(
            [[0, 0, 0]] * 3 + [[NO, 0, 0]] * 2,
            [0, NO, NO],
            [[0, -800, 0], [NO, 0, NO], [NO, NO, 0]],
            [NO, 0, 0],
        ),
        (4, 1),
    ),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_rare_turn_is_seen_from_afar(engine, name):
    chain, (row, tag) = TURNS[name]
    found = linear_chain.segment_log_posteriors(
        *chain.args,
        starts=torch.tensor([row]),
        ends=torch.tensor([row + 1]),
        tags=torch.tensor([tag]),
        followers=torch.tensor([[True, True, True]]),
    )
    assert found.item() == pytest.approx(-800, rel=1e-12)


def test_no_path_gives_minus_infinity_and_no_gradient(engine):
    chain = random_chain(0, 3, [4, 5, 1])
    chain.emissions[2] = -math.inf
    leaves = leaves_of(chain)
    log_z = linear_chain.log_partition(*chain.args)
    assert log_z[0] == -math.inf
    assert torch.isfinite(log_z[1:]).all()
    alone = [chain.sequence(1), chain.sequence(2)]
    expected = sum(linear_chain.log_partition(*x.args).sum() for x in alone)
    grads = torch.autograd.grad(log_z.sum(), leaves)
    wanted = torch.autograd.grad(expected, leaves)
    assert torch.equal(grads[0][:4], torch.zeros(4, 3).double())
    for grad, other in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, other)
    _, scores = linear_chain.viterbi(*chain.args)
    assert scores[0] == -math.inf
    assert linear_chain.kbest(*chain.args, k=3)[0] == []
    with pytest.raises(ValueError, match="sequence 0: expected a path to draw, got none"):
        linear_chain.sample(*chain.args)


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

    nll = linear_chain.negative_log_likelihood
    for function in (
        of(linear_chain.log_partition),
        of(nll, allowed=allowed),
        *([] if forbidden else [of(nll, tags=tags)]),
        lambda e, s, a, z: linear_chain.path_score(e, tags, chain.lengths, s, a.clamp(min=-9), z),
    ):
        assert torch.autograd.gradcheck(function, leaves_of(chain))


def test_sums_of_a_sequence_do_not_depend_on_its_batch():
    chain = random_chain(3, 7, RAGGED, dtype=torch.float32, scale=3.0)
    log_z = linear_chain.log_partition(*chain.args)
    marginals = linear_chain.marginals(*chain.args)
    entropies = linear_chain.entropy(*chain.args)
    for i, begin in enumerate(chain.first_rows):
        alone = chain.sequence(i).args
        torch.testing.assert_close(linear_chain.log_partition(*alone)[0], log_z[i])
        torch.testing.assert_close(linear_chain.entropy(*alone)[0], entropies[i])
        rows = marginals[begin : begin + chain.lengths[i]]
        torch.testing.assert_close(linear_chain.marginals(*alone), rows)
