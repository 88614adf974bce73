"""Settings of a model, as a config gives them."""

from collections.abc import Callable

import pytest

from spacy_bio_crf.debug import ModelSettings, read_settings
from tests.support.pipelines import MakeNlp


@pytest.fixture(scope="module")
def settings(tmp_path_factory, make_nlp: MakeNlp) -> Callable[..., ModelSettings]:
    """Settings as a config gives them; the options are the encoder's and the component's."""
    folder = tmp_path_factory.mktemp("configs")

    def make(encoder: dict | None = None, **options) -> ModelSettings:
        path = folder / "config.cfg"
        config = make_nlp(encoder_options=encoder, **options).config
        config["training"]["optimizer"]["learn_rate"] = 2e-4
        config.to_disk(path)
        return read_settings(path)

    return make
