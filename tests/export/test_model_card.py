"""Model cards of exported checkpoints."""

from pathlib import Path

import spacy
import srsly
from spacy.language import Language

from spacy_bio_crf.export.model_card import write_card
from tests.support.components import component
from tests.support.taggers import fit_tagger, make_bio_tagger, tagger_of


def test_metadata_figures_and_versions(trained: Language):
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", source=trained)
    pipe = component(nlp)
    card = write_card(nlp, pipe, [])
    assert "## Figures" not in card and "## Different" not in card and "Data:" not in card
    assert srsly.yaml_loads(card.split("---")[1])["license"] == "unknown"
    nlp.meta["license"] = "CC BY-SA 4.0"
    nlp.meta["description"] = "People: and places"
    nlp.meta["performance"] = {
        "ents_p": 0.5,
        "ents_r": 0.25,
        "ents_f": 1 / 3,
        "ents_per_type": {"LOC": {"p": 1.0, "r": 0.0, "f": 0.5}},
    }
    nlp.config["paths"] = {"train": "somewhere/train.spacy"}
    card = write_card(nlp, pipe, ["One."])
    data = srsly.yaml_loads(card.split("---")[1])
    assert (data["language"], data["license"]) == ("en", "cc-by-sa-4.0")
    assert data["pipeline_tag"] == "token-classification"
    assert "| all | 50.00 | 25.00 | 33.33 |\n| LOC | 100.00 | 0.00 | 50.00 |" in card
    assert "Labels: `LOC`, `PER`." in card and "* One." in card and "People: and" in card
    assert "Data: train.spacy." in card
    assert "* spacy_bio_crf " in card and f"* spacy {spacy.__version__}\n" in card
    card = write_card(nlp, pipe, [], "MIT")
    assert "license: mit\n" in card
    # As spaCy has them: names, and what stands beside them.
    nlp.meta["sources"] = ["WNUT 17", {"name": "Bosque", "url": "x"}, {"url": "y"}]
    assert "Data: WNUT 17, Bosque." in write_card(nlp, pipe, [])


def test_a_card_for_labels_of_tokens(tiny_encoder: Path):
    nlp = fit_tagger(make_bio_tagger(tiny_encoder), steps=1)
    nlp.meta["performance"] = {"pos_acc": 0.875, "ents_f": 0.5}
    card = write_card(nlp, tagger_of(nlp), [])
    tags = srsly.yaml_loads(card.split("---")[1])["tags"]
    assert "part-of-speech" in tags and "named-entity-recognition" not in tags
    assert "Labels of tokens." in card and "Labels: `ADV`, `PRON`" in card
    assert "Accuracy of the pipeline in spaCy: 87.50 %" in card and "50.00" not in card
    assert "aggregation_strategy" not in card and "first one of a word" in card
