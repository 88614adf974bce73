"""Confidence of entities on Docs, and its way through files."""

import multiprocessing
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_bio_crf.doc_scores import read_scores
from spacy_bio_crf.pipes.confidence import install_extension, write_scores
from tests.support.pipelines import MakeNlp, make_examples, train


@pytest.fixture(scope="module", params=["crf", "softmax"])
def trained(request: pytest.FixtureRequest, make_nlp: MakeNlp):
    nlp = make_nlp(request.param, encoder_options={"dropout": 0.0})
    return train(nlp, make_examples(nlp), steps=60)


def test_confidence_of_a_trained_model_agrees_with_its_entities(trained):
    text = "Ana Ruiz met Bo in New York City ."
    doc = trained(text)
    assert [ent.text for ent in doc.ents] == ["Ana Ruiz", "Bo", "New York City"]
    group = doc.spans["bio_ner"]
    assert list(group) == list(doc.ents)
    assert group.attrs["scores"] == [ent._.confidence for ent in doc.ents]
    assert all(0.5 < score <= 1.0 for score in group.attrs["scores"])
    assert doc[0:1]._.confidence is None
    bio_ner = trained.get_pipe("bio_ner")
    (best, *_rest) = bio_ner.kbest([trained.make_doc(text)], k=3)[0]
    assert best.spans == [(e.start, e.end, e.label_) for e in doc.ents]
    marginals = bio_ner.marginals([trained.make_doc(text + "  \n")])[0]
    np.testing.assert_allclose(marginals[:9].sum(axis=1), 1.0, atol=1e-5)
    assert np.isnan(marginals[9:]).all()


def test_confidence_goes_where_the_doc_goes(trained, tmp_path):
    doc = trained("Ana Ruiz met Bo in New York City .")
    scores = doc.spans["bio_ner"].attrs["scores"]
    path = tmp_path / "docs.spacy"
    DocBin(docs=[doc]).to_disk(path)
    (again,) = DocBin().from_disk(path).get_docs(trained.vocab)
    assert again.spans["bio_ner"].attrs["scores"] == scores
    copy = Doc(trained.vocab).from_bytes(doc.to_bytes())
    assert [ent._.confidence for ent in copy.ents] == scores
    code = (
        "import sys\nfrom spacy.tokens import DocBin\nfrom spacy.vocab import Vocab\n"
        "doc, = DocBin().from_disk(sys.argv[1]).get_docs(Vocab())\n"
        "print(doc.spans['bio_ner'].attrs['scores'])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == str(scores)


def test_threshold_drops_what_is_below(trained):
    bio_ner = trained.get_pipe("bio_ner")
    text = "Ana Ruiz met Bo in New York City ."
    scores = sorted(trained(text).spans["bio_ner"].attrs["scores"])
    bio_ner.threshold = (scores[0] + scores[1]) / 2
    try:
        doc = trained(text)
    finally:
        bio_ner.threshold = 0.0
    assert len(doc.ents) == len(scores) - 1
    assert sorted(doc.spans["bio_ner"].attrs["scores"]) == pytest.approx(scores[1:])
    assert all(token.ent_iob_ in "BIO" for token in doc)


def test_threshold_holds_without_a_spans_key(trained):
    bio_ner = trained.get_pipe("bio_ner")
    bio_ner.spans_key, bio_ner.threshold = None, 1.0
    try:
        doc = trained("Ana Ruiz met Bo in New York City .")
    finally:
        bio_ner.spans_key, bio_ner.threshold = "bio_ner", 0.0
    assert not doc.spans
    assert all(ent._.confidence is None for ent in doc.ents)


def test_presets_have_no_confidence_and_raise_that_of_nothing_else(trained):
    doc = trained.make_doc("Ana Ruiz met Bo in New York City .")
    doc.set_ents([Span(doc, 0, 2, label="PER")], default="unmodified")
    doc = trained.get_pipe("bio_ner")(doc)
    assert [ent.text for ent in doc.ents] == ["Ana Ruiz", "Bo", "New York City"]
    assert [span.text for span in doc.spans["bio_ner"]] == ["Bo", "New York City"]
    assert doc.ents[0]._.confidence is None


def test_two_components_may_share_a_group():
    doc = Doc(Vocab(), words=list("abcdef"))
    doc.set_ents([Span(doc, 0, 1, "X"), Span(doc, 2, 4, "Y")])
    write_scores(doc, "ner", [(0, 1, "X"), (2, 4, "Y")], [0.5, np.float32(0.25)])
    # The second entity is replaced, the first stays with its score.
    doc.set_ents([Span(doc, 0, 1, "X"), Span(doc, 2, 3, "Z"), Span(doc, 5, 6, "X")])
    write_scores(doc, "ner", [(2, 3, "Z")], [0.75])
    assert [(s.start, s.end, s.label_) for s in doc.spans["ner"]] == [(0, 1, "X"), (2, 3, "Z")]
    assert doc.spans["ner"].attrs["scores"] == [0.5, 0.75]
    install_extension()
    assert [ent._.confidence for ent in doc.ents] == [0.5, 0.75, None]
    assert Span(doc, 0, 1, "Y")._.confidence is None


def test_an_extension_of_that_name_stays():
    before = Span.remove_extension("confidence") if Span.has_extension("confidence") else None
    Span.set_extension("confidence", default="mine")
    try:
        install_extension()
        assert Doc(Vocab(), words=["a"])[0:1]._.confidence == "mine"
    finally:
        Span.remove_extension("confidence")
        if before is not None:
            Span.set_extension("confidence", getter=before[2])


TEXT = "Ana Ruiz met Bo in New York City ."


def merged_behind(trained, component: str = "merge_entities"):
    """The pipeline with a component of spaCy behind `bio_ner` that merges tokens."""
    nlp = type(trained).from_config(trained.config, vocab=trained.vocab)
    nlp.from_bytes(trained.to_bytes())
    nlp.add_pipe(component)
    return nlp


def test_confidence_survives_merged_tokens(trained):
    nlp = merged_behind(trained)
    expected = trained(TEXT).spans["bio_ner"].attrs["scores"]
    doc = nlp(TEXT)
    assert [token.text for token in doc] == ["Ana Ruiz", "met", "Bo", "in", "New York City", "."]
    assert [ent._.confidence for ent in doc.ents] == pytest.approx(expected)
    assert [span.text for span in doc.spans["bio_ner"]] == [ent.text for ent in doc.ents]
    for again in (
        Doc(nlp.vocab).from_bytes(doc.to_bytes()),
        doc.copy(),
        next(DocBin(docs=[doc]).get_docs(nlp.vocab)),
        Doc.from_docs([doc, doc])[:6].as_doc(),
        pickle.loads(pickle.dumps(doc)),
    ):
        assert [ent.text for ent in again.ents] == [ent.text for ent in doc.ents]
    assert [e._.confidence for e in doc.copy().ents] == pytest.approx(expected)
    assert len(doc.to_json()["spans"]["bio_ner"]) == 3
    assert [e._.confidence for e in nlp(doc.copy()).ents] == pytest.approx(expected, abs=1)
    (streamed,) = list(nlp.pipe([TEXT], n_process=2))
    assert [ent._.confidence for ent in streamed.ents] == pytest.approx(expected)


def test_confidence_survives_split_tokens_and_a_merge_beside_it(trained):
    doc = trained(TEXT)
    expected = [ent._.confidence for ent in doc.ents]
    with doc.retokenize() as retokenizer:
        # As many tokens as before: only their places tell that they are others.
        retokenizer.split(doc[1], ["Ru", "iz"], heads=[(doc[1], 1), doc[0]])
        retokenizer.merge(doc[6:8])
    assert len(doc) == 9
    assert [span.text for span in doc.spans["bio_ner"]] == ["Ana Ruiz", "Bo", "New York City"]
    assert [ent._.confidence for ent in doc.ents] == expected
    again = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert list(again.spans["bio_ner"]) == list(again.ents)


def test_a_span_that_no_longer_fits_the_tokens_leaves_the_group(trained):
    doc = trained(TEXT)
    scores = list(doc.spans["bio_ner"].attrs["scores"])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[2:4])
    group = doc.spans["bio_ner"]
    assert [span.text for span in group] == ["Ana Ruiz", "New York City"]
    assert group.attrs["scores"] == [scores[0], scores[2]]


