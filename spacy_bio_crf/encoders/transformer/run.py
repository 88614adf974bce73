"""Batches through a network, forward and backward, in bounded memory."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import torch
from torch import Tensor, nn

from ...kernels.mode import fast_kernels
from ...kernels.precision import autocast, shared_casts
from ...subwords.batches import PaddedBatch
from ...training.optimizer import LossScale

Project = Callable[[Tensor], Tensor]  # [r, d] -> [r, c]
RandomState = tuple[Tensor, Tensor | None]  # of the CPU, and of the GPU if there is one


@dataclass(frozen=True)
class Forward:
    """Computes the wanted rows of a batch.

    network (Module): Called with `input_ids` or `inputs_embeds`, and `attention_mask`. Its first
        output is [B, T, d].
    precision (str): One of `precision.DTYPES`.
    project (Project): From vectors, float32, to results.
    embed (Callable | None): From a batch to its word embeddings [B, T, e]; None leaves them to the
        network.
    frozen (bool): The network gets no gradient; `project` may.
    loss_scale (LossScale | None): Scales the gradient of the network, in float16.
    """

    network: nn.Module
    device: torch.device
    precision: str
    project: Project
    embed: Callable[[PaddedBatch], Tensor] | None = None
    frozen: bool = False
    loss_scale: LossScale | None = None

    def __call__(self, batch: PaddedBatch) -> Tensor:
        """RETURNS (Tensor): Results for the wanted rows, [r, c]."""
        # shape: [B, T]
        # Whole numbers, as tokenizers give them: XLNet can't compute with truth values.
        mask = None if batch.mask.all() else torch.from_numpy(batch.mask).long().to(self.device)
        learns = torch.is_grad_enabled() and not self.frozen
        with (
            autocast(self.precision, self.device),
            fast_kernels(self.device, training=self.network.training),
            torch.set_grad_enabled(learns),
        ):
            if self.embed is None:
                inputs = {"input_ids": torch.from_numpy(batch.ids).to(self.device)}
            else:
                inputs = {"inputs_embeds": self.embed(batch)}
            # shape: [B, T, d]
            hidden = self.network(**inputs, attention_mask=mask)[0]
        rows = torch.from_numpy(batch.rows).to(self.device)
        # shape: [r, d]
        vectors = hidden.reshape(-1, hidden.shape[-1]).index_select(0, rows).float()
        if self.loss_scale is not None and vectors.requires_grad:
            # Where float16 begins, and no earlier: the gradient above needs no scale.
            vectors.register_hook(self.loss_scale.scale)
        return self.project(vectors)


def run(
    batches: Sequence[PaddedBatch], forward: Forward, *, width: int, train: bool, budget: int
) -> tuple[Tensor, Callable[[Tensor], None]]:
    """Compute the wanted rows of batches, one batch after the other.

    Only the results are kept for all batches together, so a document of a million tokens needs
    memory for its emissions and for the activations of one batch. In training, activations are kept
    while all batches fit the budget together. Beyond that the backward pass computes each batch
    again, with the same dropout, as Gao et al. 2021 ("Scaling Deep Contrastive Learning Batch Size
    under Memory Limited Setup", section 3.2) do.

    batches (Sequence[PaddedBatch]): Their `targets` together are 0 to n, each once.
    width (int): d, the size of a vector.
    train (bool): Prepare for the backward pass.
    budget (int): Most sub-words, padding included, whose activations are kept; a longer batch is
        kept if it is alone.
    RETURNS (tuple[Tensor, Callable]): float32 [n, c], and a function that takes its gradient and
        adds to those of the network and of what `forward.project` holds.
    """
    device = forward.device
    largest = max((b.size for b in batches), default=0)
    keep = train and sum(b.size for b in batches) <= max(budget, largest)
    training = forward.network.training
    states: list[RandomState] = []
    graphs: list[Tensor] = []
    with shared_casts(device):
        with torch.no_grad():
            # shape: [0, c]
            nothing = forward.project(torch.zeros((0, width), device=device))
        # shape: [n, c]
        result = nothing.new_empty((sum(len(b.targets) for b in batches), nothing.shape[1]))
        for batch in batches:
            if train and not keep:
                states.append(_random_state(device))
            with torch.set_grad_enabled(keep) if train else torch.inference_mode():
                own = forward(batch)
            if keep:
                graphs.append(own)
            result[torch.from_numpy(batch.targets).to(device)] = own.detach()

    def backprop(d_result: Tensor) -> None:
        d_batches = [
            d_result.index_select(0, torch.from_numpy(b.targets).to(device)) for b in batches
        ]
        if keep:
            _backward(graphs, d_batches)
            return
        # A prediction in the meantime has switched dropout off.
        forward.network.train(training)
        with shared_casts(device):
            for batch, state, d_own in zip(batches, states, d_batches, strict=True):
                with _replayed(state, device), torch.enable_grad():
                    own = forward(batch)
                _backward([own], [d_own])

    return result, backprop if train else no_backprop


def _backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    # Batches in one call, so that the gradients of a weight are cast to float32 once.
    learns = [y.requires_grad for y in outputs]
    if any(learns):
        torch.autograd.backward(list(compress(outputs, learns)), list(compress(gradients, learns)))


def no_backprop(d_result: Tensor) -> None:
    """RAISES: RuntimeError, as the gradient of a prediction."""
    raise RuntimeError(
        "A prediction has no gradient: call begin_update instead of predict to train."
    )


def _random_state(device: torch.device) -> RandomState:
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_gpu


@contextlib.contextmanager
def _replayed(state: RandomState, device: torch.device) -> Iterator[None]:
    """Repeat the random numbers that followed a state; afterwards the present ones continue."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], device)
        yield
