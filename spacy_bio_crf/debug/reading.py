"""Corpus files as Docs, with the repairs, losses and decisions of their reader."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.tokens import Doc

from ..corpora import REPAIR_KINDS, Summary, read
from .findings import Occurrence, Recorder, excerpt, place_of


@dataclass(frozen=True)
class CorpusPart:
    """The training data, or the held-out data.

    name (str): "train" or "dev".
    docs (list[Doc]): The reference Docs.
    summary (Summary): The reader's account.
    """

    name: str
    docs: list[Doc]
    summary: Summary = field(default_factory=Summary)


def read_part(name: str, paths: Sequence[Path], **options: Any) -> CorpusPart:
    """Read files of any format that `convert` knows, `.spacy` among them.

    name (str): The part's name: "train" or "dev".
    paths (Sequence[Path]): Files and folders.
    **options (Any): Options of reading, by their names in `ConvertOptions`.
    RETURNS (CorpusPart): The part.
    RAISES: ConvertError or OSError if a file can't be read.
    """
    docs, summary = read(paths, **options)
    # A file with all its documents on one line, or files of one name in several folders.
    times = Counter(map(place_of, docs))
    for number, doc in enumerate(docs, start=1):
        if times[place_of(doc)] > 1:
            own = doc.user_data.get("document_id") or f"document {number}"
            doc.user_data["source"] = f"{place_of(doc)} ({own})"
    return CorpusPart(name, docs, summary)


def check_reading(part: CorpusPart, recorder: Recorder) -> None:
    """Record the repairs, losses and decisions of the reader."""
    summary = part.summary
    for repair in summary.repairs:
        place = f"{repair.path.name}:{repair.line}"
        fault, _ = REPAIR_KINDS[repair.what]
        recorder.add("repaired_tags", Occurrence(place, repair.tag, note=fault))
    for entity in summary.misaligned:
        text = excerpt(entity.text)
        found = Occurrence(_short_place(entity.place), text, label=entity.label)
        recorder.add("misaligned_entities", found)
    if len(summary.misaligned) > sum(len(doc.ents) for doc in part.docs):
        recorder.add("most_gold_lost", count=len(summary.misaligned))
    for loss in summary.lost:
        check = "overlapping_entities" if "overlaps" in loss.reason else "dropped_entities"
        place, text = _short_place(loss.place), excerpt(loss.text)
        recorder.add(check, Occurrence(place, text, label=loss.label, note=loss.reason))
    listed = {loss.reason for loss in summary.lost}
    for reason, count in summary.dropped.items():
        if reason not in listed:
            recorder.add("dropped", count=count, detail=reason)
    for remark, count in summary.remarks.items():
        recorder.add("remarks", count=count, detail=remark)


def _short_place(place: str) -> str:
    """From "folder/file.txt, line 3" to "file.txt:3", the form in `doc.user_data`."""
    found = re.fullmatch(r"(.+), (?:line|record|row) (\d+)", place)
    return f"{Path(found[1]).name}:{found[2]}" if found else place
