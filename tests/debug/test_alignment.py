"""Checks of tokens, sub-words and windows."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Span

from spacy_bio_crf.debug import CorpusPart, diagnose
from spacy_bio_crf.debug.alignment import as_predicted, check_document
from spacy_bio_crf.debug.findings import Recorder
from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.subwords.tokenizer import Subwords
from tests.support.debug_tools import PLENTY, find, found, make_doc


def test_sub_words(settings):
    docs = [
        make_doc(["Bo", "\ufffd", "\n", "日"], source="a:1"),
        make_doc(["\ufffd"], [(0, 1, "PER")], source="a:2"),
        make_doc(["Bo", "\ufffd"], [(0, 2, "PER")], source="a:3"),
        make_doc(["日本", "a"], [(0, 1, "LOC")], source="a:4"),
        make_doc(["日本", "Bo"], [(0, 2, "LOC")], source="a:5"),
    ]
    report = diagnose([CorpusPart("train", [*PLENTY, *docs])], settings())
    counts = found(report)
    places = {f.check: [(s.place, s.start) for s in f.examples] for f in report.findings}
    assert places["tokens_without_subwords"] == [("a:1", 1), ("a:2", 0), ("a:3", 1)]
    assert places["entities_without_subwords"] == [("a:2", 0)]
    assert places["entity_edges_without_subwords"] == [("a:3", 0)]
    assert places["unknown_subwords"] == [("a:1", 3), ("a:4", 0), ("a:5", 0)]
    assert places["entities_with_unknown_subwords"] == [("a:4", 0)]
    assert counts["train", "tokens_without_subwords"] == 3
    assert report.severity == "warning"


def test_windows(settings):
    # "Washington" falls into more sub-words than the window has room for.
    words = ["Bo", "met", "Washington", "Bo", "Bo", "Bo", "Bo", "Bo", "Bo", "Bo"]
    doc = make_doc(words, [(2, 3, "PER"), (4, 6, "PER")], source="a:9")
    cut_up = settings({"window": 4, "overlap": 1})
    (piece,) = cut_up.subwords.cut([doc])
    assert piece.lengths[2] > 4
    report = diagnose([CorpusPart("train", [*PLENTY, doc])], cut_up, n_examples=100)
    assert [s.place for s in find(report, "long_documents", "train").examples][-1] == "a:9"
    cut = find(report, "entities_cut", "train").examples
    assert ("a:9", 2) in [(s.place, s.start) for s in cut]
    assert ("a:9", 2) in [(s.place, s.start) for s in find(report, "words_cut", "train").examples]
    whole = diagnose([CorpusPart("train", [*PLENTY, doc])], settings())
    assert whole.findings == []
    assert whole.model["window"] == 62


def test_the_pipeline_s_tokenizer(settings):
    """Documents with known spaces are tokenized again, as in training."""
    text = make_doc(["Ana", "-", "lysis"], [(0, 1, "PER")], spaces=[False] * 3, known_spaces=True)
    kept = make_doc(["Ana", "-", "lysis"], [(0, 1, "PER")], spaces=[False] * 3)
    nlp = settings().nlp
    assert [t.text for t in as_predicted(nlp, text)] == [t.text for t in nlp.make_doc("Ana-lysis")]
    assert [t.text for t in as_predicted(nlp, kept)] == ["Ana", "-", "lysis"]
    odd = make_doc(["do", "n't", "Bo", "b"], [(2, 3, "PER")], spaces=[False] * 4, known_spaces=True)
    report = diagnose([CorpusPart("train", [*PLENTY, odd, kept])], settings())
    (spot,) = find(report, "retokenized_entities", "train").examples
    assert (spot.place, spot.text, spot.label) == ("a:1", "Bo", "PER")
    assert spot.note == "misaligned = missing"
    # Training would stop; the diagnosis goes on.
    strict = diagnose([CorpusPart("train", [*PLENTY, odd, odd])], settings(misaligned="strict"))
    assert find(strict, "retokenized_entities", "train").count == 2


def test_a_span_both_right_and_wrong(settings):
    doc = make_doc(["Bo", "ran"], [(0, 1, "PER")])
    doc.spans["wrong"] = [Span(doc, 0, 1, "PER")]
    report = diagnose([CorpusPart("train", [*PLENTY, doc])], settings(incorrect_spans_key="wrong"))
    assert found(report) == {("train", "contradictions"): 1}
    assert "expected no entity in doc.spans" in report.findings[0].examples[0].note
    assert report.severity == "error"
    assert diagnose([CorpusPart("train", [*PLENTY, doc])], settings()).findings == []


@st.composite
def documents(draw: st.DrawFn):
    """Tokens with any numbers of sub-words, windows, and entities anywhere."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=20))
    window = draw(st.integers(1, 8))
    overlap = draw(st.integers(0, window - 1))
    edges = sorted(draw(st.sets(st.integers(0, len(lengths)), max_size=8)))
    spans = [(a, b, "X") for a, b in zip(edges, edges[1:], strict=False)]
    ids = draw(st.lists(st.integers(0, 2), min_size=sum(lengths), max_size=sum(lengths)))
    return lengths, ids, window, overlap, spans


