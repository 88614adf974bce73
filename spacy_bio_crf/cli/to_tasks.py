"""`bio-ner to-tasks`: annotated rows as tasks for tools of annotation."""

from pathlib import Path

import typer
from wasabi import msg

from ..errors import AnnotateError, counted
from .loading import check_apart, check_new, name_options


def to_tasks_cli(
    path: Path = typer.Argument(  # noqa: B008
        ..., metavar="IN", help="JSON lines that annotate or select has written; or their folder"
    ),
    output: Path = typer.Argument(..., metavar="OUT", help="The file to write"),  # noqa: B008
    form: str = typer.Option(
        ..., "--to", help="Form of OUT: prodigy, label-studio, doccano, argilla or jsonl"
    ),
    text_key: str = typer.Option("text", "--text-key", help="Key of the text"),
    entities_key: str = typer.Option("entities", "--entities-key", help="Key of the entities"),
    version: str = typer.Option(
        "bio_ner", "--model-version", help="Name of the model for those who review predictions"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing output"),
) -> None:
    """Turn annotated texts into tasks to review."""
    from ..bulk.tasks import count_missing_parts, read_rows, write_tasks

    check_new(output, force)
    check_apart({"OUT": output}, [path])
    keys = {"text_key": text_key, "entities_key": entities_key}
    try:
        missing = count_missing_parts(path)
        count = write_tasks(read_rows(path, **keys), output, form, version=version, **keys)
    except (AnnotateError, OSError) as err:
        msg.fail(name_options(str(err), to_tasks_cli), exits=1)
    if missing:
        msg.warn(f"{path}: the run has not ended; not among the tasks: {counted(missing, 'part')}")
    msg.good(f"{output}: {counted(count, 'task')} for {form}")
