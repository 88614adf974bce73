"""The options of the transformer encoder, and what is wrong with them."""

from dataclasses import dataclass
from typing import Any

from ...kernels.precision import PRECISIONS


@dataclass(frozen=True)
class Options:
    """The options of `build_transformer_encoder`, which says what they mean.

    RAISES: ValueError for an option that is out of range.
    """

    name: str
    revision: str | None = None
    window: int | None = None
    overlap: int | None = None
    batch_subwords: int | None = None
    precision: str = "fp32"
    layers: int | None = None
    frozen_layers: int = 0
    gradient_checkpointing: bool = False
    dropout: float | None = None
    casing: bool = False
    lr_scale: float = 1.0

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if self.layers == 0:
            raise wrong("layers", 0, "a number of layers, or null for all")
        if self.frozen_layers < -1:
            raise wrong("frozen_layers", self.frozen_layers, "-1, 0 or a number of layers")
        if self.batch_subwords is not None and self.batch_subwords < 1:
            raise wrong("batch_subwords", self.batch_subwords, "1 or more")
        if self.dropout is not None and not 0.0 <= self.dropout < 1.0:
            raise wrong("dropout", self.dropout, "0 <= p < 1")
        if self.casing and self.frozen_layers == -1:
            raise wrong("casing", "true", "false where the whole network is frozen")
        if self.lr_scale < 0.0:
            raise wrong("lr_scale", self.lr_scale, "0 or more")
        if self.window is not None:
            check_window(self.window, self.overlap)


def check_precision(precision: str) -> None:
    """RAISES: ValueError for a precision there is not."""
    if precision not in PRECISIONS:
        raise wrong("precision", repr(precision), f"one of {list(PRECISIONS)}")


def check_window(window: int, overlap: int | None) -> None:
    """RAISES: ValueError for a window or an overlap out of range."""
    if window < 1:
        raise wrong("window", window, "1 or more")
    if overlap is not None and not 0 <= overlap < window:
        raise wrong("overlap", overlap, f"0 or more and less than the window of {window}")


def wrong(option: str, value: Any, expected: str) -> ValueError:
    """The error for an option of the encoder that is out of range."""
    return ValueError(f"Option '{option}' of the encoder is {value}; expected {expected}.")
