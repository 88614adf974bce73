"""Optimizer steps of torch networks behind spaCy's `Optimizer`, loss scaling and clipping."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.optimizers import ADAM_DEFAULTS
from torch import Tensor, nn

# Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2), with usual constants.
FIRST_SCALE, GROWTH, GROWTH_STEPS = 2.0**16, 2.0, 2000

# spaCy's learning rate where nobody has chosen one. No pre-trained transformer survives it.
SPACYS_RATE = float(ADAM_DEFAULTS["learn_rate"])

# The slowest moving average of weights: thinc's default.
MOST_DECAY = 0.9999

Named = Sequence[tuple[str, nn.Parameter]]
Scale = Callable[[str], float]  # factor on the learning rate, by parameter name


def has_spacys_rate(optimizer: Optimizer) -> bool:
    """Whether the learning rate is spaCy's own, because nobody has chosen one."""
    return optimizer.learn_rate == SPACYS_RATE and "learn_rate" not in optimizer.schedules


class FusedStep:
    """torch's fused Adam with the settings of a thinc `Optimizer`, and a learning rate by group.

    thinc's Adam on a CPU is an order of magnitude slower, and has no groups. Each step reads the
    learning rate, betas, epsilon and decay anew, so that schedules keep working.

    optimizer (Optimizer): spaCy's optimizer, an Adam.
    network (nn.Module): The network.
    lr_scale (Scale): Factor on the learning rate, by parameter name.
    """

    def __init__(self, optimizer: Optimizer, network: nn.Module, lr_scale: Scale):
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                key = (lr_scale(name), decays(name, parameter))
                groups.setdefault(key, []).append(parameter)
        kind = torch.optim.AdamW if optimizer.L2_is_weight_decay else torch.optim.Adam
        self.optimizer = optimizer
        self._torch = kind(
            [
                {"params": params, "lr_scale": scale, "decays": decaying}
                for (scale, decaying), params in groups.items()
            ],
            fused=True,
        )

    def take(self, rate: float) -> None:
        """Take a step with the gradients of the network, at a rate times each group's factor."""
        optimizer = self.optimizer
        for group in self._torch.param_groups:
            group["lr"] = rate * group["lr_scale"]
            group["betas"] = (optimizer.b1, optimizer.b2)
            group["eps"] = optimizer.eps
            group["weight_decay"] = optimizer.L2 if group["decays"] else 0.0
        self._torch.step()

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """RETURNS (dict[str, Tensor]): Moments and steps as "moment/parameter"; not copied."""
        return {
            f"{kind}/{name}": value
            for name, parameter in network.named_parameters()
            for kind, value in self._torch.state.get(parameter, {}).items()
        }

    def set_state(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Set what `state` gave, for a network with parameters of the same names."""
        parameters = dict(network.named_parameters())
        for key, value in state.items():
            kind, _, name = key.partition("/")
            parameter = parameters[name]
            self._torch.state[parameter][kind] = value.to(parameter.device, copy=True)


def take_thinc_step(
    optimizer: Optimizer, owner: int, trained: Named, lr_scale: Scale, rate: float
) -> None:
    """Call an optimizer that is not Adam (SGD, RAdam) as thinc does, parameter by parameter.

    optimizer (Optimizer): spaCy's optimizer.
    owner (int): The id of the parameters' shim.
    trained (Named): The parameters that hold a gradient.
    lr_scale (Scale): Factor on the learning rate, by parameter name.
    rate (float): The learning rate.
    """
    for name, parameter in trained:
        weights: Any = torch2xp(parameter.data)
        gradient: Any = torch2xp(cast(Tensor, parameter.grad))
        decay = optimizer.L2 if decays(name, parameter) else 0.0
        # Not by thinc's own `lr_scale`, which RAdam ignores.
        with _set(optimizer, lr_scale(name) * rate, decay):
            updated, _ = optimizer((owner, name), weights, gradient)
        parameter.data = xp2torch(updated, device=parameter.device)


def average_weights(optimizer: Optimizer, owner: int, trained: Named) -> None:
    """Update the moving averages of weights, if the optimizer keeps some (`use_averages`).

    The arguments are those of `take_thinc_step`.
    """
    averages: Any = optimizer.averages
    if averages is None:
        return
    for name, parameter in trained:
        key = (owner, name)
        weights = parameter.detach()
        if key not in averages:
            averages[key] = torch2xp(weights.clone())
        # The decay of thinc, so that layers of both kinds are averaged alike.
        optimizer.nr_update[key] += 1
        t = optimizer.nr_update[key]
        average = xp2torch(averages[key], device=parameter.device)
        average.lerp_(weights, 1 - min((1 + t) / (10 + t), MOST_DECAY))


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Decide on weight decay: not for biases and norms, which are vectors, and transitions."""
    return parameter.ndim > 1 and not name.endswith("transitions")


class LossScale:
    """A factor on the gradient that keeps small values of float16 above zero.

    The factor halves after an overflow, and doubles after `GROWTH_STEPS` steps without one.
    torch.amp.GradScaler does the same for a torch optimizer that exists before the first step. Here
    the optimizer is spaCy's, and clipping must know of an overflow before any step.
    """

    def __init__(self) -> None:
        self.factor = FIRST_SCALE
        self._good = 0
        self._finite: bool | None = None

    def scale(self, gradient: Tensor) -> Tensor:
        """Multiply a gradient by the factor, where float16 begins in the backward pass."""
        return gradient * self.factor

    def unscale(self, parameters: Iterable[nn.Parameter]) -> bool:
        """Divide the gradients by the factor, at the first call of a step.

        RETURNS (bool): Whether all gradients are finite.
        """
        if self._finite is None:
            grads = [p.grad for p in parameters if p.grad is not None]
            self._finite = True
            if grads:
                torch._foreach_mul_(grads, 1.0 / self.factor)
                total = torch.stack(torch._foreach_norm(grads)).sum()
                self._finite = bool(torch.isfinite(total))
        return self._finite

    def update(self) -> None:
        """End a step: shrink after an overflow, grow after a long run without one."""
        if self._finite is False:
            self.factor, self._good = self.factor / GROWTH, 0
        elif self._finite:
            self._good += 1
            if self._good == GROWTH_STEPS:
                self.factor, self._good = self.factor * GROWTH, 0
        self._finite = None

    def state(self) -> tuple[float, int]:
        """RETURNS (tuple[float, int]): The factor, and the steps since the last overflow."""
        return self.factor, self._good

    def set_state(self, state: Sequence[float]) -> None:
        """Set what `state` gave."""
        self.factor, self._good = float(state[0]), int(state[1])


def clip_gradients(gradients: Sequence[Tensor], limit: float) -> float:
    """Scale gradients so that their common norm is at most `limit`.

    Pascanu et al. 2013, algorithm 1, over all parameters together: clipping each array by itself,
    as thinc does, changes the direction of the step.

    gradients (Sequence[Tensor]): The gradients, at least one; changed in place.
    limit (float): The greatest norm.
    RETURNS (float): The norm before clipping.
    """
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients)))))
    # A pass over all gradients, if there is something to scale. A norm of NaN spoils them all, as
    # in torch.
    if not norm <= limit:
        torch._foreach_mul_(list(gradients), limit / (norm + 1e-6))
    return norm


@contextlib.contextmanager
def _set(optimizer: Optimizer, learn_rate: float, decay: float) -> Iterator[None]:
    before = optimizer.learn_rate, optimizer.L2
    optimizer.learn_rate, optimizer.L2 = learn_rate, decay
    try:
        yield
    finally:
        optimizer.learn_rate, optimizer.L2 = before
