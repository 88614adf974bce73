"""Write Docs: to spaCy's `.spacy`, to JSONL with character spans, to column files."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin, Token

from .passages import ConvertError, Summary
from .readers.layout import GLUE_MARK

UNWRITABLE_SPACE = "white-space token that a column file cannot hold"
ALTERED = "tokens changed because a column file could not hold them"

CUT = "entities that go past the end of a sentence were cut there: a column file has no others"

# Writes Docs to a file; adds what the format could not hold to the summary.
Writer = Callable[[Iterable[Doc], Path, Summary], None]


def write_docbin(docs: Iterable[Doc], path: Path, summary: Summary) -> None:
    """Write spaCy's binary format, with everything that the Docs carry."""
    doc_bin = DocBin(store_user_data=True)
    for doc in docs:
        doc_bin.add(doc)
    path.write_bytes(doc_bin.to_bytes())


def write_jsonl(docs: Iterable[Doc], path: Path, summary: Summary) -> None:
    """Write a JSON object for each Doc, as Prodigy has them: "text", "tokens", "spans" and "meta".
    Tokens that nobody has annotated have "missing": true; where sentences are known, the token that
    begins one has "sent_start": true. "unknown_spaces": true says that the text was put together
    from tokens whose spacing nobody knew."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for doc in docs:
            file.write(json.dumps(_json_of(doc), ensure_ascii=False) + "\n")


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
        values["sent_start"] = bool(token.is_sent_start)
    if token.ent_iob == 0:
        values["missing"] = True
    return values


def write_columns(docs: Iterable[Doc], path: Path, summary: Summary) -> None:
    """Write a token and a BIO tag on every line, with a TAB between; an empty line after every
    sentence; "# newdoc" before every Doc and "# text" before every sentence whose spacing is known.
    Tokens that nobody has annotated have the tag "-". White-space tokens that hold a TAB or a line
    end are left out."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for doc in docs:
            name = " ".join(str(doc.user_data.get("document_id", "")).split())
            file.write(f"# newdoc id = {name}\n" if name else "# newdoc\n")
            for tokens in _sentences(doc):
                file.write(_rows(tokens, summary))


def _sentences(doc: Doc) -> Iterator[list[Token]]:
    if doc.has_annotation("SENT_START"):
        yield from map(list, doc.sents)
    else:
        yield list(doc)


def _rows(tokens: list[Token], summary: Summary) -> str:
    rows: list[str] = []
    text = ""
    begun = False  # has the entity been begun by a token that was written?
    space = False
    if tokens and tokens[0].ent_iob == 1:
        summary.remarks[CUT] += 1
    for token in tokens:
        begun &= token.ent_iob == 1
        if token.text.isspace() and _breaks_rows(token.text):
            summary.dropped[UNWRITABLE_SPACE] += 1
            if rows and not space:
                text, space = text + " ", True
            continue
        word = token.text
        if _breaks_rows(word) or word == "-DOCSTART-":
            summary.remarks[ALTERED] += 1
            word = "_".join(word.split()) if _breaks_rows(word) else "DOCSTART"
        tag = "-" if token.ent_iob == 0 else "O"
        if token.ent_type:
            tag = f"{'I' if begun else 'B'}-{token.ent_type_}"
            begun = True
        rows.append(f"{word}\t{tag}\n")
        space = bool(token.whitespace_)
        text += word + token.whitespace_
    if not rows:
        return ""
    doc = tokens[-1].doc
    head = f"# text = {text.removesuffix(' ')}\n"
    if not space and tokens[-1].i + 1 < len(doc):
        head += f"{GLUE_MARK}\n"
    return f"{'' if doc.has_unknown_spaces else head}{''.join(rows)}\n"


def _breaks_rows(text: str) -> bool:
    return any(char in text for char in "\t\n\r")


WRITERS: dict[str, Writer] = {
    ".spacy": write_docbin,
    ".jsonl": write_jsonl,
    ".conll": write_columns,
    ".iob2": write_columns,
    ".tsv": write_columns,
}


def check_output(output: Path, *, force: bool) -> None:
    """Find fault with an output before any work is done.

    output (Path): The file to be written.
    force (bool): May it exist?
    RAISES: ConvertError if its name says no known format, or it exists.
    """
    if output.is_dir() or output.suffix not in WRITERS:
        raise ConvertError(
            f"{output}: expected an output file whose name ends in {', '.join(WRITERS)}"
        )
    if output.exists() and not force:
        raise ConvertError(f"{output} exists already; use --force to write over it")


def write_outputs(parts: Mapping[Path, Iterable[Doc]], summary: Summary, *, empty: str) -> None:
    """Write files aside and rename them when all are complete: whoever looks at an output finds all
    of it or nothing.

    parts (Mapping[Path, Iterable[Doc]]): The files and what goes into each.
    summary (Summary): Gets the number of Docs in each file.
    empty (str): The message if there is no Doc for a file.
    RAISES: ConvertError if there is none.
    """
    asides: dict[Path, Path] = {}
    try:
        for output, docs in parts.items():
            output.parent.mkdir(parents=True, exist_ok=True)
            asides[output] = output.with_name(f".{output.name}.{os.getpid()}.tmp")
            summary.outputs[output] = 0
            WRITERS[output.suffix](_counted(docs, output, summary), asides[output], summary)
            if not summary.outputs[output]:
                raise ConvertError(empty)
        for output, aside in asides.items():
            aside.replace(output)
    finally:
        for aside in asides.values():
            aside.unlink(missing_ok=True)


def _counted(docs: Iterable[Doc], output: Path, summary: Summary) -> Iterator[Doc]:
    for doc in docs:
        summary.outputs[output] += 1
        yield doc
