"""Texts that occur several times, within a part and in two."""

from spacy_bio_crf.debug import CorpusPart, diagnose
from spacy_bio_crf.debug.findings import Recorder
from spacy_bio_crf.debug.leakage import check_repetition, count_known
from tests.support.debug_tools import PLENTY, find, found, make_doc


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
    report = diagnose([CorpusPart("train", train), CorpusPart("dev", [whole, short, page])])
    assert found(report) == {
        ("dev", "absent_labels"): 1,
        ("dev", "shared_documents"): 1,
        ("dev", "shared_short_documents"): 1,
        # In train the text is a whole document without sentence starts, so it is no sentence there.
    }
    for token in train[-3]:
        token.is_sent_start = token.i == 0
    report = diagnose([CorpusPart("train", train), CorpusPart("dev", [whole, short, page])])
    assert found(report)["dev", "shared_sentences"] == 1
    (spot,) = find(report, "shared_sentences", "dev").examples
    assert (spot.place, spot.note) == ("d:3", "in train: t:7")
    assert report.figures["dev"]["entities_known_from_train"] == 2


def test_a_sentence_is_found_where_it_occurs_first():
    words = ["We", "all", "met", "Bo", "again"]
    docs = []
    for first, place in (("Yes", "t:1"), ("Well", "t:2"), ("No", "d:1")):
        doc = make_doc([first, ".", *words], [(5, 6, "PER")], source=place)
        for token in doc:
            token.is_sent_start = token.i in (0, 2)
        docs.append(doc)
    report = diagnose([CorpusPart("train", [*PLENTY, *docs[:2]]), CorpusPart("dev", docs[2:])])
    (spot,) = find(report, "shared_sentences", "dev").examples
    assert (spot.place, spot.note) == ("d:1", "in train: t:1")


def test_texts_that_occur_twice():
    one, two = (make_doc(["Bo", "ran"], [(0, 1, "PER")], source=f"t:{i}") for i in (1, 2))
    other = make_doc(["Bo", "ran"], [], source="t:3")
    report = diagnose([CorpusPart("train", [*PLENTY, one, two, other])])
    assert found(report) == {
        ("train", "repeated_documents"): 2,
        ("train", "conflicting_annotation"): 1,
    }
    (spot,) = find(report, "conflicting_annotation", "train").examples
    assert (spot.place, spot.note) == ("t:3", "first in t:1")


def conflicts(*docs, **options) -> list[str]:
    """The remarks of conflicting documents."""
    recorder = Recorder("train", 9)
    check_repetition(docs, recorder, **options)
    findings = [f for f in recorder.findings() if f.check == "conflicting_annotation"]
    return [example.note for finding in findings for example in finding.examples]


def test_what_is_not_annotated_contradicts_nothing():
    words = ["Ana", "met", "Bo"]
    whole = make_doc(words, [(0, 1, "PER"), (2, 3, "PER")], source="t:1")
    none = make_doc(words, missing=[0, 1, 2], source="t:2")
    part = make_doc(words, [(0, 1, "PER")], missing=[2], source="t:3")
    wrong = make_doc(words, [(0, 1, "LOC")], missing=[2], source="t:4")
    assert conflicts(whole, none, part) == conflicts(none, part, whole) == []
    # Not with the first one, which says nothing.
    assert conflicts(none, whole, wrong) == ["first in t:1"]
    assert conflicts(part, whole, make_doc(words, [(0, 1, "PER")])) == ["first in t:1"]


def test_other_tokens_of_a_text_are_no_other_annotation():
    one = make_doc(["Dr.", "Ana"], [(1, 2, "PER")], known_spaces=True)
    two = make_doc(["Dr", ".", "Ana"], [(2, 3, "PER")], spaces=[0, 1, 1], known_spaces=True)
    assert one.text == two.text
    assert conflicts(one, two) == []
    two.set_ents([two.char_span(0, 3, label="PER")])
    assert len(conflicts(one, two)) == 1


def test_gold_in_a_group_of_spans():
    docs = [make_doc(["Ana", "Ruiz", "met"]) for _ in range(4)]
    for doc in docs[:2]:
        doc.spans["gold"] = [doc.char_span(0, 8, label="PER"), doc.char_span(4, 8, label="LOC")]
    docs[2].spans["gold"] = [docs[2].char_span(0, 8, label="PER")]
    assert conflicts(*docs[:2], docs[3], gold_key="gold") == []
    assert len(conflicts(*docs, gold_key="gold")) == 1
    docs[2].spans["gold_missing"] = [docs[2].char_span(4, 8, label="LOC")]
    assert conflicts(*docs, gold_key="gold") == []
    train = check_repetition(docs[:1], Recorder("train", 1), gold_key="gold")
    assert count_known(docs[1:], train, gold_key="gold") == 3
