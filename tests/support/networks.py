"""A small network with one parameter of each kind, behind a shim."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from spacy_bio_crf.training.torch_shim import TorchShim


class Network(nn.Module):
    """One parameter of each kind: matrix, bias, layer norm, transition scores."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.dense = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.transitions = nn.Parameter(torch.randn(2, 2))


NAMES = ["transitions", "dense.weight", "dense.bias", "norm.weight", "norm.bias"]
DECAYED = {"dense.weight"}


def scale_of(name: str) -> float:
    return 10.0 if name == "transitions" else 1.0


def make_shim(lr_scale: Callable[[str], float] = scale_of, seed: int = 0) -> TorchShim:
    return TorchShim(Network(seed), lr_scale=lr_scale)


def set_gradients(shim: TorchShim, step: int) -> dict[str, np.ndarray]:
    """Give every parameter a gradient, the same for the same step."""
    rng = np.random.default_rng(step)
    gradients = {}
    for name, parameter in shim.network.named_parameters():
        gradients[name] = rng.normal(size=parameter.shape)
        parameter.grad = torch.tensor(gradients[name], dtype=torch.float32)
    return gradients


def weights_of(shim: TorchShim) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy().copy() for name, p in shim.network.named_parameters()}


def assert_close(a: dict[str, np.ndarray], b: dict[str, np.ndarray], atol: float = 2e-6) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=atol, err_msg=name)


class ReferenceAdam:
    """Algorithm 2 of Loshchilov & Hutter 2019, "Decoupled weight decay regularization", with its
    decoupled decay or with the L2 regularisation it is compared to. Everything in float64."""

    def __init__(self, weights: dict[str, np.ndarray], *, decoupled: bool = True):
        self.weights, self.decoupled = dict(weights), decoupled
        self.m = {name: np.zeros_like(w) for name, w in weights.items()}
        self.v = {name: np.zeros_like(w) for name, w in weights.items()}
        self.t = 0

    def step(
        self, gradients: dict[str, np.ndarray], *, lr: float, decay: float = 0.0,
        beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        self.t += 1
        for name, g in gradients.items():
            w, rate = self.weights[name], lr * scale_of(name)
            wd = decay if name in DECAYED else 0.0
            if not self.decoupled:
                g = g + wd * w
            self.m[name] = beta1 * self.m[name] + (1 - beta1) * g
            self.v[name] = beta2 * self.v[name] + (1 - beta2) * g**2
            m = self.m[name] / (1 - beta1**self.t)
            v = self.v[name] / (1 - beta2**self.t)
            new = w - rate * m / (np.sqrt(v) + eps)
            if self.decoupled:
                new = new - rate * wd * w
            self.weights[name] = new