def test_all_confidences_of_a_long_document_are_read_in_one_pass(trained):
    doc = Doc(trained.vocab, words=["Bo", "met", "Ana"] * 9000)
    spans = [(i, i + 1, "PER") for i in range(0, len(doc), 3)]
    doc.set_ents([Span(doc, *span) for span in spans])
    write_scores(doc, "bio_ner", spans, [i / 9000 for i in range(9000)])
    begin = time.process_time()
    confidences = [ent._.confidence for ent in doc.ents]
    assert time.process_time() - begin < 1.0
    assert confidences == doc.spans["bio_ner"].attrs["scores"]
    doc.spans["bio_ner"].attrs["scores"][0] = 0.5
    assert doc.ents[0]._.confidence == 0.5
    write_scores(doc, "bio_ner", [spans[0]], [0.25])
    assert doc.ents[0]._.confidence == 0.25


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pickled_pipeline_has_confidences_in_a_process_of_its_own(trained, method):
    pool = multiprocessing.get_context(method).Pool(1, install_pipeline, [pickle.dumps(trained)])
    with pool:
        found = pool.apply(tag_in_process, (TEXT,))
    assert found == pytest.approx([ent._.confidence for ent in trained(TEXT).ents])


def install_pipeline(pickled: bytes) -> None:
    global pipeline
    pipeline = pickle.loads(pickled)


def tag_in_process(text: str) -> list:
    return [ent._.confidence for ent in pipeline(text).ents]


def test_an_extension_of_the_user_stays_and_is_told(make_nlp: MakeNlp):
    ours = Span.remove_extension("confidence")
    Span.set_extension("confidence", default=None)
    try:
        with pytest.warns(UserWarning, match=r"Span\._\.confidence: expected no other extension"):
            make_nlp()
    finally:
        Span.remove_extension("confidence")
        Span.set_extension("confidence", getter=ours[2])


def test_spans_of_another_component_with_overlaps_stay():
    doc = Doc(Vocab(), words=["Porto", "de", "Galinhas"])
    write_scores(doc, "all", [(0, 3, "LOC"), (2, 3, "ORG")], [0.9, 0.8], labels=("LOC", "ORG"))
    write_scores(doc, "all", [(0, 1, "PER")], [0.7], labels=("PER", "ORG"))
    assert read_scores(doc, "all") == {(0, 1, "PER"): 0.7, (0, 3, "LOC"): 0.9}
    write_scores(doc, "all", [(0, 1, "PER")], [0.7])
    assert read_scores(doc, "all") == {(0, 1, "PER"): 0.7}
