"""Helpers for tests of conversion: write a file, convert it, read the result back."""

import json

import pytest
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_bio_crf.corpora import ConvertError, convert

TEXT = "Ana Ruiz lives in New York."


def load(path):
    return list(DocBin().from_disk(path).get_docs(Vocab()))


def plain(doc):
    """Text and entities with their texts."""
    text = doc.text.rstrip() if doc.has_unknown_spaces else doc.text
    return text, [(e.text, e.label_) for e in doc.ents]


def in_tokens(doc):
    """Words and entities in tokens."""
    return [t.text for t in doc], [(e.start, e.end, e.label_) for e in doc.ents]


def everything(doc):
    """All that each output format keeps."""
    starts = [bool(t.is_sent_start) for t in doc] if doc.has_annotation("SENT_START") else None
    return (
        [t.text if doc.has_unknown_spaces else t.text_with_ws for t in doc],
        doc.has_unknown_spaces,
        [(e.start, e.end, e.label_) for e in doc.ents],
        [t.i for t in doc if t.ent_iob == 0],
        starts,
        doc.user_data.get("document_id", ""),
    )


def make_doc(words, spaces, ents=(), missing=(), starts=None, name=""):
    doc = Doc(Vocab(), words=words, spaces=spaces, sent_starts=starts)
    doc.set_ents([Span(doc, *ent) for ent in ents], missing=[Span(doc, i, i + 1) for i in missing])
    if name:
        doc.user_data["document_id"] = name
    return doc


def save(docs, path):
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def column(tags, separator="\t"):
    """A column file of one sentence with these tags."""
    return "".join(f"w{i}{separator}{tag}\n" for i, tag in enumerate(tags.split()))


class Folder:
    """A folder to convert files in."""

    def __init__(self, path):
        self.path = path

    def write(self, content, name="in.conll"):
        """Write a file: bytes or text as they are, a list as JSON lines, all else as JSON."""
        if isinstance(content, list):
            content = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in content)
        elif not isinstance(content, (bytes, str)):
            content = json.dumps(content)
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def convert(self, *inputs, **options):
        """Convert files to Docs; return these and the summary."""
        output = self.path / "out" / "docs.spacy"
        summary = convert(inputs, output, force=True, **options)
        return load(output), summary

    def tokens(self, *inputs, **options):
        """Convert files; return words and entities of each Doc, and the summary."""
        docs, summary = self.convert(*inputs, **options)
        return list(map(in_tokens, docs)), summary

    def error(self, *inputs, **options):
        """The message of the error that converting files gives, which must not write anything."""
        with pytest.raises(ConvertError) as caught:
            convert(inputs, self.path / "never.spacy", **options)
        assert not [p for p in self.path.iterdir() if "never" in p.name]
        return str(caught.value).replace(f"{self.path}/", "")
