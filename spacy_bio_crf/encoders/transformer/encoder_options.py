"""The options of an encoder that owns its transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import check_choice, describe
from ...kernels.precision import PRECISIONS
from .adapters import read_lora
from .text import check_window


@dataclass(frozen=True)
class Options:
    """The options of `build_transformer_encoder`, which explains them.

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
    lr_scale: float | None = 1.0
    lora: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        read_lora(self.lora)
        check_choice("precision", self.precision, PRECISIONS)
        if self.layers == 0:
            self._refuse("layers", "a number of layers, or null for all")
        if self.frozen_layers < -1:
            self._refuse("frozen_layers", "-1, 0 or a number of layers")
        if self.batch_subwords is not None and self.batch_subwords < 1:
            self._refuse("batch_subwords", "1 or more")
        if self.dropout is not None and not 0.0 <= self.dropout < 1.0:
            self._refuse("dropout", "0 <= p < 1")
        if self.casing and self.frozen_layers == -1:
            self._refuse("casing", "false for an encoder that is frozen as a whole")
        if self.lora is not None and self.frozen_layers == -1:
            self._refuse("lora", "null for an encoder that is frozen as a whole")
        if self.lr_scale is not None and self.lr_scale < 0.0:
            self._refuse("lr_scale", "0 or more")
        if self.window is not None:
            check_window(self.window, self.overlap)

    def _refuse(self, option: str, expected: str) -> None:
        raise ValueError(describe(option, expected=expected, got=getattr(self, option)))
