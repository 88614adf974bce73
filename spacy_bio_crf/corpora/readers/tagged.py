"""Sentences from formats with a tag for each token: detection of the scheme, entities from tags."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import Tick
from ...tags.schemes import FILE_SCHEMES, MISSING, OUTSIDE, spans_of_tags, split_tag
from ...tags.spans import Span
from ..options import DETECT, IO, ConvertOptions
from ..passages import Repair, Sentence, Summary
from .tag_forms import PLAIN, USUAL, TagForm, detect_form

# Two tags in one place, "B-PER|B-ORG"; "B-R&D-UNIT" and "B-A&E-UNIT" are one each
_SEVERAL = re.compile(r"-.*(?:[|,;+]|(?<=\w\w)&)\s*(?:[BILUESMW]-|O$)")
EMPTY_TOKEN = "empty token"
PREFIX = "tokens had the prefix {prefix}, which was cut off"
# The languages of WikiANN, such as "en:", "zh-min-nan:"
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z]+){0,2}|simple):")
EMPTY_ENTITY = "entity on empty tokens alone"
# By the name of a form
FORM_REMARKS = {
    "prefixes without labels": "entities whose tags have no label were called {label}",
    PLAIN.name: "entities from labels without B- and I-: neighbors of one label are one entity",
}


@dataclass
class Block:
    """A sentence as it stands in a file.

    words (list[str]): Its tokens.
    tags (list[str]): Its tags, mostly one for each token.
    lines (list[int]): The line of each tag, from 1.
    layers (list[list[str]]): The tags of each token in other layers; empty without any.
    owners (list[int]): The token that each tag belongs to; empty: one tag for each token.
    line (int): The line on which the sentence begins; 0: that of the first tag.
    text (str | None): The sentence's text, if the file gives it.
    glued (bool): With `text`: whether the next sentence follows without a space.
    final_space (bool): With `text`: whether a space follows, even at the end of the document.
    spaces (list[bool]): Whether a space follows each token. Empty: as `text` says.
    attributes (dict[str, list[str]]): As those of a `Sentence`.
    chunk_tags (list[str] | None): The tag of a phrase for each token; None if the file has none.
    dropped (Counter[str]): Parts of it that the reader has left out, by reason.
    remarks (Counter[str]): Decisions of the reader.
    starts_document (bool): Whether a document begins here.
    unknown_starts (bool): It may be several sentences, or a part of one.
    document_id (str): The document's name, if it has one.
    error (ConvertError | None): The first error in it; rows with errors are not among the words.
    """

    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    layers: list[list[str]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    line: int = 0
    text: str | None = None
    glued: bool = False
    final_space: bool = False
    spaces: list[bool] = field(default_factory=list)
    attributes: dict[str, list[str]] = field(default_factory=dict)
    chunk_tags: list[str] | None = None
    dropped: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    starts_document: bool = False
    unknown_starts: bool = False
    document_id: str = ""
    error: ConvertError | None = None


# Streams the blocks of one file.
BlockReader = Callable[[Path, Tick | None], Iterator[Block]]


def read_tagged(
    blocks: BlockReader, notes: Mapping[Path, str], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence | ConvertError]:
    """Read files up to three times: for the form of the tags, for the scheme, and to stream.

    Tokens that are empty strings are dropped and counted.

    blocks (BlockReader): Reads a file.
    notes (Mapping[Path, str]): The files, with a description of each one's layout.
    YIELDS (Sentence | ConvertError): The sentences; an error for one with an unknown tag, or one of
        another scheme.
    RAISES: ConvertError if no scheme has the tags of a file.
    """
    forms: dict[Path, TagForm] = {}
    prefixes: dict[Path, list[str]] = {}
    for path in notes:
        forms[path], prefixes[path] = _survey(blocks, path, options)
    if options.scheme in (DETECT, IO):
        tagged = [path for path, form in forms.items() if form is not PLAIN]
        schemes = _detect_schemes({path: _evidence(blocks, path, forms[path]) for path in tagged})
    else:
        schemes = dict.fromkeys(notes, options.scheme)
    for path, note in notes.items():
        form = forms[path]
        scheme = IO if form is PLAIN else schemes[path]
        parts = [scheme, form.name, note] if form.name else [scheme, note]
        summary.notes[", ".join(parts)] += 1
        known: dict[str, str] = {}
        # An I- that continues no entity of its label begins one in IOB1.
        tag_scheme = "IOB1" if scheme == IO else scheme
        mark: Block | None = None  # the bad sentence with which a document begins
        for block in blocks(path, summary.tick):
            if mark is not None and not block.starts_document:
                block.starts_document, block.document_id = True, mark.document_id
            try:
                if block.error is not None:
                    raise block.error
                _translate(path, block, form, tag_scheme, known)
            except ConvertError as err:
                mark = block if block.starts_document else None
                yield err
                continue
            mark = None
            if prefixes[path]:
                block.words = [_without(word, prefixes[path], summary) for word in block.words]
            sentence = _sentence(path, block, tag_scheme, options.repair, summary)
            if form.name in FORM_REMARKS and sentence.spans:
                remark = FORM_REMARKS[form.name].format(label=options.label)
                summary.remarks[remark] += len(sentence.spans)
            yield sentence


@dataclass
class _Evidence:
    """Facts about the tags of one file from which its scheme follows.

    first_line (dict[str, int]): The line on which each prefix first occurs.
    stray_inside (int): The number of I- that follow no tag of their label.
    lone_begin (int): The number of B- that follow no tag of their label.
    """

    first_line: dict[str, int] = field(default_factory=dict)
    stray_inside: int = 0
    lone_begin: int = 0

    def add(self, tags: Sequence[str], lines: Sequence[int]) -> None:
        """Take in one sentence; values that are no tags are passed over."""
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


def _detect_schemes(evidence: Mapping[Path, _Evidence]) -> dict[Path, str]:
    """Detect the scheme of each file. RAISES: ConvertError if none has all prefixes of a file.

    Files with no prefix but B- and I- are judged together: a short file may hold too little to tell
    BIO from IOB1. IOB1 writes B- only between neighbors of one label, BIO at the beginning of each
    entity. Files that break both rules are BIO, with tags to repair.
    """
    plain = {path: e for path, e in evidence.items() if e.first_line.keys() <= {"B", "I"}}
    stray = any(e.stray_inside for e in plain.values())
    lone = any(e.lone_begin for e in plain.values())
    plain_scheme = "IOB1" if stray and not lone else "BIO"
    return {
        path: plain_scheme if path in plain else _closed_scheme(path, e)
        for path, e in evidence.items()
    }


def _closed_scheme(path: Path, evidence: _Evidence) -> str:
    seen = evidence.first_line
    for scheme, prefixes in FILE_SCHEMES.items():
        if seen.keys() <= prefixes.keys():
            return scheme
    known = "; ".join(f"{name}: O {' '.join(prefixes)}" for name, prefixes in FILE_SCHEMES.items())
    found = ", ".join(f"{prefix}- (line {line})" for prefix, line in sorted(seen.items()))
    raise ConvertError(
        describe(str(path), expected=f"tags of one scheme ({known})", got=Plain(found))
    )


def _survey(blocks: BlockReader, path: Path, options: ConvertOptions) -> tuple[TagForm, list[str]]:
    """The form of a file's tags, and the prefixes that are cut off from its tokens."""
    counts: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    n_words = 0
    for block in blocks(path, None):
        counts.update(tag.strip() for tag in block.tags)
        words = list(filter(None, block.words))
        if n_words == languages.total():  # so far, all tokens have one
            languages.update(found[0] for found in map(_LANGUAGE.match, words) if found)
        n_words += len(words)
    prefixes = [options.token_prefix] if options.token_prefix else []
    if options.token_prefix == DETECT:
        sure = languages.total() == n_words >= 2 * len(languages)
        prefixes = list(languages) if sure else []
    form = detect_form(counts, options.label)
    if options.scheme == IO:
        form = PLAIN
    elif form is PLAIN and options.scheme != DETECT:
        form = USUAL
    return form, prefixes


