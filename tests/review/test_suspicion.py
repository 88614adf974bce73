"""Suspects of altered training sentences, by a model that knows the right annotation."""

import math

import numpy as np
import pytest
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.review.surfaces import count_usage
from spacy_bio_crf.review.suspicion import (
    EVIDENCE_WEIGHT,
    evidence,
    rank,
    review_by,
    review_documents,
    surfaces_of,
    suspect_data,
)
from tests.support.pipelines import SENTENCES, make_examples, spans_of

ALTERED = {
    0: [(0, 2, "PER"), (3, 4, "LOC"), (5, 7, "LOC")],  # a label, a boundary
    1: [(0, 1, "PER"), (5, 6, "LOC")],  # Lisbon is missing
    4: [(1, 2, "PER")],  # works
    5: [(2, 5, "PER")],  # New York Lisbon
}


def make_docs(nlp, altered: dict = ALTERED) -> list[Doc]:
    docs = [eg.reference for eg in make_examples(nlp)]
    for i, spans in altered.items():
        docs[i].set_ents([Span(docs[i], s, e, label=x) for s, e, x in spans])
    return docs


def everything(nlp, docs: list[Doc]):
    return review_by(nlp, docs, range(len(docs)))


def test_each_kind_is_found_with_its_correction(trained):
    docs = make_docs(trained)
    review = everything(trained, docs)
    assert review.unknown == 0
    likely = [s for s in review.suspects if s.error > 0.5]
    found = {(s.document, s.kind, s.gold): (s.alternative, s.remove, s.add) for s in likely}
    assert found == {
        (0, "label", (3, 4, "LOC")): ([(3, 4, "PER")], [(3, 4, "LOC")], [(3, 4, "PER")]),
        (0, "boundary", (5, 7, "LOC")): ([(5, 8, "LOC")], [(5, 7, "LOC")], [(5, 8, "LOC")]),
        (1, "spurious", None): ([(3, 4, "LOC")], [], [(3, 4, "LOC")]),
        (4, "missed", (1, 2, "PER")): ([], [(1, 2, "PER")], []),
        (5, "both", (2, 5, "PER")): (
            [(2, 4, "LOC"), (4, 5, "LOC")],
            [(2, 5, "PER")],
            [(2, 4, "LOC"), (4, 5, "LOC")],
        ),
    }
    # All other entities are there, too, and are not suspected.
    n_gold = sum(s.gold is not None for s in review.suspects)
    assert n_gold == sum(len(doc.ents) for doc in docs)
    usage = count_usage(docs, surfaces_of(review.suspects, docs))
    ranked = rank(review.suspects, docs, usage)
    assert {s.gold for s in ranked[: len(found)]} == {gold for _, _, gold in found}
    doubts = [
        s.contradiction + EVIDENCE_WEIGHT * evidence(s, docs[s.document], usage) for s in ranked
    ]
    assert doubts == sorted(doubts, reverse=True)
    assert all((s.contradiction > 0) == (i < len(found)) for i, s in enumerate(ranked))


def test_evidence_of_equal_texts(trained):
    docs = make_docs(trained)
    usage = count_usage(docs, surfaces_of(everything(trained, docs).suspects, docs))

    def found(document: int, gold: tuple | None) -> float:
        (s,) = (
            s
            for s in everything(trained, docs).suspects
            if (s.document, s.gold) == (document, gold) and s.error > 0.5
        )
        return evidence(s, docs[document], usage)

    # Bo is a PER in the one other place; New York is a part of another entity there, and New York
    # City nowhere else; Lisbon is a part; works is nowhere else.
    assert found(0, (3, 4, "LOC")) == pytest.approx(math.log(1.5 / 2) - math.log(0.5 / 2))
    assert found(0, (5, 7, "LOC")) == pytest.approx(math.log(0.5) - math.log(0.5 / 2))
    assert found(1, None) == pytest.approx(math.log(0.5 / 2) - math.log(0.5 / 2))
    assert found(4, (1, 2, "PER")) == pytest.approx(math.log(0.5) - math.log(0.5))


def test_the_posterior_of_what_is_predicted_is_its_confidence(trained):
    docs = make_docs(trained, {})
    for suspect in everything(trained, docs).suspects:
        doc = trained(Doc(trained.vocab, words=SENTENCES[suspect.document][0]))
        (ent,) = (e for e in doc.ents if (e.start, e.end, e.label_) == suspect.gold)
        assert 1.0 - suspect.error == pytest.approx(ent._.confidence, abs=1e-6)
        assert suspect.alternative_posterior <= suspect.error + 1e-6


