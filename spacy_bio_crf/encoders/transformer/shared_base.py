"""Frozen weights that several networks of one process hold together, found by their content."""

import hashlib
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_BASES: "weakref.WeakValueDictionary[tuple[str, str], SharedBase]" = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


class SharedBase:
    """Weights that nobody writes to. They stay in memory as long as any network uses them.

    digest (str): SHA-256 of names, types, shapes and contents.
    weights (Mapping[str, Tensor]): The weights by their names.
    """

    def __init__(self, digest: str, weights: Mapping[str, Tensor]):
        self.digest = digest
        self.weights = weights

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedBase":
        return self

    def __reduce__(self) -> tuple:
        # Another process finds, or makes, its own: the weights come with the network.
        return type(None), ()


def share_weights(parameters: Mapping[str, nn.Parameter]) -> SharedBase:
    """Let parameters use the weights of equal ones in this process, or else others use theirs.

    parameters (Mapping[str, Parameter]): Frozen parameters by their names, on one device.
    RETURNS (SharedBase): The weights; to be kept as long as the parameters are in use.
    """
    digest = digest_of(parameters)
    device = str(next((p.device for p in parameters.values()), None))
    with _LOCK:
        base = _BASES.get((digest, device))
        if base is None:
            base = SharedBase(digest, {name: p.data for name, p in parameters.items()})
            _BASES[digest, device] = base
    for name, parameter in parameters.items():
        parameter.data = base.weights[name]
    return base


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """RETURNS (str): SHA-256 of the names, types, shapes and contents of some weights."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
