"""A pipeline saved with one version of transformers gives the same with the other.

BIO_NER_OTHER_PYTHON names the second interpreter, such as $PWD/.venv/bin/python; `make test-next`
does so where that is there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import crossing
from tests.support.crossing import CASES
from tests.support.paths import PROJECT_PATH, ROOT

OTHER = os.environ.get("BIO_NER_OTHER_PYTHON")


def run(python: str, command: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [python, "-m", "tests.support.crossing", command, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": PROJECT_PATH, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(OTHER is None, reason="BIO_NER_OTHER_PYTHON names no second interpreter")
@pytest.mark.parametrize("here", ["writes", "reads"])
def test_pipelines_cross(tmp_path: Path, here: str):
    assert OTHER is not None
    writer, reader = (sys.executable, OTHER) if here == "writes" else (OTHER, sys.executable)
    assert len(run(writer, "write", tmp_path)) == len(CASES)
    found = run(reader, "check", tmp_path)
    assert [line.partition(": ")[0] for line in found] == list(CASES)
    assert all("the same" in line for line in found)
    versions = {line.rpartition(" ")[2] for line in found}
    assert len(versions) == 1
    print("\n".join(found))


def test_the_check_notices_other_entities_and_other_emissions(tmp_path: Path):
    """With one interpreter alone."""
    only = "bert"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossing, "CASES", {only: CASES[only]})
        crossing.write(tmp_path)
        assert crossing.check(tmp_path) == 0
        path = tmp_path / only / "answers.json"
        answers = json.loads(path.read_text())
        path.write_text(json.dumps({**answers, "entities": answers["entities"][::-1]}))
        assert crossing.check(tmp_path) == 1
        answers["emissions"][0][0] += 1.0
        path.write_text(json.dumps(answers))
        assert crossing.check(tmp_path) == 1
