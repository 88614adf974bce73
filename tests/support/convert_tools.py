"""For the tests of the readers: write a file, convert it, read the result back."""

import json

import pytest
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_bio_crf.corpora import ConvertError, convert


def load(path):
    return list(DocBin().from_disk(path).get_docs(Vocab()))


def plain(doc):
    """Text and entities with their texts."""
    text = doc.text.rstrip() if doc.has_unknown_spaces else doc.text
    return text, [(e.text, e.label_) for e in doc.ents]


def everything(doc):
    """All that every output format keeps."""
    starts = [bool(t.is_sent_start) for t in doc] if doc.has_annotation("SENT_START") else None
    return (
        [t.text if doc.has_unknown_spaces else t.text_with_ws for t in doc],
        doc.has_unknown_spaces,
        [(e.start, e.end, e.label_) for e in doc.ents],
        [t.i for t in doc if t.ent_iob == 0],
        starts,
        doc.user_data.get("document_id", ""),
    )


class Folder:
    """A folder to convert files in."""

    def __init__(self, path):
        self.path = path

    def write(self, content, name):
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

    def error(self, *inputs, **options):
        """The message of the error that converting files gives, which must not write anything."""
        with pytest.raises(ConvertError) as caught:
            convert(inputs, self.path / "never.spacy", **options)
        assert not [p for p in self.path.iterdir() if "never" in p.name]
        return str(caught.value).replace(f"{self.path}/", "")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)
