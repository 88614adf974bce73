"""Units of text that readers hand to the builder, and the summary of a conversion."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc

from ..errors import ConvertError
from ..tags.spans import Span

# Kinds of repair, as `tagset.spans_of_tags` names them: the tag's fault, and how it is read.
REPAIR_KINDS = {
    "begun": ("continues no entity of its label", "read as the beginning of one"),
    "closed": ("is not followed by the end of its entity", "read as the end"),
    "discarded": ("begins what is not a complete entity", "discarded"),
}


@dataclass(frozen=True)
class Sentence:
    """One sentence, from a format of tokens and tags.

    words (list[str]): The tokens' texts, none of them empty. The list itself is empty if the
        sentence had empty tokens only.
    spans (list[tuple[int, int, str]]): Entities: start, exclusive end (in words), label.
    missing (list[int]): The unannotated words, which are neither in an entity nor O.
    spaces (list[bool] | None): Whether a space follows each word; None if the format does not say.
        The last word's value counts if another sentence follows in its Doc.
    path (Path): The file.
    line (int): The line of the first token, from 1.
    starts_document (bool): Whether a document begins here, by a new file or a mark in the file.
    document_id (str): The document's name in that mark; empty without one.
    unknown_starts (bool): It may be several sentences, or a part of one.
    final_space (bool): A space follows the last word, even at the end of the Doc.
    attributes (Mapping[str, list[str]]): For "tag", "pos" and "morph", if the format has them, the
        label of each word; "" without one.
    chunks (list[Span] | None): Phrases; None if the format has none.
    """

    words: list[str]
    spans: list[Span]
    missing: list[int]
    spaces: list[bool] | None
    path: Path
    line: int
    starts_document: bool
    document_id: str = ""
    unknown_starts: bool = False
    final_space: bool = False
    attributes: Mapping[str, list[str]] = field(default_factory=dict)
    chunks: list[Span] | None = None


def document_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Name documents by their files.

    paths (Iterable[Path]): The files, one for each document.
    RETURNS (dict[Path, str]): The name of each file without its suffix. Where several have one
        name, as in exports with a folder for each document, folders stand in front.
    """
    names = {path: path.stem for path in paths}
    folders = {path: [folder.name for folder in path.absolute().parents] for path in names}
    for depth in range(max(map(len, folders.values()), default=0)):
        counts = Counter(names.values())
        for path, name in names.items():
            if counts[name] > 1 and depth < len(folders[path]):
                names[path] = f"{folders[path][depth]}/{name}"
    return names


class TextSpan(NamedTuple):
    """An entity of a passage, with its place in the input for messages: "file, line 3"."""

    start: int
    end: int
    label: str
    place: str


@dataclass(frozen=True)
class Passage:
    """One document's text with entities in characters. It becomes one Doc.

    text (str): The text.
    spans (list[TextSpan]): The entities; they may overlap, and need not fit any tokens.
    path (Path): The file.
    line (int): The line on which it begins, from 1.
    place (str): The same for messages.
    words (list[str] | None): The text's tokens; None if it is yet to be tokenized.
    spaces (list[bool] | None): With `words`: whether a space follows each token.
    unknown_spaces (bool): With `words`: the text was put together from tokens of unknown spacing.
    missing (list[tuple[int, int]]): Unannotated stretches of text: start and exclusive end, in
        characters. Entities in them stand.
    sent_starts (dict[int, bool | None] | None): For the first character of each token: whether a
        sentence begins with it, where that is known.
    incorrect (list[TextSpan]): Entities that are known to be wrong.
    starts_document (bool): False if it belongs to the same document as the passage before it.
    document_id (str): The document's name; empty if it has none.
    """

    text: str
    spans: list[TextSpan]
    path: Path
    line: int
    place: str
    words: list[str] | None = None
    spaces: list[bool] | None = None
    unknown_spaces: bool = False
    missing: list[tuple[int, int]] = field(default_factory=list)
    sent_starts: dict[int, bool | None] | None = None
    incorrect: list[TextSpan] = field(default_factory=list)
    starts_document: bool = True
    document_id: str = ""


# What a reader yields and the builder takes; a Doc is taken as it is. An error stands for a unit
# that is bad, where a reader can go on with the next one.
Unit = Sentence | Passage | Doc | ConvertError


@dataclass(frozen=True)
class Repair:
    """A tag that broke the rules of its scheme, and the repair, a key of `REPAIR_KINDS`."""

    path: Path
    line: int
    tag: str
    what: str


class Misaligned(NamedTuple):
    """An entity that does not fit the borders of tokens, with its place: "file, line 3"."""

    place: str
    text: str
    label: str


class Lost(NamedTuple):
    """An entity that is left out, with its place, and the reason as in `Summary.dropped`."""

    place: str
    text: str
    label: str
    reason: str


class Leaks(NamedTuple):
    """Texts that two parts of a split have in common.

    parts (tuple[str, str]): The parts' names.
    texts (int): Distinct texts of whole Docs in both parts.
    sentences (int): Distinct sentences in both parts.
    example (str): The beginning of such a text, or else of such a sentence.
    """

    parts: tuple[str, str]
    texts: int
    sentences: int
    example: str


@dataclass
class Summary:
    """The account of a conversion: records read, written, repaired and left out.

    documents (int): Docs written.
    sentences (int): Sentences read, including those without a token left. Formats of whole texts
        may have none.
    tokens (int): Tokens written.
    missing (int): The unannotated ones of these.
    labels_read (Counter[str]): Entities read, by label.
    labels_ignored (Counter[str]): Spans that `ignore` leaves unannotated, by label.
    entities (Counter[str]): Entities written, by label, once labels are renamed and dropped.
    repairs (list[Repair]): Every repair, in order.
    misaligned (list[Misaligned]): Every entity that does not fit its tokens, in order.
    dropped (Counter[str]): Records and entities left out, by reason.
    lost (list[Lost]): The entities left out that overlapped others or had no text to stand on.
    skipped (list[str]): The errors of units that `skip_bad` left out.
    notes (Counter[str]): Ways of reading a file (scheme, columns), and the files read so.
    remarks (Counter[str]): Decisions on single entities or texts, and how often they were taken.
    outputs (dict[Path, int]): The files written, and the number of Docs in each.
    split_by (str): The unit dealt out to the parts of a split; empty without a split.
    leaks (list[Leaks]): Texts in two parts of a split, for each pair of parts that shares any.
    bytes_read (int): Bytes of the input dealt with, not counting those read to detect a format.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    missing: int = 0
    labels_read: Counter[str] = field(default_factory=Counter)
    labels_ignored: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    repairs: list[Repair] = field(default_factory=list)
    misaligned: list[Misaligned] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    outputs: dict[Path, int] = field(default_factory=dict)
    split_by: str = ""
    leaks: list[Leaks] = field(default_factory=list)
    bytes_read: int = 0

    def tick(self, n_bytes: int) -> None:
        """Count bytes of the input that have been dealt with since the last call."""
        self.bytes_read += n_bytes

    def lose(self, reason: str, *, place: str, text: str, label: str) -> None:
        """Count and list an entity that is left out."""
        self.dropped[reason] += 1
        self.lost.append(Lost(place, text, label, reason))
