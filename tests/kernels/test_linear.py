"""Linear layers by oneDNN: torch's results, where they are meant to be computed so."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from spacy_bio_crf.kernels import mode
from spacy_bio_crf.kernels.linear import has_linear
from spacy_bio_crf.kernels.linear import linear as by_onednn
from spacy_bio_crf.kernels.mode import FastKernels, fast_kernels
from spacy_bio_crf.kernels.precision import autocast
from tests.support.encoder_tools import TEXTS, all_rows, docs_of
from tests.support.tiny_models import make_encoder

CPU = torch.device("cpu")
AMD = {"cpu_name": "AMD EPYC", "avx512_f": True}
NAME = "mkldnn::_linear_pointwise"

needs_onednn = pytest.mark.skipif(not has_linear(), reason="this torch has no oneDNN")


class ByOneDnn(FastKernels):
    """Linear layers by oneDNN, whatever the processor."""

    def __init__(self) -> None:
        super().__init__({functional.linear: by_onednn})


def pretend(monkeypatch: pytest.MonkeyPatch, **capabilities: object) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def calls_of(work) -> list[str]:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    return [event.name for event in seen.events()]


@needs_onednn
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (2, 1, 3, 7), (0, 7), (7,)])
@pytest.mark.parametrize("bias", [False, True])
def test_results_and_gradients_are_torch_s(shape: tuple[int, ...], bias: bool):
    torch.manual_seed(0)
    linear = nn.Linear(7, 4, bias=bias)
    x = torch.randn(shape)
    results = []
    made: list[Tensor] = []
    for ours in (False, True):
        x = x.detach().requires_grad_(True)
        linear.zero_grad()
        with ByOneDnn() if ours else torch.enable_grad():
            names = calls_of(lambda x=x: made.append(linear(x)))
        assert (NAME in names) == (ours and x.numel() > 0)
        y = made.pop()
        (y * torch.arange(1.0, y.numel() + 1).view(y.shape)).sum().backward()
        results.append([y, x.grad, *(p.grad for p in linear.parameters())])
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("n", [5, 64])
def test_results_may_be_written_to(n: int):
    torch.manual_seed(0)
    linear = nn.Linear(7, 4)
    gradients = []
    for ours in (False, True):
        x = torch.arange(n * 7.0).view(1, n, 7).div(100).requires_grad_(True)
        with ByOneDnn() if ours else torch.enable_grad():
            functional.relu_(linear(x).add_(0.5).mul_(2.0)).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


def strange() -> dict[str, tuple[Tensor, Tensor, Tensor | None]]:
    """Inputs, weights and biases that torch takes, and modules of it never make."""
    torch.manual_seed(0)
    x, weight = torch.randn(5, 7), torch.randn(4, 7)
    return {
        "one bias for all": (x, weight, torch.randn(1)),
        "a bias without dimensions": (x, weight, torch.tensor(3.0)),
        "a bias for each row": (x, weight, torch.randn(5, 4)),
        "a bias that is repeated": (x, weight, torch.randn(1).expand(4)),
        "every second bias": (x, weight, torch.randn(8)[::2]),
        "a weight for one output": (x, torch.randn(7), None),
        "no output": (x, torch.randn(0, 7), None),
        "transposed": (torch.randn(7, 5).t(), torch.randn(7, 4).t(), torch.randn(4)),
        "one row for all": (torch.randn(1, 7).expand(5, 7), weight, None),
    }


@needs_onednn
@pytest.mark.parametrize("kind", list(strange()))
def test_whatever_torch_takes_gives_what_torch_gives(kind: str):
    x, weight, bias = strange()[kind]
    expected = functional.linear(x, weight, bias)
    with ByOneDnn():
        torch.testing.assert_close(functional.linear(x, weight, bias), expected)


def test_errors_are_torch_s():
    with ByOneDnn(), pytest.raises(RuntimeError, match="cannot be multiplied"):
        functional.linear(torch.randn(5, 6), torch.randn(4, 7))


@needs_onednn
def test_few_numbers_of_rows_are_asked_for():
    """Every one costs memory for ever."""
    linear = nn.Linear(7, 4)
    shapes = set()
    for n in range(1, 200):
        x = torch.randn(n, 7, requires_grad=True)
        with (
            ByOneDnn(),
            profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen,
        ):
            linear(x).sum().backward()
        shapes |= {str(e.input_shapes[:2]) for e in seen.events() if e.name == NAME}
    # For each of 64, 128, 192 and 256 rows the product and the gradients of inputs and of weights.
    assert len(shapes) == 4 * 3


@needs_onednn
def test_onednn_switched_off_is_not_used(monkeypatch):
    pretend(monkeypatch, **AMD)
    linear, x = nn.Linear(7, 4), torch.randn(3, 7)
    for on in (False, True):
        with torch.backends.mkldnn.flags(enabled=on), fast_kernels(CPU, training=False):
            assert (NAME in calls_of(lambda: linear(x))) == on


@needs_onednn
def test_gradients_of_what_learns_only():
    torch.manual_seed(0)
    linear = nn.Linear(7, 4)
    linear.weight.requires_grad_(False)
    x = torch.randn(5, 7)
    with ByOneDnn():
        linear(x).sum().backward()
        assert linear.weight.grad is None and torch.equal(linear.bias.grad, torch.full((4,), 5.0))
        linear.requires_grad_(False)
        assert not linear(x).requires_grad


@needs_onednn
def test_exact_gradients():
    """By finite differences, in a float32 that these numbers fit exactly."""
    weight = torch.randint(-4, 5, (3, 6)).float().requires_grad_(True)
    x = torch.randint(-4, 5, (5, 6)).float().requires_grad_(True)
    bias = torch.randint(-4, 5, (3,)).float().requires_grad_(True)
    coefficients = torch.randint(-4, 5, (5, 3)).float()
    tensors = (x, weight, bias)

    def loss() -> Tensor:
        with ByOneDnn():
            return (functional.linear(*tensors) * coefficients).sum()

    loss().backward()
    for tensor in tensors:
        for i in range(tensor.numel()):
            with torch.no_grad():
                tensor.view(-1)[i] += 1.0
                above = loss()
                tensor.view(-1)[i] -= 2.0
                below = loss()
                tensor.view(-1)[i] += 1.0
            assert float(tensor.grad.view(-1)[i]) == float(above - below) / 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_go_torch_s_way(dtype: torch.dtype):
    linear = nn.Linear(7, 4, dtype=dtype)
    x = torch.randn(3, 7, dtype=dtype)
    expected = linear(x)
    with ByOneDnn():
        assert NAME not in calls_of(lambda: linear(x))
        assert torch.equal(linear(x), expected)


def test_autocast_goes_torch_s_way():
    linear, x = nn.Linear(7, 4), torch.randn(3, 7)
    with ByOneDnn(), autocast("bf16", CPU):
        assert linear(x).dtype == torch.bfloat16


@needs_onednn
def test_an_encoder_predicts_with_it(tiny_encoder, monkeypatch):
    _, shim = make_encoder(tiny_encoder)
    subwords = shim.text.cut(docs_of(TEXTS))
    vectors = {}
    for name, capabilities in (("AMD", AMD), ("other", {})):
        pretend(monkeypatch, **capabilities)
        vectors[name], _ = shim.run(subwords, all_rows(subwords), train=False)
        names = calls_of(lambda: shim.run(subwords, all_rows(subwords), train=False))
        assert (NAME in names) == (name == "AMD")
        assert ("aten::linear" in names) == (name == "other")
    torch.testing.assert_close(vectors["AMD"], vectors["other"], rtol=1e-4, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("checkpoints", [False, True])
def test_an_encoder_learns_with_it(tiny_encoder, monkeypatch, checkpoints):
    gradients = {}
    for name, capabilities in (("AMD", AMD), ("other", {})):
        pretend(monkeypatch, **capabilities)
        _, shim = make_encoder(tiny_encoder, dropout=0.0, gradient_checkpointing=checkpoints)
        subwords = shim.text.cut(docs_of(TEXTS))
        vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
        d_vectors = torch.linspace(-1, 1, vectors.numel()).view(vectors.shape)
        names = calls_of(lambda b=backprop, d=d_vectors: b(d))
        # The backward pass, and with checkpoints the layers that are computed again.
        assert (NAME in names) == (name == "AMD")
        assert ("aten::linear" in names) == (checkpoints and name == "other")
        gradients[name] = [p.grad for _, p in shim.trained()]
    assert len(gradients["AMD"]) > 10
    for a, b in zip(gradients["AMD"], gradients["other"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_without_onednn_torch_computes(tiny_encoder, monkeypatch):
    pretend(monkeypatch, **AMD)
    monkeypatch.setattr(mode, "has_linear", lambda: False)
    _, shim = make_encoder(tiny_encoder)
    subwords = shim.text.cut(docs_of(TEXTS))
    assert NAME not in calls_of(lambda: shim.run(subwords, all_rows(subwords), train=False))
