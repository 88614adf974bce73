"""Find out which scheme column files are tagged in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...tags.schemes import FILE_SCHEMES, MISSING, OUTSIDE, split_tag
from ..passages import ConvertError


@dataclass
class Evidence:
    """What the tags of one file say about its scheme.

    first_line (dict[str, int]): Where each prefix was first seen.
    stray_inside (int): How many I- follow no tag of their label.
    lone_begin (int): How many B- follow no tag of their label.
    """

    first_line: dict[str, int] = field(default_factory=dict)
    stray_inside: int = 0
    lone_begin: int = 0

    def add(self, tags: Sequence[str], lines: Sequence[int]) -> None:
        """Take in one sentence.

        tags (Sequence[str]): Its tags; those that are no tags at all are left to the reader.
        lines (Sequence[int]): The line of each.
        """
        label_before = ""
        for tag, line in zip(tags, lines, strict=True):
            label = ""
            if tag not in (OUTSIDE, MISSING):
                try:
                    prefix, label = split_tag(tag)
                except ValueError:
                    prefix = ""
                if prefix:
                    self.first_line.setdefault(prefix, line)
                    self.stray_inside += prefix == "I" and label != label_before
                    self.lone_begin += prefix == "B" and label != label_before
            label_before = label


def detect_schemes(evidence: dict[Path, Evidence]) -> dict[Path, str]:
    """Decide on every file's scheme. Files with no prefix but B- and I- are judged together: a
    short file may hold too little to tell BIO from IOB1.

    evidence (dict[Path, Evidence]): What each file's tags say.
    RETURNS (dict[Path, str]): Each file's scheme.
    RAISES: ConvertError if the prefixes of a file are those of no one scheme.
    """
    plain = {path: e for path, e in evidence.items() if e.first_line.keys() <= {"B", "I"}}
    plain_scheme = _bio_or_iob1(list(plain.values()))
    return {
        path: plain_scheme if path in plain else _closed_scheme(path, e)
        for path, e in evidence.items()
    }


def _bio_or_iob1(plain: list[Evidence]) -> str:
    """IOB1 writes B- only between neighbours of one label, BIO at the beginning of every entity.
    Where both rules are broken it is BIO, with tags to repair."""
    stray = sum(e.stray_inside for e in plain)
    lone = sum(e.lone_begin for e in plain)
    return "IOB1" if stray and not lone else "BIO"


def _closed_scheme(path: Path, evidence: Evidence) -> str:
    seen = evidence.first_line
    for scheme, prefixes in FILE_SCHEMES.items():
        if seen.keys() <= prefixes.keys():
            return scheme
    where = ", ".join(f"{prefix}- (line {line})" for prefix, line in sorted(seen.items()))
    known = "; ".join(f"{name}: O {' '.join(prefixes)}" for name, prefixes in FILE_SCHEMES.items())
    raise ConvertError(f"{path}: found tags with {where}, which no scheme has together ({known})")
