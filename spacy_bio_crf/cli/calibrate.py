"""`bio-ner calibrate`: fit the temperature of a trained pipeline's confidence."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from .loading import find_component, load_pipeline

if TYPE_CHECKING:
    from ..temperature import Bin, Outcomes

BAR = 30  # characters of the diagram in the terminal


def calibrate_cli(
    model: Path = typer.Argument(..., help="A trained pipeline"),  # noqa: B008
    corpus: Path = typer.Argument(..., help="Held-out documents (.spacy)"),  # noqa: B008
    output: Path | None = typer.Option(  # noqa: B008
        None, "--output", "-o", help="Where the calibrated pipeline goes; MODEL itself if not given"
    ),
    component: str | None = typer.Option(
        None, "--component", "-c", help="Name of the component, where there are several bio_ner"
    ),
    bins: int = typer.Option(10, "--bins", "-b", min=1, help="Bins of the reliability diagram"),
    plot: Path | None = typer.Option(  # noqa: B008
        None, "--plot", help="Draw the diagram before and after (.svg, .png; needs matplotlib)"
    ),
    json_path: Path | None = typer.Option(  # noqa: B008
        None, "--json", help="Write the figures as JSON"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would change, save nothing"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
) -> None:
    """Fit a temperature, so that of entities with confidence 0.9 nine in ten are right."""
    import srsly
    from spacy.training import Corpus

    from .. import temperature as calibration

    nlp = load_pipeline(model, gpu_id)
    pipe = find_component(nlp, component)
    with nlp.select_pipes(disable=[pipe.name]):
        # What runs before the component may preset entities, so it has to run here too.
        before = nlp.pipe_names[: nlp.component_names.index(pipe.name)]
        examples = list(Corpus(corpus)(nlp))
        for eg in examples:
            for name in before:
                eg.predicted = nlp.get_pipe(name)(eg.predicted)
    try:
        sample = calibration.take_sample(pipe, examples)
        old, new = pipe.temperature, calibration.fit_temperature(sample)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    results = {t: calibration.outcomes(sample, t) for t in (old, new)}
    diagrams = {t: calibration.reliability(r, bins=bins) for t, r in results.items()}
    errors = {t: calibration.expected_calibration_error(d) for t, d in diagrams.items()}
    for when, t in (("before", old), ("after", new)):
        _show(f"Temperature {t:.3f} ({when})", results[t], diagrams[t], errors[t])
    if json_path is not None:
        srsly.write_json(json_path, _figures(old, new, results, diagrams, errors))
    if plot is not None:
        from ..report.plots import draw_reliability

        draw_reliability(
            [(f"temperature {t:.3f}", diagrams[t], errors[t]) for t in (old, new)], plot
        )
        msg.good(f"Diagram: {plot}")
    if dry_run:
        msg.info(f"Dry run: {model} is as it was")
    else:
        pipe.temperature = new
        nlp.to_disk(output or model)
        msg.good(f"Saved with temperature {new:.3f}: {output or model}")


def _show(title: str, results: "Outcomes", diagram: "list[Bin]", error: float) -> None:
    from ..temperature import log_loss

    msg.divider(title)
    rows = []
    for b in diagram:
        full = round(b.precision * BAR) if b.count else 0
        numbers = (f"{b.confidence:.3f}", f"{b.precision:.3f}") if b.count else ("-", "-")
        rows.append((f"{b.low:.2f} to {b.high:.2f}", b.count, *numbers, "█" * full))
    msg.table(
        rows,
        header=("Confidence", "Entities", "Mean", "Precision", ""),
        aligns=("l", "r", "r", "r", "l"),
        divider=True,
    )
    msg.text(
        f"Entities: {len(results.correct)}   expected calibration error: {error:.4f}   "
        f"log-loss: {log_loss(results):.4f}"
    )


def _figures(
    old: float,
    new: float,
    results: "dict[float, Outcomes]",
    diagrams: "dict[float, list[Bin]]",
    errors: dict[float, float],
) -> dict:
    from dataclasses import asdict

    from ..temperature import log_loss

    return {
        when: {
            "temperature": t,
            "entities": len(results[t].correct),
            "expected_calibration_error": errors[t],
            "log_loss": log_loss(results[t]),
            # An empty bin has no mean; JSON has no NaN.
            "bins": [{k: v if v == v else None for k, v in asdict(b).items()} for b in diagrams[t]],
        }
        for when, t in (("before", old), ("after", new))
    }
