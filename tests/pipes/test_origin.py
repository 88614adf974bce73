"""The pipeline that a component belongs to, in sources, copies and pickles."""

import copy
import gc
import pickle
from pathlib import Path

import spacy
from spacy.language import Language

from spacy_bio_crf.pipes.origin import Origin, let_spacy_tell
from tests.support.components import component
from tests.support.sharing import add_head, add_owner, owner_of


def test_a_reference_does_not_keep_a_pipeline_alive():
    nlp = spacy.blank("en")
    origin = Origin(nlp)
    assert origin.nlp is nlp and Origin().nlp is None
    del nlp
    gc.collect()
    assert origin.nlp is None


def test_a_sourced_component_belongs_to_its_new_pipeline(trained: Language):
    source = copy.deepcopy(trained)
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", source=source)
    nlp.add_pipe("sentencizer")
    spacy.blank("en").add_pipe("sentencizer", name="other", source=nlp)
    assert component(nlp).origin.nlp is nlp
    del source
    gc.collect()
    assert len(component(nlp).kbest("Ana Ruiz met Bo in New York City .", 2)) == 2
    copied = copy.deepcopy(nlp)
    assert component(copied).origin.nlp is copied


def test_a_source_has_its_component_back_when_the_other_pipeline_is_gone(trained: Language):
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", source=trained)
    # spaCy does not copy the component.
    assert component(nlp) is component(trained) and component(trained).origin.nlp is nlp
    for pipeline in (trained, nlp):
        copied = copy.deepcopy(pipeline)
        assert component(copied).origin.nlp is copied
    del nlp, pipeline
    gc.collect()
    assert component(trained).origin.nlp is trained


def test_training_that_is_resumed_tells_the_pipeline(trained: Language):
    nlp = pickle.loads(pickle.dumps(trained))
    assert component(nlp).origin.nlp is None
    nlp.resume_training()
    assert component(nlp).origin.nlp is nlp and component(trained).origin.nlp is trained


def test_an_encoder_is_sourced_with_its_heads(tiny_encoder: Path):
    source = spacy.blank("en")
    add_owner(source, tiny_encoder)
    add_head(source)
    nlp = spacy.blank("en")
    for name in source.pipe_names:
        nlp.add_pipe(name, source=source)
    assert owner_of(nlp).origin.nlp is component(nlp).origin.nlp is nlp


def test_spacy_is_told_once():
    before = Language.create_pipe_from_source, Language.resume_training
    let_spacy_tell()
    assert (Language.create_pipe_from_source, Language.resume_training) == before
