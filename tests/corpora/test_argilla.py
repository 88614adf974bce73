"""Records as `rg.Dataset.records.to_json` writes them (argilla 2, `Record.to_dict`):
https://docs.argilla.io/latest/how_to_guides/import_export/, and as `to_datasets` does, flat."""

import json

import pytest

from spacy_bio_crf.corpora.readers.argilla import SEVERAL_ANSWERS, SUGGESTED, UNANSWERED
from spacy_bio_crf.corpora.texts import texts_in
from tests.support.convert_tools import TEXT, plain

PER = {"start": 0, "end": 8, "label": "PER"}
LOC = {"start": 18, "end": 26, "label": "LOC"}


def record(*responses, **changes):
    return {
        "id": "7",
        "fields": {"text": TEXT},
        "metadata": {},
        "suggestions": {"entities": {"value": [PER], "score": [0.9], "agent": "en_ner-1"}},
        "responses": {"entities": [*responses]} if responses else {},
        "vectors": {},
        "_server_id": "d25",
        **changes,
    }


def response(*spans, **changes):
    return {"value": [*spans], "user_id": "4f", **changes}


def test_submitted_responses(folder):
    records = [
        record(response(PER, LOC)),
        record(response()),
        record(response(PER), fields={"body": TEXT}, id=None),
        record(response(PER, status="discarded")),
        record(response(status="draft"), response(LOC, status="submitted")),
        record(),
        record(suggestions={}),
    ]
    for content in (json.dumps(records, indent=2), records):
        path = folder.write(content, "a.json")
        docs, summary = folder.convert(path)
        ents = [[("Ana Ruiz", "PER"), ("New York", "LOC")], [], [("Ana Ruiz", "PER")]]
        assert [plain(doc) for doc in docs] == [
            *((TEXT, found) for found in ents),
            (TEXT, [("New York", "LOC")]),
        ]
        assert dict(summary.dropped) == {SUGGESTED: 2, UNANSWERED: 1}
        assert [doc.user_data.get("document_id") for doc in docs] == ["7", "7", None, "7"]
        assert list(summary.notes) == ["Argilla records"] and summary.missing == 0
    docs, summary = folder.convert(path, predictions=True)
    assert [len(doc.ents) for doc in docs] == [2, 0, 1, 1, 1, 1]
    assert dict(summary.dropped) == {UNANSWERED: 1}


def test_several_responses(folder):
    path = folder.write([record(response(PER), response(LOC))], "a.json")
    for rule, label in ("first", "PER"), ("last", "LOC"):
        (doc,), summary = folder.convert(path, annotation=rule)
        assert [ent.label_ for ent in doc.ents] == [label]
        assert summary.remarks == {SEVERAL_ANSWERS.format(rule=rule): 1}
    assert folder.error(path, annotation="error") == (
        "a.json, line 1: expected one submitted response, got 2; set `annotation` to first or last"
    )


def test_the_question_is_the_one_with_spans(folder):
    other = {"topic": [{"value": "news", "user_id": "4f"}], "entities": [response(LOC)]}
    path = folder.write([record(responses=other)], "a.json")
    assert plain(folder.convert(path)[0][0])[1] == [("New York", "LOC")]
    empty = {"names": [response()], "entities": [response(LOC)]}
    path = folder.write([record(responses=empty)], "a.json")
    assert plain(folder.convert(path)[0][0])[1] == [("New York", "LOC")]
    two = {"names": [response(PER)], "entities": [response(LOC)]}
    path = folder.write([record(responses=two)], "a.json")
    assert folder.error(path) == (
        "a.json, line 1: expected one question with spans, got 'names', 'entities'; name it with "
        "`spans_key`"
    )
    assert plain(folder.convert(path, spans_key="names")[0][0])[1] == [("Ana Ruiz", "PER")]


def flat(name, *answers, **changes):
    """A record as `to_datasets` makes it of answers: spans and status."""
    values = [value for value, _ in answers] or None
    states = [state for _, state in answers] or None
    return {
        "id": "7",
        "status": "completed",
        "_server_id": "d25",
        "text": TEXT,
        f"{name}.responses": values,
        f"{name}.responses.users": states,
        f"{name}.responses.status": states,
        f"{name}.suggestion": [PER],
        f"{name}.suggestion.score": [0.9],
        f"{name}.suggestion.agent": "en_ner-1",
        **changes,
    }


@pytest.mark.parametrize("name", ["entities", "spans"])
def test_flat_records(folder, name):
    records = [
        flat(name, ([PER], "discarded"), ([LOC], "submitted")),
        flat(name, ([PER], "draft"), ([], "submitted")),
        flat(name, ([PER], "discarded")),
        flat(name, **{f"{name}.suggestion": None}),
        flat(name, ([LOC], "submitted"), ([PER], "submitted"), source="a sentence"),
    ]
    path = folder.write(records, "a.jsonl")
    for options in {}, {"spans_key": name}, {"spans_key": f"{name}.responses"}:
        docs, summary = folder.convert(path, **options)
        loc = [("New York", "LOC")]
        assert [plain(doc)[1] for doc in docs] == [loc, [], loc]
        assert dict(summary.dropped) == {SUGGESTED: 1, UNANSWERED: 1}
        assert summary.remarks == {SEVERAL_ANSWERS.format(rule="first"): 1}
    docs, _ = folder.convert(path, predictions=True, annotation="last")
    assert [[ent.label_ for ent in doc.ents] for doc in docs] == [["LOC"], [], ["PER"], ["PER"]]
    assert list(texts_in(path)) == [TEXT] * 5
    records[0][f"{name}.responses.status"] = ["submitted"]
    assert folder.error(folder.write(records, "a.jsonl")) == (
        f"a.jsonl, line 1: expected a status for each of 2 responses under '{name}.responses', "
        "got 1"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"responses": 3}, "expected an object under 'responses', got 3"),
        (
            {"responses": {"entities": [1, response()]}},
            "expected a list of responses to 'entities',",
        ),
        (
            {"fields": {"a": "x", "b": "y"}},
            "expected the field 'text', got fields ['a', 'b']; name ",
        ),
        ({"fields": {"text": 3}}, "expected a text under 'text', got 3"),
        (
            {"responses": {"entities": [{"value": "x"}]}},
            "expected a list of spans as the answer to",
        ),
    ],
)
def test_bad_records(folder, changes, message):
    path = folder.write([record(response(PER), **changes)], "a.json")
    assert folder.error(path, spans_key="entities").startswith(f"a.json, line 1: {message}")
