"""Hooks of MkDocs: the README and other top-level pages become pages of the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the top-level pages, with links that are right in their new place."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = re.sub(r"\]\(docs/", "](", text)
        for name, new in PAGES.items():
            text = text.replace(f"]({name})", f"]({new})")
        files.append(File.generated(config, page, content=text))
    return files
