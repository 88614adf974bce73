"""Dropout from few random numbers: real dropout, by its statistics and beside torch's own."""

import math

import pytest
import torch
from torch import Tensor

from spacy_bio_crf.kernels.dropout import LANES, drop

CPU = torch.device("cpu")
N = 400_000


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.003, 0.97])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_element_is_dropped_with_the_probability_asked_for(p: float, seed: int):
    torch.manual_seed(seed)
    x = torch.arange(1.0, N + 1)
    y = drop(x, p)
    kept = y != 0
    scale = 1 / (1 - round(p * 65536) / 65536)
    torch.testing.assert_close(y, torch.where(kept, x * scale, 0.0), rtol=1e-6, atol=0)
    for lane in range(LANES):
        share = 1 - float(kept[lane::LANES].float().mean())
        # Four and a half standard deviations of a binomial share.
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / (N / LANES)) + 2**-17


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("distance", [1, 2, 3, 4, 8, 384])
def test_elements_do_not_know_of_each_other(p: float, distance: int):
    torch.manual_seed(2)
    kept = (drop(torch.ones(N), p) != 0).double() - (1 - p)
    correlation = float((kept[:-distance] * kept[distance:]).mean()) / (p * (1 - p))
    assert abs(correlation) < 4.5 / math.sqrt(N)


def test_the_mean_stays():
    torch.manual_seed(3)
    x = torch.rand(50, 8)
    mean = torch.stack([drop(x, 0.3) for _ in range(4000)]).mean(0)
    # The standard deviation of one draw is x * sqrt(p / (1 - p)).
    assert float(((mean - x) / x).abs().max()) < 4.5 * math.sqrt(0.3 / 0.7 / 4000)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape_and_type(shape: tuple, dtype: torch.dtype):
    y = drop(torch.ones(shape, dtype=dtype), 0.5)
    assert y.shape == shape and y.dtype == dtype
    assert set(y.flatten().tolist()) <= {0.0, 2.0}


def test_nothing_and_everything():
    x = torch.randn(100)
    assert drop(x, 0.0) is x
    assert torch.equal(drop(x, 1.0), torch.zeros(100))


def test_the_seed_decides():
    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([drop(torch.ones(101), 0.5), drop(torch.ones(101), 0.5)])

    assert torch.equal(draw(5), draw(5))
    assert not torch.equal(draw(5), draw(6))
    assert not torch.equal(draw(5)[:101], draw(5)[101:])


def test_the_gradient_passes_where_the_element_does():
    x = torch.randn(1000, requires_grad=True)
    y = drop(x, 0.25)
    y.backward(torch.ones(1000))
    torch.testing.assert_close(x.grad, torch.where(y != 0, 4 / 3, 0.0))
