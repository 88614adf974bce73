"""Read from a config or a trained pipeline what decides on how a corpus is cut up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config, load_model_from_config
from thinc.api import ConfigValidationError

from ..encoders.transformer import pretrained as storage
from ..encoders.transformer.layer import find_shim
from ..pipes.bio_ner import BioNer
from ..subwords.tokenizer import Subwords


class SettingsError(ValueError):
    """A config or a pipeline that can't be read."""


@dataclass(frozen=True)
class Cutter:
    """How an encoder cuts texts.

    cut (Callable): Docs to their sub-words.
    tokenizer (str): The class of its tokenizer.
    unknown (int | None): The id of the unknown sub-word; None if there is none.
    window (int): Most sub-words in a window.
    overlap (int): Sub-words that neighbouring windows share.
    """

    cut: Callable[[Sequence[Doc]], list[Subwords]]
    tokenizer: str
    unknown: int | None
    window: int
    overlap: int


@dataclass(frozen=True)
class ModelSettings:
    """What is read from a config or a pipeline.

    nlp (Language): Its tokenizer makes the tokens that training sees.
    component (str): The name of the `bio_ner` in it.
    scheme (str): "BIO" or "BILUO".
    misaligned (str): The policy for entities that do not fit the tokens.
    wrong_key (str | None): Group in `doc.spans` of spans that are known to be wrong.
    labels (tuple[str, ...]): The labels of a trained component; empty before training.
    cutter (Cutter | None): How the encoder cuts texts; None if it has no tokenizer of its own.
    """

    nlp: Language
    component: str
    scheme: str
    misaligned: str
    wrong_key: str | None
    labels: tuple[str, ...]
    cutter: Cutter | None

    def summary(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): What there is to say of it."""
        result: dict[str, Any] = {
            "component": self.component,
            "scheme": self.scheme,
            "misaligned": self.misaligned,
            "labels": list(self.labels),
        }
        if self.cutter is not None:
            result["tokenizer"] = self.cutter.tokenizer
            result["window"] = self.cutter.window
            result["overlap"] = self.cutter.overlap
        return result


def read_settings(
    model: Path,
    *,
    component: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ModelSettings:
    """Read a config or a pipeline. Weights of an encoder that a config names are not fetched, only
    its tokenizer.

    model (Path): A config file, a pipeline's folder or the name of an installed pipeline.
    component (str | None): The component's name, needed where there are several `bio_ner`.
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
            raise SettingsError(
                f"{model} is no config file: there is nothing to override ({names})"
            )
        else:
            nlp = spacy.load(model if model.exists() else str(model))
        name, pipe = _find(nlp, component)
        cutter = _cutter(pipe)
    except (OSError, ValueError, ConfigValidationError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"Can't read {model}: {error}") from error
    return ModelSettings(
        nlp=nlp,
        component=name,
        scheme=pipe.cfg["scheme"],
        misaligned=pipe.misaligned,
        wrong_key=pipe.incorrect_spans_key,
        labels=pipe.labels,
        cutter=cutter,
    )


def _find(nlp: Language, name: str | None) -> tuple[str, BioNer]:
    found = {n: pipe for n, pipe in nlp.pipeline if isinstance(pipe, BioNer)}
    names = ", ".join(found) or "none"
    if name is None and len(found) != 1:
        raise SettingsError(f"Expected one bio_ner, found {names}: choose with --component")
    if name is not None and name not in found:
        raise SettingsError(f"No bio_ner is called {name!r}; found {names}")
    name = name or next(iter(found))
    return name, found[name]


def _cutter(pipe: BioNer) -> Cutter | None:
    shim = find_shim(pipe.model.get_ref("encoder"))
    if shim is None:
        return None
    if not shim.ready:
        options = shim.options
        shim.measure(storage.outline(options.name, revision=options.revision))
    return Cutter(
        cut=shim.subwords,
        tokenizer=type(shim.tokenizer).__name__,
        unknown=shim.subwords.unknown,
        window=shim.window,
        overlap=shim.overlap,
    )
