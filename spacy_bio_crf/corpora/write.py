"""Writers of Docs: spaCy's `.spacy`, JSONL with character spans, column files."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin, Token

from ..errors import ConvertError, Plain, describe
from ..io import replacing
from ..tags.schemes import MISSING, OUTSIDE
from ..tags.spans import LABELS_ANNOTATED, LEFT_ASIDE, EntIob
from .passages import Summary
from .readers.columns import FINAL_SPACE, GLUE_MARK, UNKNOWN_STARTS
from .readers.layout import DOCSTART

UNWRITABLE_SPACE = "white-space token that a column file can't hold"
UNWRITABLE_LABEL = "token with a part of speech or the like, which only .spacy can hold"
UNWRITABLE_GROUP = "span in doc.spans, which only .spacy can hold"
UNWRITABLE_LINK = "link or id of an entity, which only .spacy can hold"
UNWRITABLE_DATA = "value in doc.user_data, such as a weight, which only .spacy can hold"
UNWRITABLE_MARK = "document's list of annotated labels, which only .spacy can hold"
ALTERED = "tokens changed because a column file can't hold them"
CUT = "entities that go past the end of a sentence were cut there: a column file has no others"

# In `doc.user_data`: what is written, or an account of the reading.
_WRITTEN = {"source", "document_id", LEFT_ASIDE}

# Writes Docs to a file, and counts in the summary what the format can't hold.
Writer = Callable[[Iterable[Doc], Path, Summary], None]


def write_docbin(docs: Iterable[Doc], path: Path, summary: Summary) -> None:
    """Write spaCy's binary format, with everything the Docs carry."""
    doc_bin = DocBin(store_user_data=True)
    for doc in docs:
        doc_bin.add(doc)
    path.write_bytes(doc_bin.to_bytes())


def write_jsonl(docs: Iterable[Doc], path: Path, summary: Summary) -> None:
    """Write a JSON object for each Doc in Prodigy's form: "text", "tokens", "spans" and "meta".

    Unannotated tokens have "missing": true. Where sentences are known, the first token of each has
    "sent_start": true. "unknown_spaces": true means that the text was put together from tokens of
    unknown spacing.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for doc in docs:
            file.write(json.dumps(_json_of(doc), ensure_ascii=False) + "\n")
            _count_unwritable(doc, summary)


def _json_of(doc: Doc) -> dict[str, Any]:
    has_sents = doc.has_annotation("SENT_START")
    spans = [
        {
            "start": ent.start_char,
            "end": ent.end_char,
            "token_start": ent.start,
            "token_end": ent.end - 1,  # inclusive in Prodigy's format
            "label": ent.label_,
        }
        for ent in doc.ents
    ]
    meta = {key: doc.user_data[key] for key in ("source", "document_id") if key in doc.user_data}
    tokens = [_token(token, has_sents) for token in doc]
    data = {"text": doc.text, "tokens": tokens, "spans": spans, "meta": meta}
    return data | {"unknown_spaces": True} if doc.has_unknown_spaces else data


def _token(token: Token, has_sents: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "text": token.text,
        "start": token.idx,
        "end": token.idx + len(token),
        "id": token.i,
        "ws": bool(token.whitespace_),
    }
    if has_sents:
        values["sent_start"] = token.is_sent_start
    if token.ent_iob == EntIob.MISSING:
        values["missing"] = True
    return values


def write_columns(docs: Iterable[Doc], path: Path, summary: Summary) -> None:
    """Write a token and a BIO tag on each line, with a TAB between.

    An empty line ends a sentence. "# newdoc" precedes each Doc, and "# text" each sentence whose
    spacing is known. Unannotated tokens have the tag "-". White-space tokens with a TAB or a line
    end are left out.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for doc in docs:
            name = " ".join(str(doc.user_data.get("document_id", "")).split())
            file.write(f"# newdoc id = {name}\n" if name else "# newdoc\n")
            if not doc.has_annotation("SENT_START"):
                file.write(f"{UNKNOWN_STARTS}\n")
            for tokens in _sentences(doc):
                file.write(_rows(tokens, summary))
            _count_unwritable(doc, summary)


def _count_unwritable(doc: Doc, summary: Summary) -> None:
    n_labels = sum(bool(t.tag or t.pos or t.lemma or t.dep) or t.has_morph() for t in doc)
    if n_labels:
        summary.dropped[UNWRITABLE_LABEL] += n_labels
    if LABELS_ANNOTATED in doc.user_data:
        summary.dropped[UNWRITABLE_MARK] += 1
    if n_links := sum(bool(ent.kb_id or ent.id) for ent in doc.ents):
        summary.dropped[UNWRITABLE_LINK] += n_links
    if n_values := len(doc.user_data.keys() - _WRITTEN - {LABELS_ANNOTATED}):
        summary.dropped[UNWRITABLE_DATA] += n_values
    n_spans = sum(map(len, doc.spans.values()))
    if n_spans:
        summary.dropped[UNWRITABLE_GROUP] += n_spans


