"""Steps that several processes take together, each with its share of every batch."""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from spacy.pipeline.transition_parser import Parser
from spacy.training import Example
from thinc.api import Model, PyTorchShim, fix_random_seed, torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import Plain, TrainingError, describe
from .pipeline_state import PipelineState
from .processes import Processes, share_out
from .random_states import (
    States,
    read_cpu_states,
    read_random_states,
    set_cpu_states,
    set_random_states,
)
from .torch_shim import SparseGradient, TorchShim

# Packages whose components sum their gradients over a batch: the sum over shares is then exact.
_SUMMING = ("spacy", "spacy_bio_crf", "spacy_transformers")


class SharedSteps:
    """Steps of one training that several processes take together.

    All draw the same batches, with the random states of rank 0. Each trains on its share, with
    states of NumPy and torch of its own, and all take the step of the summed gradients.

    state (PipelineState): The pipeline.
    processes (Processes): The processes.
    """

    def __init__(self, state: PipelineState, processes: Processes):
        self.processes = processes
        self._state = state
        self._pipes: list[Any] = [
            pipe for _, pipe in state.pipes if getattr(pipe, "is_trainable", False)
        ]
        self._labellers = [pipe for pipe in self._pipes if hasattr(pipe, "count_annotated")]
        self._own: States = {}
        self._warn()

    def _warn(self) -> None:
        """Warn of components whose step is not that of one process."""
        count = self.processes.count
        others = [
            pipe.name
            for pipe in self._pipes
            if type(pipe).__module__.partition(".")[0] not in _SUMMING
        ]
        parsers = [pipe.name for pipe in self._pipes if isinstance(pipe, Parser)]
        if others and count > 1:
            warnings.warn(
                f"Components of other packages: {', '.join(others)}. Their gradients are summed"
                f" over {count} processes. If these are means over a batch, steps are larger than"
                " those of one process.",
                stacklevel=3,
            )
        if parsers and count > 1:
            warnings.warn(
                f"spaCy's parsers have a dropout of their own, and mix documents of a batch where"
                f" features are missing: {', '.join(parsers)}. Steps of {count} processes are as"
                " good as those of one, and not the same.",
                stacklevel=3,
            )

    def begin(self, *, step: int, seed: int | None, own: States | None) -> None:
        """Begin with the weights and random states of rank 0.

        step (int): The last step of the training so far, -1 at its beginning.
        seed (int | None): The seed of the training.
        own (States | None): Random states of this process from a checkpoint, if it has some.
        RAISES: TrainingError if another process has another pipeline, or went on from another step.
        """
        for _, shim in self._state.shims():
            if isinstance(shim, TorchShim):
                shim.prepare()
        self._check_same("the step to go on from", step)
        self._check_same("weights of the same shapes", _checksum(self._state.shapes()))
        gradients = self._gradients()
        weights = [gradient.weights() for gradient in gradients]
        self.processes.copy_from_first(weights)
        states = self.processes.tell(read_cpu_states())
        if self.processes.rank > 0:
            for gradient, values in zip(gradients, weights, strict=True):
                gradient.set_weights(values)
            if own is not None:
                set_random_states(own, seed=step + self.processes.rank)
            elif seed is not None:
                fix_random_seed(seed + self.processes.rank + self.processes.count * (step + 1))
            self._end_own(states)

    def shares(self, parts: Sequence[Sequence[Example]]) -> Iterator[list[Example]]:
        """Find the share of this process in each part of a batch; a share may be empty.

        parts (Sequence[Sequence[Example]]): The parts, the same for all processes.
        YIELDS (list[Example]): The shares. While one is trained on, components know how many tokens
            its part has.
        RAISES: TrainingError if another process has another batch.
        """
        self._check_same("the same batch", _checksum([[e.text for e in part] for part in parts]))
        rank, count = self.processes.rank, self.processes.count
        own = [[part[i] for i in share_out(self._sizes(part), count)[rank]] for part in parts]
        for pipe in self._labellers:
            for part in parts:
                pipe.meet(part)
        counts = [[pipe.count_annotated(share) for share in own] for pipe in self._labellers]
        # shape: [n_labellers, n_parts]
        totals: np.ndarray = np.sum(self.processes.gather(counts), axis=0)
        set_cpu_states(self._own)
        for i, share in enumerate(own):
            if i:
                # A process without a share has drawn nothing meanwhile.
                python = self.processes.tell(read_cpu_states()["python"])
                set_cpu_states({"python": python})
            for pipe, total in zip(self._labellers, totals, strict=True):
                size = sum(len(example.predicted) for example in parts[i])
                pipe.divisors = max(1, int(total[i])), max(1, size)
            yield share
        for pipe in self._labellers:
            pipe.divisors = None

    def _sizes(self, part: Sequence[Example]) -> list[int]:
        """Sub-words of each example, by the first component that has some; else characters."""
        docs = [example.predicted for example in part]
        for pipe in self._pipes:
            if (encoder := getattr(pipe, "encoder", None)) is not None:
                with encoder.remembering(docs):
                    subwords = encoder.cut(docs)
                if subwords is not None:
                    return [len(own.ids) for own in subwords]
        return [len(doc.text) for doc in docs]

    def add_up(self, losses: dict[str, float]) -> dict[str, float]:
        """Put the sums over all processes in the place of gradients.

        losses (dict[str, float]): Losses of this process's shares, by component.
        RETURNS (dict[str, float]): Their sums.
        """
        for pipe in self._pipes:
            if hasattr(pipe, "complete_gradients"):
                pipe.complete_gradients()
        gradients = self._gradients()
        scalers = [
            shim._grad_scaler
            for _, shim in self._state.shims()
            if isinstance(shim, PyTorchShim) and not isinstance(shim, TorchShim)
        ]
        found = self.processes.gather(
            (
                {name: float(loss) for name, loss in losses.items()},
                [(gradient.exists(), gradient.rows()) for gradient in gradients],
                [scaler.found_inf for scaler in scalers],
            )
        )
        dense: list[Tensor] = []
        sparse: list[tuple[Tensor, Tensor, Tensor]] = []
        for gradient, known in zip(
            gradients, zip(*(f[1] for f in found), strict=True), strict=True
        ):
            rows = [rows for exists, rows in known if exists]
            if not rows:
                continue
            if isinstance(gradient, _TorchGradient) and all(own is not None for own in rows):
                sparse.append(gradient.get_at(np.unique(np.concatenate(rows))))
            else:
                dense.append(gradient.get())
        self.processes.add_up([*dense, *(values for _, _, values in sparse)])
        for whole, index, values in sparse:
            whole.index_copy_(0, index, values)
        for scaler, infinite in zip(scalers, zip(*(f[2] for f in found), strict=True), strict=True):
            scaler._found_inf = any(infinite)
        names = dict.fromkeys(name for f in found for name in f[0])
        return {name: sum(f[0].get(name, 0.0) for f in found) for name in names}

    def end(self, due: bool) -> bool:
        """End a step: the next batch is drawn with the random states of rank 0.

        due (bool): A checkpoint is due.
        RETURNS (bool): Whether rank 0 finds so.
        """
        due, states = self.processes.tell((due, read_cpu_states()))
        if self.processes.rank > 0:
            self._end_own(states)
        return due

    def random_states(self) -> list[States]:
        """RETURNS (list[States]): The random states that each process trains with, by rank."""
        return self.processes.gather({**read_random_states(), **self._own})

    def _end_own(self, states: States) -> None:
        # Python's is everyone's: spaCy's parser draws the length of its pieces for all documents.
        self._own = {k: s for k, s in read_cpu_states().items() if k != "python"}
        set_cpu_states(states)

    def _check_same(self, expected: str, value: int) -> None:
        found = self.processes.gather(value)
        if len(set(found)) > 1:
            others = [str(rank) for rank, other in enumerate(found) if other != found[0]]
            got = Plain(f"another one in process {', '.join(others)} than in process 0")
            remedy = "all of them need the same files, configuration and code"
            raise TrainingError(describe("torchrun", expected=expected, got=got, remedy=remedy))

    def _gradients(self) -> "list[_LayerGradient | _TorchGradient]":
        found: list[_LayerGradient | _TorchGradient] = []
        for _, node in self._state.nodes():
            found += [_LayerGradient(node, p) for p in node.param_names if node.has_param(p)]
        for _, shim in self._state.shims():
            if isinstance(shim, PyTorchShim) and shim._model is not None:
                table = shim.row_gradient if isinstance(shim, TorchShim) else None
                words = None if table is None else shim._model.get_input_embeddings().weight
                found += [
                    _TorchGradient(p, table if p is words else None)
                    for p in shim._model.parameters()
                    if p.requires_grad
                ]
        return found


