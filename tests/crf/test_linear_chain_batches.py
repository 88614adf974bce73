"""The CRF engine against pytorch-crf, and its inputs: padding, masks, half precision, mistakes."""

import math

import pytest
import torch
from torchcrf import CRF

from spacy_bio_crf import crf as linear_chain
from tests.support.chain_oracle import random_chain


def padded(seed: int, n_tags: int, lengths: list[int]):
    """A ragged batch for pytorch-crf, whose layer has weights as after some training.

    In float64, for in float32 pytorch-crf itself is off by more than 1e-5 at 100 rows.
    """
    torch.manual_seed(seed)
    crf = CRF(n_tags, batch_first=True).double()
    for weights in crf.parameters():
        torch.nn.init.normal_(weights)
    longest = max(lengths)
    emissions = torch.randn(len(lengths), longest, n_tags).double().requires_grad_()
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    tags = torch.randint(n_tags, mask.shape)
    return crf, emissions, mask, tags


RAGGED = [
    (13, [40] * 8),
    (5, [1, 7, 2, 30, 3, 150, 2, 1]),
    (25, [64, 3, 128, 17]),
    (2, [2, 2]),
    (1, [3, 1]),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_tags, lengths", RAGGED)
def test_loss_and_gradients_equal_those_of_pytorch_crf(engine, n_tags, lengths, dtype):
    crf, emissions, mask, tags = padded(0, n_tags, lengths)
    leaves = [emissions, crf.start_transitions, crf.transitions, crf.end_transitions]
    likelihood = crf(emissions, tags, mask, reduction="none")
    expected = [-likelihood, *torch.autograd.grad(-likelihood.sum(), leaves)]

    ours = [x.detach().to(dtype).requires_grad_() for x in leaves]
    for fused in (True, False):
        rows, counts = linear_chain.from_padded(ours[0], mask)
        assert counts.tolist() == lengths
        if fused:
            nll = linear_chain.negative_log_likelihood
            loss = nll(rows, counts, *ours[1:], tags=tags[mask])
        else:
            log_z = linear_chain.log_partition(rows, counts, *ours[1:])
            loss = log_z - linear_chain.path_score(rows, tags[mask], counts, *ours[1:])
        assert loss.dtype == dtype
        found = [loss, *torch.autograd.grad(loss.sum(), ours)]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_tags, lengths", RAGGED)
def test_decodes_as_pytorch_crf(n_tags, lengths):
    crf, emissions, mask, _ = padded(1, n_tags, lengths)
    rows, counts = linear_chain.from_padded(emissions.detach(), mask)
    tags, _ = linear_chain.viterbi(
        rows, counts, crf.start_transitions, crf.transitions, crf.end_transitions
    )
    assert [x.tolist() for x in tags.split(lengths)] == crf.decode(emissions, mask)


def test_what_a_mask_hides_changes_nothing():
    # a hole in the middle, a masked first step, nothing at all: pytorch-crf can do none of them
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    emissions = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    hidden = emissions.masked_fill(~mask[..., None], math.nan).requires_grad_()
    chain = random_chain(0, 3, [], dtype=torch.float32)
    rows, lengths = linear_chain.from_padded(hidden, mask)
    assert lengths.tolist() == [3, 3, 0, 4]
    log_z = linear_chain.log_partition(rows, lengths, chain.start, chain.transitions, chain.end)
    expected = [
        linear_chain.log_partition(
            sequence[kept], [int(kept.sum())], chain.start, chain.transitions, chain.end
        ).item()
        for sequence, kept in zip(emissions, mask, strict=True)
    ]
    assert log_z.tolist() == pytest.approx(expected)
    log_z.sum().backward()
    assert torch.equal(hidden.grad[~mask], torch.zeros(int((~mask).sum()), 3))
    assert torch.isfinite(hidden.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_in_and_float32_goes_out(dtype):
    # scores as large as 1e4 would leave float16's range when added up
    chain = random_chain(2, 4, [5, 2, 0, 9], dtype=dtype, scale=3.0)
    chain.emissions[3] = 1e4
    full = [x.float() if isinstance(x, torch.Tensor) else x for x in chain.args]
    chain.emissions.requires_grad_()
    log_z = linear_chain.log_partition(*chain.args)
    assert log_z.dtype == torch.float32
    assert torch.equal(log_z, linear_chain.log_partition(*full))
    (grad,) = torch.autograd.grad(log_z.sum(), chain.emissions)
    assert grad.dtype == dtype
    torch.testing.assert_close(grad.float(), linear_chain.marginals(*full), rtol=0, atol=4e-3)
    tags, scores = linear_chain.viterbi(*chain.args)
    expected, full_scores = linear_chain.viterbi(*full)
    assert torch.equal(tags, expected)
    assert torch.equal(scores, full_scores)
    assert scores.dtype == torch.float32


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_batches_without_rows(lengths):
    chain = random_chain(0, 3, lengths, dtype=torch.float32)
    none = torch.zeros(0, dtype=torch.int64)
    zeros = [0.0] * len(lengths)
    nll = linear_chain.negative_log_likelihood
    for leaf in (chain.emissions, chain.start, chain.transitions, chain.end):
        leaf.requires_grad_()
    log_z = linear_chain.log_partition(*chain.args)
    assert log_z.tolist() == zeros
    log_z.sum().backward()
    assert torch.equal(chain.transitions.grad, torch.zeros(3, 3))
    assert linear_chain.path_score(chain.emissions, none, *chain.args[1:]).tolist() == zeros
    assert nll(*chain.args, tags=none).tolist() == zeros
    assert nll(*chain.args, allowed=torch.zeros(0, 3).bool()).tolist() == zeros
    tags, scores = linear_chain.viterbi(*chain.args)
    assert tags.shape == (0,)
    assert scores.tolist() == zeros
    assert linear_chain.entropy(*chain.args).tolist() == zeros
    assert linear_chain.marginals(*chain.args).shape == (0, 3)
    assert linear_chain.sample(*chain.args, num_samples=2).shape == (2, 0)
    found = linear_chain.kbest(*chain.args, k=2)
    assert [(len(x), x[0].tags.tolist(), x[0].score, x[0].log_probability) for x in found] == [
        (1, [], 0.0, 0.0)
    ] * len(lengths)
    segments = linear_chain.segment_log_posteriors(
        *chain.args, starts=none, ends=none, tags=none, followers=torch.zeros(0, 3).bool()
    )
    assert segments.shape == (0,)


def test_lengths_may_be_a_list_an_array_or_a_tensor():
    chain = random_chain(0, 3, [2, 4])
    rest = chain.start, chain.transitions, chain.end
    expected = linear_chain.log_partition(chain.emissions, [2, 4], *rest)
    tensor = torch.tensor([2, 4])
    for lengths in (tensor, tensor.int(), tensor.numpy(), (2, 4)):
        assert torch.equal(linear_chain.log_partition(chain.emissions, lengths, *rest), expected)


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
    for function in (linear_chain.log_partition, linear_chain.viterbi, linear_chain.marginals):
        with pytest.raises(ValueError, match=message):
            function(*args)


def test_mistakes_in_other_arguments_are_named():
    chain = random_chain(0, 3, [2, 4])
    tags = torch.zeros(6, dtype=torch.int64)
    nll = linear_chain.negative_log_likelihood
    with pytest.raises(ValueError, match=r"tags: expected shape \(6,\), got \(5,\)"):
        nll(*chain.args, tags=tags[:5])
    with pytest.raises(ValueError, match="tags, allowed: expected one of the two, got neither"):
        nll(*chain.args)
    with pytest.raises(ValueError, match="tags, allowed: expected one of the two, got both"):
        nll(*chain.args, tags=tags, allowed=torch.ones(6, 3).bool())
    with pytest.raises(ValueError, match=r"allowed: expected shape \(6, 3\), got \(6, 2\)"):
        nll(*chain.args, allowed=torch.ones(6, 2).bool())
    with pytest.raises(ValueError, match="k: expected 1 or more, got 0"):
        linear_chain.kbest(*chain.args, k=0)
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 3\), got \(3, 2\)"):
        linear_chain.from_padded(torch.zeros(2, 3, 3), torch.ones(3, 2).bool())


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
        linear_chain.segment_log_posteriors(
            *chain.args,
            starts=torch.tensor(starts),
            ends=torch.tensor(ends),
            tags=torch.zeros(n_tags, dtype=torch.int64),
            followers=torch.ones(len(starts), 3).bool(),
        )


def test_scores_that_change_before_the_way_back_are_noticed():
    chain = random_chain(0, 3, [4], dtype=torch.float32)
    emissions = chain.emissions.requires_grad_()
    copy = emissions.clone()
    log_z = linear_chain.log_partition(copy, *chain.args[1:])
    with torch.no_grad():
        copy.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        log_z.sum().backward()
