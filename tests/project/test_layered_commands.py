"""spaCy's commands on a pipeline with groups: debug data, train, evaluate, package; displacy."""

import json
from pathlib import Path

import pytest
import spacy
from spacy import displacy
from spacy.cli.debug_data import debug_data
from spacy.cli.evaluate import evaluate
from spacy.cli.package import package
from spacy.cli.train import train
from spacy.tokens import DocBin

from tests.support.layered import GROUPS, KEY, LAYERED, layered_examples, layers_of
from tests.support.pipelines import MakeNlp


@pytest.mark.slow
@pytest.mark.parametrize("groups", [GROUPS, "per_label"])
def test_spacys_commands(
    make_nlp: MakeNlp, tmp_path: Path, groups: object, capsys: pytest.CaptureFixture[str]
):
    nlp = make_nlp(groups=groups, gold_spans_key=KEY, ents="outermost")
    docs = [eg.reference for eg in layered_examples(nlp)]
    for doc in docs:
        doc.has_unknown_spaces = True
    corpus = tmp_path / "train.spacy"
    DocBin(docs=docs * 25).to_disk(corpus)  # `debug data` takes fewer for an error
    settings = nlp.config.copy()
    settings["paths"].update(train=str(corpus), dev=str(corpus))
    settings["training"].update(max_steps=40, eval_frequency=20, patience=0)
    settings["training"]["optimizer"].update(learn_rate=2e-3)
    settings["training"]["score_weights"] = {"ents_f": None, "spans_bio_ner_f": 1.0}
    config = tmp_path / "config.cfg"
    settings.to_disk(config)
    if isinstance(groups, dict):
        assert "[components.bio_ner.groups]" in config.read_text()
    debug_data(config)
    train(config, tmp_path / "out")
    assert "SPANS_BIO_" in capsys.readouterr().out
    best = tmp_path / "out" / "model-best"
    assert evaluate(str(best), corpus, silent=True)["spans_bio_ner_f"] == 1.0
    nlp = spacy.load(best)
    doc = nlp(spacy.tokens.Doc(nlp.vocab, words=LAYERED[0][0]))
    assert layers_of(doc) == sorted(LAYERED[0][1])
    assert [ent.label_ for ent in doc.ents] == ["PER", "ORG"]
    assert nlp.meta["performance"]["spans_bio_ner_f"] == 1.0
    for style in ("ent", "span"):
        options = {"spans_key": "bio_ner"} if style == "span" else {}
        assert "ORG" in displacy.render(doc, style=style, options=options, jupyter=False)
    package(best, tmp_path, name="layered", create_wheel=False, create_sdist=False, silent=True)
    (folder,) = tmp_path.glob("xx_layered-*")
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["labels"]["bio_ner"] == (
        ["ORG", "PER", "LOC"] if groups == GROUPS else ["LOC", "ORG", "PER"]
    )
