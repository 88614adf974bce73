"""Command `bio-ner ensemble`: several pipelines as one."""

from pathlib import Path

import typer
from wasabi import msg

from ..errors import Plain, describe
from .loading import check_new, check_pipeline_folder, load_pipeline, name_options, writing


def ensemble_cli(
    models: list[Path] = typer.Argument(  # noqa: B008
        ..., metavar="MODEL...", help="Two trained pipelines or more"
    ),
    output: Path = typer.Argument(..., metavar="OUT", help="Folder of the new pipeline"),  # noqa: B008
    soup: bool = typer.Option(
        False, "--soup", help="Average weights, of models trained from one start: the cost of one"
    ),
    component: str | None = typer.Option(
        None, "--component", "-c", help="Name of the component, where there are several bio_ner"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing folder"),
) -> None:
    """Combine pipelines into one that averages their scores.

    It takes the time and the memory of all of them, with --soup those of one.
    """
    from ..combine import make_ensemble, make_soup
    from ..io import replacing_folder

    check_new(output, force)
    check_pipeline_folder(output)
    for model in models:
        if models.count(model) > 1:
            expected, got = "each pipeline once", Plain(f"{model} twice")
            msg.fail(describe("models", expected=expected, got=got), exits=1)
    make = make_soup if soup else make_ensemble
    try:
        nlp = make({str(model): load_pipeline(model) for model in models}, component=component)
    except ValueError as error:
        msg.fail(name_options(str(error), ensemble_cli), exits=1)
    with writing("OUT"), replacing_folder(output) as folder:
        nlp.to_disk(folder)
    kind = "Soup" if soup else "Ensemble"
    msg.good(f"{kind} of {len(models)} models: {output}")
