import subprocess
import sys
from shutil import copytree

from tests.support.paths import ROOT


def test_the_docs_are_as_the_code_says(tmp_path):
    copytree(ROOT / "docs", tmp_path / "docs")
    pages = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "docs").glob("*.md")}
    command = [sys.executable, ROOT / "scripts" / "write_docs.py", "--docs", tmp_path / "docs"]
    subprocess.run(command, check=True)
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "run python scripts/write_docs.py"
