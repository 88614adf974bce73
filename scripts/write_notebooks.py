"""Write the tutorials as notebooks, numbered in the order of the site's menu.

    python scripts/write_notebooks.py site/notebooks

The first one saves the pipeline that the others load, so they run in this order, in one folder.
"""

import argparse
import re
from pathlib import Path

import jupytext

ROOT = Path(__file__).parents[1]
MENU = re.compile(r"tutorials/([\w-]+)\.md")
# Cells of other languages get a magic command.
HEADER = """---
jupyter:
  jupytext:
    main_language: python
  kernelspec:
    display_name: Python 3
    language: python
    name: python3
---

"""
# What the page says that a block prints; a notebook shows it by itself.
OUTPUT = re.compile(r"<!-- output -->\n```\n.*?^```\n", re.DOTALL | re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the notebooks")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    assets = folder / "assets"
    if not assets.is_symlink():
        assets.symlink_to(ROOT / "assets", target_is_directory=True)
    names = MENU.findall((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    for number, name in enumerate(names, start=1):
        text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
        notebook = jupytext.reads(HEADER + OUTPUT.sub("", text), fmt="md")
        jupytext.write(notebook, folder / f"{number}-{name}.ipynb")


if __name__ == "__main__":
    main()
