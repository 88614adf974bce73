"""Command `bio-ner calibrate`: fit the temperature of a trained pipeline's confidence."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..errors import Plain, describe
from .loading import (
    check_apart,
    check_pipeline_folder,
    choose_labeller,
    import_plots,
    load_pipeline,
    name_options,
    save_plot,
    writing,
)
from .reader_options import read_annotated, takes_reader_options

if TYPE_CHECKING:
    from spacy.language import Language

    from ..pipes.labeller import SequenceLabeller

BAR_WIDTH = 30  # characters of the diagram in the terminal


@takes_reader_options
def calibrate_cli(
    model: Path = typer.Argument(..., help="A trained pipeline"),  # noqa: B008
    corpus: Path = typer.Argument(  # noqa: B008
        ..., help="Held-out documents: .spacy, any format that convert reads, or a folder"
    ),
    output: Path | None = typer.Option(  # noqa: B008
        None,
        "--output",
        "-o",
        help="Where the calibrated pipeline goes; MODEL itself, if it is a folder",
    ),
    component: str | None = typer.Option(
        None, "--component", "-c", help="Name of the component, where there are several"
    ),
    bins: int = typer.Option(10, "--bins", "-b", min=1, help="Bins of the reliability diagram"),
    plot: Path | None = typer.Option(  # noqa: B008
        None, "--plot", help="Draw the diagram before and after (.svg, .png; needs matplotlib)"
    ),
    json_path: Path | None = typer.Option(  # noqa: B008
        None, "--json", help="Write the figures as JSON"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show the figures, save no pipeline"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
    lang: str | None = typer.Option(
        None, "--lang", help="Language of texts without tokens; the pipeline's if not given"
    ),
    **options: Any,
) -> None:
    """Fit the temperature of confidence on held-out data.

    Afterwards, of entities or labels with confidence 0.9 nine in ten are right.
    """
    from ..io import write_json
    from ..metrics.calibration import calibration_table
    from ..pipes.labeller import run_before
    from ..temperature import COLDEST, HOTTEST, PRECISION, fit_temperature, outcomes, take_sample

    if output is not None:
        check_pipeline_folder(output, "--output")
    check_apart({"--json": json_path, "--plot": plot}, [corpus])
    plots = import_plots(plot) if plot is not None else None
    nlp = load_pipeline(model, gpu_id)
    if output is None and not dry_run and not model.is_dir():
        remedy = f"{model} is an installed package, which stays as it is"
        msg.fail(
            describe("--output", expected="a folder", got=Plain("none"), remedy=remedy), exits=1
        )
    pipe = choose_labeller(nlp, component)
    try:
        examples = read_annotated(nlp, corpus, {**options, "lang": lang}, calibrate_cli)
        sample = take_sample(pipe, run_before(pipe, nlp, examples))
        old, new = pipe.temperature, fit_temperature(sample)
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), calibrate_cli), exits=1)
    figures = {
        when: {"temperature": t, **calibration_table(outcomes(sample, t), bins=bins)}
        for when, t in (("before", old), ("after", new))
    }
    noun = pipe.task.noun
    for when, table in figures.items():
        _show(when, table, noun)
    if abs(math.log(new / COLDEST)) < 2 * PRECISION or abs(math.log(new / HOTTEST)) < 2 * PRECISION:
        right = round(sum(b["count"] * (b["precision"] or 0) for b in figures["before"]["bins"]))
        msg.warn(
            f"The temperature is at the end of the search, for {right:,} of"
            f" {figures['before']['entities']:,} predicted {noun} are right: take more documents"
        )
    if json_path is not None:
        with writing("--json"):
            write_json(json_path, figures)
        msg.good(f"Figures: {json_path}")
    if dry_run:
        msg.info(f"Dry run: {model} is unchanged")
    else:
        pipe.temperature = new
        with writing("--output"):
            _save(nlp, pipe, model, output)
        msg.good(f"Saved with temperature {new:.3f}: {output or model}")
    if plot is not None and plots is not None:
        diagrams = [(_title(table), table) for table in figures.values()]
        save_plot(plots.draw_reliability(diagrams), plot)


def _save(nlp: "Language", pipe: "SequenceLabeller", model: Path, output: Path | None) -> None:
    from ..io import replacing_folder

    place = model / next(name for name, own in nlp.pipeline if own is pipe)
    if output is None and place.is_dir():
        # Nothing else has changed, and a component is replaced in one step.
        pipe.to_disk(place, exclude=["vocab"])
    else:
        with replacing_folder(output or model) as folder:
            nlp.to_disk(folder)


def _title(table: Mapping[str, Any]) -> str:
    return (
        f"temperature {table['temperature']:.3f}\n"
        f"expected calibration error {table['expected_calibration_error']:.3f}"
    )


def _show(when: str, table: Mapping[str, Any], noun: str) -> None:
    msg.divider(f"Temperature {table['temperature']:.3f} ({when})")
    rows = []
    for b in table["bins"]:
        means = ("-", "-", "")
        if b["count"]:
            bar = "█" * round(b["precision"] * BAR_WIDTH)
            means = (f"{b['confidence']:.3f}", f"{b['precision']:.3f}", bar)
        rows.append((f"{b['low']:.2f} to {b['high']:.2f}", b["count"], *means))
    msg.table(
        rows,
        header=("Confidence", noun.capitalize(), "Mean", "Precision", ""),
        aligns=("l", "r", "r", "r", "l"),
        divider=True,
    )
    msg.text(
        f"{noun.capitalize()}: {table['entities']}   expected calibration error:"
        f" {table['expected_calibration_error']:.4f}   log-loss: {table['log_loss']:.4f}"
    )
