"""The tutorials as notebooks: every block of code is a cell. `make notebooks` runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.tutorials import BLOCK, MENU


def test_every_block_is_a_cell(tmp_path: Path) -> None:
    pytest.importorskip("jupytext")
    nbformat = pytest.importorskip("nbformat")
    script = ROOT / "scripts" / "write_notebooks.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    notebooks = sorted(tmp_path.glob("*.ipynb"))
    assert [path.stem.partition("-")[2] for path in notebooks] == [Path(p).stem for p in MENU]
    for page, path in zip(MENU, notebooks, strict=True):
        cells = nbformat.read(path, as_version=4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        blocks = BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8"))
        assert code == [
            ("%%bash\n" if block["language"] == "bash" else "") + block["code"].rstrip("\n")
            for block in blocks
        ]
        assert not any("<!-- output -->" in cell.source for cell in cells)
    assert (tmp_path / "assets" / "train.conll").is_file()
