"""What version 0.1.0 saved still works: its pipelines, the configs it shipped, the names it had.

The pipelines and what 0.1.0 predicted with them lie in `tests/fixtures/v0_1_0`.
"""

import json
import math
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_model_from_config
from thinc.api import Config

from tests.fixtures.v0_1_0.make import PIPELINES, TEXTS, predict
from tests.support.paths import ROOT
from tests.support.pipelines import make_examples
from tests.support.shared import needs_shared

FOLDER = ROOT / "tests" / "fixtures" / "v0_1_0"
NAMES = [make.__name__ for make in PIPELINES]
CONFIGS = ["crf", "gpu", "shared", "softmax"]
# What depends on spacy-transformers.
SHARED = {"listener_crf", "shared"}
EXPECTED = json.loads((FOLDER / "predictions.json").read_text(encoding="utf8"))

# As they stood in setup.py of 0.1.0: spaCy's registry and the name in it.
REGISTERED = [
    ("architectures", "spacy-bio-crf.BioTagger.v1"),
    ("architectures", "spacy-bio-crf.TransformerEncoder.v1"),
    ("architectures", "spacy-bio-crf.TransformerListener.v1"),
    ("architectures", "spacy-bio-crf.Tok2VecEncoder.v1"),
    ("architectures", "spacy-bio-crf.SoftmaxHead.v1"),
    ("architectures", "spacy-bio-crf.CRFHead.v1"),
    ("batchers", "spacy-bio-crf.batch_by_subwords.v1"),
    ("scorers", "spacy-bio-crf.bio_ner_scorer.v1"),
    ("loggers", "spacy-bio-crf.CurveLogger.v1"),
    ("cli", "bio-ner"),
]


def some(names: list[str]) -> list[Any]:
    return [pytest.param(n, marks=needs_shared if n in SHARED else ()) for n in names]


def numbers(value: Any) -> list[float]:
    """All numbers of nested lists, in order: `pytest.approx` takes neither these nor None."""
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [math.nan if value is None else value]


def close(value: Any) -> Any:
    # Other processors round otherwise.
    return pytest.approx(numbers(value), abs=1e-5, rel=0.0, nan_ok=True)


# Pipelines ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=some(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def loaded(name: str) -> Language:
    return spacy.load(FOLDER / name)


@pytest.fixture(scope="module")
def found(loaded: Language) -> dict[str, Any]:
    """What the present code predicts, in the form of what 0.1.0 did."""
    return predict(loaded)


def test_the_record_is_whole():
    assert sorted(EXPECTED) == sorted(NAMES)
    for record in EXPECTED.values():
        assert len(record["entities"]) == len(record["confidences"]) == len(TEXTS)
        assert sum(map(len, record["entities"])) > 30


def test_entities(name: str, found: dict[str, Any]):
    assert found["entities"] == EXPECTED[name]["entities"]


def test_confidences(name: str, found: dict[str, Any]):
    assert numbers(found["confidences"]) == close(EXPECTED[name]["confidences"])


def test_marginals(name: str, found: dict[str, Any]):
    expected = EXPECTED[name]["marginals"]
    assert [len(rows) for rows in found["marginals"]] == [len(rows) for rows in expected]
    assert numbers(found["marginals"]) == close(expected)


def test_kbest(name: str, found: dict[str, Any]):
    for ours, theirs in zip(found["kbest"], EXPECTED[name]["kbest"], strict=True):
        assert [a["entities"] for a in ours] == [a["entities"] for a in theirs]
        assert [a["probability"] for a in ours] == close([a["probability"] for a in theirs])


def test_saved_again_it_predicts_the_same(loaded: Language, found: dict[str, Any], tmp_path: Path):
    loaded.to_disk(tmp_path)
    assert predict(spacy.load(tmp_path)) == found


def test_settings_outside_the_config():
    component = spacy.load(FOLDER / "transformer_softmax").get_pipe("bio_ner")
    assert component.temperature == 1.3
    assert component.labels == ("LOC", "PER")
    assert component.cfg["scheme"] == "BILUO"


# Configs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def overrides(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the configs leave to the command line, and an end after one step."""
    corpus = tmp_path_factory.mktemp("corpus") / "train.spacy"
    docs = [example.reference for example in make_examples(spacy.blank("xx"))]
    DocBin(docs=docs).to_disk(corpus)
    return {
        "paths.encoder": str(tiny_encoder),
        "paths.train": str(corpus),
        "paths.dev": str(corpus),
        "training.max_steps": 1,
        "training.eval_frequency": 1,
    }


def test_no_config_is_forgotten():
    assert sorted(path.stem for path in (FOLDER / "configs").iterdir()) == CONFIGS


@pytest.mark.parametrize("stem", some(CONFIGS))
def test_config_is_filled(stem: str, overrides: dict[str, Any]):
    config = Config().from_disk(FOLDER / "configs" / f"{stem}.cfg", overrides=overrides)
    nlp = load_model_from_config(config, auto_fill=True)
    assert nlp.pipe_names == config["nlp"]["pipeline"]
    settings = nlp.config["components"]["bio_ner"]
    assert settings["repair"] == "begin"
    assert settings["model"]["head"]["constrained"] is True
    # A filled config is complete: it is taken as it is.
    assert load_model_from_config(nlp.config, auto_fill=False).config == nlp.config


@pytest.mark.parametrize("stem", some(CONFIGS))
def test_config_trains(stem: str, overrides: dict[str, Any], tmp_path: Path):
    path = FOLDER / "configs" / f"{stem}.cfg"
    nlp = init_nlp(Config().from_disk(path, interpolate=False, overrides=overrides))
    assert nlp.get_pipe("bio_ner").labels == ("LOC", "PER")
    _, best = train(nlp, tmp_path)
    assert "ents_f" in json.loads((best / "meta.json").read_text(encoding="utf8"))["performance"]
    assert spacy.load(best).pipe_names == nlp.pipe_names


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("registry", "registered"), REGISTERED)
def test_name_is_registered(registry: str, registered: str):
    assert callable(getattr(spacy.registry, registry).get(registered))


def test_factory_is_registered():
    # spaCy keeps factories of entry points apart.
    assert spacy.blank("xx").add_pipe("bio_ner").name == "bio_ner"


@pytest.mark.parametrize(
    ("group", "script"), [("spacy_factories", "bio_ner"), ("console_scripts", "spacy-bio-crf")]
)
def test_entry_point_leads_to_a_function(group: str, script: str):
    (point,) = {p for p in entry_points(group=group, name=script)}
    assert callable(point.load())
