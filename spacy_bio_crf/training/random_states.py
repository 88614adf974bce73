"""Random states of Python, NumPy and torch, as bytes."""

import random
import struct

import numpy as np
import torch
from thinc.api import get_current_ops

_PYTHON = 625  # words of 32 bits: those of the Mersenne Twister, and the place in them
_NUMPY = 624
_FORMAT = "<iqqd"  # version or place, whether a normal number is kept, unused, that number

States = dict[str, bytes]


def read_cpu_states() -> States:
    """Read the states that data can be drawn with.

    RETURNS (dict[str, bytes]): States of "python", "numpy" and "torch".
    """
    version, words, kept = random.getstate()
    _, keys, place, has_kept, numpys_kept = np.random.get_state()
    return {
        "python": struct.pack(_FORMAT, version, kept is not None, 0, kept or 0.0)
        + np.asarray(words, dtype="<u4").tobytes(),
        "numpy": struct.pack(_FORMAT, place, has_kept, 0, numpys_kept)
        + np.asarray(keys, dtype="<u4").tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def read_random_states() -> States:
    """Read the states of all sources, torch's on GPUs among them.

    RETURNS (dict[str, bytes]): As `read_cpu_states`, and "cuda.0", … for GPUs in use.
    """
    states = read_cpu_states()
    if torch.cuda.is_initialized():
        for i, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"cuda.{i}"] = state.numpy().tobytes()
    return states


def set_random_states(states: States, *, seed: int = 0) -> None:
    """Set sources to states that have been read before, here or in another process.

    states (dict[str, bytes]): The states. Those of GPUs that are not there are left out.
    seed (int): For CuPy, whose state can't be read: on a GPU, dropout of thinc's layers goes on
        from a seed.
    """
    set_cpu_states(states)
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if state := states.get(f"cuda.{i}"):
                torch.cuda.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8), i)
    xp = get_current_ops().xp
    if xp is not np:
        xp.random.seed(seed)


def set_cpu_states(states: States) -> None:
    """Set the sources that `read_cpu_states` reads, those of them whose states are given."""
    head = struct.calcsize(_FORMAT)
    if state := states.get("python"):
        version, has_kept, _, kept = struct.unpack(_FORMAT, state[:head])
        words = np.frombuffer(state[head:], dtype="<u4", count=_PYTHON)
        random.setstate((version, tuple(words.tolist()), kept if has_kept else None))
    if state := states.get("numpy"):
        place, has_kept, _, kept = struct.unpack(_FORMAT, state[:head])
        keys = np.frombuffer(state[head:], dtype="<u4", count=_NUMPY)
        np.random.set_state(("MT19937", keys, place, has_kept, kept))
    if state := states.get("torch"):
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
