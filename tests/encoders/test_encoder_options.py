"""Options of the encoder that are out of range, alone or for the network."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_models import make_encoder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window: expected 1 or more, got 0"),
        ({"window": 63}, "window: expected at most 62, the model's limit .*, got 63"),
        ({"window": 8, "overlap": 8}, "overlap: expected 0 or more and less than .* of 8, got 8"),
        ({"window": 8, "overlap": -1}, "overlap: expected 0 or more and less than .* 8, got -1"),
        ({"overlap": 62}, "overlap: expected .* less than the window of 62, got 62"),
        ({"precision": "int4"}, "precision: expected one of 'fp32', 'bf16', .*, got 'int4'"),
        ({"frozen_layers": -2}, "frozen_layers: expected -1, 0 or a number of layers, got -2"),
        ({"frozen_layers": 3}, "frozen_layers: expected at most 2, the layers of this b.*, got 3"),
        ({"layers": 0}, "layers: expected a number of layers, or null for all, got 0"),
        ({"layers": 3}, "layers: expected 1 to 2, or -1 to -1, for the 2 layers of .*, got 3"),
        ({"layers": -2}, "layers: expected 1 to 2, or -1 to -1, for the 2 layers of .*, got -2"),
        ({"layers": 1, "frozen_layers": 2}, "frozen_layers: expected at most 1, .*, got 2"),
        ({"batch_subwords": 0}, "batch_subwords: expected 1 or more, got 0"),
        ({"lr_scale": -1.0}, "lr_scale: expected 0 or more, got -1.0"),
        ({"dropout": -0.1}, "dropout: expected 0 <= p < 1, got -0.1"),
        ({"dropout": 1.0}, "dropout: expected 0 <= p < 1, got 1.0"),
        ({"casing": True, "frozen_layers": -1}, "casing: expected false for .*, got True"),
    ],
)
def test_options_out_of_range(tiny_encoder: Path, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        make_encoder(tiny_encoder, **options)
