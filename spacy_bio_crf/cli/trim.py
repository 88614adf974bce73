"""Command `bio-ner trim`: a pipeline whose encoders know only the sub-words of some texts."""

from pathlib import Path

import typer
from wasabi import msg

from .loading import check_new, check_pipeline_folder, load_pipeline, name_options

MB = 1e6


def trim_cli(
    model: Path = typer.Argument(..., help="A trained pipeline"),  # noqa: B008
    output: Path = typer.Argument(..., metavar="OUT", help="Folder of the smaller pipeline"),  # noqa: B008
    texts: Path = typer.Option(  # noqa: B008
        ...,
        "--texts",
        "-t",
        metavar="CORPUS",
        help="Texts of the language: a text file (a document on each line), JSONL, Parquet or "
        ".spacy; or a folder of such files",
    ),
    min_count: int = typer.Option(
        1, "--min-count", min=1, help="Leave out sub-words that occur less often, too"
    ),
    keep_characters: str = typer.Option(
        "seen",
        "--keep-characters",
        help="Single characters that keep sub-words of their own, so that words of them never "
        "become unknown: seen (in the texts), all (of the vocabulary) or none",
    ),
    text_key: str = typer.Option("text", "--text-key", help="Key or column of the text"),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing folder"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
) -> None:
    """Cut an encoder's vocabulary to what some texts need.

    The pipeline finds the same in these texts, bit for bit; nothing is written if it does not.
    """
    from ..export.pipeline_trimming import read_texts, trim_pipeline
    from ..io import replacing_folder

    check_new(output, force)
    check_pipeline_folder(output)
    nlp = load_pipeline(model, gpu_id)
    try:
        done = trim_pipeline(
            nlp,
            lambda: read_texts(nlp, texts, text_key=text_key),
            min_count=min_count,
            keep_characters=keep_characters,
        )
        with replacing_folder(output, whole=True) as folder:
            nlp.to_disk(folder)
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), trim_cli), exits=1)
    rows = [
        (
            own.component,
            *(f"{n:,}" for n in own.rows),
            *(f"{size / MB:.1f}" for size in own.size),
        )
        for own in done
    ]
    header = ("Encoder", "Sub-words", "now", "MB in memory", "now")
    msg.table(rows, header=header, aligns=tuple("lrrrr"), divider=True)
    if changed := max(own.changed for own in done):
        msg.warn(f"Texts with other sub-words, for the sake of --min-count: {changed:,}")
    sizes = [_size_on_disk(folder) for folder in (nlp.path, output)]
    msg.good(f"{output}: {sizes[1] / MB:.1f} MB on disk, before {sizes[0] / MB:.1f}")


def _size_on_disk(folder: Path | None) -> int:
    paths = [] if folder is None else folder.rglob("*")
    return sum(path.stat().st_size for path in paths if path.is_file())
