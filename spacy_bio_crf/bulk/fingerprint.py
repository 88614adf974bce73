"""Pipelines of workers: loaded there, and compared with the one that a run began with."""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.util import import_file

from ..cores import use_gpu
from ..errors import AnnotateError, Plain, describe
from .parts_folder import RESTART

HASHED = 1 << 20  # bytes of a file at once


def load_model(
    model: Path | str,
    code: Path | None = None,
    gpu_id: int = -1,
    max_length: int | None = None,
    digest: str | None = None,
) -> Language:
    """Load a pipeline, in this process or in another, after its code.

    model (Path | str): A folder or an installed package.
    code (Path | None): A file of code that belongs to the pipeline.
    gpu_id (int): A GPU, or -1 for the CPU.
    max_length (int | None): Most characters in a document; None takes the pipeline's.
    digest (str | None): The hash that `pipeline_digest` must give.
    RAISES: AnnotateError if there is no such pipeline, code or GPU, or if it is another pipeline.
    """
    if code is not None:
        try:
            import_file("python_code", code)
        # The code raises what it likes.
        except Exception as err:
            got = Plain(f"{type(err).__name__}: {err}")
            message = describe(str(code), expected="code that can be imported", got=got)
            raise AnnotateError(message) from err
    use_gpu(gpu_id, error=AnnotateError)
    try:
        nlp = spacy.load(model if Path(model).exists() else str(model))
    except (OSError, ValueError, ImportError) as err:
        raise AnnotateError(f"{model}: expected a pipeline: {err}") from err
    if max_length is not None:
        nlp.max_length = max_length
    if digest is not None:
        check_digest(nlp, code, digest)
    return nlp


def load_same(load: Callable[[], Language], code: Path | None, digest: str) -> Language:
    """Load the pipeline of a run in another process.

    RAISES: AnnotateError if it is another one.
    """
    nlp = load()
    check_digest(nlp, code, digest, remedy=RESTART)
    return nlp


def check_digest(
    nlp: Language, code: Path | None, digest: str, *, remedy: str | None = None
) -> None:
    """RAISES: AnnotateError if a pipeline has another hash than the one of a run."""
    got = pipeline_digest(nlp, code)
    if got != digest:
        place = "the pipeline" if nlp.path is None else str(nlp.path)
        wanted = f"the pipeline with which the run began, {digest!r}"
        raise AnnotateError(describe(place, expected=wanted, got=got, remedy=remedy))


def pipeline_digest(nlp: Language, code: Path | None = None) -> str:
    """Hash all that a pipeline was loaded from.

    nlp (Language): The pipeline.
    code (Path | None): A file of code that belongs to it.
    RETURNS (str): 32 hexadecimal digits.
    """
    digest = blake2b(digest_size=16)
    files = [] if code is None else [("", code)]
    if nlp.path is None:
        digest.update(nlp.to_bytes())
    else:
        paths = [path for path in sorted(nlp.path.rglob("*")) if path.is_file()]
        files += [(path.relative_to(nlp.path).as_posix(), path) for path in paths]
    for name, path in files:
        # Python leaves its caches in the folder of a package.
        if "__pycache__" in name:
            continue
        digest.update(f"\0{name}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(HASHED):
                digest.update(chunk)
    return digest.hexdigest()
