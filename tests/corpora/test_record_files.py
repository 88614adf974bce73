"""Records in other files than JSON, and in objects that hold them."""

import json
import sys

import pytest

from tests.support.convert_tools import TEXT, plain

SPANS = [[0, 8, "PER"], [18, 26, "LOC"]]
ENTS = [("Ana Ruiz", "PER"), ("New York", "LOC")]
PAIR = (TEXT, {"entities": [(0, 8, "PER"), (18, 26, "LOC")]})
OBJECT = {"text": TEXT, "spans": SPANS}

PYTHON = {
    "list of pairs": f"TRAIN_DATA = [\n    {PAIR!r},\n    {PAIR!r},\n]\n",
    "with a type": f"TRAIN_DATA: list[tuple[str, dict]] = [{PAIR!r}, {PAIR!r}]\n",
    "older pairs": f"DATA = [({TEXT!r}, {PAIR[1]['entities']!r}), {PAIR!r}]\n",
    "tuple of pairs": f"DATA = ({PAIR!r}, {PAIR!r})\n",
    "among other code": f"import spacy\n\nnlp = spacy.blank('en')\nLABELS = ['PER']\n"
    f"A = [{PAIR!r}]\nB = [{PAIR!r}]\nnlp.update(A)\n",
    "lists put together": f"DATA = [{PAIR!r}] + [{PAIR!r}]\n",
    "in a dictionary": f"DATA = {{'train': [{PAIR!r}], 'dev': [{PAIR!r}]}}\n",
    "in a function": f"def get():\n    return [{PAIR!r}, {PAIR!r}]\n",
    "objects": f"[{OBJECT!r}, {OBJECT!r}]",
    "an object a line": f"{OBJECT!r}\n{OBJECT!r}\n",
    "a pair a line": f"{PAIR!r}\n{PAIR!r},\n",
}


NEEDS_ITS_NAME = ("with a type", "among other code", "in a dictionary", "in a function")


@pytest.mark.parametrize("form", PYTHON)
@pytest.mark.parametrize("name", ["a.py", "a.json", "a.txt"])
def test_literals_of_python(folder, form, name):
    name = "a.py" if form in NEEDS_ITS_NAME else name
    docs, summary = folder.convert(folder.write(PYTHON[form], name))
    assert list(map(plain, docs)) == [(TEXT, ENTS)] * 2
    assert summary.missing == 0 and not summary.dropped


def test_nothing_in_a_python_file_is_executed(folder):
    evil = "import pathlib\npathlib.Path('x').write_text('y')\n"
    message = folder.error(folder.write(evil, "a.py"))
    assert message == (
        'a.py: expected a list of texts and objects, ("…", {"entities": [(start, end, label)]}), '
        "got none"
    )
    message = folder.error(folder.write(f"D = [{PAIR!r},\n ('Bo', f(3))]\n", "a.py"))
    assert message == (
        'a.py, line 2: expected a text and an object, ("…", {"entities": […]}), got '
        "`('Bo', f(3))`"
    )
    assert "a.py, line 2: expected Python's literals" in folder.error(
        folder.write("D = [\n)\n", "a.py")
    )
    deep = "D = [('a', " + "[" * 10**5
    assert "a.py, line 1: expected Python's literals" in folder.error(folder.write(deep, "a.py"))


HOLDERS = {
    "NER annotator for spaCy": {"classes": ["PER", "LOC"], "annotations": [PAIR, None]},
    "rasa": {
        "rasa_nlu_data": {
            "common_examples": [
                {
                    "text": TEXT,
                    "intent": "tell",
                    "entities": [
                        {"start": s, "end": e, "value": TEXT[s:e].lower(), "entity": name}
                        for s, e, name in SPANS
                    ],
                }
            ]
        }
    },
    "data": {"version": "1.0", "data": [OBJECT]},
    "by name": {"x.txt": OBJECT},
    "documents": {"documents": [OBJECT], "name": "x"},
}


@pytest.mark.parametrize("form", HOLDERS)
def test_one_object_that_holds_all_records(folder, form):
    docs, _ = folder.convert(folder.write(HOLDERS[form], "a.json"))
    assert list(map(plain, docs)) == [(TEXT, ENTS)]
    assert docs[0].user_data["source"] == "a.json:1"


