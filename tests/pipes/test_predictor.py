"""What a trained component says of texts and documents, beside entities on a Doc."""

import copy
import gc
import pickle

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from tests.support.components import component
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train

TEXT = "Ana Ruiz met Bo in New York City ."


def test_kbest_and_marginals_take_what_a_pipeline_takes(trained: Language):
    ner, doc = component(trained), trained.make_doc(TEXT)
    before = doc.to_bytes()
    (expected,) = ner.kbest([doc], 3)
    (probabilities,) = ner.marginals([doc])
    assert len(expected) == 3 and expected[0].spans == spans_of(trained(TEXT))
    for given in (doc, TEXT):
        assert ner.kbest(given, 3) == expected
        np.testing.assert_array_equal(ner.marginals(given), probabilities)
    for some in ([TEXT, doc], (TEXT, TEXT), iter([doc, TEXT])):
        assert ner.kbest(some, 3) == [expected, expected]
    for found in ner.marginals(iter([TEXT, doc])):
        np.testing.assert_array_equal(found, probabilities)
    assert ner.kbest([], 3) == ner.marginals([]) == []
    assert len(ner.kbest("", 3)) == 1 and ner.marginals("").shape == (0, 5)
    assert doc.to_bytes() == before


@pytest.mark.parametrize("wrong", [[5], [None], [["Ana"]], [TEXT.encode()]])
def test_anything_else_is_refused(trained: Language, wrong: list):
    for call in (component(trained).marginals, lambda docs: component(trained).kbest(docs, 2)):
        with pytest.raises(ValueError, match="^docs: expected Docs or texts, got "):
            call(wrong)


def test_alternatives_can_be_read(trained: Language):
    best, second = component(trained).kbest(TEXT, 2)
    assert [ent.text for ent in best.ents] == ["Ana Ruiz", "Bo", "New York City"]
    assert [ent.label_ for ent in best.ents] == ["PER", "PER", "LOC"]
    text = f"{best.probability:.4f}: Ana Ruiz (PER), Bo (PER), New York City (LOC)"
    assert str(best) == text and repr(best) == f"Alternative({text})"
    assert best.doc.ents == () and best.doc.text == TEXT
    assert str(second).startswith(f"{second.probability:.4f}: ")
    assert str(component(trained).kbest("", 1)[0]).endswith(": no entity")


def test_a_component_without_a_pipeline_takes_docs(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    train(nlp, make_examples(nlp), steps=3)
    doc = nlp.make_doc(TEXT)
    expected = component(nlp).kbest(TEXT, 2)
    for copied in (copy.deepcopy(component(nlp)), pickle.loads(pickle.dumps(component(nlp)))):
        assert copied.kbest(Doc(copied.vocab, words=[t.text for t in doc]), 2) == expected
        with pytest.raises(ValueError, match=r"docs: expected Docs, for .*; make one with nlp"):
            copied.kbest(TEXT, 2)
    # In a copy of the pipeline it makes Docs with the copy.
    copied = copy.deepcopy(nlp)
    copied.tokenizer = spacy.blank("en").tokenizer
    assert component(copied).kbest(TEXT, 2) == expected
    assert component(copied).kbest(TEXT, 1)[0].doc.vocab is copied.tokenizer.vocab
    # Nor does a component keep its pipeline alive.
    ner = component(nlp)
    del nlp
    gc.collect()
    with pytest.raises(ValueError, match="docs: expected Docs, for 'bio_ner' does not know"):
        ner.marginals(TEXT)


def test_a_component_shows_what_it_is(trained: Language, make_nlp: MakeNlp):
    assert repr(component(trained)) == "<BioNer 'bio_ner': 2 labels ('LOC', 'PER'), BIO, CRF>"
    ner = component(make_nlp("softmax", name="other", scheme="BILUO"), "other")
    assert repr(ner) == "<BioNer 'other': 0 labels (), BILUO, softmax>"
    for label in "ABCDEFGH":
        ner.add_label(label)
    assert "8 labels ('A', 'B', 'C', 'D', 'E', 'F', …), BILUO" in repr(ner)


def test_analyze_pipes_shows_what_is_written(trained: Language):
    (summary,) = trained.analyze_pipes(keys=["assigns"])["summary"].values()
    written = {"doc.ents", "doc.spans", "span._.confidence", "token.ent_iob", "token.ent_type"}
    assert set(summary["assigns"]) == written
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner")
    assert nlp.get_pipe_meta("bio_ner").assigns