@given(documents())
def test_every_finding_of_a_document_from_the_definition(case):
    lengths, ids, window, overlap, spans = case
    doc = make_doc([f"t{i}" for i in range(len(lengths))])
    firsts = np.cumsum([0, *lengths])[:-1]
    starts = np.zeros(len(ids), dtype=bool)
    starts[[f for f, n in zip(firsts, lengths, strict=True) if n]] = True
    piece = Subwords(
        np.array(ids, dtype=np.int64),
        np.arange(len(ids)),
        np.array(lengths, dtype=np.int32),
        starts,
    )
    recorder = Recorder("train", 100)
    settings: Any = SimpleNamespace(unknown=0, window=window, overlap=overlap)
    annotation = Annotation(spans, np.ones(len(lengths), dtype=bool))
    windows = check_document(doc, annotation, piece, settings, recorder)
    got = {f.check: [(s.start, s.end) for s in f.examples] for f in recorder.findings()}

    owner = [i for i, n in enumerate(lengths) for _ in range(n)]
    shown = [range(s, e) for s, e in zip(windows.starts, windows.ends, strict=True)]
    cores = [range(s, e) for s, e in pairwise([0, *windows.core_ends.tolist()])]
    expected: dict[str, list] = {}

    def add(check: str, start: int | None, end: int | None) -> None:
        expected.setdefault(check, []).append((start, end))

    for i, n in enumerate(lengths):
        if n == 0:
            add("tokens_without_subwords", i, i + 1)
        if any(ids[p] == 0 for p, o in enumerate(owner) if o == i):
            add("unknown_subwords", i, i + 1)
    if len(shown) > 1:
        add("long_documents", None, None)
    for at in [w.start for w in shown[1:]] + [w.stop for w in shown[:-1]]:
        if at > 0 and owner[at] == owner[at - 1]:
            add("words_cut", owner[at], owner[at] + 1)
    for start, end, _ in spans:
        own = [p for p, o in enumerate(owner) if start <= o < end]
        if not own:
            add("entities_without_subwords", start, end)
            continue
        if not lengths[start] or not lengths[end - 1]:
            add("entity_edges_without_subwords", start, end)
        if all(ids[p] == 0 for p in own):
            add("entities_with_unknown_subwords", start, end)
        if not any(own[0] in w and own[-1] in w for w in shown):
            add("entities_cut", start, end)
        elif not any(own[0] in c and own[-1] in c for c in cores):
            add("entities_across_cores", start, end)
    assert got == expected


def test_most_of_the_gold_lost_is_an_error(settings):
    """A tokenizer that cuts by spaces, on a language without them."""
    text = make_doc(list("安娜住在里"), [(0, 2, "PER")], spaces=[False] * 5, known_spaces=True)
    assert len(text) == 5 and len(as_predicted(settings().nlp, text)) == 1
    lost = diagnose([CorpusPart("train", [*PLENTY, *[text] * 30])], settings())
    assert (find(lost, "most_gold_lost", "train").count, lost.severity) == (30, "error")
    half = diagnose([CorpusPart("train", [*PLENTY, *[text] * 21])], settings())
    assert sum(len(doc.ents) for doc in PLENTY) == 21
    assert find(half, "most_gold_lost", "train").count == 0
    kept = diagnose([CorpusPart("train", [*PLENTY, text])], settings())
    assert find(kept, "most_gold_lost", "train").count == 0


def test_entities_that_overlap_one_of_their_group(settings):
    doc = make_doc(["Bo", "met", "New", "York", "City"])
    spans = [Span(doc, 2, 5, "ORG"), Span(doc, 2, 4, "LOC"), Span(doc, 0, 1, "PER")]
    doc.spans["gold_spans"] = spans
    options = {"gold_spans_key": "gold_spans"}
    flat = diagnose([CorpusPart("train", [doc])], settings(**options), least=0)
    (example,) = find(flat, "overlaps_in_group", "train").examples
    assert (example.start, example.end, example.label) == (2, 4, "LOC")
    apart = diagnose([CorpusPart("train", [doc])], settings(groups="per_label", **options), least=0)
    assert not find(apart, "overlaps_in_group", "train").count
    assert not find(apart, "no_annotation", "train").count
