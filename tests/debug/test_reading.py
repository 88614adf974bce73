"""Findings of the readers, with the place of each."""

import json
from pathlib import Path

from spacy.tokens import DocBin

from spacy_bio_crf.debug import diagnose, read_part
from tests.support.debug_tools import find, found, make_doc


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
    repairs = find(report, "repaired_tags", "train").examples
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
    misaligned = find(report, "misaligned_entities", "train")
    assert [(s.place, s.text, s.label) for s in misaligned.examples] == [
        ("a.jsonl:1", "Ana Ruiz", "X"),
        ("a.jsonl:2", "An", "X"),
    ]
    (overlap,) = find(report, "overlapping_entities", "train").examples
    assert (overlap.place, overlap.text, overlap.label) == ("a.jsonl:1", "Ana", "Y")
    (blank,) = find(report, "dropped_entities", "train").examples
    assert (blank.place, blank.text, blank.note) == (
        "a.jsonl:1", " ", "entity on white space alone",
    )  # fmt: skip
    assert find(report, "dropped", "train").count == 0


def test_docs_of_a_file_have_their_number(tmp_path: Path):
    docs = [make_doc(["Bo"], [(0, 1, "PER")]), make_doc(["Bo", "\n"], [(0, 2, "PER")])]
    for doc in docs:
        del doc.user_data["source"]
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    report = diagnose([read_part("train", [tmp_path / "a.spacy"])], least=1)
    (spot,) = find(report, "white_space_edges", "train").examples
    assert (spot.place, spot.start, spot.end, spot.label) == ("a.spacy:2", 0, 2, "PER")


def test_most_of_the_gold_lost_by_the_reader_is_an_error(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    records = [{"text": "安娜住在里斯本", "spans": [[0, 2, "PER"]]}] * 3
    records.append({"text": "安娜", "spans": [[0, 2, "PER"]]})
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf8")
    report = diagnose([read_part("train", [path])], least=1)
    assert (find(report, "most_gold_lost", "train").count, report.severity) == (3, "error")
    cut = diagnose([read_part("train", [path], lang="zh")], least=1)
    assert find(cut, "most_gold_lost", "train").count == 0


def test_records_of_an_array_have_their_number(tmp_path: Path):
    """An export is one line, whatever it holds."""
    records = [
        {"text": "Bo ran", "entities": [[0, 2, "PER"]]},
        {"text": "Bo ran", "entities": [[0, 2, "PER"]]},
        {"text": "Anas ran", "entities": [[0, 3, "PER"]]},
    ]
    tasks = [
        {
            "data": {"text": r["text"]},
            "annotations": [
                {
                    "result": [
                        {
                            "from_name": "label",
                            "to_name": "text",
                            "type": "labels",
                            "value": {"start": s, "end": e, "labels": [label]},
                        }
                        for s, e, label in r["entities"]
                    ]
                }
            ],
        }
        for r in records
    ]
    for name, content in (("a.json", records), ("tasks.json", tasks)):
        (tmp_path / name).write_text(json.dumps(content))
        report = diagnose([read_part("train", [tmp_path / name])], least=1)
        (repeated,) = find(report, "repeated_documents", "train").examples
        assert (repeated.place, repeated.note) == (f"{name}:2", f"first in {name}:1")
        (misaligned,) = find(report, "misaligned_entities", "train").examples
        assert misaligned.place == f"{name}:3"


def test_documents_on_one_line_are_told_apart(tmp_path: Path):
    text = "<DOC DOCID='{}'>O <PESSOA>Bo</PESSOA> partiu</DOC>"
    (tmp_path / "a.xml").write_text(f"<colHAREM>{text.format('D1')}{text.format('D2')}</colHAREM>")
    part = read_part("train", [tmp_path / "a.xml"], lang="pt")
    (repeated,) = find(diagnose([part], least=1), "repeated_documents", "train").examples
    assert (repeated.place, repeated.note) == ("a.xml:1 (D2)", "first in a.xml:1 (D1)")
    for folder in ("b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.conll").write_text("Bo\tB-PER\n")
    part = read_part("train", [tmp_path / "b", tmp_path / "c"])
    assert [doc.user_data["source"] for doc in part.docs] == [
        "x.conll:1 (document 1)",
        "x.conll:1 (document 2)",
    ]
