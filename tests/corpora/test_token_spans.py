"""Records with tokens, and entities by the numbers of their tokens."""

import time

import pytest

from spacy_bio_crf.corpora import ConvertOptions, Summary
from spacy_bio_crf.corpora.readers.token_spans import (
    UNSURE_ENDS,
    UNTAGGED,
    read_token_spans,
)
from tests.support.convert_tools import in_tokens

WORDS = ["Ana", "Ruiz", "met", "Bo", "in", "New", "York"]
ENTS = [(0, 2, "PER"), (3, 4, "PER"), (5, 7, "LOC")]
TWO = [WORDS[:5], WORDS[5:]]
INCLUSIVE = [[s, e - 1, name] for s, e, name in ENTS]


def objects(sentence=False, **keys):
    return [
        {"start": s, "end": e, "type": name} | ({"text": " ".join(WORDS[s:e])} if keys else {})
        for s, e, name in ENTS
    ]


FORMS = {
    "GLiNER": ({"tokenized_text": WORDS, "ner": INCLUSIVE}, 1),
    "SpERT": ({"tokens": WORDS, "entities": objects(), "relations": [], "orig_id": 1}, 1),
    "DyGIE": ({"doc_key": "d", "sentences": TWO, "ner": [INCLUSIVE[:2], INCLUSIVE[2:]]}, 2),
    "DyGIE, one sentence": ({"doc_key": "d", "sentences": [WORDS], "ner": [INCLUSIVE]}, 1),
    "flat list": ({"sentences": TWO, "ner": INCLUSIVE}, 2),
    "W2NER": (
        {
            "sentence": WORDS,
            "ner": [{"index": [*range(s, e)], "type": name} for s, e, name in ENTS],
        },
        1,
    ),
    "DocRED": (
        {
            "title": "d",
            "sents": TWO,
            "vertexSet": [
                [{"pos": [0, 2], "sent_id": 0, "type": "PER", "name": "Ana Ruiz"}],
                [
                    {"pos": [3, 4], "sent_id": 0, "type": "PER", "name": "B."},
                    {"pos": [0, 2], "sent_id": 1, "type": "LOC", "name": "New York"},
                ],
            ],
        },
        2,
    ),
    "OneIE": ({"tokens": WORDS, "entity_mentions": objects(text=True)}, 1),
    "exclusive lists": ({"tokens": WORDS, "ner": [list(ent) for ent in ENTS]}, 1),
    "inclusive objects": (
        {
            "tokens": WORDS,
            "entities": [{"start": s, "end": e, "label": name} for s, e, name in INCLUSIVE],
        },
        1,
    ),
    "with a text": ({"text": " ".join(WORDS), "tokens": WORDS, "ner": INCLUSIVE}, 1),
    "by label": ({"tokens": WORDS, "entities": {"PER": [[0, 2], [3, 4]], "LOC": [[5, 7]]}}, 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(folder, form):
    record, n_sentences = FORMS[form]
    docs, summary = folder.convert(folder.write([record], "a.jsonl"), group_docs=True)
    assert list(map(in_tokens, docs)) == [(WORDS, ENTS)]
    assert summary.sentences == n_sentences and not summary.missing
    ends = "exclusive" if form in EXCLUSIVE else "inclusive"
    assert list(summary.notes) == [f"tokens with entities by number, ends {ends}"]
    assert not summary.remarks and not summary.dropped


EXCLUSIVE = ("SpERT", "DocRED", "OneIE", "exclusive lists", "by label")


def test_where_both_fit_objects_count_within_a_sentence_and_lists_do_not(folder):
    sents = [["a"], ["b", "c", "d"]]
    objects = {"sents": sents, "vertexSet": [[{"pos": [1, 2], "sent_id": 1, "type": "X"}]]}
    lists = {"sentences": sents, "ner": [[], [[1, 2, "X"]]]}
    docs, _ = folder.tokens(folder.write([objects], "a.jsonl"), ends="exclusive")
    assert docs[1] == (["b", "c", "d"], [(1, 2, "X")])
    docs, _ = folder.tokens(folder.write([lists], "a.jsonl"), ends="exclusive")
    assert docs[1] == (["b", "c", "d"], [(0, 1, "X")])


def test_objects_without_a_sentence_count_within_the_document(folder):
    record = {"sents": [["a"], ["b", "c"]], "entities": [{"start": 1, "end": 2, "type": "X"}]}
    docs, _ = folder.tokens(folder.write([record], "a.jsonl"))
    assert docs == [(["a"], []), (["b", "c"], [(0, 1, "X")])]


def test_lists_by_sentence_may_count_within_it(folder):
    record = {"sentences": [["Ana", "ran"], ["Bo"]], "ner": [[[0, 0, "X"]], [[0, 0, "X"]]]}
    docs, _ = folder.tokens(folder.write([record], "a.jsonl"))
    assert docs == [(["Ana", "ran"], [(0, 1, "X")]), (["Bo"], [(0, 1, "X")])]


def test_the_key_of_gliner_tells_the_ends(folder):
    record = {"tokenized_text": WORDS, "ner": [{"start": 0, "end": 1, "label": "PER"}]}
    docs, _ = folder.tokens(folder.write([record], "a.jsonl"))
    assert docs == [(WORDS, ENTS[:1])]


@pytest.mark.parametrize(("form", "ends"), [("ner", "inclusive"), ("entities", "exclusive")])
def test_where_nothing_tells_the_ends_the_usual_ones_are_taken(folder, form, ends):
    entity = [0, 1, "PER"] if form == "ner" else {"start": 0, "end": 1, "type": "PER"}
    path = folder.write([{"tokens": WORDS, form: [entity]}], "a.jsonl")
    docs, summary = folder.tokens(path)
    assert docs == [(WORDS, [(0, 2 if ends == "inclusive" else 1, "PER")])]
    assert summary.remarks == {UNSURE_ENDS.format(ends=ends): 1}
    for other, end in ("inclusive", 2), ("exclusive", 1):
        docs, summary = folder.tokens(path, ends=other)
        assert docs == [(WORDS, [(0, end, "PER")])] and not summary.remarks


def test_all_records_of_a_file_tell_the_ends(folder):
    records = [{"tokens": WORDS, "ner": []}, {"tokens": WORDS, "ner": [[0, 2, "PER"]]}]
    records += [{"tokens": ["Bo"], "ner": [[0, 1, "PER"]]}]
    docs, summary = folder.tokens(folder.write(records, "a.jsonl"))
    assert [ents for _, ents in docs] == [[], [(0, 2, "PER")], [(0, 1, "PER")]]
    assert not summary.remarks
    records += [{"tokens": ["Bo"], "ner": [[0, 0, "PER"]]}]
    assert folder.error(folder.write(records, "a.jsonl")) == (
        "a.jsonl, line 4: expected an entity on tokens of one sentence, of 1 tokens in all, got "
        "tokens 0 to 0 for label 'PER'"
    )
    both = {"tokens": ["Bo", "x"], "ner": [[0, 0, "PER"], [1, 2, "X"]]}
    assert folder.error(folder.write([both], "a.jsonl")).endswith(
        "expected ends of entities that are all inclusive or all exclusive throughout the file, "
        "got both"
    )


def test_no_entities_and_no_annotation(folder):
    records = [{"tokens": ["a"], "ner": []}, {"tokens": ["b"]}]
    path = folder.write(records, "a.jsonl")
    docs, summary = folder.convert(path)
    assert [[t.ent_iob_ for t in doc] for doc in docs] == [["O"], [""]]
    assert summary.remarks == {UNTAGGED: 1}
    docs, summary = folder.convert(path, no_spans="empty")
    assert [[t.ent_iob_ for t in doc] for doc in docs] == [["O"], ["O"]]
    assert not summary.remarks


def test_an_entity_without_a_label_is_unknown(folder):
    record = {"tokens": WORDS, "entities": [*objects()[:1], {"start": 5, "end": 7}]}
    (doc,), summary = folder.convert(folder.write([record], "a.jsonl"))
    assert [t.ent_iob_ for t in doc] == ["B", "I", "O", "O", "O", "", ""]
    assert [loss.text for loss in summary.lost] == ["New York"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": ["a"], "ner": [[0, 1, 3]]}, "expected an entity's label, got the id 3 under"),
        (
            {"sentence": ["a", "b", "c"], "ner": [{"index": [0, 2], "type": "X"}]},
            "expected an entity as [start, end, label]",
        ),
        ({"sentences": [["a"], ["b"]], "ner": [[0, 2, "X"]]}, "of one sentence, of 2 tokens in"),
        (
            {"tokens": ["a", "b"], "entities": [{"start": 0, "end": 1, "label": "X", "text": "b"}]},
            "got tokens 0 to 1 for 'b' (X)",
        ),
    ],
)
def test_bad_records(folder, record, message):
    assert message in folder.error(folder.write([record], "a.jsonl"))


def test_a_long_document_takes_time_in_proportion(folder):
    """Each sentence and each entity is looked at once."""
    n = 20_000
    record = {"sentences": [["Ana", "ran"]] * n, "ner": [[[2 * i, 2 * i, "PER"]] for i in range(n)]}
    path = folder.write([record], "a.jsonl")
    began = time.process_time()
    sentences = list(read_token_spans([path], ConvertOptions(), Summary()))
    assert time.process_time() - began < 10
    assert all(s.spans == [(0, 1, "PER")] for s in sentences) and len(sentences) == n


def test_tokens_as_words_beside_characters(folder):
    text = "Ana met Bo-Li."
    words = ["Ana", "met", "Bo", "-", "Li", "."]
    record = {"text": text, "tokens": words, "entities": [[0, 3, "PER"], [8, 13, "PER"]]}
    (doc,), _ = folder.convert(folder.write([record], "a.jsonl"))
    assert in_tokens(doc) == (words, [(0, 1, "PER"), (2, 5, "PER")]) and doc.text == text
    record["tokens"] = ["Ana", "mets"]
    assert "expected token 1, 'mets', in the text, got ' met Bo-Li.'" in folder.error(
        folder.write([record], "a.jsonl")
    )


def test_records_of_one_name_are_one_document(folder):
    records = [{"doc_key": name, "sentences": [WORDS], "ner": [INCLUSIVE]} for name in "aab"]
    docs, _ = folder.convert(folder.write(records, "a.jsonl"), group_docs=True)
    found = [(doc.user_data["document_id"], len(list(doc.sents))) for doc in docs]
    assert found == [("a", 2), ("b", 1)]
