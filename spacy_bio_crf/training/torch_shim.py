"""A torch network inside a thinc layer: device, gradients, steps and averages."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from thinc.api import Optimizer, PyTorchShim, get_torch_default_device, torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import describe
from .optimizer import (
    FusedStep,
    LossScale,
    Scale,
    average_weights,
    clip_gradients,
    has_spacys_rate,
    take_thinc_step,
)


class SparseGradient(Protocol):
    """The gradient [n, e] of a parameter that is zero but for some rows."""

    def rows(self, weight: Tensor) -> Tensor | None:
        """RETURNS (Tensor | None): The rows; None if others may have a gradient."""

    def add(self, weight: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Add a gradient [m, e] to some rows [m]."""


class TorchShim(PyTorchShim):
    """A torch network inside a thinc layer, trained in groups with a learning rate each.

    network (nn.Module | None): The network; may come later.
    lr_scale (Scale): Factor on the learning rate, by parameter name.
    """

    # The gradient of a transformer's vocabulary, a `SparseGradient`, if it is kept by rows.
    row_gradient: Any = None

    def __init__(self, network: nn.Module | None, *, lr_scale: Scale):
        super().__init__(network)
        self.lr_scale = lr_scale
        self.loss_scale: LossScale | None = None
        # The learning rate where the optimizer has spaCy's, because nobody has chosen one.
        self.default_rate: float | None = None
        # How often the weights have been changed by what this class does.
        self.changes = 0
        self._step: FusedStep | None = None
        # Shapes of parameters at the last step, if they have grown since.
        self._shapes: dict[str, torch.Size] = {}

    @property
    def network(self) -> Any:
        """The network. RAISES: ValueError before there is one."""
        if self._model is None:
            raise ValueError(
                "The model has no weights yet: call nlp.initialize() or load a trained"
                " pipeline first."
            )
        return self._model

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        parameter = next(self.network.parameters(), None)
        return get_torch_default_device() if parameter is None else parameter.device

    def set_network(self, network: nn.Module) -> None:
        """Put a network in place, on the device of the active thinc ops."""
        self._model = network.to(get_torch_default_device())
        self.changes += 1
        self._step = None
        self._shapes = {}

    def widen_network(self, network: nn.Module) -> None:
        """Put a network in place whose parameters hold the present ones, and more behind them.

        Gradients and the optimizer's state of the present ones stay.
        """
        optimizer = None if self._step is None else self._step.optimizer
        moments, before = self.step_state(), dict(self.network.named_parameters())
        shapes = {name: p.shape for name, p in before.items()} | self._shapes
        self.set_network(network)
        for name, parameter in self.network.named_parameters():
            if (gradient := before[name].grad) is not None:
                parameter.grad = widened(gradient, torch.zeros_like(parameter))
        if optimizer is not None:
            new = {name: torch.zeros_like(p) for name, p in self.network.named_parameters()}
            self.set_step_state(
                optimizer,
                {
                    # The number of steps is one for all of a parameter.
                    key: widened(value, new[key.partition("/")[2]]) if value.ndim else value
                    for key, value in moments.items()
                },
            )
        self._shapes = shapes

    def _widen_state(self, optimizer: Optimizer) -> None:
        """Bring what thinc's optimizer keeps of parameters to the size that they have now."""
        averages: Any = optimizer.averages
        both: Any = (optimizer.mom1, optimizer.mom2)
        for name, parameter in self.network.named_parameters():
            key = (self.id, name)
            if name in self._shapes and averages is not None and key in averages:
                average = xp2torch(averages[key], device=parameter.device)
                averages[key] = torch2xp(widened(average, parameter))
            for moments in both:
                if name in self._shapes and key in moments:
                    moment = xp2torch(moments[key], device=parameter.device)
                    whole = widened(moment.view(self._shapes[name]), torch.zeros_like(parameter))
                    moments[key] = torch2xp(whole.view(-1))
        self._shapes = {}

    def grow(self, names: Iterable[str]) -> None:
        """Make parameters of these names that only the first step of a training makes, if any."""

    def prepare(self) -> None:
        """Make what the first step of a training makes, before it."""

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters that hold a gradient."""
        if self._model is None:
            return []
        return [(n, p) for n, p in self._model.named_parameters() if p.grad is not None]

    def rate(self, optimizer: Optimizer) -> float:
        """The learning rate of the next step, without factors."""
        if self.default_rate is not None and has_spacys_rate(optimizer):
            return self.default_rate
        return optimizer.learn_rate

    def unscale(self) -> bool:
        """Undo the loss scale on the gradients, once a step.

        RETURNS (bool): False if a gradient is not finite, so that the step has to be skipped.
        """
        return self.loss_scale is None or self.loss_scale.unscale([p for _, p in self.trained()])

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts its steps anew: the optimizer's schedules can't be copied or pickled.
        return {**self.__dict__, "_step": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An optimizer knows weights by the id of their shim, so a copy has its own.
        self.__dict__.update(state, id=PyTorchShim(None).id)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Take one step with the gathered gradients, and clear them."""
        finite = self.unscale()
        trained = self.trained()
        if finite and trained:
            self.changes += 1
            if self._shapes:
                self._widen_state(optimizer)
            if optimizer.b1 > 0.0 and optimizer.b2 > 0.0 and not optimizer.use_radam:
                if self._step is None or self._step.optimizer is not optimizer:
                    self._step = FusedStep(optimizer, self.network, self.lr_scale)
                self._step.take(self.rate(optimizer))
                # Averages are kept where thinc keeps its own.
                average_weights(optimizer, self.id, trained)
            else:
                self._thinc_step(optimizer, trained)
        for _, parameter in trained:
            parameter.grad = None
        if self.loss_scale is not None:
            self.loss_scale.update()

    def step_state(self) -> dict[str, Tensor]:
        """RETURNS (dict[str, Tensor]): Moments of torch's optimizer; empty before a step."""
        return {} if self._step is None else self._step.state(self.network)

    def set_step_state(self, optimizer: Optimizer, state: Mapping[str, Tensor]) -> None:
        """Set what `step_state` gave, for steps with this optimizer; what it keeps of parameters
        has their present size."""
        self._step = None
        self._shapes = {}
        if state:
            self._step = FusedStep(optimizer, self.network, self.lr_scale)
            self._step.set_state(self.network, state)

    def _thinc_step(self, optimizer: Optimizer, trained: list[tuple[str, nn.Parameter]]) -> None:
        take_thinc_step(optimizer, self.id, trained, self.lr_scale, self.rate(optimizer))

    @contextlib.contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Put other weights in place, and the present ones back at the end.

        params (Mapping): Weights by the shim's id and the parameter's name: the averages of an
            optimizer, with those of other layers.
        RAISES: ValueError for weights of another shape.
        """
        parameters = [] if self._model is None else list(self._model.named_parameters())
        others = {
            name: params[self.id, name] for name, _ in parameters if (self.id, name) in params
        }
        for name, parameter in parameters:
            if name in others and name in self._shapes:
                others[name] = torch2xp(widened(xp2torch(others[name]), parameter))
        before = {name: p.detach().clone() for name, p in parameters if name in others}

        def put(weights: Mapping[str, Tensor]) -> None:
            self.changes += bool(weights)
            with torch.no_grad():
                for name, parameter in parameters:
                    if name in weights:
                        parameter.copy_(weights[name])

        for name, parameter in parameters:
            if name in others and others[name].shape != tuple(parameter.shape):
                expected = f"the shape {tuple(parameter.shape)}"
                raise ValueError(
                    describe(f"weights for {name!r}", expected=expected, got=others[name].shape)
                )
        try:
            put({name: xp2torch(array) for name, array in others.items()})
            yield
        finally:
            put(before)


def widened(values: Tensor, new: Tensor) -> Tensor:
    """RETURNS (Tensor): A copy of `new`, of the same or a larger shape, that begins with `values`
    in each dimension."""
    result = new.detach().clone()
    result[tuple(map(slice, values.shape))] = values.to(new.device)
    return result


def clip_global_norm(shims: Iterable[TorchShim], limit: float) -> float:
    """Scale the gradients of several networks so that their common norm is at most `limit`.

    shims (Iterable[TorchShim]): The networks that take a step together.
    limit (float): The greatest norm; 0 clips nothing.
    RETURNS (float): The norm before clipping; 0.0 if there is nothing to clip.
    """
    # A network whose gradients have overflowed skips this step; the others take theirs.
    shims = [shim for shim in shims if shim.trained() and shim.unscale()] if limit else []
    if not shims:
        return 0.0
    gradients = [p.grad for shim in shims for _, p in shim.trained() if p.grad is not None]
    return clip_gradients(gradients, limit)
