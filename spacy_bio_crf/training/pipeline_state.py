"""State of a pipeline in training: weights, moments, averages, schedules and loss scales."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from spacy.language import Language
from thinc.api import Model, Optimizer, PyTorchShim, get_current_ops, to_numpy
from thinc.shims import Shim
from torch import Tensor

from .random_states import States
from .torch_shim import TorchShim

Tensors = dict[str, Tensor]

# Dictionaries of thinc's optimizer by parameter, and its numbers.
_ARRAYS = ("mom1", "mom2", "averages")
_COUNTS = ("nr_update", "last_seen")
_RATES = ("grad_clip", "learn_rate", "b1", "b2", "eps", "L2")


class PipelineState:
    """Reads and sets the state of a pipeline that is trained with an optimizer.

    A parameter is called by its component, its layer's number and its own name, because thinc's
    numbers of layers differ from process to process.

    nlp (Language): The pipeline.
    optimizer (Optimizer): Its optimizer.
    frozen (Sequence[str]): Components that are not trained, and left out.
    """

    def __init__(self, nlp: Language, optimizer: Optimizer, frozen: Sequence[str] = ()):
        self.nlp = nlp
        self.optimizer = optimizer
        self.pipes = [(name, pipe) for name, pipe in nlp.pipeline if name not in frozen]

    def read(self) -> tuple[Tensors, dict[str, Any]]:
        """Read the state between two steps.

        RETURNS (tuple[dict, dict]): Tensors on the CPU, copied, and values that JSON can hold.
        """
        tensors: Tensors = {}
        values: dict[str, Any] = {"shims": {}, "attrs": {}}
        for name, node in self.nodes():
            # Rates of dropout among them, which are saved with a model.
            plain = {k: v for k, v in node.attrs.items() if isinstance(v, bool | int | float | str)}
            values["attrs"][name] = plain
            for param in node.param_names:
                if node.has_param(param):
                    tensors[f"weights/{name}/{param}"] = _copy(node.get_param(param))
                if node.has_grad(param):
                    tensors[f"gradients/{name}/{param}"] = _copy(node.get_grad(param))
        for name, shim in self.shims():
            if not isinstance(shim, PyTorchShim):
                tensors[f"bytes/{name}"] = pack(shim.to_bytes())
            elif shim._model is not None:
                values["shims"][name] = self._read_torch(shim, name, tensors)
        for name, settings in self._settings():
            tensors[f"settings/{name}"] = pack(settings)
        values["optimizer"] = self._read_optimizer(tensors)
        return tensors, values

    def set(self, tensors: Tensors, values: dict[str, Any], *, steps: int) -> None:
        """Set the state that `read` gave, in a pipeline of the same configuration.

        tensors, values: The results of `read`.
        steps (int): Steps taken, for the schedules of the optimizer.
        """
        for name, settings in self._settings():
            saved = tensors[f"settings/{name}"].numpy().tobytes()
            if saved != settings:
                pipe: Any = self.nlp.get_pipe(name)
                if (trees := getattr(pipe, "trees", None)) is not None:
                    # A lemmatizer of spaCy adds what it reads to the trees that it has.
                    pipe.trees = type(trees)(self.nlp.vocab.strings)
                pipe.from_bytes(saved, exclude=["model", "vocab"])
        for name, node in self.nodes():
            node.attrs.update(values["attrs"][name])
            for param in node.param_names:
                if (weights := tensors.get(f"weights/{name}/{param}")) is not None:
                    node.set_param(param, node.ops.asarray(weights.numpy().copy()))
                if (gradient := tensors.get(f"gradients/{name}/{param}")) is not None:
                    node.set_grad(param, node.ops.asarray(gradient.numpy().copy()))
        for name, shim in self.shims():
            if name in values["shims"]:
                self._set_torch(shim, name, tensors, values["shims"][name])
            elif (saved_shim := tensors.get(f"bytes/{name}")) is not None:
                shim.from_bytes(saved_shim.numpy().tobytes())
        self._set_optimizer(tensors, values["optimizer"], steps)

    def grow(self, tensors: Tensors) -> None:
        """Make weights that the pipeline has after its first step alone, if they are in a state."""
        for name, shim in self.shims():
            if isinstance(shim, TorchShim):
                shim.grow(_below(tensors, f"weights/{name}/"))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """RETURNS (dict[str, tuple]): Shapes of the weights, by names as in `read`."""
        found = {}
        for name, node in self.nodes():
            for param in node.param_names:
                if node.has_param(param):
                    found[f"weights/{name}/{param}"] = tuple(node.get_param(param).shape)
        for name, shim in self.shims():
            if isinstance(shim, PyTorchShim) and shim._model is not None:
                for param, value in shim._model.state_dict().items():
                    found[f"weights/{name}/{param}"] = tuple(value.shape)
        return found

    def nodes(self) -> Iterator[tuple[str, Any]]:
        """YIELDS (tuple[str, Model]): Each layer with its name, once."""
        seen: set[int] = set()
        for pipe_name, pipe in self.pipes:
            model = getattr(pipe, "model", None)
            if isinstance(model, Model):
                for i, node in enumerate(model.walk()):
                    if node.id not in seen:
                        seen.add(node.id)
                        yield f"{pipe_name}/{i}", node

    def shims(self) -> Iterator[tuple[str, Any]]:
        """YIELDS (tuple[str, Shim]): Each shim with its name, once."""
        seen: set[int] = set()
        for name, node in self.nodes():
            for i, shim in enumerate(node.shims):
                if isinstance(shim, Shim) and shim.id not in seen:
                    seen.add(shim.id)
                    yield f"{name}/shim{i}", shim

    def _settings(self) -> Iterator[tuple[str, bytes]]:
        """What components hold beside their model; some learn it, as a lemmatizer its trees."""
        for name, pipe in self.pipes:
            if getattr(pipe, "is_trainable", False) and hasattr(pipe, "to_bytes"):
                yield name, pipe.to_bytes(exclude=["model", "vocab"])

    def _read_torch(self, shim: Any, name: str, tensors: Tensors) -> dict[str, Any]:
        for param, value in shim._model.state_dict().items():
            tensors[f"weights/{name}/{param}"] = _copy(value)
        if isinstance(shim, TorchShim):
            for key, value in shim.step_state().items():
                tensors[f"step/{name}/{key}"] = _copy(value)
            return {} if shim.loss_scale is None else {"loss_scale": shim.loss_scale.state()}
        scaler = shim._grad_scaler
        return {
            "scale": [float(scaler._scale), int(scaler._growth_tracker)],
            "gradients": [n for n, p in shim._model.named_parameters() if p.grad is not None],
        }

    def _set_torch(self, shim: Any, name: str, tensors: Tensors, values: dict[str, Any]) -> None:
        shim._model.load_state_dict(_below(tensors, f"weights/{name}/"))
        if isinstance(shim, TorchShim):
            shim.set_step_state(self.optimizer, _below(tensors, f"step/{name}/"))
            if shim.loss_scale is not None:
                shim.loss_scale.set_state(values["loss_scale"])
            return
        scale, growth = values["scale"]
        shim._grad_scaler._scale.fill_(scale)
        shim._grad_scaler._growth_tracker.fill_(growth)
        for param, parameter in shim._model.named_parameters():
            # thinc takes a step with a gradient of zero, and none without a gradient.
            if param in values["gradients"]:
                parameter.grad = torch.zeros_like(parameter)

    def _keys(self) -> dict[tuple[int, str], str]:
        """Names of parameters by the keys of thinc's optimizer."""
        keys = {}
        for name, node in self.nodes():
            keys.update({(node.id, param): f"{name}/{param}" for param in node.param_names})
        for name, shim in self.shims():
            if isinstance(shim, PyTorchShim) and shim._model is not None:
                params = [param for param, _ in shim._model.named_parameters()]
                keys.update({(shim.id, param): f"{name}/{param}" for param in params})
        return keys

    def _read_optimizer(self, tensors: Tensors) -> dict[str, Any]:
        optimizer, keys = self.optimizer, self._keys()
        for kind in _ARRAYS:
            for key, array in (getattr(optimizer, kind) or {}).items():
                if key in keys:
                    tensors[f"{kind}/{keys[key]}"] = _copy(array)
        counts = {
            kind: {keys[k]: int(n) for k, n in getattr(optimizer, kind).items() if k in keys}
            for kind in _COUNTS
        }
        rates = {rate: float(getattr(optimizer, rate)) for rate in _RATES}
        return {**counts, "rates": rates, "radam": optimizer._radam_buffer}

    def _set_optimizer(self, tensors: Tensors, values: dict[str, Any], steps: int) -> None:
        optimizer, ops = self.optimizer, get_current_ops()
        # Schedules are generators, which can only be run again.
        for _ in range(steps):
            optimizer.step_schedules()
        for key, name in self._keys().items():
            for kind in _ARRAYS:
                of_kind = getattr(optimizer, kind)
                if of_kind is not None and (array := tensors.get(f"{kind}/{name}")) is not None:
                    of_kind[key] = ops.asarray(array.numpy().copy())
            for kind in _COUNTS:
                if name in values[kind]:
                    getattr(optimizer, kind)[key] = values[kind][name]
        for rate, value in values["rates"].items():
            setattr(optimizer, rate, value)
        optimizer._radam_buffer = values["radam"]


