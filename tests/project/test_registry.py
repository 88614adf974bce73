"""`bio_ner` as spaCy's registry makes it: from a config, with all defaults filled in.

That every single name resolves, in a fresh process too, is in `test_entry_points.py`.
"""

from pathlib import Path

import spacy
from spacy.language import Language

from tests.support.pipelines import MakeNlp, make_examples


def test_what_a_config_leaves_out_is_filled_in(tiny_encoder: Path):
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-bio-crf.TransformerEncoder.v1", "name": str(tiny_encoder)}
    nlp.add_pipe("bio_ner", config={"scheme": "BILUO", "model": {"encoder": encoder}})
    settings = nlp.config["components"]["bio_ner"]
    assert settings["scheme"] == nlp.get_pipe("bio_ner").cfg["scheme"] == "BILUO"
    assert settings["repair"] == "begin"
    assert settings["overwrite"] is False
    assert settings["scorer"] == {"@scorers": "spacy-bio-crf.bio_ner_scorer.v1"}
    model = settings["model"]
    assert model["@architectures"] == "spacy-bio-crf.BioTagger.v1"
    assert model["subword_labels"] == "first"
    assert model["encoder"]["name"] == str(tiny_encoder)
    assert model["encoder"]["precision"] == "fp32"
    assert model["head"]["@architectures"] == "spacy-bio-crf.CRFHead.v1"
    assert model["head"]["constrained"] is True


def test_adding_the_pipe_fetches_nothing():
    # The default encoder lies on a hub; building the pipeline must not reach for it.
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner")
    assert nlp.pipe_names == ["bio_ner"]


def test_component_says_what_it_assigns():
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner")
    meta = nlp.get_pipe_meta("bio_ner")
    assert set(meta.assigns) == {
        *("doc.ents", "doc.spans", "span._.confidence", "token.ent_iob", "token.ent_type")
    }
    assert nlp.analyze_pipes()["problems"] == {"bio_ner": []}


def test_score_weights_name_scores_that_exist(make_nlp: MakeNlp, trained: Language):
    weights = make_nlp().config["training"]["score_weights"]
    assert {k: v for k, v in weights.items() if v} == {"ents_f": 1.0}
    scores = trained.get_pipe("bio_ner").score(make_examples(trained))
    assert set(weights) == set(scores)
