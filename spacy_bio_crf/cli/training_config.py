"""The config of `bio-ner train`: values of the command line, and what spaCy reads over."""

import configparser
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConvertError, Plain, SettingsError, describe, is_number

if TYPE_CHECKING:
    from thinc.api import Config

# Of a config, beside those that spaCy knows.
_BLOCKS = ("checkpoint", "distillation", "rehearsal")
_ALIKE = 0.75  # least likeness of a mistyped block's name, by difflib


def read_training_config(path: Path, given: list[str]) -> "Config":
    """Read a config with values of the command line, those of missing blocks of ours too.

    path (Path): The file; "-" is the standard input.
    given (list[str]): The values, as --section.key value.
    RETURNS (Config): With its variables.
    RAISES: SettingsError for a file that is no config of a training, and a value of [training] that
        spaCy trips over; thinc's ConfigValidationError for a block of another form.
    """
    from spacy.cli._util import NoSuchOption, parse_config_overrides
    from spacy.util import load_config
    from thinc.api import ConfigValidationError

    try:
        overrides = parse_config_overrides(given)
    except NoSuchOption as error:
        expected = "those of the command, and values of the config as --section.key"
        raise SettingsError(
            describe("options", expected=expected, got=Plain(error.option_name))
        ) from None
    blocks = {
        name: {
            key.partition(".")[2]: overrides.pop(key)
            for key in list(overrides)
            if key.startswith(f"{name}.")
        }
        for name in _BLOCKS
    }
    try:
        config = load_config(path, overrides=overrides, interpolate=False)
    except ConfigValidationError:
        raise
    except KeyError as error:
        expected, got = f"the block [{error.args[0]}] before those in it", Plain("none")
        raise SettingsError(describe(str(path), expected=expected, got=got)) from None
    except (ValueError, configparser.Error) as error:
        raise SettingsError(f"{path}: expected a config: {error}") from None
    for name, own in blocks.items():
        if own:
            config.setdefault(name, {}).update(own)
    _check_training(path, config.interpolate())
    return config


def _check_training(path: Path, settings: "Config") -> None:
    """RAISES: SettingsError for what ends in spaCy as an error that names no setting."""
    if "training" not in settings:
        expected = "a config of a training, with the block [training]"
        got = Plain(", ".join(f"[{name}]" for name in settings) or "an empty one")
        remedy = "`python -m spacy bio-ner init config` writes one"
        raise SettingsError(describe(str(path), expected=expected, got=got, remedy=remedy))
    own = settings["training"]
    for name in ("eval_frequency", "accumulate_gradient"):
        if is_number(value := own.get(name)) and value < 1:
            raise SettingsError(describe(f"training.{name}", expected="1 or more", got=value))
    for name in ("train_corpus", "dev_corpus"):
        corpus = own.get(name)
        if isinstance(corpus, str) and corpus.partition(".")[0] not in (*settings, "corpora"):
            expected = "a corpus of the config, such as corpora.train"
            raise SettingsError(describe(f"training.{name}", expected=expected, got=corpus))


def find_slips(config: "Config") -> list[str]:
    """Find what spaCy reads over without a word.

    config (Config): With its variables.
    RETURNS (list[str]): Warnings.
    """
    settings = config.interpolate()
    unknown = [
        f"[{block}]: without effect, since spaCy has no setting {', '.join(names)}"
        for block, names in _unknown_settings(settings).items()
    ]
    mistyped = [
        f"[{name}]: no block of spaCy or bio-ner, and nothing refers to it; did you mean [{meant}]?"
        for name, meant in _mistyped_blocks(config).items()
    ]
    return [*unknown, *mistyped, *_missing_components(settings)]


def _unknown_settings(settings: "Config") -> dict[str, list[str]]:
    """Settings of spaCy's sections that it does not know, as it reads over them."""
    from spacy.schemas import ConfigSchemaInit, ConfigSchemaNlp, ConfigSchemaTraining

    schemas: dict[str, Any] = {
        "nlp": ConfigSchemaNlp,
        "training": ConfigSchemaTraining,
        "initialize": ConfigSchemaInit,
    }
    unknown = {}
    for name, schema in schemas.items():
        # That of pydantic 2, or of 1, on which older versions of spaCy are built.
        fields = getattr(schema, "model_fields", None) or schema.__fields__
        if found := sorted(settings.get(name, {}).keys() - fields.keys()):
            unknown[name] = found
    return unknown


def _mistyped_blocks(config: "Config") -> dict[str, str]:
    """Blocks with almost the name of a known one, by that name. A config may have others: what
    variables refer to, a corpus elsewhere, and settings that code reads."""
    from difflib import get_close_matches

    from spacy.util import CONFIG_SECTION_ORDER

    known = (*CONFIG_SECTION_ORDER, *_BLOCKS)
    # ${block.key}, ${block:key}, and the names of corpora: "block.key".
    used = re.findall(r'(?:\$\{|= ")([^.:}"]+)[.:}]', config.to_str(interpolate=False))
    close = {
        name: get_close_matches(name.lower(), known, n=1, cutoff=_ALIKE)
        for name in config
        if name not in known and name not in used
    }
    return {name: found[0] for name, found in close.items() if found}


def _missing_components(settings: "Config") -> list[str]:
    """Annotating components that the pipeline lacks."""
    pipeline = settings.get("nlp", {}).get("pipeline", ())
    names = settings["training"].get("annotating_components", ())
    missing = [str(name) for name in names if name not in pipeline]
    if not missing:
        return []
    listed = ", ".join(missing)
    return [f"training.annotating_components: without effect, since nlp.pipeline lacks {listed}"]


def find_damage_of(config: "Config", error: Exception) -> str | None:
    """Find the corpus that spaCy's error of a damaged one, E1014, is about: it names none.

    RETURNS (str | None): The message; None for another error.
    """
    from ..corpora.readers.docbin import open_docbin

    if "[E1014]" not in str(error):
        return None
    readers = config.interpolate().get("corpora", {}).values()
    paths = [Path(str(reader.get("path"))) for reader in readers]
    for path in [file for own in paths for file in (own, *sorted(own.rglob("*.spacy")))]:
        try:
            if path.is_file() and path.suffix == ".spacy":
                open_docbin(path)
        except ConvertError as damage:
            return str(damage)
    return None
