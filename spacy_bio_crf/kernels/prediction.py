"""The network that predicts: in float32 the one that is trained, else one made from it."""

from typing import Any

from torch import nn

from .int8 import to_int8
from .lowered import to_dtype
from .precision import DTYPES, INT8


class PredictionNetwork:
    """Keeps a network whose linear layers are in a lower precision, while it is up to date.

    The weights in float32 stay where they are: they are what is saved, and trained again.
    """

    def __init__(self) -> None:
        self._made: tuple[Any, nn.Module] | None = None

    def of(self, network: nn.Module, precision: str) -> nn.Module:
        """The network to predict with.

        network (Module): In float32.
        precision (str): One of `DTYPES`.
        RETURNS (Module): The network itself in "fp32"; else one made from it, made again if the
            precision is another one or a weight has changed.
        RAISES: ValueError for "int8" if the network is not on a CPU.
        """
        dtype = DTYPES[precision]
        if precision != INT8 and dtype is None:
            return network
        state = (precision, state_of(network))
        if self._made is None or self._made[0] != state:
            self.forget()
            self._made = state, to_int8(network) if dtype is None else to_dtype(network, dtype)
        return self._made[1]

    def forget(self) -> None:
        """Make it anew next time: for changes that `state_of` does not see."""
        self._made = None


def state_of(network: nn.Module) -> tuple[tuple[int, int], ...]:
    """What changes when a weight does: where each lies in memory, and how often it was written.

    A step of torch's fused optimisers changes neither.

    network (Module): Any network.
    RETURNS (tuple): To compare with an earlier one.
    """
    return tuple((p.data_ptr(), p._version) for p in network.parameters())
