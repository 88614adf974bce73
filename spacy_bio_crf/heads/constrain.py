"""Closed paths of a lattice: tags that are not allowed, and sequences that break the scheme."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..tags.tagset import TagSet
from .emitter import Head
from .lattice import Lattice

NEVER = float("-inf")


def restrict(
    head: Head, tagset: TagSet, lattice: Lattice, allowed: np.ndarray | None = None
) -> Lattice:
    """Close the paths that decoding must not take.

    head (Head): Whether sequences have to be legal.
    tagset (TagSet): The legal sequences.
    lattice (Lattice): The scores of the network.
    allowed (np.ndarray | None): Tags that each row may have; bool [N, K].
    RETURNS (Lattice): Scores of -inf on closed paths.
    """
    if allowed is not None:
        shut = torch.from_numpy(~allowed).to(lattice.emissions.device)
        lattice = replace(lattice, emissions=lattice.emissions.masked_fill(shut, NEVER))
    if head.constrained:
        start, transitions, end = constrain(tagset, lattice.start, lattice.transitions, lattice.end)
        lattice = replace(lattice, start=start, transitions=transitions, end=end)
    return lattice


def constrain(
    tagset: TagSet, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Close the sequences that the scheme forbids, by a mask that no trained weight can open.

    tagset (TagSet): The scheme and its labels.
    start (Tensor): float32 [K].
    transitions (Tensor): float32 [K, K].
    end (Tensor): float32 [K].
    RETURNS (tuple): The same with -inf at illegal starts, transitions and ends.
    """
    shut_start, shut, shut_end = _illegal(tagset, start.device)
    return (
        start.masked_fill(shut_start, NEVER),
        transitions.masked_fill(shut, NEVER),
        end.masked_fill(shut_end, NEVER),
    )


@lru_cache(maxsize=64)
def _illegal(tagset: TagSet, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    start, between, end = (
        torch.tensor(~mask, device=device)
        for mask in (tagset.legal_start, tagset.legal, tagset.legal_end)
    )
    return start, between, end