def _without(word: str, prefixes: Sequence[str], summary: Summary) -> str:
    prefix = next(filter(word.startswith, prefixes), "")
    if prefix:
        summary.remarks[PREFIX.format(prefix=prefix)] += 1
    return word.removeprefix(prefix)


def _evidence(blocks: BlockReader, path: Path, form: TagForm) -> _Evidence:
    evidence = _Evidence()
    known: dict[str, str] = {}
    for block in blocks(path, None):
        for tag in block.tags:
            if tag not in known:
                known[tag] = form.usual(tag.strip()) if form.fits(tag.strip()) else tag
        evidence.add([known[tag] for tag in block.tags], block.lines)
    return evidence


def _translate(path: Path, block: Block, form: TagForm, scheme: str, known: dict[str, str]) -> None:
    """Give a block its tags in the usual form."""
    rows = block.layers or [[] for _ in block.tags]
    for tag, line in (
        (tag, line)
        for first, others, line in zip(block.tags, rows, block.lines, strict=True)
        for tag in (first, *others)
    ):
        if tag not in known:
            try:
                known[tag] = form.usual(tag.strip())
                spans_of_tags([known[tag]], scheme=scheme)
            except ValueError as err:
                raise ConvertError(f"{path}, line {line}: {err}") from None
            if _SEVERAL.search(known[tag]):
                place = f"{path}, line {line}"
                raise ConvertError(describe(place, expected="one tag", got=tag))
    block.tags = [known[tag] for tag in block.tags]
    block.layers = [[known[tag] for tag in row] for row in block.layers]


