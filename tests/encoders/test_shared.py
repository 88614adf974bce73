"""SharedEncoder: its options, and the errors where there is nothing to read from."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from spacy_bio_crf.encoders.api import Encoder
from spacy_bio_crf.encoders.shared import SharedEncoder, build_shared_encoder, resolve_encoder
from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder, build_transformer_encoder
from spacy_bio_crf.errors import BioError
from tests.support.pipelines import make_examples
from tests.support.sharing import add_head, add_owner, make_shared, owner_of

NONE = (
    r"SharedEncoder \(upstream = '\*'\): expected a component of the factory 'bio_encoder'"
    " earlier in the pipeline, got none"
)


def initialize(nlp: Language) -> Language:
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


@pytest.mark.parametrize(
    "option",
    [
        {"upstream": ""},
        {"upstream": 3},
        {"grad_factor": -1},
        {"grad_factor": float("nan")},
        {"grad_factor": True},
    ],
)
def test_options_are_checked(option: dict[str, Any]):
    (name,) = option
    with pytest.raises(ValueError, match=f"{name}: expected"):
        build_shared_encoder(**option)


def test_a_call_of_its_own():
    with pytest.raises(
        ValueError, match="SharedEncoder: expected to be the encoder of a spacy-bio"
    ):
        build_shared_encoder().predict([])


def test_nothing_upstream(tiny_encoder: Path):
    nlp = spacy.blank("en")
    add_head(nlp)
    with pytest.raises(BioError, match=NONE):
        initialize(nlp)
    add_owner(nlp, tiny_encoder)
    with pytest.raises(BioError, match=NONE):
        # It is behind, not before.
        initialize(nlp)


def test_an_owner_of_another_name(tiny_encoder: Path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    add_owner(nlp, tiny_encoder, "trunk")
    for upstream in ("sentencizer", "bio_encoder"):
        ner = add_head(nlp, f"ner_{upstream}", upstream=upstream)
        expected = f"expected a component of the factory 'bio_encoder' called '{upstream}' earlier"
        with pytest.raises(BioError, match=expected):
            ner.encoder.budget  # noqa: B018 (raises)
    assert add_head(nlp, "ner", upstream="trunk").encoder.upstream.owner.name == "trunk"


def test_two_owners(tiny_encoder: Path):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder, "one")
    add_owner(nlp, tiny_encoder, "two")
    any_of_them = add_head(nlp)
    expected = (
        r"SharedEncoder \(upstream = '\*'\): expected the name of one bio_encoder, got one, two"
    )
    with pytest.raises(BioError, match=expected):
        initialize(nlp)
    nlp.remove_pipe("bio_ner")
    first, second = add_head(nlp, "a", upstream="one"), add_head(nlp, "b", upstream="two")
    initialize(nlp)
    assert first.encoder.upstream is owner_of(nlp, "one").upstream
    assert second.encoder.upstream is owner_of(nlp, "two").upstream
    assert any_of_them.encoder.model.name == "shared_encoder"


def test_an_owner_that_is_removed_or_left_out(tiny_encoder: Path, tmp_path: Path):
    nlp = initialize(make_shared(tiny_encoder))
    nlp.to_disk(tmp_path)
    nlp.remove_pipe("bio_encoder")
    for pipeline in (nlp, spacy.load(tmp_path, exclude=["bio_encoder"])):
        with pytest.raises(BioError, match=NONE):
            pipeline("Ana met Bo")
        with pytest.raises(BioError, match=NONE):
            list(pipeline.pipe(["Ana met Bo"]))


def test_an_owner_in_a_second_pipeline(tiny_encoder: Path):
    one = initialize(make_shared(tiny_encoder))
    two = spacy.blank("en")
    add_owner(two, tiny_encoder)
    initialize(two)
    ner = two.add_pipe("bio_ner", source=one)
    # The last link counts; the first pipeline is no rival.
    assert ner.encoder.upstream is owner_of(two).upstream
    assert two("Ana met Bo")


def test_vectors_of_another_width(tiny_encoder: Path):
    nlp = initialize(make_shared(tiny_encoder))
    owner_of(nlp).model.set_dim("nO", 48, force=True)
    expected = "'bio_encoder': expected vectors of width 32, as the head was trained on, got 48"
    with (
        nlp.select_pipes(disable="bio_encoder"),
        pytest.raises(ValueError, match=expected),
    ):
        nlp("Ana met Bo")


def test_the_encoder_with_the_weights(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder)
    encoder = nlp.get_pipe("bio_ner").encoder
    assert isinstance(encoder, SharedEncoder)
    assert encoder.budget == 0 and encoder.text() is not None
    initialize(nlp)
    resolved = resolve_encoder(encoder)
    assert isinstance(resolved, TransformerEncoder)
    assert resolved.model is owner_of(nlp).model
    assert encoder.budget == resolved.budget == 2048
    own = Encoder(build_transformer_encoder(str(tiny_encoder)))
    assert resolve_encoder(own) is own
