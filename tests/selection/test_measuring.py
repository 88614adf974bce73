import copy
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import spacy

from spacy_bio_crf.bulk import annotate_rows
from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.heads.doubt import measure_doubt
from spacy_bio_crf.selection import document_vectors, measuring
from spacy_bio_crf.selection.measuring import load_measuring, measure_always
from tests.support.pipelines import SENTENCES, make_examples, train
from tests.support.sharing import add_head, add_owner

TEXTS = [" ".join(words) for words, _ in SENTENCES]


def test_rows_get_entities_and_doubt(trained):
    ner = trained.get_pipe("bio_ner")
    rows = [{"text": text, "id": i} for i, text in enumerate([*TEXTS, ""])]
    plain = annotate_rows(trained, rows).rows
    docs = [trained.make_doc(row["text"]) for row in rows]
    expected = measure_doubt(ner.lattice(docs), [None] * len(docs), ner.reading())
    with measuring(trained) as found:
        assert found is ner and ner.threshold == 0.0
        measured = annotate_rows(trained, rows).rows
        # One document at a time is the same.
        assert annotate_rows(trained, rows, batch_size=1).rows[0]["selection"]["tokens"] == 9
    assert annotate_rows(trained, rows).rows == plain
    for row, before, doubt in zip(measured, plain, expected, strict=True):
        fields = row.pop("selection")
        assert row == before
        for name, value in asdict(doubt).items():
            assert fields[name] == pytest.approx(value, abs=1e-5)
    assert measured[0]["entities"] and fields["tokens"] == 0


def test_a_record_that_has_the_field_is_bad(trained):
    rows = [{"text": "Bo", "selection": 1}, {"text": "Ana"}]
    with measuring(trained):
        found = annotate_rows(trained, rows, skip_bad=True)
    assert [bad.place for bad in found.bad] == ["row 1"]
    assert "expected no key 'selection'" in found.bad[0].reason
    assert [row["text"] for row in found.rows] == ["Ana"]


def test_copies_measure_too(trained):
    with measuring(trained) as ner:
        for task in copy.deepcopy(ner.task), pickle.loads(pickle.dumps(ner.task)):
            assert task == ner.task and task.spans_key == "bio_ner"


def test_the_task_is_put_back_after_an_error(trained):
    before = trained.get_pipe("bio_ner").task
    with pytest.raises(ZeroDivisionError), measuring(trained):
        raise ZeroDivisionError
    assert trained.get_pipe("bio_ner").task is before
    with pytest.raises(SettingsError, match="component: expected a bio_ner of bio_ner, got 'x'"):
        measure_always(trained, "x")
    with pytest.raises(SettingsError, match="component: expected one bio_ner, got none"):
        load_measuring(lambda: spacy.blank("en"), None)


def mean_of(encoder, doc):
    """The mean of the vectors of first sub-words, by the layer itself."""
    (ragged,) = encoder.predict([doc])
    firsts = np.cumsum([0, *ragged.lengths[:-1]])
    return np.asarray(ragged.dataXd)[firsts].mean(axis=0)


def test_vectors_are_means_of_the_encoder(trained):
    ner = trained.get_pipe("bio_ner")
    found = document_vectors(trained, ner, [*TEXTS, ""])
    encoder = ner.model.layers[0]
    for text, vector in zip(TEXTS, found[:-1], strict=True):
        np.testing.assert_allclose(vector, mean_of(encoder, trained.make_doc(text)), atol=1e-5)
    assert found.shape == (len(TEXTS) + 1, 32) and not found[-1].any()


def test_vectors_of_a_shared_encoder(tiny_encoder, make_nlp):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder)
    ner = add_head(nlp)
    train(nlp, make_examples(nlp), steps=1)
    found = document_vectors(nlp, ner, TEXTS)
    owner = nlp.get_pipe("bio_encoder").model
    for text, vector in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(vector, mean_of(owner, nlp.make_doc(text)), atol=1e-5)


def test_groups_measure_too(make_nlp):
    nlp = make_nlp(groups={"a": ["PER"], "b": ["LOC"]})
    train(nlp, make_examples(nlp), steps=2)
    with measuring(nlp):
        (row,) = annotate_rows(nlp, [{"text": TEXTS[0]}]).rows
    assert row["selection"]["entropy"] > 0 and set(row["selection"]["expected"]) == {"PER", "LOC"}
