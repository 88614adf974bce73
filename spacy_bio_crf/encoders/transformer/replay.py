"""Random numbers that come again: dropout, when activations are computed a second time."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

State = tuple[Tensor, Tensor | None]  # of the CPU, and of the GPU where there is one


def random_state(device: torch.device) -> State:
    """What torch's random numbers will be from now on.

    device (torch.device): Where they are drawn, beside the CPU.
    RETURNS (State): For `replayed`.
    """
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_gpu


@contextlib.contextmanager
def replayed(state: State, device: torch.device) -> Iterator[None]:
    """Random numbers come again as they came after `state`; afterwards all goes on as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], device)
        yield
