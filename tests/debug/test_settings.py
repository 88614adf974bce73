"""Settings of configs and pipelines."""

from pathlib import Path

import pytest
import spacy
from transformers import PreTrainedTokenizerFast

from spacy_bio_crf.debug import CorpusPart, SettingsError, diagnose, read_settings
from tests.support.debug_tools import PLENTY, find, found, make_doc
from tests.support.paths import ROOT
from tests.support.pipelines import MakeNlp
from tests.support.shared import needs_shared


def test_a_trained_pipeline(trained, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    model = read_settings(tmp_path / "model")
    assert model.labels == ("LOC", "PER") and model.subwords is not None
    odd = make_doc(["K2", "K3"], [(0, 1, "MISC"), (1, 2, "MISC")])
    report = diagnose([CorpusPart("train", [*PLENTY, odd])], model)
    assert find(report, "unknown_labels", "train").count == 2
    assert report.severity == "error"


def test_encoders_without_a_tokenizer_of_their_own(tmp_path: Path):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    encoder = {
        "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
        "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 96},
    }
    nlp.add_pipe("bio_ner", config={"model": {"encoder": encoder}})
    nlp.config.to_disk(tmp_path / "config.cfg")
    model = read_settings(tmp_path / "config.cfg")
    assert model.subwords is None and "window" not in model.summary()
    report = diagnose([CorpusPart("train", PLENTY)], model)
    assert found(report) == {("train", "no_tokenizer"): 1}


def test_values_replace_those_of_a_config(make_nlp: MakeNlp, tmp_path: Path):
    path = tmp_path / "config.cfg"
    options = {"window": 20, "overlap": 4, "lr_scale": 1.0}
    make_nlp(encoder_options=options).config.to_disk(path)
    assert read_settings(path).summary() == {
        "component": "bio_ner",
        "scheme": "BIO",
        "misaligned": "missing",
        "labels": [],
        "tokenizer": PreTrainedTokenizerFast.__name__,
        "window": 20,
        "overlap": 4,
        "learn_rate": 0.001,
    }
    changed = {"components.bio_ner.scheme": "BILUO", "components.bio_ner.misaligned": "expand"}
    model = read_settings(path, overrides=changed)
    assert (model.scheme, model.task.misaligned) == ("BILUO", "expand")


def test_a_pipeline_has_several_or_no_components(make_nlp: MakeNlp, tmp_path: Path):
    path = tmp_path / "config.cfg"
    make_nlp(name="other", scheme="BILUO", nlp=make_nlp()).config.to_disk(path)
    with pytest.raises(SettingsError, match="component: expected one bio_ner, got bio_ner, other"):
        read_settings(path)
    with pytest.raises(SettingsError, match="expected a bio_ner or bio_tagger of .*, got 'third'"):
        read_settings(path, component="third")
    assert read_settings(path, component="other").scheme == "BILUO"
    spacy.blank("en").config.to_disk(path)
    expected = "component: expected one bio_ner or bio_tagger, got none"
    with pytest.raises(SettingsError, match=expected):
        read_settings(path)


def test_what_can_not_be_read(tmp_path: Path):
    with pytest.raises(SettingsError, match="nowhere: expected a config or a pipeline: "):
        read_settings(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="model: expected a config file, got .*nothing to over"):
        read_settings(tmp_path / "nowhere", overrides={"nlp.lang": "pt"})


ENCODER = "components.bio_ner.model.encoder"
WARM_UP = {
    "@schedules": "warmup_linear.v1",
    "initial_rate": 6e-4,
    "warmup_steps": 50,
    "total_steps": 100,
}


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        ({}, 0.0),
        ({f"{ENCODER}.lr_scale": 1.0}, 1e-3),
        ({"training.optimizer.learn_rate": 2e-3}, 2e-3),
        ({"training.optimizer.learn_rate": 2e-4}, 0.0),
        ({"training.optimizer.learn_rate": 2e-4, f"{ENCODER}.lr_scale": 5.0}, 1e-3),
        ({f"{ENCODER}.lr_scale": 0.1}, 0.0),
        ({f"{ENCODER}.frozen_layers": -1}, 0.0),
        ({"training.optimizer.learn_rate": WARM_UP}, 6e-4),
        ({"training.optimizer.learn_rate": WARM_UP, "training.max_steps": 10}, 0.0),
        ({"training.optimizer": {"@optimizers": "RAdam.v1", "learn_rate": 0.01}}, 0.01),
    ],
)
def test_a_learning_rate_too_high(make_nlp: MakeNlp, tmp_path: Path, values: dict, rate: float):
    """The highest rate of the schedule counts, times the encoder's factor."""
    path = tmp_path / "config.cfg"
    make_nlp().config.to_disk(path)
    report = diagnose([CorpusPart("train", PLENTY)], read_settings(path, overrides=values))
    finding = find(report, "high_learning_rate", "train")
    assert finding.count == bool(rate)
    assert [float(spot.text) for spot in finding.examples] == ([rate] if rate else [])


@needs_shared
@pytest.mark.parametrize(("factor", "rate"), [(1.0, 5e-4), (0.0, 0.0)])
def test_the_rate_of_a_shared_transformer(tiny_encoder: Path, factor: float, rate: float):
    """One that gets no gradient from the component is not trained by it."""
    key = "components.bio_ner.model.encoder.grad_factor"
    values = {
        "paths.encoder": str(tiny_encoder),
        "training.optimizer.learn_rate": 5e-4,
        key: factor,
    }
    assert read_settings(ROOT / "configs" / "shared.cfg", overrides=values).learn_rate == rate
