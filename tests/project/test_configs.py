"""The shipped configurations: complete, and their tokenizer follows the language."""

from pathlib import Path

import pytest
import spacy
from spacy.cli import app
from spacy.tokens import DocBin, Span
from spacy.util import load_config, load_model_from_config
from typer.testing import CliRunner
from weasel.util import load_project_config

from tests.support.paths import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))


@pytest.fixture(scope="module")
def overrides(tmp_path_factory, tiny_encoder: Path) -> dict[str, str]:
    path = tmp_path_factory.mktemp("corpus") / "train.spacy"
    docs = []
    nlp = spacy.blank("xx")
    # With less than a hundred documents `debug data` ends with an error.
    for i in range(120):
        doc = nlp.make_doc(f"{i} met Ana Ruiz .")
        doc.set_ents([Span(doc, 2, 4, label="PER")])
        docs.append(doc)
    DocBin(docs=docs).to_disk(path)
    return {"paths.train": str(path), "paths.dev": str(path), "paths.encoder": str(tiny_encoder)}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
@pytest.mark.parametrize("command", ["config", "data", "model"])
def test_spacy_s_debug_commands_pass(path: Path, command: str, overrides: dict[str, str]):
    """They take a configuration as it is, where `spacy train` fills in what is missing."""
    if path.stem == "shared":
        pytest.importorskip("spacy_transformers")
    # `debug model` runs a component by itself, which one that listens to another can't.
    component = "transformer" if path.stem == "shared" else "bio_ner"
    arguments = ["debug", command, str(path)] + [component] * (command == "model")
    for name, value in overrides.items():
        arguments += [f"--{name}", value]
    if path.stem in ("crf", "softmax"):
        # Theirs is the number for an encoder that is deeper than the one of tests.
        arguments += ["--components.bio_ner.model.encoder.layers", "null"]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0, result.output
    assert "Field required" not in result.output


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_the_tokenizer_is_that_of_the_language(path: Path, overrides: dict[str, str]):
    if path.stem == "shared":
        pytest.importorskip("spacy_transformers")
    config = load_config(path, overrides={"nlp.lang": "zh", **overrides}, interpolate=False)
    nlp = load_model_from_config(config, auto_fill=True)
    assert [token.text for token in nlp.make_doc("安娜住在")] == list("安娜住在")


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_the_encoder_is_that_of_the_project(head: str):
    """`project.yml` gives the same settings as variables, so that one can change them there."""
    config = load_config(ROOT / "configs" / f"{head}.cfg", interpolate=True)
    variables = load_project_config(ROOT)["vars"]
    encoder = config["components"]["bio_ner"]["model"]["encoder"]
    assert encoder["name"] == variables["encoder"] == "assets/e5"
    assert (encoder["casing"], encoder["layers"]) == (variables["casing"], variables["layers"])
    training = config["training"]
    rate = training["optimizer"]["learn_rate"]
    assert training["max_steps"] == rate["total_steps"] == variables["steps"]
    assert rate["warmup_steps"] == variables["warmup"]
    assert rate["initial_rate"] == float(variables["learn_rate"])