def _sentence(path: Path, block: Block, scheme: str, repair: str, summary: Summary) -> Sentence:
    spans: list[Span] = []
    for tags in (block.tags, *map(list, zip(*block.layers, strict=True))):
        found, repairs = spans_of_tags(tags, scheme=scheme, repair=repair)
        summary.repairs += [Repair(path, block.lines[i], tags[i], what) for i, what in repairs]
        spans += found
    summary.dropped.update(block.dropped)
    summary.remarks.update(block.remarks)
    owners = block.owners or list(range(len(block.tags)))
    spans = [(owners[start], owners[end - 1] + 1, label) for start, end, label in spans]
    annotated = {owner for owner, tag in zip(owners, block.tags, strict=True) if tag != MISSING}
    kept = [i for i, word in enumerate(block.words) if word]
    if len(kept) < len(block.words):
        summary.dropped[EMPTY_TOKEN] += len(block.words) - len(kept)
        for start, end, label in spans:
            if not any(block.words[start:end]):
                place = f"{path}, line {block.lines[0]}"
                summary.lose(EMPTY_ENTITY, place=place, text="", label=label)
        spans = _without_empty(spans, block.words)
    return Sentence(
        words=[block.words[i] for i in kept],
        spans=spans,
        missing=[new for new, old in enumerate(kept) if old not in annotated],
        spaces=_spaces(block),
        path=path,
        line=block.line or block.lines[0],
        starts_document=block.starts_document,
        document_id=block.document_id,
        unknown_starts=block.unknown_starts,
        final_space=block.final_space,
        attributes={name: [labels[i] for i in kept] for name, labels in block.attributes.items()},
        chunks=_chunks(path, block),
    )


def _chunks(path: Path, block: Block) -> list[Span] | None:
    """The phrases of a sentence. Those of BIO are read right as IOB1, too."""
    if block.chunk_tags is None:
        return None
    try:
        spans, _ = spans_of_tags(block.chunk_tags, scheme="IOB1")
    except ValueError as err:
        raise ConvertError(f"{path}, line {block.lines[0]}: {err}") from None
    return _without_empty(spans, block.words)


def _without_empty(spans: list[Span], words: list[str]) -> list[Span]:
    """Move spans to the positions of their words once empty words are gone."""
    before = [0]  # [n + 1]: the number of words that are not empty before each position
    for word in words:
        before.append(before[-1] + bool(word))
    moved = [(before[start], before[end], label) for start, end, label in spans]
    return [span for span in moved if span[0] < span[1]]


def _spaces(block: Block) -> list[bool] | None:
    """Whether a space follows each word that is not empty; None if the file does not say."""
    if block.spaces:
        return [s for s, word in zip(block.spaces, block.words, strict=True) if word]
    if block.text is None:
        return None
    spaces = _spaces_in(block.text, [word for word in block.words if word])
    if spaces:
        spaces[-1] = not block.glued
    return spaces


def _spaces_in(text: str, words: Sequence[str]) -> list[bool] | None:
    """Whether a space follows each word; None if words and single spaces are not the text."""
    spaces = []
    at = 0
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if not text.startswith(word, at):
            return None
        at += len(word)
        # The space may be a token of its own.
        spaces.append(text.startswith(f" {following}" if following.isspace() else " ", at))
        at += spaces[-1]
    return spaces if at == len(text) else None
