"""Files that are complete or absent."""

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it: whoever looks at it finds all of it or what was there.

    path (Path): The file; its folder is made if missing.
    text (str): What goes into it, as UTF-8 with the line ends it has.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON that people can read, too.

    path (Path): The file; its folder is made if missing.
    data (Any): What goes into it.
    RAISES: ValueError if there is a number in it that JSON does not have, such as NaN.
    """
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
