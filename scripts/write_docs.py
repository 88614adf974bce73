"""Write the tables of the documentation that the code determines: the checks of `bio-ner debug`.

    python scripts/write_docs.py

A test compares the files with what this script writes.
"""

import argparse
import re
import sys
from pathlib import Path

from spacy_bio_crf.debug.checks import GROUPS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- begin: scripts/write_docs.py -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of debug.md")
    path = parser.parse_args().docs / "debug.md"
    text = path.read_text(encoding="utf-8")
    between = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
    new, n = between.subn(lambda _: list_checks(), text)
    if n != 1:
        print(f"{path}: expected one pair of {BEGIN.strip()} and {END.strip()}, got {n}")
        return 1
    path.write_text(new, encoding="utf-8")
    return 0


def list_checks() -> str:
    """RETURNS (str): A Markdown table for each group of checks."""
    parts = []
    for title, checks in GROUPS.items():
        rows = [
            f"| `{name}` | {check.severity} | {check.meaning} | {check.advice} |"
            for name, check in checks.items()
        ]
        header = ["| check | severity | counted | consequence or advice |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {title}", "", *header, *rows, ""]))
    return "\n" + "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
