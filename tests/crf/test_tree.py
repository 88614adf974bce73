"""Trees: that they combine in order, how many launches they take, what they must not lose."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_bio_crf import crf
from spacy_bio_crf.crf.batch import TUNING, make_batch
from spacy_bio_crf.crf.logs import LogMessages
from spacy_bio_crf.crf.sums import Sums
from spacy_bio_crf.crf.tree import Tree
from tests.support.chain_oracle import RAGGED, Chain, chains, few_rows, leaves_of, random_chain


@pytest.mark.parametrize("lengths", [RAGGED, [2], [1], [7, 33, 20], [5, 5, 5], []])
def test_a_tree_combines_in_order(lengths):
    batch = make_batch(*random_chain(0, 2, lengths).args)
    tree = Tree(batch)
    generator = torch.Generator().manual_seed(0)
    # matrices by flat row, whose products depend on their order
    matrices = torch.randn(sum(lengths), 2, 2, generator=generator).double().softmax(dim=2)
    leaves = batch.index[tree.position]
    assert torch.equal(batch.index[tree.before], leaves - 1)
    nodes = tree.go_up(matrices[leaves], torch.matmul)
    enters = torch.tensor([[1.0, 2.0]]).double().repeat(tree.n_roots, 1)
    entering = tree.come_down(nodes, enters, lambda x, m: (x[:, None] @ m)[:, 0])
    leaving = tree.come_down(nodes, enters, lambda x, m: (m @ x[:, :, None])[:, :, 0], back=True)
    place = {int(leaf): i for i, leaf in enumerate(leaves)}
    begin = 0
    for length in lengths:
        before = after = enters[:1, :, None].reshape(2)[None] if length > 1 else None
        for row in range(begin + 1, begin + length):
            torch.testing.assert_close(entering[place[row]], before[0])
            before = before @ matrices[row]
        for row in range(begin + length - 1, begin, -1):
            torch.testing.assert_close(leaving[place[row]], after[0])
            after = after @ matrices[row].T
        begin += length


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
            nll = crf.negative_log_likelihood(*chain.args, tags=tags).sum()
            torch.autograd.grad(nll, leaves)
        with Launches() as decoding:
            crf.viterbi(*chain.args)
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
    assert crf.log_partition(*chain.args).item() == pytest.approx(-860.0)


def test_a_message_from_behind_that_has_lost_the_better_way_is_noticed(engine):
    # forwards nothing is lost; backwards a node loses ways that are rare beside another one
    no = -math.inf
    late = [[-25, 0, 0], [-25, 0, 0], [-25, no, 0], [-25, no, 0], [-25, 0, 0], [-25, no, 0]]
    chain = few_rows(
        [[0, 0, 0], [0, 0, 0], [no, 0, 0], [0, 0, 0], [0, 0, 0], [no, 0, 0], *late],
        [-100, -460, -460],
        [[-200, -200, -50], [-200, -400, -400], [no, -460, -200]],
        [-200, no, no],
    )
    batch = make_batch(*chain.args)
    _, expected = LogMessages(batch).logs(slice(None))
    found = torch.empty_like(expected)
    for rows, _, log_beta in Sums(batch).logs_at(np.arange(len(found))):
        found[rows] = log_beta
    # each row is right up to a constant
    torch.testing.assert_close(found - found[:, :1], expected - expected[:, :1])


@chains
def test_tree_finds_as_good_a_path(monkeypatch, chain):
    tags, scores = crf.viterbi(*chain.args)
    monkeypatch.setattr(TUNING, "tree", True)
    by_tree, tree_scores = crf.viterbi(*chain.args)
    torch.testing.assert_close(tree_scores, scores)
    if torch.equal(chain.emissions, chain.emissions.round()):
        # the sums are exact, and ties go the same way
        assert torch.equal(by_tree[:70], tags[:70])
        assert torch.equal(by_tree, tags)
