"""The CRF engine against pytorch-crf: equal losses, gradients and paths."""

import math

import pytest
import torch
from torchcrf import CRF

from spacy_bio_crf import crf
from tests.support.chain_oracle import random_chain


def padded(seed: int, n_tags: int, lengths: list[int]):
    """A ragged batch for pytorch-crf, whose layer has weights as after some training.

    In float64, for in float32 pytorch-crf itself is off by more than 1e-5 at 100 rows.
    """
    torch.manual_seed(seed)
    layer = CRF(n_tags, batch_first=True).double()
    for weights in layer.parameters():
        torch.nn.init.normal_(weights)
    longest = max(lengths)
    emissions = torch.randn(len(lengths), longest, n_tags).double().requires_grad_()
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    tags = torch.randint(n_tags, mask.shape)
    return layer, emissions, mask, tags


PADDED = [
    (13, [40] * 8),
    (5, [1, 7, 2, 30, 3, 150, 2, 1]),
    (25, [64, 3, 128, 17]),
    (2, [2, 2]),
    (1, [3, 1]),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_tags, lengths", PADDED)
def test_loss_and_gradients_equal_those_of_pytorch_crf(engine, n_tags, lengths, dtype):
    layer, emissions, mask, tags = padded(0, n_tags, lengths)
    leaves = [emissions, layer.start_transitions, layer.transitions, layer.end_transitions]
    likelihood = layer(emissions, tags, mask, reduction="none")
    expected = [-likelihood, *torch.autograd.grad(-likelihood.sum(), leaves)]

    ours = [x.detach().to(dtype).requires_grad_() for x in leaves]
    for fused in (True, False):
        batch = ours[0][mask], mask.sum(dim=1), *ours[1:]
        if fused:
            loss = crf.negative_log_likelihood(*batch, tags=tags[mask])
        else:
            loss = crf.log_partition(*batch) - crf.path_score(batch[0], tags[mask], *batch[1:])
        assert loss.dtype == dtype
        found = [loss, *torch.autograd.grad(loss.sum(), ours)]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_tags, lengths", PADDED)
def test_decodes_as_pytorch_crf(n_tags, lengths):
    layer, emissions, mask, _ = padded(1, n_tags, lengths)
    chain = layer.start_transitions, layer.transitions, layer.end_transitions
    tags, _ = crf.viterbi(emissions.detach()[mask], mask.sum(dim=1), *chain)
    assert [x.tolist() for x in tags.split(lengths)] == layer.decode(emissions, mask)


def test_what_a_mask_hides_changes_nothing():
    # a hole in the middle, a masked first step, nothing at all: pytorch-crf can do none of them
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    emissions = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    hidden = emissions.masked_fill(~mask[..., None], math.nan).requires_grad_()
    chain = random_chain(0, 3, [], dtype=torch.float32).args[2:]
    log_z = crf.log_partition(hidden[mask], mask.sum(dim=1), *chain)
    expected = [
        crf.log_partition(sequence[kept], [int(kept.sum())], *chain).item()
        for sequence, kept in zip(emissions, mask, strict=True)
    ]
    assert log_z.tolist() == pytest.approx(expected)
    log_z.sum().backward()
    assert torch.equal(hidden.grad[~mask], torch.zeros(int((~mask).sum()), 3))
    assert torch.isfinite(hidden.grad).all()
