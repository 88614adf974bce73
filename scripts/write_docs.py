"""Write the tables of the documentation that the code determines.

    python scripts/write_docs.py

These are the checks of `bio-ner debug` and the options of `bio-ner convert`. A test compares the
files with what this script writes.
"""

import argparse
import re
import sys
from dataclasses import fields
from pathlib import Path

from spacy_bio_crf.cli.reader_options import default_of, flags_of, help_of
from spacy_bio_crf.corpora import ConvertOptions
from spacy_bio_crf.debug.checks import GROUPS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- begin: scripts/write_docs.py -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the pages")
    docs = parser.parse_args().docs
    between = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
    failed = False
    for name, table in {"debug.md": list_checks(), "formats.md": list_options()}.items():
        path = docs / name
        new, n = between.subn(lambda _, table=table: table, path.read_text(encoding="utf-8"))
        if n == 1:
            path.write_text(new, encoding="utf-8")
        else:
            print(f"{path}: expected one pair of {BEGIN.strip()} and {END.strip()}, got {n}")
            failed = True
    return int(failed)


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


def list_options() -> str:
    """RETURNS (str): A Markdown table of the options of `bio-ner convert`."""
    rows = ["| option | in Python | default | formats | meaning |", "|---|---|---|---|---|"]
    for option in fields(ConvertOptions):
        metavar = option.metadata["metavar"]
        flags = ", ".join(f"`{flag} {metavar or ''}".rstrip() + "`" for flag in flags_of(option))
        default = default_of(option)
        shown = "" if default is False or default in (None, []) else f"`{default}`"
        formats = ", ".join(option.metadata["formats"]) or "all"
        rows.append(f"| {flags} | `{option.name}` | {shown} | {formats} | {help_of(option)} |")
    return "\n" + "\n".join(rows) + "\n\n"


if __name__ == "__main__":
    sys.exit(main())
