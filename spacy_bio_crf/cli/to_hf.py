"""Command `bio-ner to-hf`: a pipeline as a Hugging Face token classifier."""

from pathlib import Path

import typer
from wasabi import msg

from .loading import check_folder, check_new, load_pipeline, name_options


def to_hf_cli(
    model: Path = typer.Argument(..., help="A trained pipeline"),  # noqa: B008
    output: Path = typer.Argument(..., metavar="OUT", help="Folder of the checkpoint"),  # noqa: B008
    component: str | None = typer.Option(
        None, "--component", "-c", help="Name of the component, where there are several"
    ),
    corpus: Path | None = typer.Option(  # noqa: B008
        None,
        "--corpus",
        help="Annotated documents (.spacy) on which to measure the loss of plain decoding",
    ),
    license: str | None = typer.Option(
        None, "--license", help="License of the weights, for the model card; else the pipeline's"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing folder"),
) -> None:
    """Write a pipeline as a checkpoint that transformers loads."""
    from ..export.exporting import export_pipeline

    check_new(output, force)
    check_folder(output)
    nlp = load_pipeline(model)
    try:
        remarks = export_pipeline(nlp, output, component=component, corpus=corpus, license=license)
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), to_hf_cli), exits=1)
    for line in remarks:
        msg.info(line)
    msg.good(f"Checkpoint: {output}")