def add_labels(nlp: Language, labels: Mapping[str, Sequence[str]]) -> None:
    """Add labels that have come up in a training to components that take them from batches.

    nlp (Language): The pipeline, as it was before the training.
    labels (Mapping[str, Sequence[str]]): The labels of each component since.
    """
    for name, pipe in nlp.pipeline:
        known, found = list(nlp.pipe_labels.get(name, ())), labels.get(name, ())
        if getattr(pipe, "is_resumed", False) and list(found[: len(known)]) == known:
            for label in found[len(known) :]:
                pipe.add_label(label)  # type: ignore[attr-defined]


def _copy(array: Any) -> Tensor:
    """A copy of an array or tensor, on the CPU."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone().contiguous()
    return torch.from_numpy(to_numpy(array).copy())


def pack(data: bytes) -> Tensor:
    """RETURNS (Tensor): Bytes as uint8 [n]."""
    # torch makes no tensor of an empty buffer.
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0).byte()


def pack_states(states: Mapping[Any, States]) -> Tensors:
    """RETURNS (Tensors): Random states by a name or number, as tensors."""
    return {
        f"random/{name}/{source}": pack(state)
        for name, own in states.items()
        for source, state in own.items()
    }


def unpack_states(tensors: Tensors) -> dict[str, States]:
    """RETURNS (dict[str, States]): What `pack_states` packed, out of all tensors."""
    found: dict[str, States] = {}
    for key, state in _below(tensors, "random/").items():
        name, _, source = key.partition("/")
        found.setdefault(name, {})[source] = state.numpy().tobytes()
    return found


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {key[len(prefix) :]: t for key, t in tensors.items() if key.startswith(prefix)}
