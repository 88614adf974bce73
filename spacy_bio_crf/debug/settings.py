"""Settings of a config or a trained pipeline that determine tokens, sub-words and windows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import ConfigValidationError

from ..encoders.shared import SharedEncoder
from ..encoders.transformer.text import Preprocessor
from ..errors import Plain, SettingsError, describe
from ..pipes.bio_ner import BioNer
from ..pipes.bio_tagger import TagTask
from ..pipes.entity_task import EntityTask
from ..pipes.labeller import SequenceLabeller, find_labeller
from ..training.optimizer import has_spacys_rate

SCHEDULED = 20_000  # steps whose learning rate is looked at where training has no limit


@dataclass(frozen=True)
class ModelSettings:
    """Settings of the `bio_ner` or `bio_tagger` in a config or a pipeline.

    nlp (Language): Its tokenizer makes the tokens that training sees.
    component (str): The component's name in it.
    scheme (str): "BIO", "BILUO", or "none" for labels of tokens.
    task (EntityTask | TagTask): The component's options of reading gold.
    labels (tuple[str, ...]): The labels of a trained component; empty before training.
    subwords (Preprocessor | None): Sub-words and windows; None if the encoder has no tokenizer of
        its own.
    learn_rate (float): The highest learning rate of a pre-trained transformer in training; 0 if
        there is none to train.
    """

    nlp: Language
    component: str
    scheme: str
    task: EntityTask | TagTask
    labels: tuple[str, ...]
    subwords: Preprocessor | None
    learn_rate: float

    def summary(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The settings for a report."""
        result: dict[str, Any] = {
            "component": self.component,
            "scheme": self.scheme,
            "misaligned": self.task.misaligned,
            "labels": list(self.labels),
        }
        if isinstance(self.task, TagTask):
            result["target"] = self.task.target
        else:
            options = {"groups": self.task.groups, "gold_spans_key": self.task.gold_spans_key}
            result |= {name: value for name, value in options.items() if value is not None}
        if self.subwords is not None:
            result["tokenizer"] = type(self.subwords.tokenizer).__name__
            result["window"] = self.subwords.window
            result["overlap"] = self.subwords.overlap
        if self.learn_rate:
            result["learn_rate"] = self.learn_rate
        return result


def read_settings(
    model: Path,
    *,
    component: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ModelSettings:
    """Read a config or a pipeline. Of an encoder that a config names, only the tokenizer is
    fetched, not the weights.

    model (Path): A config file, a pipeline's folder or the name of an installed pipeline.
    component (str | None): The component's name; None takes the only `bio_ner`, or the only
        `bio_tagger` where there is no `bio_ner`.
    overrides (Mapping[str, Any] | None): Values that replace those of a config, by "section.key".
    RETURNS (ModelSettings): The settings.
    RAISES: SettingsError if there is no such file, folder or component, or something in it is
        wrong.
    """
    try:
        if model.is_file():
            config = load_config(model, overrides=dict(overrides or {}), interpolate=False)
            nlp = load_model_from_config(config, auto_fill=True)
        elif overrides:
            names = ", ".join(overrides)
            remedy = f"a pipeline has nothing to override ({names})"
            got = Plain(model)
            raise SettingsError(describe("model", expected="a config file", got=got, remedy=remedy))
        else:
            nlp = spacy.load(model if model.exists() else str(model))
        name, pipe = _find(nlp, component)
        subwords = pipe.encoder.text()
        learn_rate = _highest_rate(nlp, name, pipe)
    except (OSError, ValueError, ImportError, ConfigValidationError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{model}: expected a config or a pipeline: {error}") from error
    task = pipe.task
    assert isinstance(task, EntityTask | TagTask)
    return ModelSettings(
        nlp=nlp,
        component=name,
        scheme=pipe.cfg["scheme"],
        task=task,
        labels=pipe.labels,
        subwords=subwords,
        learn_rate=learn_rate,
    )


def _find(nlp: Language, name: str | None) -> tuple[str, SequenceLabeller]:
    if name is None and any(isinstance(pipe, BioNer) for _, pipe in nlp.pipeline):
        return find_labeller(nlp, kind=BioNer, noun="bio_ner")
    return find_labeller(nlp, name, kind=SequenceLabeller, noun="bio_ner or bio_tagger")


def _highest_rate(nlp: Language, component: str, pipe: SequenceLabeller) -> float:
    """The highest learning rate of the component's pre-trained transformer in training."""
    config = nlp.config.interpolate()
    encoder = config["components"][component]["model"].get("encoder")
    if encoder is None:  # an ensemble, which is not trained
        return 0.0
    if isinstance(pipe.encoder, SharedEncoder):
        owner = pipe.encoder.upstream.owner.name
        encoder = config["components"][owner]["model"]
    if encoder["@architectures"] == "spacy-bio-crf.TransformerListener.v1":
        scale = 1.0 if encoder["grad_factor"] else 0.0
    elif encoder["@architectures"] == "spacy-bio-crf.TransformerEncoder.v1":
        still = encoder["frozen_layers"] == -1 or encoder.get("lora") is not None
        scale = 0.0 if still else encoder["lr_scale"]
        scale = 1.0 if scale is None else scale
    else:
        return 0.0
    optimizer = registry.resolve({"optimizer": config["training"]["optimizer"]})["optimizer"]
    if encoder.get("lr_scale", 1.0) is None and has_spacys_rate(optimizer):
        return 0.0
    highest = optimizer.learn_rate
    for _ in range(config["training"]["max_steps"] or SCHEDULED):
        optimizer.step_schedules()
        highest = max(highest, optimizer.learn_rate)
    return scale * highest