def test_several_batches_and_chosen_documents(trained, monkeypatch):
    docs = make_docs(trained)
    whole = everything(trained, docs).suspects
    monkeypatch.setattr("spacy_bio_crf.review.suspicion._BATCH", 2)
    for one, other in zip(whole, everything(trained, docs).suspects, strict=True):
        assert (one.document, one.gold, one.alternative) == (
            other.document,
            other.gold,
            other.alternative,
        )
        assert one.log_posterior == pytest.approx(other.log_posterior, abs=1e-4)
    some = review_by(trained, docs, [5, 0]).suspects
    assert {s.document for s in some} == {5, 0}
    assert [s.gold for s in some if s.document == 5] == [(2, 5, "PER")]


def test_neighbors_that_the_alternative_covers_go_with_it(trained):
    docs = make_docs(trained, {2: [(0, 2, "PER"), (2, 4, "PER"), (6, 7, "LOC")]})
    for suspect in everything(trained, docs).suspects[-20:]:
        if suspect.document == 2 and suspect.gold in ((0, 2, "PER"), (2, 4, "PER")):
            assert suspect.kind == "boundary"
            assert suspect.remove == [(0, 2, "PER"), (2, 4, "PER")]
            assert suspect.add == [(0, 4, "PER")]


def test_what_is_not_annotated_is_not_suspected(trained):
    docs = make_docs(trained)
    docs[1].set_ents([Span(docs[1], 0, 1, label="PER")], missing=[docs[1][3:6]], default="outside")
    # Its right boundaries need a token without annotation.
    docs[0].set_ents([Span(docs[0], 5, 7, label="LOC")], missing=[docs[0][7:8]], default="outside")
    found = everything(trained, docs).suspects
    assert [s.gold for s in found if s.document == 1] == [(0, 1, "PER")]
    assert (5, 7, "LOC") not in [s.gold for s in found if s.document == 0]


def test_labels_and_tokens_that_the_model_lacks(trained):
    docs = make_docs(trained, {0: [(0, 2, "DATE")], 4: []})
    review = everything(trained, docs)
    assert review.unknown == 1
    found = [s for s in review.suspects if s.document == 0]
    # Nothing is said of the tokens of an entity whose label is not known.
    assert {s.span[:2] for s in found} == {(3, 4), (5, 8)}


def test_other_tokens_of_the_same_text(trained):
    bio_ner = trained.get_pipe("bio_ner")
    words, ents = SENTENCES[1]
    reference = Doc(trained.vocab, words=["Bo moved", *words[2:]])
    reference.set_ents([Span(reference, 2, 3, label="PER")])
    examples = [Example(Doc(trained.vocab, words=words), reference)]
    found = review_documents(bio_ner, examples).suspects
    by_gold = {s.gold: s for s in found}
    assert by_gold[2, 3, "PER"].alternative == [(2, 3, "LOC")]
    places = {s.alternative[0] for s in found if s.gold is None}
    # The first token is a part of one here.
    assert places == {(0, 1, "PER"), (4, 5, "LOC")}


def test_what_goes_into_a_file(trained):
    docs = make_docs(trained)
    docs[0].user_data["source"] = "a.conll:1"
    (suspect,) = (s for s in everything(trained, docs).suspects if s.gold == (3, 4, "LOC"))
    usage = count_usage(docs, surfaces_of([suspect], docs))
    data = suspect_data(suspect, docs[0], usage)
    assert data["text"] == "Bo" and data["kind"] == "label" and data["source"] == "a.conll:1"
    assert data["same_text"] == {"labels": {"LOC": 1, "PER": 1}, "partly": 0, "outside": 0}
    assert data["remove"] == [[3, 4, "LOC"]] and data["add"] == [[3, 4, "PER"]]
    assert data["error"] == pytest.approx(1.0 - math.exp(data["log_posterior"]))
    assert np.isfinite(data["log_posterior"])


def test_components_whose_entities_may_overlap(make_nlp):
    nlp = make_nlp(groups="per_label", gold_spans_key="gold")
    with pytest.raises(SettingsError, match="'bio_ner': expected entities of doc.ents alone, got"):
        review_documents(nlp.get_pipe("bio_ner"), [])


def test_entities_of_earlier_components_are_certain(trained):
    nlp = trained
    docs = make_docs(nlp, {})
    ruler = nlp.add_pipe("entity_ruler", before="bio_ner")
    try:
        ruler.add_patterns([{"label": "LOC", "pattern": "Bo"}])
        found = everything(nlp, docs).suspects
    finally:
        nlp.remove_pipe("entity_ruler")
    errors = {s.gold: s.error for s in found if s.document == 1}
    assert errors[0, 1, "PER"] == pytest.approx(1.0)
    assert spans_of(docs[1])[0] == (0, 1, "PER")
