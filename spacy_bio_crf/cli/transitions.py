"""Command `bio-ner transitions`: the transition scores of a CRF as a table, a plot and JSON."""

from pathlib import Path

import typer
from wasabi import color, msg

from .loading import choose_labeller, import_plots, load_pipeline, save_plot, writing


def transitions_cli(
    model: Path = typer.Argument(..., help="A trained pipeline"),  # noqa: B008
    component: str | None = typer.Option(
        None, "--component", "-c", help="Name of the component, where there are several"
    ),
    group: str | None = typer.Option(
        None, "--group", help="Name of a group of labels, where the component has groups"
    ),
    plot: Path | None = typer.Option(  # noqa: B008
        None, "--plot", help="Draw a heat map (.svg, .png; needs matplotlib)"
    ),
    json_path: Path | None = typer.Option(  # noqa: B008
        None, "--json", help="Write the scores as JSON"
    ),
) -> None:
    """Show start, transition and end scores of a CRF.

    Row = a tag, column = the tag after it.

    Scores are in nats, as the emissions; "·" marks transitions that decoding never takes.
    """
    from ..errors import Plain, describe
    from ..io import write_json
    from ..report.transition_table import transition_table

    plots = import_plots(plot) if plot is not None else None
    pipe = choose_labeller(load_pipeline(model), component)
    if not pipe.head.crf:
        expected = "a CRF head, which has transition scores"
        msg.fail(describe(repr(pipe.name), expected=expected, got=Plain("a softmax head")), exits=1)
    try:
        tagset, scores = pipe.chain_of(group)
    except ValueError as error:
        msg.fail(f"--{error}", exits=1)
    table = transition_table(tagset, *scores, constrained=pipe.head.constrained)
    strength = max(abs(score) for row in table["scores"] for score in row if score is not None)
    rows = []
    for name, row in zip(table["rows"], table["scores"], strict=True):
        cells = ["·" if score is None else _colored(score, strength) for score in row]
        rows.append((name, *cells))
    msg.table(
        rows,
        header=("", *table["columns"]),
        aligns=("l", *("r" for _ in table["columns"])),
        divider=True,
    )
    if json_path is not None:
        with writing("--json"):
            write_json(json_path, table)
        msg.good(f"Scores: {json_path}")
    if plot is not None and plots is not None:
        save_plot(plots.draw_transitions(table), plot)


def _colored(score: float, strength: float) -> str:
    # xterm's colors: green for favored, red for avoided transitions, none near zero.
    level = score / strength if strength else 0.0
    shade = None
    if abs(level) > 1 / 3:
        strong = abs(level) > 2 / 3
        shade = (34 if strong else 151) if level > 0 else (160 if strong else 217)
    text = f"{score:+.2f}"
    return text if shade is None else color(text, fg=16, bg=shade)
