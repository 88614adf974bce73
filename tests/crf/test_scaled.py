"""Scaled messages: the fast road, and scores so far apart that float64 does not reach."""

import math

import pytest
import torch

from spacy_bio_crf import crf
from spacy_bio_crf.crf.batch import make_batch
from spacy_bio_crf.crf.scaled import ScaledMessages, Underflow
from spacy_bio_crf.crf.tree import TreeMessages
from tests.support.chain_oracle import RAGGED, Chain, all_paths, few_rows, log_sum, random_chain


def test_usual_scores_take_the_fast_road():
    packed = make_batch(*random_chain(0, 9, RAGGED, scale=5.0).args)
    weights = torch.ones(len(packed.packing.alive)).double()
    for messages in (ScaledMessages(packed), TreeMessages(packed)):
        assert torch.isfinite(messages.log_z).all()
        assert torch.isfinite(messages.counts(weights)[0]).all()
        assert torch.isfinite(messages.logs(slice(None))[1]).all()


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
    assert crf.log_partition(*chain.args).item() == pytest.approx(-2000.0)
    marginals = crf.marginals(*chain.args)
    expected = torch.tensor([[0.0, 1.0]]).double().repeat(400, 1)
    torch.testing.assert_close(marginals, expected, rtol=0.0, atol=1e-12)
    assert crf.entropy(*chain.args).item() == pytest.approx(0.0, abs=1e-9)
    tags, scores = crf.viterbi(*chain.args)
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
        crf.marginals(*open_end.args), torch.tensor([[0.0, 1.0]]).double().repeat(400, 1)
    )


def test_messages_that_hardly_meet(engine):
    # only tag 1 can be first; in the second half and at the end it falls behind by 855 nats, which
    # is seen from behind, while from the front no more than a quarter of the rows is in one node
    lanes = two_lanes(33, 25.0)
    lanes.emissions[:17] = 0.0
    start, end = torch.tensor([[-math.inf, 0.0], [0.0, -455.0]]).double()
    chain = Chain(lanes.emissions, lanes.lengths, start, lanes.transitions, end)
    assert crf.log_partition(*chain.args).item() == pytest.approx(-855.0)
    expected = torch.tensor([[0.0, 1.0]]).double().repeat(33, 1)
    torch.testing.assert_close(crf.marginals(*chain.args), expected, rtol=0.0, atol=1e-12)


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
    assert crf.log_partition(*chain.args).item() == pytest.approx(expected, rel=1e-12)


def test_what_follows_a_tag_that_has_hardly_any_weight(engine):
    chain = few_rows([[0, 0], [0, 0]], [0, 0], [[0, 0], [-740, -741]], [0, 0])
    found = crf.segment_log_posteriors(
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
    found = crf.segment_log_posteriors(
        *chain.args,
        starts=torch.tensor([row]),
        ends=torch.tensor([row + 1]),
        tags=torch.tensor([tag]),
        followers=torch.tensor([[True, True, True]]),
    )
    assert found.item() == pytest.approx(-800, rel=1e-12)