class _LayerGradient:
    """The gradient of a parameter of thinc."""

    def __init__(self, node: Model, param: str):
        self._node = node
        self._param = param

    def weights(self) -> Tensor:
        return xp2torch(self._node.get_param(self._param)).clone()

    def set_weights(self, weights: Tensor) -> None:
        values: Any = torch2xp(weights)
        self._node.set_param(self._param, values)

    def exists(self) -> bool:
        return self._node.has_grad(self._param)

    def rows(self) -> np.ndarray | None:
        return None

    def get(self) -> Tensor:
        if not self.exists():
            shape = self._node.get_param(self._param).shape
            self._node.set_grad(self._param, self._node.ops.alloc_f(shape))
        return xp2torch(self._node.get_grad(self._param))


class _TorchGradient:
    """The gradient of a parameter of torch; few rows of it, if a table knows them."""

    def __init__(self, parameter: nn.Parameter, table: SparseGradient | None):
        self._parameter = parameter
        self._table = table

    def weights(self) -> Tensor:
        return self._parameter.data

    def set_weights(self, weights: Tensor) -> None:
        """They are set already."""

    def exists(self) -> bool:
        return self._parameter.grad is not None

    def rows(self) -> np.ndarray | None:
        rows = None if self._table is None else self._table.rows(self._parameter)
        return None if rows is None else rows.cpu().numpy()

    def get(self) -> Tensor:
        if self._parameter.grad is None:
            self._parameter.grad = torch.zeros_like(self._parameter)
        return self._parameter.grad

    def get_at(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor, Tensor]): The gradient, rows, and their numbers."""
        weight = self._parameter
        index = torch.from_numpy(rows).to(weight.device)
        if self._table is not None:
            # It will clear these rows, of which other processes have some.
            zeros = weight.data.new_zeros(len(index), *weight.shape[1:])
            self._table.add(weight, index, zeros)
        return self.get(), index, self.get().index_select(0, index)


def _checksum(value: Any) -> int:
    return zlib.crc32(repr(value).encode())
