"""Batches: how rows are packed, which inputs are taken, which mistakes are named."""

import numpy as np
import pytest
import torch

from spacy_bio_crf import crf
from spacy_bio_crf.crf.batch import TUNING, computing_device, make_batch, make_packing
from tests.support.chain_oracle import RAGGED, random_chain


def test_rows_are_packed_as_drawn():
    packing = make_packing(np.array([2, 3, 1]))
    # a0 a1 | b0 b1 b2 | c0 become b0 a0 c0 | b1 a1 | b2
    assert packing.index.tolist() == [2, 0, 5, 3, 1, 4]
    assert packing.widths.tolist() == [3, 2, 1]
    assert packing.offsets.tolist() == [0, 3, 5, 6]
    assert packing.order.tolist() == [1, 0, 2]
    assert packing.ranks.tolist() == [1, 0, 2]
    assert packing.row_ranks.tolist() == [0, 1, 2, 0, 1, 0]
    assert packing.last.tolist() == [5, 4, 2]
    assert packing.before.tolist() == [0, 1, 3]


@pytest.mark.parametrize("lengths", [RAGGED, [3, 3], [4], [1, 1], [0, 2], [0], []])
def test_rows_come_back_into_their_order(lengths):
    batch = make_batch(*random_chain(0, 3, lengths).args)
    packing = batch.packing
    rows = torch.arange(sum(lengths))
    assert torch.equal(batch.unpack(rows[batch.index]), rows)
    # the flat row before each row that has one
    before, after = packing.index[packing.before], packing.index[packing.after]
    assert np.array_equal(before, after - 1)
    firsts = np.cumsum(lengths, dtype=np.int64) - np.array(lengths, dtype=np.int64)
    assert np.array_equal(packing.index[packing.first], firsts[packing.alive])
    assert np.array_equal(packing.index[packing.last], (firsts + lengths - 1)[packing.alive])
    values = torch.tensor(lengths, dtype=torch.float64)
    assert torch.equal(batch.by_sequence(batch.by_rank(values)), values)


def test_a_batch_too_large_for_a_tree_goes_to_the_cpu(monkeypatch):
    # any device but the CPU serves
    emissions = torch.zeros(10, 4, device="meta")
    assert computing_device(emissions).type == "cpu"
    monkeypatch.setattr(TUNING, "tree", True)
    monkeypatch.setattr(TUNING, "tree_bytes", 16 * 10 * 4**2)
    assert computing_device(emissions).type == "meta"
    monkeypatch.setattr(TUNING, "tree_bytes", 16 * 10 * 4**2 - 1)
    assert computing_device(emissions).type == "cpu"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_in_and_float32_goes_out(dtype):
    # scores as large as 1e4 would leave float16's range when added up
    chain = random_chain(2, 4, [5, 2, 0, 9], dtype=dtype, scale=3.0)
    chain.emissions[3] = 1e4
    full = [x.float() if isinstance(x, torch.Tensor) else x for x in chain.args]
    chain.emissions.requires_grad_()
    log_z = crf.log_partition(*chain.args)
    assert log_z.dtype == torch.float32
    assert torch.equal(log_z, crf.log_partition(*full))
    (grad,) = torch.autograd.grad(log_z.sum(), chain.emissions)
    assert grad.dtype == dtype
    torch.testing.assert_close(grad.float(), crf.marginals(*full), rtol=0, atol=4e-3)
    tags, scores = crf.viterbi(*chain.args)
    expected, full_scores = crf.viterbi(*full)
    assert torch.equal(tags, expected)
    assert torch.equal(scores, full_scores)
    assert scores.dtype == torch.float32


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_batches_without_rows(lengths):
    chain = random_chain(0, 3, lengths, dtype=torch.float32)
    none = torch.zeros(0, dtype=torch.int64)
    zeros = [0.0] * len(lengths)
    nll = crf.negative_log_likelihood
    for leaf in (chain.emissions, chain.start, chain.transitions, chain.end):
        leaf.requires_grad_()
    log_z = crf.log_partition(*chain.args)
    assert log_z.tolist() == zeros
    log_z.sum().backward()
    assert torch.equal(chain.transitions.grad, torch.zeros(3, 3))
    assert crf.path_score(chain.emissions, none, *chain.args[1:]).tolist() == zeros
    assert nll(*chain.args, tags=none).tolist() == zeros
    assert nll(*chain.args, allowed=torch.zeros(0, 3).bool()).tolist() == zeros
    tags, scores = crf.viterbi(*chain.args)
    assert tags.shape == (0,)
    assert scores.tolist() == zeros
    assert crf.entropy(*chain.args).tolist() == zeros
    assert crf.marginals(*chain.args).shape == (0, 3)
    found = crf.kbest(*chain.args, k=2)
    assert [(len(x), x[0].tags.tolist(), x[0].score, x[0].log_probability) for x in found] == [
        (1, [], 0.0, 0.0)
    ] * len(lengths)
    segments = crf.segment_log_posteriors(
        *chain.args, starts=none, ends=none, tags=none, followers=torch.zeros(0, 3).bool()
    )
    assert segments.shape == (0,)


