import json
from pathlib import Path

import spacy
from typer.testing import CliRunner

from spacy_bio_crf.bulk import annotate
from spacy_bio_crf.cli import app

ROW = {"body": "Bo", "ents": [{"start": 0, "end": 2, "label": "PER", "score": 0.5}]}


def run(*args):
    result = CliRunner().invoke(app, ["to-tasks", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, " ".join(result.output.split())


def test_to_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
    keys = ["--text-key", "body", "--entities-key", "ents", "--model-version", "m1"]
    code, output = run("rows.jsonl", "tasks.jsonl", "--to", "prodigy", *keys)
    assert code == 0 and "tasks.jsonl: 1 task for prodigy" in output
    (task,) = map(json.loads, Path("tasks.jsonl").read_text().splitlines())
    assert task == {"text": "Bo", "spans": [{**ROW["ents"][0], "source": "m1"}], "meta": {}}
    code, output = run("rows.jsonl", "tasks.jsonl", "--to", "doccano", *keys)
    assert code == 1 and "OUT: expected a new file or folder, got tasks.jsonl" in output
    code, output = run("rows.jsonl", "tasks.jsonl", "--to", "doccano", "--force")
    assert code == 1 and "rows.jsonl, line 1: expected a text under 'text'" in output
    code, output = run("rows.jsonl", "tasks.jsonl", "--to", "brat", "-F", *keys)
    assert code == 1 and "--to: expected one of 'jsonl', 'prodigy'" in output
    assert json.loads(Path("tasks.jsonl").read_text()) == task
    code, output = run("rows.jsonl", "rows.jsonl", "--to", "prodigy", "-F", *keys)
    assert code == 1 and "OUT: expected another file than what is read, got rows.jsonl" in output
    assert json.loads(Path("rows.jsonl").read_text()) == ROW


def test_a_run_that_has_not_ended(tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"Bo {i}"}) + "\n" for i in range(4)))
    annotate(spacy.blank("en"), texts, tmp_path / "parts", docs_per_file=1)
    code, output = run(str(tmp_path / "parts"), str(tmp_path / "a.jsonl"), "--to", "prodigy")
    assert code == 0 and "4 tasks for prodigy" in output and "not ended" not in output
    for part in sorted((tmp_path / "parts").glob("part-*"))[2:]:
        part.unlink()
    code, output = run(str(tmp_path / "parts"), str(tmp_path / "b.jsonl"), "--to", "prodigy")
    assert code == 0 and "2 tasks for prodigy" in output
    assert "the run has not ended; not among the tasks: 2 parts" in output
