"""Pipelines with one encoder for several components, under the commands and under spaCy's."""

import json
import re
from pathlib import Path

import pytest
import spacy
from spacy.cli import app as spacy_app
from spacy.cli.package import package
from spacy.tokens import DocBin
from spacy.util import load_model_from_config
from thinc.api import Config
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.debug.settings import read_settings
from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder
from tests.support.classifiers import load_reference
from tests.support.paths import ROOT
from tests.support.pipelines import SENTENCES, make_examples, spans_of, train
from tests.support.sharing import make_shared, owner_of, passes
from tests.support.taggers import tagged_examples


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pipeline that has learned the sentences, and these as `dev.spacy` beside it."""
    folder = tmp_path_factory.mktemp("shared")
    nlp = make_shared(tiny_encoder, lr_scale=0.25)
    train(nlp, make_examples(nlp), steps=80)
    nlp.to_disk(folder / "model")
    examples = make_examples(nlp)
    DocBin(docs=[eg.reference for eg in examples]).to_disk(folder / "dev.spacy")
    return folder / "model"


def run(*arguments: object, app=app, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_page_of_the_documentation(tiny_encoder: Path, tmp_path: Path):
    page = (ROOT / "docs" / "several-tasks.md").read_text(encoding="utf8")
    whole, sourced = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    (replacing,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    config = Config().from_str(whole)
    config["components"]["bio_encoder"]["model"]["name"] = str(tiny_encoder)
    nlp = load_model_from_config(config, auto_fill=True)
    assert nlp.get_pipe("bio_ner").model.layers[0].grad_factor == 2.0
    entities, parts = make_examples(nlp), tagged_examples(nlp)
    nlp.initialize(lambda: [*entities, *parts])
    losses = nlp.update([*entities, *parts], sgd=nlp.create_optimizer())
    assert set(losses) == {"bio_encoder", "bio_tagger", "bio_ner"}
    nlp.to_disk(tmp_path / "my_pipeline")
    config = Config().from_str(f"[components]\n{sourced}")
    config["components"]["bio_ner"]["source"] = str(tmp_path / "my_pipeline")
    config["nlp"] = {"lang": "pt", "pipeline": ["bio_ner"]}
    alone = load_model_from_config(config, auto_fill=True).get_pipe("bio_ner")
    exec(replacing, {"nlp": nlp})
    for pipe in (alone, nlp.get_pipe("bio_ner")):
        assert isinstance(pipe.encoder, TransformerEncoder)
        assert len(pipe.kbest(nlp.make_doc("Ana met Bo"), 3)) == 3


def test_evaluate(model: Path, tmp_path: Path):
    corpus = model.parent / "dev.spacy"
    run("evaluate", model, corpus, "--output", tmp_path / "own.json")
    figures = json.loads((tmp_path / "own.json").read_text())
    assert figures["entity"]["all"]["f"] == 1.0
    run("evaluate", model, corpus, "--output", tmp_path / "spacy.json", app=spacy_app)
    assert json.loads((tmp_path / "spacy.json").read_text())["ents_f"] == 1.0


def test_calibrate(model: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "out"
    with passes(monkeypatch) as counts:
        run("calibrate", model, model.parent / "dev.spacy", "--component", "bio_ner", "-o", out)
    # The components before it run first, and its emissions are theirs.
    assert sum(counts) == len(SENTENCES)
    nlp = spacy.load(out)
    assert nlp.get_pipe("bio_ner").temperature != 1.0 == nlp.get_pipe("second").temperature
    assert [spans_of(nlp(" ".join(words))) for words, _ in SENTENCES] == [e for _, e in SENTENCES]


def test_debug(model: Path, tiny_encoder: Path, tmp_path: Path):
    trained = read_settings(model, component="second")
    assert trained.labels == ("LOC", "PER") and trained.subwords is not None
    nlp = make_shared(tiny_encoder, lr_scale=0.5, window=20)
    config = nlp.config
    config["training"]["optimizer"]["learn_rate"] = 0.01
    config.to_disk(tmp_path / "config.cfg")
    untrained = read_settings(tmp_path / "config.cfg", component="second")
    assert untrained.subwords is not None and untrained.subwords.window == 20
    assert untrained.learn_rate == 0.005
    command = ["debug", model.parent / "dev.spacy", "--model", model, "--component", "bio_ner"]
    assert "component bio_ner" in run(*command, code=3)


def test_to_hf(model: Path, tmp_path: Path):
    output = run("to-hf", model, tmp_path / "out", "--component", "second")
    reference, words = load_reference(tmp_path / "out")
    assert (
        tuple(reference.config.id2label.values())
        == spacy.load(model).get_pipe("second").tagset.tags
    )
    assert "Other components are left out: bio_ner." in output
    nlp = spacy.load(model)
    ours, theirs = owner_of(nlp).model.shims[0].network, reference.base_model
    for name, p in theirs.named_parameters():
        assert p.equal(dict(ours.named_parameters())[name]), name


def test_package(model: Path, tmp_path: Path):
    package(model, tmp_path, create_sdist=False, create_wheel=False, name="shared")
    (folder,) = tmp_path.glob("xx_shared-*/xx_shared/xx_shared-*")
    nlp = spacy.load(folder)
    words, ents = SENTENCES[0]
    assert spans_of(nlp(" ".join(words))) == ents


def test_annotate(model: Path, tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(" ".join(words) for words, _ in SENTENCES) + "\n")
    run("annotate", model, texts, tmp_path / "out.jsonl", "--n-process", 2)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(line["entities"]) for line in lines] == [len(ents) for _, ents in SENTENCES]
