"""Reader of spaCy's own binary format, DocBin."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ...errors import ConvertError, Plain, describe
from ..options import ConvertOptions
from ..passages import Summary


def read_docbin(paths: Sequence[Path], options: ConvertOptions, summary: Summary) -> Iterator[Doc]:
    """Read `.spacy` files. Docs keep all they carry: tags, lemmas, span groups, user data.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): None of them is read.
    summary (Summary): Gets a note.
    YIELDS (Doc): The Docs, in order. Those without a "source" in their user data get one: the
        file's name and their number.
    RAISES: ConvertError if a file is something else.
    """
    vocab = Vocab()
    for path in paths:
        doc_bin = open_docbin(path)
        size, n_docs = path.stat().st_size, len(doc_bin)
        for number, doc in enumerate(doc_bin.get_docs(vocab), start=1):
            summary.tick(size // n_docs)
            doc.user_data.setdefault("source", f"{path.name}:{number}")
            yield doc
        summary.notes["spaCy's Docs"] += 1


def open_docbin(path: Path) -> DocBin:
    """Read the Docs of a `.spacy` file, packed.

    RAISES: ConvertError if the file is something else.
    """
    try:
        return DocBin().from_disk(path)
    # The type of error for a broken file is up to zlib, msgpack and numpy.
    except Exception as err:
        got = Plain(f"a file that can't be read ({err})")
        expected = "a file written by spaCy's DocBin"
        raise ConvertError(describe(str(path), expected=expected, got=got)) from err
