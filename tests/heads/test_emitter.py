"""Settings of heads, and the parameters of the emitter, those of pytorch-crf."""

import math

import numpy as np
import pytest
import torch
from torchcrf import CRF

from spacy_bio_crf.heads.decode import decode_tags
from spacy_bio_crf.heads.emitter import Emitter, build_crf_head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice, restrict
from spacy_bio_crf.heads.loss import lattice_loss
from tests.support.lattices import (
    TAGSETS,
    random_allowed,
    split,
)


def test_a_trained_layer_moves_to_pytorch_crf_and_back():
    """Likelihood and decoding of both agree, and the gradients with them."""
    tagset = TAGSETS["BIO"]
    k, lengths = len(tagset.tags), [3, 1, 4, 2]  # pytorch-crf admits no empty sequence
    torch.manual_seed(0)
    ours = Emitter(4, k, crf=True)
    theirs = CRF(k, batch_first=True)
    with torch.no_grad():
        for parameter in ours.crf.parameters():
            parameter.normal_(std=2.0)
    theirs.load_state_dict(ours.crf.state_dict())
    other = Emitter(4, k, crf=True)
    other.crf.load_state_dict(theirs.state_dict())
    for a, b in zip(ours.scores(), other.scores(), strict=True):
        assert torch.equal(a, b)

    emissions = 2.0 * torch.randn(sum(lengths), k)
    allowed = np.concatenate([random_allowed(tagset, n, "full", n) for n in lengths])
    lattice = Lattice(
        emissions, *(s.detach() for s in other.scores()), tokens=[np.arange(n) for n in lengths]
    )
    padded = torch.full((4, 4, k), 99.0)
    tags = torch.zeros((4, 4), dtype=torch.long)
    mask = torch.zeros((4, 4), dtype=torch.bool)
    for i, (e, y) in enumerate(
        zip(split(lattice, emissions), split(lattice, allowed), strict=True)
    ):
        padded[i, : len(e)], tags[i, : len(e)], mask[i, : len(e)] = (
            e,
            torch.from_numpy(y.argmax(1)),
            True,
        )
    padded.requires_grad_()
    expected = -theirs(padded, tags, mask=mask, reduction="sum")
    expected.backward()
    found, gradient = lattice_loss(build_crf_head(), tagset, lattice, allowed, size=1)
    assert found == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient.emissions, padded.grad[mask])
    for mine, parameter in zip(
        gradient.scores[1:],
        (theirs.start_transitions, theirs.transitions, theirs.end_transitions),
        strict=True,
    ):
        torch.testing.assert_close(mine, parameter.grad)
    free = build_crf_head(constrained=False)
    tags = decode_tags(free, restrict(free, tagset, lattice))
    assert [t.tolist() for t in split(lattice, tags)] == theirs.decode(padded.detach(), mask=mask)


def test_a_softmax_emitter_has_no_transition_scores():
    emitter = Emitter(4, 5, crf=False)
    assert [name for name, _ in emitter.named_parameters()] == ["dense.weight", "dense.bias"]
    start, transitions, end = emitter.scores()
    assert (start.shape, transitions.shape, end.shape) == ((5,), (5, 5), (5,))
    assert not any(s.any() or s.requires_grad for s in (start, transitions, end))


def test_emissions_are_a_linear_map_after_dropout():
    torch.manual_seed(0)
    emitter = Emitter(4, 3, crf=True)
    vectors = torch.randn(6, 4)
    expected = vectors @ emitter.dense.weight.T + emitter.dense.bias
    torch.testing.assert_close(emitter.eval()(vectors, 0.5), expected)
    torch.testing.assert_close(emitter.train()(vectors, 0.0), expected)
    assert not torch.allclose(emitter.train()(vectors, 0.5), expected)
    torch.testing.assert_close(emitter.train()(vectors, 1.0), emitter.dense.bias.expand(6, 3))


def test_a_transform_comes_before_dropout():
    emitter = Emitter(4, 3, crf=False, transform=True)
    vectors = torch.randn(5, 4)
    hidden = vectors @ emitter.transform.dense.weight.T
    # Hendrycks & Gimpel 2016: x Φ(x).
    hidden = hidden * 0.5 * (1.0 + torch.erf(hidden / math.sqrt(2.0)))
    centered = hidden - hidden.mean(dim=1, keepdim=True)
    scaled = centered / (centered.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    expected = scaled @ emitter.dense.weight.T
    torch.testing.assert_close(emitter.eval()(vectors), expected, atol=1e-6, rtol=1e-5)
    seen = emitter.train()(torch.ones(64, 4), 0.5)
    assert len(seen.unique(dim=0)) > 1


def test_learning_rates_by_parameter():
    head = build_crf_head(lr_scale=2.0, transitions_lr_scale=30.0)
    scales = {name: head.scale_of(name) for name, _ in Emitter(4, 3, crf=True).named_parameters()}
    assert scales == {
        "dense.weight": 2.0,
        "dense.bias": 2.0,
        "crf.start_transitions": 30.0,
        "crf.transitions": 30.0,
        "crf.end_transitions": 30.0,
    }
    softmax = build_softmax_head(lr_scale=5.0)
    assert not softmax.crf and build_crf_head().crf
    assert softmax.scale_of("dense.weight") == 5.0


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan])
def test_class_weights_have_to_be_positive(weight: float):
    with pytest.raises(
        ValueError, match=f"class_weights: expected .* above 0, got {weight} for 'PER'"
    ):
        build_crf_head(class_weights={"PER": weight})
