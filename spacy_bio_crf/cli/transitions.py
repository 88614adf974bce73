"""`bio-ner transitions`: what a CRF has learned of which tag follows which."""

from pathlib import Path

import typer
from wasabi import msg

from .loading import find_component, load_pipeline


def transitions_cli(
    model: Path = typer.Argument(..., help="A trained pipeline"),  # noqa: B008
    component: str | None = typer.Option(
        None, "--component", "-c", help="Name of the component, where there are several bio_ner"
    ),
    plot: Path | None = typer.Option(  # noqa: B008
        None, "--plot", help="Draw a heat map (.svg, .png; needs matplotlib)"
    ),
    json_path: Path | None = typer.Option(  # noqa: B008
        None, "--json", help="Write the scores as JSON"
    ),
) -> None:
    """Show start, transition and end scores: row = a tag, column = the tag after it.

    Scores are in nats, on one scale with the emissions; "·" is what decoding never takes.
    """
    import srsly

    from ..report.transition_table import transition_table

    nlp = load_pipeline(model)
    pipe = find_component(nlp, component)
    if not pipe.head.crf:
        msg.fail(f"{pipe.name!r} has a softmax head, which has no transition scores", exits=1)
    table = transition_table(
        pipe.tagset, *pipe.transition_scores(), constrained=pipe.head.constrained
    )
    strength = max(abs(score) for row in table.scores for score in row if score is not None)
    rows = []
    for name, row in zip(table.rows, table.scores, strict=True):
        cells = ["·" if score is None else _coloured(score, strength) for score in row]
        rows.append((name, *cells))
    msg.table(
        rows,
        header=("", *table.columns),
        aligns=("l", *("r" for _ in table.columns)),
        divider=True,
    )
    if json_path is not None:
        srsly.write_json(
            json_path, {"rows": table.rows, "columns": table.columns, "scores": table.scores}
        )
    if plot is not None:
        from ..report.plots import draw_transitions

        draw_transitions(table, plot)
        msg.good(f"Heat map: {plot}")


def _coloured(score: float, strength: float) -> str:
    from wasabi import color

    # xterm's colours: greens for what is favoured, reds for what is avoided, none near zero.
    level = score / strength if strength else 0.0
    shade = None
    if abs(level) > 1 / 3:
        strong = abs(level) > 2 / 3
        shade = (34 if strong else 151) if level > 0 else (160 if strong else 217)
    text = f"{score:+.2f}"
    return text if shade is None else color(text, fg=16, bg=shade)
