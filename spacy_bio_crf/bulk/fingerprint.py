"""Tell whether a pipeline is the one that an interrupted run had."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from spacy.language import Language

CHUNK = 1 << 20


def pipeline_digest(nlp: Language, more: Iterable[Path] = ()) -> str:
    """A hash of everything a pipeline has been loaded from.

    nlp (Language): The pipeline.
    more (Iterable[Path]): Other files that belong to it.
    RETURNS (str): 32 hexadecimal digits.
    """
    found = blake2b(digest_size=16)
    folder = nlp.path
    if folder is None:
        found.update(nlp.to_bytes())
    else:
        for path in sorted(folder.rglob("*")):
            # Python leaves these in the folder of a package.
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(f"\0{path.relative_to(folder).as_posix()}\0".encode())
                _add(found, path)
    for path in more:
        found.update(b"\0")
        _add(found, path)
    return found.hexdigest()


def _add(digest: blake2b, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
