"""Entities in the forms in which people have them."""

import pytest

from tests.support.convert_tools import TEXT, plain

ENTS = [("Ana Ruiz", "PER"), ("New York", "LOC")]
PLACES = [(0, 8, "PER"), (18, 26, "LOC")]
FORMS = {
    "triples": [[0, 8, "PER"], [18, 26, "LOC"]],
    "triples, label first": [["PER", 0, 8], ["LOC", 18, 26]],
    "rows of four": [[0, 8, "PER", "Ana Ruiz"], ["New York", 18, 26, "LOC"]],
    "a score behind": [[0, 8, "PER", 0.9], [18, 26, "LOC", 1]],
    "floats": [[0.0, 8.0, "PER"], {"start": 18.0, "end": 26.0, "label": "LOC"}],
    "strings": [["0", "8", "PER"], {"start": "18", "end": "26.0", "label": "LOC"}],
    "start and end": [{"start": s, "end": e, "label": name} for s, e, name in PLACES],
    "doccano": [{"start_offset": s, "end_offset": e, "label": name} for s, e, name in PLACES],
    "camel case": [{"startOffset": s, "endOffset": e, "type": name} for s, e, name in PLACES],
    "length": [{"offset": s, "length": e - s, "category": name} for s, e, name in PLACES],
    "pair": [{"span": [s, e], "entity_type": name} for s, e, name in PLACES],
    "object": [{"position": {"start": s, "end": e}, "tag": name} for s, e, name in PLACES],
    "an object for the place": [
        {"entity_index": {"begin": s, "end": e}, "entity_type": name, "entity": TEXT[s:e]}
        for s, e, name in PLACES
    ],
    "pieces": [{"offsets": [[s, e]], "type": name, "text": [TEXT[s:e]]} for s, e, name in PLACES],
    "points": [
        {"label": [name], "points": [{"start": s, "end": e - 1, "text": TEXT[s:e]}]}
        for s, e, name in PLACES
    ],
    "inclusive ends, text as entity": [
        {"start_idx": s, "end_idx": e - 1, "type": name, "entity": TEXT[s:e]}
        for s, e, name in PLACES
    ],
    "label as entity": [
        {"start": s, "end": e, "value": "normal form", "entity": name} for s, e, name in PLACES
    ],
    "word in lower case": [
        {"entity_group": name, "word": TEXT[s:e].lower(), "start": s, "end": e, "score": 0.9}
        for s, e, name in PLACES
    ],
    "by label": {"PER": [[0, 8]], "LOC": [[18, 26]]},
    "by label, one each": {"PER": [0, 8], "LOC": [18, 26]},
    "by label, objects": {"PER": [{"start": 0, "end": 8}], "LOC": [{"start": 18, "end": 26}]},
    "by label and text": {"PER": {"Ana Ruiz": [[0, 7]]}, "LOC": {"New York": [[18, 25]]}},
    "a list for each key": {
        "start": [0, 18],
        "end": [8, 26],
        "type": ["PER", "LOC"],
        "text": ["Ana Ruiz", "New York"],
    },
    "by id": {
        "T1": {"start": 0, "end": 8, "label": "PER"},
        "T2": {"span": [18, 26], "type": "LOC"},
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(folder, form):
    record = {"text": TEXT, "entities": FORMS[form]}
    (doc,), summary = folder.convert(folder.write([record], "a.jsonl"))
    assert plain(doc) == (TEXT, ENTS)
    inclusive = form.startswith(("points", "inclusive", "by label and text"))
    assert sum(summary.remarks.values()) == inclusive and not summary.dropped


def test_a_label_may_have_the_name_of_a_key(folder):
    entities = {"position": [[0, 8]], "to": {"New York": [[18, 25]]}}
    (doc,), _ = folder.convert(folder.write([{"text": TEXT, "label": entities}], "a.jsonl"))
    assert plain(doc)[1] == [("Ana Ruiz", "position"), ("New York", "to")]


def test_lists_by_key(folder):
    """As data sets have a sequence of objects."""
    none = {"start": [], "end": [], "label": []}
    labels = {"from": [0, 8], "to": [18, 26]}
    records = [{"text": TEXT, "entities": value} for value in (none, labels)]
    docs, _ = folder.convert(folder.write(records, "a.jsonl"))
    assert [plain(doc)[1] for doc in docs] == [[], [("Ana Ruiz", "from"), ("New York", "to")]]
    ids = {"start": [0, 18], "end": [8, 26], "label": [0, 1]}
    path = folder.write([{"text": TEXT, "entities": ids}], "a.jsonl")
    assert "expected an entity's label, got the id 0" in folder.error(path)


def test_none_is_not_an_error(folder):
    for none in [], {}, {"PER": []}, {"PER": {}, "LOC": {}}:
        (doc,), summary = folder.convert(folder.write([{"text": "Bo", "label": none}], "a.jsonl"))
        assert plain(doc) == ("Bo", []) and summary.missing == 0


@pytest.mark.parametrize(
    "value",
    [
        [[0, 8.5, "PER"]],
        [["0", "x", "PER"]],
        [[0, float("inf"), "PER"]],
        [{"start": 0, "end": "x", "label": "PER"}],
        [{"start": 0, "label": "PER"}],
        [{"start": 0, "end": 8, "klass": "PER"}],
        [{"offsets": [[0, 3], [4, 8]], "type": "PER"}],
        ["Ana Ruiz"],
        {"PER": ["Ana Ruiz"]},
        [[0, 8, True]],
    ],
)
def test_what_is_no_entity(folder, value):
    message = folder.error(folder.write([{"text": TEXT, "entities": value}], "a.jsonl"))
    assert message.startswith("a.jsonl, line 1: expected an entity as [start, end, label] or with")


@pytest.mark.parametrize("value", [[[0, 8, 3]], [{"start": 0, "end": 8, "label": 3}]])
def test_ids_of_labels_are_no_labels(folder, value):
    for key in "entities", "annotations":
        message = folder.error(folder.write([{"text": TEXT, key: value}], "a.jsonl"))
        assert message == (
            f"a.jsonl, line 1: expected an entity's label, got the id 3 under {key!r}; put its "
            "name in the id's place"
        )


def test_an_entity_without_a_label_is_unknown(folder):
    entities = [{"start": 0, "end": 8, "text": "Ana Ruiz"}, {"start": 18, "end": 26, "labels": []}]
    (doc,), summary = folder.convert(folder.write([{"text": TEXT, "spans": entities}], "a.jsonl"))
    assert [t.ent_iob_ for t in doc] == ["", "", "O", "O", "", "", "O"]
    assert sum(summary.dropped.values()) == 2 == len(summary.lost)


def test_white_space_is_no_part_of_a_label(folder):
    (doc,), _ = folder.convert(folder.write([{"text": "Bo", "spans": [[0, 2, "PER "]]}], "a.jsonl"))
    assert plain(doc)[1] == [("Bo", "PER")]
