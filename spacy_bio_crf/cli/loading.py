"""What commands share: loading a pipeline and finding its `bio_ner`."""

from pathlib import Path
from typing import TYPE_CHECKING

from wasabi import msg

if TYPE_CHECKING:
    from spacy.language import Language

    from ..pipes.bio_ner import BioNer


def load_pipeline(model: Path, gpu_id: int = -1) -> "Language":
    """Load a pipeline, or end the command with a message.

    model (Path): A folder, or the name of an installed package.
    gpu_id (int): The GPU, or -1 for the CPU.
    RETURNS (Language): The pipeline.
    """
    import spacy
    from spacy.cli._util import setup_gpu

    setup_gpu(gpu_id, silent=True)
    try:
        return spacy.load(model if model.exists() else str(model))
    except OSError as error:
        msg.fail(f"Can't load the pipeline {model}: {error}", exits=1)
        raise


def find_component(nlp: "Language", name: str | None) -> "BioNer":
    """The pipeline's `bio_ner`, or end the command with a message.

    nlp (Language): The pipeline.
    name (str | None): The component's name, needed where there are several.
    RETURNS (BioNer): The component.
    """
    from ..pipes.bio_ner import BioNer

    found = {n: pipe for n, pipe in nlp.pipeline if isinstance(pipe, BioNer)}
    names = ", ".join(found) or "none"
    if name is None and len(found) != 1:
        msg.fail(f"Expected one bio_ner, found {names}: choose with --component", exits=1)
    if name is not None and name not in found:
        msg.fail(f"No bio_ner is called {name!r}; found {names}", exits=1)
    return found[name] if name is not None else next(iter(found.values()))
