"""Documents with oddities for `bio-ner debug`, and the findings in them."""

import spacy
from spacy.tokens import Doc, Span

from spacy_bio_crf.debug import CorpusPart, Finding, Report, diagnose

VOCAB = spacy.blank("xx").vocab


def make_doc(words, ents=(), *, spaces=None, missing=(), known_spaces=False, source="a:1") -> Doc:
    doc = Doc(VOCAB, words=words, spaces=spaces)
    doc.set_ents([Span(doc, *ent) for ent in ents], missing=[doc[i : i + 1] for i in missing])
    doc.has_unknown_spaces = not known_spaces
    doc.user_data["source"] = source
    return doc


# Enough of each label that none is rare.


PLENTY = [
    make_doc([letter, "x", "y", "Bo", "met", "New", "York"], [(3, 4, "PER"), (5, 7, "LOC")])
    for letter in "abcdefghij"
]
PLENTY.append(make_doc(["Ana", "Ruiz"], [(0, 2, "PER")]))


def found(report: Report) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        key = (finding.part, finding.check)
        counts[key] = counts.get(key, 0) + finding.count
    return counts


def find(report: Report, check: str, part: str) -> Finding:
    """The findings of a check in a part put together; a count of 0 if there are none."""
    result = Finding(check, part)
    for finding in report.findings:
        if (finding.check, finding.part) == (check, part):
            result.count += finding.count
            result.examples += finding.examples
    return result


def check_one(check: str, doc: Doc, count: int, start: int | None, note: str) -> None:
    """Assert that a document has findings of one check alone; `start` and `note` are those of the
    first one."""
    report = diagnose([CorpusPart("train", [*PLENTY, doc])])
    finding = find(report, check, "train")
    assert finding.count == count
    assert {name for _, name in found(report)} - {"white_space_tokens"} <= {check}
    first = finding.examples[0]
    assert (first.place, first.start, first.note) == ("a:1", start, note)
