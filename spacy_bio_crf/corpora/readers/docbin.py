"""Read spaCy's own binary format."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..passages import ConvertError, ReadOptions, Summary


def read_docbin(paths: Sequence[Path], options: ReadOptions, summary: Summary) -> Iterator[Doc]:
    """Read `.spacy` files. The Docs keep all that they carry: tags, lemmas, span groups, user data.

    paths (Sequence[Path]): The files.
    options (ReadOptions): Nothing in them matters here but `tick`.
    summary (Summary): Gets a note.
    YIELDS (Doc): The Docs, in order. Those without a "source" in their user data get one: the
        file's name and their number.
    RAISES: ConvertError if a file is something else.
    """
    vocab = Vocab()
    for path in paths:
        try:
            doc_bin = DocBin().from_disk(path)
            docs = doc_bin.get_docs(vocab)
        # What a broken file raises is up to zlib, msgpack and numpy.
        except Exception as err:
            raise ConvertError(
                f"{path}: expected a file of Docs as spaCy's DocBin writes it, got an error: {err}"
            ) from err
        size, n_docs = path.stat().st_size, len(doc_bin)
        for number, doc in enumerate(docs, start=1):
            options.tick(size // n_docs)
            doc.user_data.setdefault("source", f"{path.name}:{number}")
            yield doc
        summary.notes["spaCy's Docs"] += 1
