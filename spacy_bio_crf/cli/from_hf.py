"""Command `bio-ner from-hf`: a Hugging Face token classifier as a pipeline."""

from pathlib import Path

import typer
from wasabi import msg

from .loading import check_new, check_pipeline_folder, name_options


def from_hf_cli(
    name: str = typer.Argument(
        ..., metavar="NAME", help="A token classifier: a folder, or its name on the hub"
    ),
    output: Path = typer.Argument(..., metavar="OUT", help="Folder of the pipeline"),  # noqa: B008
    lang: str = typer.Option(..., "--lang", "-l", help="Language of the pipeline's tokenizer"),
    head: str = typer.Option("softmax", "--head", help="softmax, or crf to train on with a CRF"),
    constrained: bool | None = typer.Option(
        None,
        "--constrained/--argmax",
        help="Decode legal tag sequences only, or the best tag of each word; else argmax for a "
        "softmax head and legal sequences for a CRF",
    ),
    labels: Path | None = typer.Option(  # noqa: B008
        None,
        "--labels",
        help="File with the label of each row of the classifier, one on each line; - leaves a row "
        "out",
    ),
    scheme: str | None = typer.Option(
        None,
        "--scheme",
        help="Scheme of the labels: BIO, IOB1, BILUO, BIOES, BMES, BMEWO or IO (no prefixes); "
        "else found out",
    ),
    target: str | None = typer.Option(
        None,
        "--target",
        help="For labels of single tokens: make a bio_tagger that writes tag, pos, morph or _.name",
    ),
    revision: str | None = typer.Option(
        None, "--revision", help="Branch, tag or commit on the hub"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing folder"),
) -> None:
    """Make a pipeline of a Hugging Face token classifier."""
    from ..errors import BioError
    from ..export.importing import import_checkpoint
    from ..io import read_text, replacing_folder

    check_new(output, force)
    check_pipeline_folder(output)
    try:
        text = "" if labels is None else read_text(labels, BioError).removeprefix("\ufeff")
        nlp, rows = import_checkpoint(
            name,
            lang=lang,
            head=head,
            constrained=constrained,
            labels=[line.strip() for line in text.splitlines() if line.strip()] or None,
            scheme=scheme,
            target=target,
            revision=revision,
        )
        with replacing_folder(output) as folder:
            nlp.to_disk(folder)
    except (BioError, OSError, ValueError) as error:
        msg.fail(name_options(str(error), from_hf_cli), exits=1)
    tagset = rows.tagset
    kind = f"in {rows.scheme}" if target is None else f"of {target}"
    msg.info(f"Labels {kind}: {', '.join(tagset.labels)}")
    if rows.added:
        tags = ", ".join(tagset.tags[i] for i in rows.added)
        msg.info(f"Tags that the checkpoint lacks, never found before training: {tags}")
    if rows.unused:
        msg.warn(f"Rows of the classifier left out, so that others win there: {len(rows.unused)}")
    msg.good(f"Pipeline: {output}")