def test_lengths_may_be_a_list_an_array_or_a_tensor():
    chain = random_chain(0, 3, [2, 4])
    rest = chain.start, chain.transitions, chain.end
    expected = crf.log_partition(chain.emissions, [2, 4], *rest)
    tensor = torch.tensor([2, 4])
    for lengths in (tensor, tensor.int(), tensor.numpy(), (2, 4)):
        assert torch.equal(crf.log_partition(chain.emissions, lengths, *rest), expected)


def change(chain, **new):
    names = "emissions", "lengths", "start", "transitions", "end"
    return [new.get(name, value) for name, value in zip(names, chain.args, strict=True)]


@pytest.mark.parametrize(
    "new, message",
    [
        ({"lengths": [2, 3]}, "lengths: expected a sum of 6, the rows of emissions, got 5"),
        ({"lengths": [-2, 8]}, "lengths: expected 0 or more rows, got -2"),
        ({"lengths": [[2, 4]]}, r"lengths: expected shape \[B\], got \(1, 2\)"),
        ({"emissions": torch.zeros(6)}, r"\[N, K\] with K >= 1, got \(6,\)"),
        ({"emissions": torch.zeros(6, 0)}, r"\[N, K\] with K >= 1, got \(6, 0\)"),
        ({"start": torch.zeros(2)}, r"start: expected shape \(3,\), got \(2,\)"),
        ({"end": torch.zeros(3, 1)}, r"end: expected shape \(3,\), got \(3, 1\)"),
        ({"transitions": torch.zeros(3, 2)}, r"transitions: expected shape \(3, 3\), got \(3, 2\)"),
    ],
)
def test_mistakes_in_a_batch_are_named(new, message):
    args = change(random_chain(0, 3, [2, 4]), **new)
    for function in (crf.log_partition, crf.viterbi, crf.marginals):
        with pytest.raises(ValueError, match=message):
            function(*args)


def test_mistakes_in_other_arguments_are_named():
    chain = random_chain(0, 3, [2, 4])
    tags = torch.zeros(6, dtype=torch.int64)
    nll = crf.negative_log_likelihood
    with pytest.raises(ValueError, match=r"tags: expected shape \(6,\), got \(5,\)"):
        nll(*chain.args, tags=tags[:5])
    with pytest.raises(ValueError, match="tags, allowed: expected one of the two, got neither"):
        nll(*chain.args)
    with pytest.raises(ValueError, match="tags, allowed: expected one of the two, got both"):
        nll(*chain.args, tags=tags, allowed=torch.ones(6, 3).bool())
    with pytest.raises(ValueError, match=r"allowed: expected shape \(6, 3\), got \(6, 2\)"):
        nll(*chain.args, allowed=torch.ones(6, 2).bool())