def test_json_that_spacy_2_trained_with(folder):
    tags = ["B-PER", "L-PER", "O"], ["-", "U-LOC"]
    words = ["Ana", "Ruiz", "ran"], ["to", "Rio"]
    sentences = [
        {
            "tokens": [
                {"id": i, "orth": w, "ner": t} for i, (w, t) in enumerate(zip(*pair, strict=True))
            ]
        }
        for pair in zip(words, tags, strict=True)
    ]
    data = [{"id": 7, "paragraphs": [{"raw": "…", "sentences": sentences, "cats": []}] * 2}]
    docs, summary = folder.convert(folder.write(json.dumps(data), "a.json"), group_docs=True)
    expected = ("Ana Ruiz ran to Rio", [("Ana Ruiz", "PER"), ("Rio", "LOC")])
    assert list(map(plain, docs)) == [expected] * 2 and summary.missing == 2
    assert [doc.user_data["document_id"] for doc in docs] == ["7.0", "7.1"]
    data[0]["paragraphs"][0]["sentences"] = [{"words": []}]
    assert folder.error(folder.write(json.dumps(data), "a.json")) == (
        "a.json, record 1: expected paragraphs of sentences of tokens, each with 'orth' and 'ner', "
        "got something else"
    )


def test_records_by_name(folder):
    docs, _ = folder.convert(folder.write({"a.txt": OBJECT, "b.txt": OBJECT}, "a.json"))
    assert list(map(plain, docs)) == [(TEXT, ENTS)] * 2
    assert [doc.user_data["document_id"] for doc in docs] == ["a.txt", "b.txt"]


def test_a_pair_with_a_list(folder):
    docs, _ = folder.convert(folder.write(json.dumps([[TEXT, SPANS]]), "a.json"))
    assert list(map(plain, docs)) == [(TEXT, ENTS)]


def test_a_list_of_entities_holds_no_records(folder):
    entities = [{"text": "Ana Ruiz", "start": 0, "end": 8, "label": "PER"}]
    path = folder.write([{"body": TEXT, "annotations": entities}], "a.jsonl")
    docs, _ = folder.convert(path, text_key="body")
    assert list(map(plain, docs)) == [(TEXT, ENTS[:1])]


def test_a_record_holds_no_records(folder):
    record = {"text": TEXT, "annotations": [{"text": "Ana Ruiz", "label": "PER"}]}
    assert "expected an entity as" in folder.error(folder.write([record], "a.jsonl"))


NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ROWS = [{"tokens": ["Ana", "Ruiz", "in", "Rio"], "ner_tags": [1, 2, 0, 3]}]
FEATURE = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"}


def write_arrow(path, rows, *, stream, features=None):
    pyarrow = pytest.importorskip("pyarrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    if features:
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": described})
    write = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with write(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize("stream", [True, False])
def test_arrow(folder, stream):
    path = folder.path / "in" / "data-00000-of-00001.arrow"
    write_arrow(path, ROWS * 5, stream=stream, features={"ner_tags": FEATURE})
    docs, summary = folder.convert(path)
    expected = [("Ana Ruiz in Rio", [("Ana Ruiz", "PER"), ("Rio", "LOC")])] * 5
    assert list(map(plain, docs)) == expected
    assert docs[-1].user_data["source"] == f"{path.name}:5"
    # The folder that `Dataset.save_to_disk` writes.
    folder.write({"_data_files": [{"filename": path.name}], "_split": "train"}, "in/state.json")
    folder.write({"features": {"ner_tags": FEATURE}}, "in/dataset_info.json")
    assert list(map(plain, folder.convert(path.parent)[0])) == expected
    write_arrow(path, ROWS * 5, stream=stream)
    assert list(map(plain, folder.convert(path.parent)[0])) == expected


def test_texts_in_tables(folder):
    pytest.importorskip("pyarrow")
    from pyarrow import Table, parquet

    rows = [{"text": TEXT, "entities": [{"start": s, "end": e, "label": n} for s, e, n in SPANS]}]
    arrow = write_arrow(folder.path / "a.arrow", rows, stream=True)
    parquet.write_table(Table.from_pylist(rows), folder.path / "a.parquet")
    for path in arrow, folder.path / "a.parquet":
        assert list(map(plain, folder.convert(path)[0])) == [(TEXT, ENTS)]


def test_damaged_arrow(folder, monkeypatch):
    path = write_arrow(folder.path / "a.arrow", ROWS * 9, stream=True)
    whole = path.read_bytes()
    for content in whole[: len(whole) // 2], b"ARROW1\0\0....ARROW1":
        path.write_bytes(content)
        message = folder.error(path, tag_names=NAMES)
        assert message.startswith("a.arrow: expected a whole file of Parquet or Arrow: ")
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist(ROWS * 9), path, compression="none")
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    message = folder.error(path, tag_names=NAMES)
    assert message.startswith("a.arrow: expected a whole file of Parquet or Arrow: ")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert folder.error(path).startswith("Parquet needs pyarrow, which is not installed (")
