"""What `bio-ner debug` finds, each check on a corpus that has just that oddity."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span

from spacy_bio_crf.corpora import Summary
from spacy_bio_crf.debug import (
    CHECKS,
    EXIT_CODES,
    SEVERITIES,
    ModelSettings,
    Part,
    Report,
    diagnose,
    read_part,
)
from spacy_bio_crf.debug.alignment import as_predicted, check_document
from spacy_bio_crf.debug.findings import Finding, Recorder
from spacy_bio_crf.debug.settings import Cutter, read_settings
from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.subwords.tokenizer import Subwords
from tests.support.many import PROFILE
from tests.support.pipelines import MakeNlp

VOCAB = spacy.blank("xx").vocab


def make_doc(words, ents=(), *, spaces=None, missing=(), known_spaces=False, source="a:1") -> Doc:
    doc = Doc(VOCAB, words=words, spaces=spaces)
    doc.set_ents([Span(doc, *ent) for ent in ents], missing=[doc[i : i + 1] for i in missing])
    doc.has_unknown_spaces = not known_spaces
    doc.user_data["source"] = source
    return doc


# Enough of each label that none is rare.
PLENTY = [
    make_doc([letter, "x", "y", "Bo", "met", "New", "York"], [(3, 4, "PER"), (5, 7, "LOC")])
    for letter in "abcdefghij"
]
PLENTY.append(make_doc(["Ana", "Ruiz"], [(0, 2, "PER")]))


@pytest.fixture(scope="module")
def settings(tmp_path_factory, make_nlp: MakeNlp) -> Callable[..., ModelSettings]:
    """Settings as a config gives them; the options are the encoder's and the component's."""
    folder = tmp_path_factory.mktemp("configs")

    def make(encoder: dict | None = None, **options) -> ModelSettings:
        path = folder / "config.cfg"
        make_nlp(encoder_options=encoder, **options).config.to_disk(path)
        return read_settings(path)

    return make


def found(report: Report) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        key = (finding.part, finding.check)
        counts[key] = counts.get(key, 0) + finding.count
    return counts


def test_nothing_is_found_where_nothing_is_odd(settings):
    report = diagnose(
        [Part("train", PLENTY), Part("dev", [make_doc(["Li", "ran"], [(0, 1, "PER")])])]
    )
    assert found(report) == {("dev", "absent_labels"): 1}
    assert (report.severity, report.exit_code) == ("info", 0)
    assert diagnose([Part("train", PLENTY)], settings()).findings == []


# Without a model ----------------------------------------------------------------------------------

ODD: list[tuple[str, Doc, int, int | None, str]] = [
    # check, a document, how often, first token, note
    ("empty_documents", make_doc([]), 1, None, ""),
    ("no_annotation", make_doc(["a", "b"], missing=[0, 1]), 1, None, ""),
    ("missing_tokens", make_doc(["a", "b", "c"], [(0, 1, "PER")], missing=[1, 2]), 2, 1, ""),
    ("white_space_edges", make_doc(["a", "Bo", "\n"], [(1, 3, "PER")]), 1, 1, ""),
    ("white_space_edges", make_doc([" ", "Bo", "b"], [(0, 2, "PER")]), 1, 0, ""),
    ("neighbours", make_doc(["a", "@", "bo"], [(1, 2, "PER"), (2, 3, "PER")]), 1, 1, ""),
    ("tokens_with_spaces", make_doc(["a", "34 470"]), 1, 1, ""),
    ("white_space_tokens", make_doc(["a", "\n", "\u3000"]), 2, 1, "U+000A"),
    ("invisible_tokens", make_doc(["a", "\ufe0f", "\u200e"]), 2, 1, "U+FE0F"),
    ("hidden_characters", make_doc(["a", "x\u200by", "Aus\u00adtria"]), 2, 1, "U+200B"),
    ("undecodable_tokens", make_doc(["a", "\ufffds", "\uf0be"]), 2, 1, "U+FFFD"),
]


@pytest.mark.parametrize(("check", "doc", "count", "start", "note"), ODD)
def test_checks_of_documents(check: str, doc: Doc, count: int, start: int | None, note: str):
    report = diagnose([Part("train", [*PLENTY, doc])])
    finding = report.find(check, "train")
    assert finding.count == count
    assert {name for _, name in found(report)} - {"white_space_tokens"} <= {check}
    first = finding.examples[0]
    assert (first.place, first.start, first.note) == ("a:1", start, note)


def test_emoji_and_marks_that_are_spelling_are_not_odd():
    words = ["👨‍👩‍👧", "❤️", "نمی‌خواهم", "हिन्दी", "e\u0301", "…", "naïve", "日本"]
    assert diagnose([Part("train", [*PLENTY, make_doc(words)])]).findings == []


def test_spans_that_overlap_within_their_group():
    doc = make_doc(list("abcdef"))
    doc.spans["sc"] = [
        Span(doc, 0, 4, "X"),
        Span(doc, 1, 2, "Y"),
        Span(doc, 3, 5, "X"),
        Span(doc, 5, 6),
    ]
    doc.spans["other"] = [Span(doc, 0, 1, "X"), Span(doc, 1, 2, "X")]
    finding = diagnose([Part("train", [*PLENTY, doc])]).find("overlapping_spans", "train")
    assert [(s.start, s.end, s.note) for s in finding.examples] == [
        (1, 2, "doc.spans['sc']"),
        (3, 5, "doc.spans['sc']"),
    ]


def test_no_entity_at_all_is_an_error():
    report = diagnose([Part("train", [make_doc(["a"]), make_doc(["b"])])])
    assert found(report) == {("train", "no_entities"): 2}
    assert report.exit_code == EXIT_CODES["error"] == 4


def test_labels_that_are_rare_or_in_one_part_only():
    train = Part("train", [*PLENTY, make_doc(["K2"], [(0, 1, "MISC")])])
    dev = Part("dev", [make_doc(["K3", "Bo"], [(0, 1, "NEW"), (1, 2, "PER")])])
    report = diagnose([train, dev])
    assert found(report) == {
        ("train", "rare_labels"): 1,
        ("dev", "unlearnt_labels"): 1,
        ("dev", "absent_labels"): 2,
    }
    assert [s.text for s in report.find("rare_labels", "train").examples] == ["MISC"]
    assert report.find("rare_labels", "train").examples[0].note == "1 entities"
    assert sorted(s.text for s in report.find("absent_labels", "dev").examples) == ["LOC", "MISC"]
    assert report.exit_code == EXIT_CODES["warning"] == 3
    assert ("train", "rare_labels") not in found(diagnose([train, dev], least=1))
    assert len(diagnose([train], least=11).find("rare_labels", "train").examples) == 2


def test_texts_in_both_parts():
    words = ["We", "all", "met", "Bo", "again"]
    train = [
        *PLENTY,
        make_doc(words, [(3, 4, "PER")], source="t:7"),
        make_doc(["Best", "wishes"], source="t:8"),
        make_doc(["Yes", *words, "!"], [(4, 5, "PER")], source="t:9"),
    ]
    whole = make_doc(words, [(3, 4, "PER")], source="d:1")
    short = make_doc(["Best", "wishes"], source="d:2")
    page = make_doc(["No", ".", *words], [(5, 6, "PER")], source="d:3")
    for token in page:
        token.is_sent_start = token.i in (0, 2)
    report = diagnose([Part("train", train), Part("dev", [whole, short, page])])
    assert found(report) == {
        ("dev", "absent_labels"): 1,
        ("dev", "shared_documents"): 1,
        ("dev", "shared_short_documents"): 1,
        # In train the text is a whole document without sentence starts, so it is no sentence there.
    }
    for token in train[-3]:
        token.is_sent_start = token.i == 0
    report = diagnose([Part("train", train), Part("dev", [whole, short, page])])
    assert found(report)["dev", "shared_sentences"] == 1
    (spot,) = report.find("shared_sentences", "dev").examples
    assert (spot.place, spot.note) == ("d:3", "in train: t:7")
    assert report.figures["dev"]["entities_known_from_train"] == 2


def test_texts_that_occur_twice():
    one, two = (make_doc(["Bo", "ran"], [(0, 1, "PER")], source=f"t:{i}") for i in (1, 2))
    other = make_doc(["Bo", "ran"], [], source="t:3")
    report = diagnose([Part("train", [*PLENTY, one, two, other])])
    assert found(report) == {
        ("train", "repeated_documents"): 2,
        ("train", "conflicting_annotation"): 1,
    }
    (spot,) = report.find("conflicting_annotation", "train").examples
    assert (spot.place, spot.note) == ("t:3", "first in t:1")


# What a reader met --------------------------------------------------------------------------------


def test_column_files(tmp_path: Path):
    path = tmp_path / "a.conll"
    rows = ["#x\tO", "Ana\tB-PER", "Ruiz\tI-LOC", "\tO", "\tB-LOC", "", "a\tI-PER", " ", "b\tO"]
    path.write_text("\n".join(rows), encoding="utf8")
    report = diagnose([read_part("train", [path])], least=1)
    assert found(report) == {
        ("train", "repaired_tags"): 2,
        ("train", "dropped"): 2,
        ("train", "dropped_entities"): 1,
        ("train", "remarks"): 2,
    }
    repairs = report.find("repaired_tags", "train").examples
    assert [(s.place, s.text, s.note) for s in repairs] == [
        ("a.conll:3", "I-LOC", "continues no entity of its label"),
        ("a.conll:7", "I-PER", "continues no entity of its label"),
    ]
    details = {f.detail: f.count for f in report.findings if f.detail}
    assert details == {
        "empty token": 2,
        "tokens begin with # and are no comments": 1,
        "sentences end at a line of white space, not at an empty one": 1,
    }


def test_texts_with_entities_in_characters(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    records = [
        {"text": "Ana Ruizes ran", "spans": [[0, 8, "X"], [0, 3, "Y"], [0, 10, "Z"], [3, 4, "X"]]},
        {"text": "Ana met Bo", "spans": [[0, 2, "X"]]},
    ]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf8")
    report = diagnose([read_part("train", [path])], least=1)
    misaligned = report.find("misaligned_entities", "train")
    assert [(s.place, s.text, s.label) for s in misaligned.examples] == [
        ("a.jsonl:1", "Ana Ruiz", "X"),
        ("a.jsonl:2", "An", "X"),
    ]
    (overlap,) = report.find("overlapping_entities", "train").examples
    assert (overlap.place, overlap.text, overlap.label) == ("a.jsonl:1", "Ana", "Y")
    (blank,) = report.find("dropped_entities", "train").examples
    assert (blank.place, blank.text, blank.note) == (
        "a.jsonl:1", " ", "entity on white space alone",
    )  # fmt: skip
    assert report.find("dropped", "train").count == 0


def test_docs_of_a_file_have_their_number(tmp_path: Path):
    docs = [make_doc(["Bo"], [(0, 1, "PER")]), make_doc(["Bo", "\n"], [(0, 2, "PER")])]
    for doc in docs:
        del doc.user_data["source"]
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    report = diagnose([read_part("train", [tmp_path / "a.spacy"])], least=1)
    (spot,) = report.find("white_space_edges", "train").examples
    assert (spot.place, spot.start, spot.end, spot.label) == ("a.spacy:2", 0, 2, "PER")


# With a model -------------------------------------------------------------------------------------


def test_sub_words(settings):
    docs = [
        make_doc(["Bo", "\ufffd", "\n", "日"], source="a:1"),
        make_doc(["\ufffd"], [(0, 1, "PER")], source="a:2"),
        make_doc(["Bo", "\ufffd"], [(0, 2, "PER")], source="a:3"),
        make_doc(["日本", "a"], [(0, 1, "LOC")], source="a:4"),
        make_doc(["日本", "Bo"], [(0, 2, "LOC")], source="a:5"),
    ]
    report = diagnose([Part("train", [*PLENTY, *docs])], settings())
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
    (piece,) = cut_up.cutter.cut([doc])
    assert piece.lengths[2] > 4
    report = diagnose([Part("train", [*PLENTY, doc])], cut_up, n_examples=100)
    assert [s.place for s in report.find("long_documents", "train").examples][-1] == "a:9"
    cut = report.find("entities_cut", "train").examples
    assert ("a:9", 2) in [(s.place, s.start) for s in cut]
    assert ("a:9", 2) in [(s.place, s.start) for s in report.find("words_cut", "train").examples]
    whole = diagnose([Part("train", [*PLENTY, doc])], settings())
    assert whole.findings == []
    assert whole.model["window"] == 62


def test_the_pipeline_s_tokenizer(settings):
    """Documents with known spaces are tokenised anew, as in training."""
    text = make_doc(["Ana", "-", "lysis"], [(0, 1, "PER")], spaces=[False] * 3, known_spaces=True)
    kept = make_doc(["Ana", "-", "lysis"], [(0, 1, "PER")], spaces=[False] * 3)
    nlp = settings().nlp
    assert [t.text for t in as_predicted(nlp, text)] == [t.text for t in nlp.make_doc("Ana-lysis")]
    assert [t.text for t in as_predicted(nlp, kept)] == ["Ana", "-", "lysis"]
    odd = make_doc(["do", "n't", "Bo", "b"], [(2, 3, "PER")], spaces=[False] * 4, known_spaces=True)
    report = diagnose([Part("train", [*PLENTY, odd, kept])], settings())
    (spot,) = report.find("retokenized_entities", "train").examples
    assert (spot.place, spot.text, spot.label) == ("a:1", "Bo", "PER")
    assert spot.note == "misaligned = missing"
    # Training would stop; the diagnosis goes on.
    strict = diagnose([Part("train", [*PLENTY, odd, odd])], settings(misaligned="strict"))
    assert strict.find("retokenized_entities", "train").count == 2


def test_a_span_both_right_and_wrong(settings):
    doc = make_doc(["Bo", "ran"], [(0, 1, "PER")])
    doc.spans["wrong"] = [Span(doc, 0, 1, "PER")]
    report = diagnose([Part("train", [*PLENTY, doc])], settings(incorrect_spans_key="wrong"))
    assert found(report) == {("train", "contradictions"): 1}
    assert "is both an entity 'PER' and in" in report.findings[0].examples[0].note
    assert report.severity == "error"
    assert diagnose([Part("train", [*PLENTY, doc])], settings()).findings == []


def test_tags_that_nothing_teaches(settings):
    docs = [make_doc(["Bo"], [(0, 1, "PER")]) for _ in range(10)]
    train = [Part("train", docs)]
    assert [s.text for s in diagnose(train, settings()).find("unused_tags", "train").examples] == [
        "I-PER"
    ]
    biluo = diagnose(train, settings(scheme="BILUO")).find("unused_tags", "train")
    assert {s.text for s in biluo.examples} == {"B-PER", "I-PER", "L-PER"}


def test_a_trained_pipeline(trained, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    model = read_settings(tmp_path / "model")
    assert model.labels == ("LOC", "PER") and model.cutter is not None
    odd = make_doc(["K2", "K3"], [(0, 1, "MISC"), (1, 2, "MISC")])
    report = diagnose([Part("train", [*PLENTY, odd])], model)
    assert report.find("unknown_labels", "train").count == 2
    assert report.severity == "error"


def test_encoders_without_a_tokenizer_of_their_own(tmp_path: Path):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    encoder = {
        "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
        "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 96},
    }
    nlp.add_pipe("bio_ner", config={"model": {"encoder": encoder}})
    nlp.config.to_disk(tmp_path / "config.cfg")
    model = read_settings(tmp_path / "config.cfg")
    assert model.cutter is None and "window" not in model.summary()
    report = diagnose([Part("train", PLENTY)], model)
    assert found(report) == {("train", "no_tokenizer"): 1}


# One document, from the definition ----------------------------------------------------------------


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


@PROFILE
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
    cutter = Cutter(lambda docs: [piece], "none", 0, window, overlap)
    annotation = Annotation(spans, np.ones(len(lengths), dtype=bool))
    windows = check_document(doc, annotation, piece, cutter, recorder)
    got = {f.check: [(s.start, s.end) for s in f.examples] for f in recorder.findings()}

    owner = [i for i, n in enumerate(lengths) for _ in range(n)]
    shown = [range(s, e) for s, e in zip(windows.starts, windows.ends, strict=True)]
    cores = [range(s, e) for s, e in zip(windows.core_starts, windows.core_ends, strict=True)]
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


# Report -------------------------------------------------------------------------------------------


def test_examples_are_few_and_counts_are_not():
    odd = [make_doc([f"a{i}", "\ufe0f"]) for i in range(7)]
    for n in (0, 2, 100):
        finding = diagnose([Part("train", [*PLENTY, *odd])], n_examples=n).findings[0]
        assert (finding.count, len(finding.examples)) == (7, min(n, 7))


def test_json_holds_everything():
    report = diagnose([Part("train", [*PLENTY, make_doc(["a", "\ufe0f"])])])
    data = json.loads(json.dumps(report.to_json()))
    assert (data["severity"], data["exit_code"], data["model"]) == ("info", 0, {})
    assert data["figures"]["train"]["documents"] == 12
    assert data["figures"]["train"]["labels"] == {"LOC": 10, "PER": 11}
    (finding,) = data["findings"]
    assert finding == {
        "severity": "info",
        "check": "invisible_tokens",
        "part": "train",
        "count": 1,
        "detail": "",
        "examples": [
            {"place": "a:1", "text": "\ufe0f", "start": 1, "end": 2, "label": "", "note": "U+FE0F"}
        ],
        "meaning": CHECKS["invisible_tokens"].meaning,
        "advice": CHECKS["invisible_tokens"].advice,
    }


def test_the_worst_severity_decides():
    checks = {severity: n for n, c in CHECKS.items() for severity in [c.severity]}
    assert set(checks) == set(SEVERITIES)
    for severity in SEVERITIES:
        worst = SEVERITIES.index(severity)
        findings = [Finding(checks[s], "train", 1) for s in SEVERITIES[: worst + 1]]
        assert Report({}, findings).exit_code == EXIT_CODES[severity]


def test_a_check_that_does_not_exist():
    with pytest.raises(ValueError, match="unknown check 'nonsense': expected one of repaired_tags"):
        Recorder("train", 1).add("nonsense")


def test_parts_have_an_order():
    with pytest.raises(ValueError, match="expected the part 'train' .* got dev"):
        diagnose([Part("dev", PLENTY, Summary())])


def test_every_check_is_seen_in_this_file():
    text = Path(__file__).read_text(encoding="utf8")
    assert [name for name in CHECKS if f'"{name}"' not in text] == []
