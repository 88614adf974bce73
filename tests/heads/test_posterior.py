"""Confidence against a listing of all tag sequences, and its way into Docs and files."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin, Span

from spacy_bio_crf.heads import emitter as heads
from spacy_bio_crf.heads.decode import Reading, find_alternatives, find_entities, tag_marginals
from spacy_bio_crf.heads.emitter import Head, Lattice
from spacy_bio_crf.heads.posterior import entity_probabilities, temper
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.pipelines import MakeNlp, make_examples, train


def make_lattice(tagset: TagSet, lengths: list[int], *, crf: bool, seed: int) -> Lattice:
    generator = torch.Generator().manual_seed(seed)
    k = len(tagset.tags)

    def scores(*shape: int) -> torch.Tensor:
        return 2 * torch.randn(*shape, generator=generator)

    chain = (scores(k), scores(k, k), scores(k))
    if not crf:
        chain = (torch.zeros(k), torch.zeros(k, k), torch.zeros(k))
    return Lattice(scores(sum(lengths), k), *chain, tokens=[np.arange(n) for n in lengths])


def paths(tagset: TagSet, lattice: Lattice, document: int, *, legal: bool):
    """Every tag sequence of a document and its probability, from the definition."""
    first = sum(lattice.lengths[:document])
    n = lattice.lengths[document]
    e = lattice.emissions[first : first + n].double()
    weights = {}
    for path in itertools.product(range(len(tagset.tags)), repeat=n):
        if legal and not (
            tagset.legal_start[path[0]]
            and tagset.legal_end[path[-1]]
            and all(tagset.legal[a, b] for a, b in itertools.pairwise(path))
        ):
            continue
        score = float(lattice.start[path[0]]) + float(lattice.end[path[-1]])
        score += sum(float(e[i, tag]) for i, tag in enumerate(path))
        score += sum(float(lattice.transitions[a, b]) for a, b in itertools.pairwise(path))
        weights[path] = math.exp(score)
    z = sum(weights.values())
    return {path: weight / z for path, weight in weights.items()}


@pytest.mark.parametrize("scheme", ["BIO", "BILUO"])
@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_probability_is_the_share_of_sequences_with_the_entity(scheme, crf, seed):
    tagset = TagSet(("A", "B") if scheme == "BIO" else ("A",), scheme)
    head = Head(crf=crf)
    lattice = make_lattice(tagset, [4, 1, 2, 3], crf=crf, seed=seed)
    restricted = heads.restrict(head, tagset, lattice)
    tags = np.split(heads.decode(head, restricted), np.cumsum(lattice.lengths)[:-1])
    spans = [tagset.decode(t) for t in tags]
    found = entity_probabilities(tagset, restricted, np.concatenate(tags), spans)
    assert sum(len(f) for f in found) > 0
    for i, (document, probabilities) in enumerate(zip(spans, found, strict=True)):
        everything = paths(tagset, lattice, i, legal=True)
        for span, probability in zip(document, probabilities, strict=True):
            share = sum(p for path, p in everything.items() if span in tagset.decode(path))
            assert probability == pytest.approx(share, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("crf", [True, False])
def test_kbest_and_marginals_are_those_of_all_sequences(crf, temperature):
    tagset = TagSet(("A", "B"))
    lattice = make_lattice(tagset, [3, 2], crf=crf, seed=3)
    reading = Reading(tagset, Head(crf=crf), "begin", False, temperature)
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["x"] * n) for n in lattice.lengths]
    alternatives = find_alternatives(docs, lattice, reading, k=6)
    marginals = tag_marginals(docs, lattice, reading)
    for i, n in enumerate(lattice.lengths):
        listed = paths(tagset, temper(lattice, temperature), i, legal=True)
        best = sorted(listed.items(), key=lambda item: -item[1])[:6]
        assert [a.spans for a in alternatives[i]] == [tagset.decode(path) for path, _ in best]
        assert [a.probability for a in alternatives[i]] == pytest.approx([p for _, p in best])
        expected = np.zeros((n, len(tagset.tags)))
        for path, probability in listed.items():
            expected[np.arange(n), path] += probability
        np.testing.assert_allclose(marginals[i], expected, atol=1e-5)


def test_few_sequences_give_few_alternatives_and_none_is_an_error():
    tagset = TagSet(("A",))
    lattice = make_lattice(tagset, [1], crf=True, seed=0)
    reading = Reading(tagset, Head(crf=True), "begin", False, 1.0)
    docs = [Doc(spacy.blank("en").vocab, words=["x"])]
    assert len(find_alternatives(docs, lattice, reading, k=9)[0]) == 2  # O and B-A
    with pytest.raises(ValueError, match="k, is 0; expected 1 or more"):
        find_alternatives(docs, lattice, reading, k=0)


def test_temperature_moves_probabilities_and_no_entity():
    tagset = TagSet(("A", "B"))
    lattice = make_lattice(tagset, [6, 6], crf=True, seed=1)
    docs = [Doc(spacy.blank("en").vocab, words=["x"] * 6) for _ in range(2)]
    cold, hot = (
        find_entities(
            docs, lattice, Reading(tagset, Head(crf=True), "begin", False, t), scored=True
        )
        for t in (0.3, 5.0)
    )
    assert [e.found for e in cold] == [e.found for e in hot]
    assert sum(len(e.found) for e in cold) > 0
    mean = [np.mean([s for e in entities for s in e.scores or ()]) for entities in (cold, hot)]
    assert mean[0] > mean[1]


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


def test_threshold_out_of_range(make_nlp: MakeNlp):
    with pytest.raises(ValueError, match="'threshold' of 'bio_ner' is 1.5; expected a prob"):
        make_nlp("crf", threshold=1.5)
