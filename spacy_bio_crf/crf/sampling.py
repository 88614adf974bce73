"""Random paths, drawn from the distribution over paths."""

import numpy as np
import torch

from .batch import Lengths, make_batch
from .sections import log_messages, sum_paths


def sample(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
    *,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw tag sequences from P(y | x), each independently of the others.

    Given the messages from the end, a path is drawn from its first tag to its last; Scott 2002,
    "Bayesian methods for hidden Markov models", does it in the other direction.

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    num_samples (int): How many samples to draw of the whole batch.
    generator (torch.Generator): Source of random numbers, on the CPU; torch's global one if None.
    RETURNS (Tensor): Tag ids, int64 [num_samples, N].
    RAISES: ValueError, if shapes or lengths do not agree, or a sequence has no path.
    """
    scores = [x.detach().cpu() for x in (emissions, start, transitions, end)]
    batch = make_batch(scores[0], lengths, *scores[1:])
    packing = batch.packing
    sums = sum_paths(batch)
    barred = packing.alive[(sums.log_z == -torch.inf).numpy()]
    if len(barred):
        raise ValueError(f"sequence {barred.min()} of the batch has no allowed path to draw")
    _, beta = log_messages(sums)
    # shape: (N, K), packed; what a tag and all that may come after it weigh
    ahead = (batch.emissions + beta).numpy()
    shape = (num_samples, len(ahead))
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).numpy()
    uniform = uniform[:, packing.index]
    tags = np.empty(shape, dtype=np.int64)
    into = batch.start.numpy()
    for begin, stop in zip(packing.offsets[:-1], packing.offsets[1:], strict=True):
        # shape: (samples, width, K)
        weights = into[:, : stop - begin] if begin else into
        tags[:, begin:stop] = _draw(weights + ahead[begin:stop], uniform[:, begin:stop])
        into = batch.transitions.numpy()[tags[:, begin:stop]]
    flat = np.empty_like(tags)
    flat[:, packing.index] = tags
    return torch.from_numpy(flat).to(emissions.device)


def _draw(log_weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw tags for log weights [..., K] with numbers from [0, 1) [...]."""
    weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    total = np.cumsum(weights, axis=-1)
    # the last quotient is exactly 1, so a tag without weight at the end is never drawn
    total /= total[..., -1:]
    return (total <= uniform[..., None]).sum(axis=-1)
