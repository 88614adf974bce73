"""Files to parts of a corpus, with what their reader had to repair, drop or decide."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spacy.tokens import Doc

from ..corpora import Summary, read
from .findings import Recorder, Spot, shown

_REPAIRS = {
    "begun": "continues no entity of its label",
    "closed": "is not followed by the end of its entity",
    "discarded": "begins what is not a complete entity",
}


@dataclass(frozen=True)
class Part:
    """A part of a corpus.

    name (str): "train" or "dev".
    docs (list[Doc]): The reference Docs.
    summary (Summary): What the reader met.
    """

    name: str
    docs: list[Doc]
    summary: Summary = field(default_factory=Summary)


def read_part(
    name: str, paths: Sequence[Path], *, lang: str = "en", group_docs: bool = False
) -> Part:
    """Read files of any format that `convert` knows, `.spacy` among them.

    name (str): What the part is called: "train" or "dev".
    paths (Sequence[Path]): Files and folders.
    lang (str): The language of a tokenizer for texts without tokens.
    group_docs (bool): One Doc for each document, not for each sentence.
    RETURNS (Part): The part.
    RAISES: ConvertError or OSError if a file can't be read.
    """
    docs, summary = read(paths, lang=lang, group_docs=group_docs)
    return Part(name, docs, summary)


def check_reading(part: Part, recorder: Recorder) -> None:
    """Repairs, losses and decisions of the reader.

    part (Part): The part.
    recorder (Recorder): Gets the findings.
    """
    summary = part.summary
    for repair in summary.repairs:
        spot = Spot(f"{repair.path.name}:{repair.line}", repair.tag, note=_REPAIRS[repair.what])
        recorder.add("repaired_tags", spot)
    for entity in summary.misaligned:
        spot = Spot(_place(entity.place), shown(entity.text), label=entity.label)
        recorder.add("misaligned_entities", spot)
    for loss in summary.lost:
        check = "overlapping_entities" if "overlaps" in loss.reason else "dropped_entities"
        spot = Spot(_place(loss.place), shown(loss.text), label=loss.label, note=loss.reason)
        recorder.add(check, spot)
    told = {loss.reason for loss in summary.lost}
    for reason, count in summary.dropped.items():
        if reason not in told:
            recorder.add("dropped", count=count, detail=reason)
    for remark, count in summary.remarks.items():
        recorder.add("remarks", count=count, detail=remark)


def _place(place: str) -> str:
    """From "folder/file.txt, line 3" to "file.txt:3", as Docs have it."""
    found = re.fullmatch(r"(.+), line (\d+)", place)
    return f"{Path(found[1]).name}:{found[2]}" if found else place
