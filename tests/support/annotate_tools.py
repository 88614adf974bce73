"""For the tests of `annotate`: pipelines without a model, and a folder to work in."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_bio_crf.bulk import annotate

PATTERNS = [{"label": "PER", "pattern": "Ana Ruiz"}, {"label": "LOC", "pattern": "Rio"}]


class Crash(BaseException):
    """What no handler catches."""


class Fuse:
    """Crashes at a document, counted from 1; 0: never."""

    seen = at = 0


@Language.component("fragile")
def fragile(doc: Doc) -> Doc:
    Fuse.seen += 1
    if Fuse.seen == Fuse.at:
        raise Crash
    if "poison" in doc.text:
        raise RuntimeError("can't read poison")
    return doc


def make_ruler() -> Language:
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.add_pipe("fragile")
    return nlp


class Folder:
    """A folder with an input and outputs."""

    def __init__(self, path: Path, nlp: Language) -> None:
        self.path, self.nlp = path, nlp

    def write(self, name: str, content: Any) -> Path:
        """Write a file: bytes or text as they are, a list as JSON lines."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(value) + "\n" for value in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def annotate(self, path: Path, output: str = "out.jsonl", **options: Any) -> Path:
        """Annotate; return the output's path."""
        target = self.path / output
        annotate(options.pop("nlp", self.nlp), path, target, **options)
        if "shard" not in options:
            assert not (self.path / f"{output}.parts").exists()
        return target

    def finished(self, output: str = "out.jsonl") -> list[int]:
        """The numbers of the parts that are there."""
        folder = self.path / f"{output}.parts"
        folder = folder if folder.exists() else self.path / output
        return sorted(int(path.name.split("-")[1]) for path in folder.glob("part-*"))

    def rows(self, path: Path, output: str = "out.jsonl", **options: Any) -> list[dict]:
        """Annotate; return what JSON lines hold."""
        target = self.annotate(path, output, **options)
        return [json.loads(line) for line in target.read_text("utf-8").split("\n")[:-1]]

    def error(self, path: Path, output: str = "out.jsonl", **options: Any) -> str:
        """The message of the error that annotating gives, which must leave no output."""
        with pytest.raises(ValueError) as caught:
            self.annotate(path, output, **options)
        assert not (self.path / output).exists()
        return str(caught.value).replace(f"{self.path}/", "")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    Fuse.seen = Fuse.at = 0
    return Folder(tmp_path, make_ruler())


def load_docs(path: Path) -> list[Doc]:
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(Vocab()))


def found(text: str) -> list[dict[str, Any]]:
    """The entities of a text, found without spaCy."""
    spans = []
    for pattern in PATTERNS:
        start = text.find(pattern["pattern"])
        while start >= 0:
            end = start + len(pattern["pattern"])
            spans.append({"start": start, "end": end, "label": pattern["label"]})
            start = text.find(pattern["pattern"], end)
    return sorted(spans, key=lambda span: span["start"])
