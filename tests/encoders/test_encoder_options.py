"""Options of the encoder that are out of range, alone or together."""

from typing import Any

import pytest

from spacy_bio_crf.encoders.transformer.encoder_options import Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision: expected one of 'fp32', .*, got 'fp8'"),
        ({"layers": 0}, "layers: expected a number of layers, or null for all, got 0"),
        ({"frozen_layers": -2}, "frozen_layers: expected -1, 0 or a number of layers, got -2"),
        ({"batch_subwords": 0}, "batch_subwords: expected 1 or more, got 0"),
        ({"dropout": 1.0}, "dropout: expected 0 <= p < 1, got 1.0"),
        ({"casing": True, "frozen_layers": -1}, "casing: expected false for an encoder that"),
        ({"lr_scale": -1.0}, "lr_scale: expected 0 or more, got -1.0"),
        ({"window": 3, "overlap": 3}, "overlap: expected 0 or more and less than the window"),
        ({"lora": {"r": 0}}, "lora.r: expected a whole number, 1 or more, got 0"),
        ({"lora": {}, "frozen_layers": -1}, "lora: expected null for an encoder that is frozen"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Options("some/encoder", **options)
    assert Options("some/encoder").lora is None
