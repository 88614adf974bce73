"""The optimiser step of torch networks behind spaCy's `Optimizer`: groups, fused Adam, clipping."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from thinc.api import Optimizer, PyTorchShim, get_torch_default_device, torch2xp, xp2torch
from torch import Tensor, nn

# Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2), with usual constants.
FIRST_SCALE, GROWTH, GROWTH_STEPS = 2.0**16, 2.0, 2000

# The slowest that a moving average of weights becomes: thinc's default.
MOST_DECAY = 0.9999


class TorchShim(PyTorchShim):
    """A torch network inside a thinc layer, trained in groups with a learning rate each.

    thinc's Adam on a CPU is an order of magnitude slower than torch's fused one, and it has no
    groups. So the step reads learning rate, betas, epsilon and decay from the thinc `Optimizer` it
    is given, at every step anew (schedules keep working), and runs torch's fused kernels. An
    optimiser that is not Adam (SGD, RAdam) is called as thinc would call it, parameter by
    parameter. Moving averages of the weights (`use_averages`) are kept where thinc keeps its own.

    network (nn.Module | None): The network; may come later.
    lr_scale (Callable[[str], float]): Factor on the learning rate by parameter name.
    """

    def __init__(self, network: nn.Module | None, *, lr_scale: Callable[[str], float]):
        super().__init__(network)
        self.lr_scale = lr_scale
        self.loss_scale: LossScale | None = None
        self._step: tuple[Any, torch.optim.Optimizer] | None = None

    @property
    def network(self) -> Any:
        """The torch module. RAISES: ValueError before `initialize` or loading has made it."""
        if self._model is None:
            raise ValueError(
                "The model has no weights yet: call nlp.initialize() or load a trained"
                " pipeline first."
            )
        return self._model

    @property
    def device(self) -> torch.device:
        parameter = next(self.network.parameters(), None)
        return get_torch_default_device() if parameter is None else parameter.device

    def set_network(self, network: nn.Module) -> None:
        """Put a network in place, on the device of the active thinc ops.

        network (nn.Module): The network.
        """
        self._model = network.to(get_torch_default_device())
        self._step = None

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """The named parameters that hold a gradient."""
        if self._model is None:
            return []
        return [(n, p) for n, p in self._model.named_parameters() if p.grad is not None]

    def unscale(self) -> bool:
        """Undo the loss scale on the gradients, once a step.

        RETURNS (bool): False if a gradient is not finite, so that the step has to be skipped.
        """
        return self.loss_scale is None or self.loss_scale.unscale([p for _, p in self.trained()])

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts its steps anew: the optimiser's schedules can be neither copied nor pickled.
        return {**self.__dict__, "_step": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An optimiser knows weights by the id of their shim, so a copy has its own.
        self.__dict__.update(state, id=PyTorchShim(None).id)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Take one step with the gradients that have gathered, and clear them.

        optimizer (Optimizer): spaCy's optimiser for this run.
        """
        finite = self.unscale()
        trained = self.trained()
        if finite and trained:
            adam = optimizer.b1 > 0.0 and optimizer.b2 > 0.0 and not optimizer.use_radam
            (self._fused_step if adam else self._thinc_step)(optimizer, trained)
        for _, parameter in trained:
            parameter.grad = None
        if self.loss_scale is not None:
            self.loss_scale.update()

    def _fused_step(self, optimizer: Optimizer, trained: list[tuple[str, nn.Parameter]]) -> None:
        if self._step is None or self._step[0] is not optimizer:
            groups = [
                {"params": params, "lr_scale": scale, "decays": decays}
                for (scale, decays), params in self._groups().items()
            ]
            kind = torch.optim.AdamW if optimizer.L2_is_weight_decay else torch.optim.Adam
            self._step = (optimizer, kind(groups, fused=True))
        step = self._step[1]
        for group in step.param_groups:
            group["lr"] = optimizer.learn_rate * group["lr_scale"]
            group["betas"] = (optimizer.b1, optimizer.b2)
            group["eps"] = optimizer.eps
            group["weight_decay"] = optimizer.L2 if group["decays"] else 0.0
        step.step()
        averages: Any = optimizer.averages
        if averages is None:
            return
        for name, parameter in trained:
            key = (self.id, name)
            weights = parameter.detach()
            if key not in averages:
                averages[key] = torch2xp(weights.clone())
            # The decay that thinc has, so that layers of both kinds are averaged alike.
            optimizer.nr_update[key] += 1
            t = optimizer.nr_update[key]
            average = xp2torch(averages[key], device=parameter.device)
            average.lerp_(weights, 1 - min((1 + t) / (10 + t), MOST_DECAY))

    @contextlib.contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Put other weights in place, and those of now back at the end.

        params (Mapping): By the shim's id and the parameter's name: an optimiser's averages, those
            of other layers among them.
        RAISES: ValueError for weights of another shape.
        """
        parameters = [] if self._model is None else list(self._model.named_parameters())
        others = {
            name: params[self.id, name] for name, _ in parameters if (self.id, name) in params
        }
        before = {name: p.detach().clone() for name, p in parameters if name in others}

        def put(weights: Mapping[str, Tensor]) -> None:
            with torch.no_grad():
                for name, parameter in parameters:
                    if name in weights:
                        parameter.copy_(weights[name])

        for name, parameter in parameters:
            if name in others and others[name].shape != tuple(parameter.shape):
                raise ValueError(
                    f"The weights to use for {name!r} have the shape {others[name].shape}; expected"
                    f" {tuple(parameter.shape)}."
                )
        try:
            put({name: xp2torch(array) for name, array in others.items()})
            yield
        finally:
            put(before)

    def _groups(self) -> dict[tuple[float, bool], list[nn.Parameter]]:
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                key = (self.lr_scale(name), decays(name, parameter))
                groups.setdefault(key, []).append(parameter)
        return groups

    def _thinc_step(self, optimizer: Optimizer, trained: list[tuple[str, nn.Parameter]]) -> None:
        for name, parameter in trained:
            weights: Any = torch2xp(parameter.data)
            gradient: Any = torch2xp(cast(Tensor, parameter.grad))
            decay = optimizer.L2 if decays(name, parameter) else 0.0
            # Not by thinc's own `lr_scale`, which RAdam ignores.
            with _set(optimizer, self.lr_scale(name) * optimizer.learn_rate, decay):
                updated, _ = optimizer((self.id, name), weights, gradient)
            parameter.data = xp2torch(updated, device=parameter.device)


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
        """Multiply a gradient by the factor, where float16 begins in the backward pass.

        gradient (Tensor): Any gradient.
        RETURNS (Tensor): Of the same shape.
        """
        return gradient * self.factor

    def unscale(self, parameters: Iterable[nn.Parameter]) -> bool:
        """Divide the gradients by the factor, at the first call of a step.

        parameters (Iterable[nn.Parameter]): Those with a gradient.
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


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay acts on a parameter: not on biases, layer norms and transition scores.

    name (str): The parameter's name.
    parameter (nn.Parameter): The parameter; vectors are biases or norms.
    RETURNS (bool): True for weight matrices.
    """
    return parameter.ndim > 1 and not name.endswith("transitions")


def clip_global_norm(shims: Iterable[TorchShim], limit: float) -> float:
    """Scale the gradients of several networks so that their common norm is at most `limit`.

    Pascanu et al. 2013, algorithm 1, over all parameters together: clipping each array by itself,
    as thinc does, changes the direction of the step.

    shims (Iterable[TorchShim]): The networks that take a step together.
    limit (float): The greatest norm; 0 clips nothing.
    RETURNS (float): The norm before clipping; 0.0 when there is nothing to clip.
    """
    # A network whose gradients have overflowed skips this step; the others take theirs.
    shims = [shim for shim in shims if shim.trained() and shim.unscale()] if limit else []
    if not shims:
        return 0.0
    grads = [p.grad for shim in shims for _, p in shim.trained() if p.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
    # A pass over all gradients, where there is something to scale. One that is no number spoils
    # them all, as in torch.
    if not norm <= limit:
        torch._foreach_mul_(grads, limit / (norm + 1e-6))
    return norm


@contextlib.contextmanager
def _set(optimizer: Optimizer, learn_rate: float, decay: float) -> Iterator[None]:
    before = optimizer.learn_rate, optimizer.L2
    optimizer.learn_rate, optimizer.L2 = learn_rate, decay
    try:
        yield
    finally:
        optimizer.learn_rate, optimizer.L2 = before
