"""spaCy's own commands on a config with a `bio_tagger`, from labels to a package."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.cli.assemble import assemble_cli
from spacy.cli.debug_data import debug_data
from spacy.cli.evaluate import evaluate
from spacy.cli.init_pipeline import init_labels_cli
from spacy.cli.package import package
from spacy.cli.train import train
from spacy.tokens import DocBin

from tests.support.taggers import TAGGED, TEXTS, make_bio_tagger, tagged_examples, tagger_of


class Context:
    """The arguments of a command beyond its options, as typer gives them."""

    def __init__(self, *args: str):
        self.args = list(args)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "all.spacy"
    docs = [eg.reference for eg in tagged_examples(spacy.blank("en"))]
    # `spacy debug data` wants a hundred.
    DocBin(docs=docs * 40).to_disk(path)
    return path


@pytest.fixture(scope="module")
def config(tiny_encoder: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp = make_bio_tagger(tiny_encoder, "crf")
    filled = nlp.config.copy()
    filled["paths"].update(train=str(corpus), dev=str(corpus))
    filled["training"].update(max_steps=40, eval_frequency=20, patience=0)
    filled["training"]["optimizer"]["learn_rate"] = 4e-3
    path = tmp_path_factory.mktemp("config") / "config.cfg"
    filled.to_disk(path)
    return path


def test_the_default_weights_are_those_of_the_target(config: Path):
    weights = spacy.util.load_config(config)["training"]["score_weights"]
    assert weights == {"tag_acc": 0.33, "pos_acc": 0.33, "morph_acc": 0.33, "morph_per_feat": None}


@pytest.mark.slow
def test_from_labels_to_a_package(config: Path, corpus: Path, tmp_path: Path, capsys):
    init_labels_cli(Context(), config, tmp_path / "labels", None, False, -1)  # type: ignore[arg-type]
    labels = tmp_path / "labels" / "bio_tagger.json"
    assert json.loads(labels.read_text()) == ["ADV", "PRON", "PROPN", "VERB"]
    reader = {"@readers": "spacy.read_labels.v1", "path": str(labels)}
    overrides = {"initialize.components.bio_tagger": {"labels": reader}}
    debug_data(config)
    train(config, tmp_path / "out", overrides=overrides)
    best = tmp_path / "out" / "model-best"
    nlp = spacy.load(best)
    assert nlp.meta["performance"]["pos_acc"] == 1.0
    assert "POS_ACC" in capsys.readouterr().out
    assert evaluate(str(best), corpus, silent=True)["pos_acc"] == 1.0
    assert [[t.pos_ for t in doc] for doc in nlp.pipe(TEXTS)] == [parts for _, parts in TAGGED]

    package(best, tmp_path, name="tagger", create_wheel=False, create_sdist=False, silent=True)
    (folder,) = tmp_path.glob("xx_tagger-*")
    meta = json.loads((folder / "meta.json").read_text())
    assert any(
        name.startswith("spacy-bio-crf") or "spacy_bio_crf" in name for name in meta["requirements"]
    )
    assert meta["labels"]["bio_tagger"] == ["ADV", "PRON", "PROPN", "VERB"]

    source = tmp_path / "assemble.cfg"
    source.write_text(
        '[nlp]\nlang = "xx"\npipeline = ["bio_tagger"]\n[components]\n'
        f'[components.bio_tagger]\nsource = "{best}"\n'
    )
    assemble_cli(Context(), source, tmp_path / "whole", None, False)  # type: ignore[arg-type]
    assert tagger_of(spacy.load(tmp_path / "whole")).labels == tagger_of(nlp).labels