def _sentences(doc: Doc) -> Iterator[list[Token]]:
    if doc.has_annotation("SENT_START"):
        yield from map(list, doc.sents)
    else:
        yield list(doc)


def _rows(tokens: list[Token], summary: Summary) -> str:
    rows: list[str] = []
    text = ""
    begun = False  # whether a token that was written begins the entity
    space = False
    if tokens and tokens[0].ent_iob == EntIob.INSIDE:
        summary.remarks[CUT] += 1
    for token in tokens:
        begun &= token.ent_iob == EntIob.INSIDE
        if token.text.isspace() and _breaks_rows(token.text):
            summary.dropped[UNWRITABLE_SPACE] += 1
            if rows and not space:
                text, space = text + " ", True
            continue
        word = token.text
        if _breaks_rows(word) or word == DOCSTART:
            summary.remarks[ALTERED] += 1
            word = "_".join(word.split()) if _breaks_rows(word) else "DOCSTART"
        tag = MISSING if token.ent_iob == EntIob.MISSING else OUTSIDE
        if token.ent_type:
            if _breaks_rows(token.ent_type_):
                expected = "labels without TABs and line ends, for a column file"
                raise ConvertError(describe("output", expected=expected, got=token.ent_type_))
            tag = f"{'I' if begun else 'B'}-{token.ent_type_}"
            begun = True
        rows.append(f"{word}\t{tag}\n")
        space = bool(token.whitespace_)
        text += word + token.whitespace_
    if not rows:
        return ""
    doc = tokens[-1].doc
    head = f"# text = {text.removesuffix(' ') if space else text}\n"
    is_last = tokens[-1].i + 1 == len(doc)
    if is_last and tokens[-1].whitespace_ or not (is_last or space):
        head += f"{FINAL_SPACE if is_last else GLUE_MARK}\n"
    return f"{'' if doc.has_unknown_spaces else head}{''.join(rows)}\n"


def _breaks_rows(text: str) -> bool:
    return any(char in text for char in "\t\n\r")


LAYERED_OUTPUT = ".spacy"  # the one suffix whose format holds `doc.spans`
WRITERS: dict[str, Writer] = {
    LAYERED_OUTPUT: write_docbin,
    ".jsonl": write_jsonl,
    ".conll": write_columns,
    ".iob2": write_columns,
    ".tsv": write_columns,
}


def check_output(output: Path, *, force: bool) -> None:
    """Check an output before any work is done.

    output (Path): The file to be written.
    force (bool): It may exist.
    RAISES: ConvertError if its suffix is no key of `WRITERS`, or it exists.
    """
    if output.is_dir() or output.suffix not in WRITERS:
        expected = f"an output file whose name ends in {', '.join(WRITERS)}"
        got = Plain("a folder" if output.is_dir() else f"the suffix {output.suffix!r}")
        raise ConvertError(describe(str(output), expected=expected, got=got))
    if output.exists() and not force:
        got = Plain("an existing file")
        remedy = "use `force` to overwrite it"
        raise ConvertError(describe(str(output), expected="no file", got=got, remedy=remedy))


def write_outputs(
    parts: Mapping[Path, Iterable[Doc]], summary: Summary, empty: Callable[[], ConvertError]
) -> None:
    """Write files aside and rename them once all are complete.

    parts (Mapping[Path, Iterable[Doc]]): The files, and the Docs for each.
    summary (Summary): Gets the number of Docs in each file.
    empty (Callable[[], ConvertError]): Makes the error to raise if there is no Doc for a file.
    """
    with ExitStack() as stack:
        for output, docs in parts.items():
            aside = stack.enter_context(replacing(output))
            summary.outputs[output] = 0
            try:
                WRITERS[output.suffix](_counted(docs, output, summary), aside, summary)
            except UnicodeEncodeError as error:
                got = error.object[error.start : error.end]
                place, expected = str(output), "characters that UTF-8 has"
                raise ConvertError(describe(place, expected=expected, got=got)) from None
            if not summary.outputs[output]:
                raise empty()


def _counted(docs: Iterable[Doc], output: Path, summary: Summary) -> Iterator[Doc]:
    for doc in docs:
        summary.outputs[output] += 1
        yield doc
