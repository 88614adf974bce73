"""`scripts/check_house.py` on a small package that breaks each of its rules once."""

import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


def check(root: Path) -> tuple[int, list[str]]:
    command = [sys.executable, ROOT / "scripts" / "check_house.py", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


GOOD = {
    "spacy_bio_crf/__init__.py": "",
    "spacy_bio_crf/tags/__init__.py": "",
    "spacy_bio_crf/tags/spans.py": '"""Spans."""\nfrom a import Tag\n\nSIZE, _MORE = 1, 2\n',
    "spacy_bio_crf/tags/files/columns.py": '"""Columns."""\n\n\ndef read():\n    SIZE = 1\n',
    "spacy_bio_crf/io.py": '"""Read files."""\n\nTag = int\n_MORE = 1\n',
    "tests/tags/test_spans.py": "",
    "tests/tags/test_columns.py": "",
    "tests/test_io.py": "",
    "README.md": "Colors of `neighbours`\n",
}


def test_the_project_is_in_order() -> None:
    code, lines = check(ROOT)
    assert code == 0, lines


def test_every_fault_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert check(tmp_path) == (0, ["spacy_bio_crf: 5 modules, 13 lines"])
    misfits = '"""What fits."""\nSIZE: int = 2\n\n\nasync def read(): ...\n'
    write(
        tmp_path,
        {
            "spacy_bio_crf/gold/spans.py": '"""Gold."""\n' + "pass\n" * 400,
            "spacy_bio_crf/gold/misfits.py": misfits,
            "spacy_bio_crf/gold/__init__.py": "import re\n",
            "tests/gold/test_spans.py": "",
            "docs/gold.md": "\nIt can not be\noptimised\n",
        },
    )
    code, lines = check(tmp_path)
    assert code == 1
    assert [line.removeprefix("error: ") for line in lines[:-1]] == [
        "spacy_bio_crf/gold/spans.py: expected 400 lines at the most, got 401",
        "module spans: expected one, got spacy_bio_crf/gold/spans.py, spacy_bio_crf/tags/spans.py",
        "name SIZE: expected one definition, "
        "got spacy_bio_crf/gold/misfits.py, spacy_bio_crf/tags/spans.py",
        "name read: expected one definition, "
        "got spacy_bio_crf/gold/misfits.py, spacy_bio_crf/tags/files/columns.py",
        "spacy_bio_crf/gold/misfits.py: expected its tests in tests/gold/test_misfits.py, "
        "got no such file",
        "spacy_bio_crf/gold/__init__.py: expected a docstring with a noun or verb, got none",
        "spacy_bio_crf/gold/misfits.py: expected a docstring with a noun or verb, got What",
        "docs/gold.md, line 2: expected American spelling, got can not",
        "docs/gold.md, line 3: expected American spelling, got optimise",
    ]
