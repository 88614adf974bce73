"""Lines: learning curve, precision and recall over the threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

from .frame import N_COLOURS, Drawing, Frame, legend, line, nice_ticks, number, text
from .reliability import TICKS

MOST_SCORES = N_COLOURS
PREFERRED = ("ents_f", "ents_p", "ents_r", "ner_token_f")


def draw_threshold(curve: Sequence[Mapping[str, float]]) -> Drawing:
    """Draw precision, recall and F1 over the threshold, and precision over recall beside it.

    curve (Sequence[Mapping[str, float]]): `threshold`, `p`, `r` and `f` of each point.
    RETURNS (Drawing): The drawing.
    """
    thresholds = [point["threshold"] for point in curve]
    left = Frame(56, 28, 300, 300)
    body = left.axes(TICKS, TICKS, "threshold", "share")
    names = {"p": "precision", "r": "recall", "f": "F1"}
    for i, key in enumerate(names):
        body.append(line(_steps(left, thresholds, [c[key] for c in curve]), f"line c{i}"))
    body += legend(left.left + 10, left.top + left.height - 48, list(names.values()))
    right = Frame(440, 28, 300, 300)
    body += right.axes(TICKS, TICKS, "recall", "precision")
    points = right.points((c["r"] for c in curve), (c["p"] for c in curve))
    body.append(line(points, "line c0"))
    best = max(curve, key=lambda point: point["f"])
    (x, y) = right.points([best["r"]], [best["p"]])[0]
    body.append(f'<circle class="dot" cx="{number(x)}" cy="{number(y)}" r="4"/>')
    name = f"F1 {best['f']:.3f} at {best['threshold']:.2f}"
    # Beside the dot, on the side that has more room.
    far = x > right.left + right.width / 2
    body.append(text(x + (-8 if far else 8), y + 18, name, anchor="end" if far else "start"))
    said = (
        f"Without a threshold precision is {curve[0]['p']:.3f} and recall {curve[0]['r']:.3f};"
        f" the highest F1, {best['f']:.3f}, is at {best['threshold']:.3f}."
    )
    title = "Precision and recall, if entities below a threshold were dropped"
    return Drawing("threshold", title, said, 760, 376, body)


def draw_learning(rows: Sequence[Mapping[str, Any]]) -> Drawing:
    """Draw the loss of each component and the scores on the development data, over the steps.

    rows (Sequence[Mapping[str, Any]]): `step`, `loss_per_step` by component and `scores` by name
        (None where one was not computed), from `training_log.read_log`; at least one.
    RETURNS (Drawing): The drawing.
    """
    steps = [float(row["step"]) for row in rows]
    x = (min(steps), max(max(steps), min(steps) + 1))
    x_ticks = nice_ticks(*x)
    pipes = list(dict.fromkeys(pipe for row in rows for pipe in row["loss_per_step"]))[:MOST_SCORES]
    losses = {pipe: [row["loss_per_step"].get(pipe) for row in rows] for pipe in pipes}
    top = max((v for values in losses.values() for v in values if v is not None), default=1.0)
    left = Frame(62, 28, 294, 300, x, (0.0, top * 1.05 or 1.0))
    body = left.axes(x_ticks, nice_ticks(*left.y), "step", "loss of a step")
    for i, pipe in enumerate(pipes):
        body.append(_curve(left, steps, losses[pipe], i))
    body += legend(left.left + left.width - 110, left.top + 10, pipes)
    names = _scores(rows)
    scores = {name: [row["scores"].get(name) for row in rows] for name in names}
    right = Frame(440, 28, 300, 300, x)
    body += right.axes(x_ticks, TICKS, "step", "score on the development data")
    for i, name in enumerate(names):
        body.append(_curve(right, steps, scores[name], i))
    body += legend(
        right.left + right.width - 110, right.top + right.height - 16 * len(names), names
    )
    last = ", ".join(f"{n} {scores[n][-1]:.3f}" for n in names if scores[n][-1] is not None)
    said = f"{len(rows)} evaluations, the last one at step {steps[-1]:.0f}: {last or 'no score'}."
    return Drawing("learning", "Learning curve", said, 760, 376, body)


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the scores to draw: those of entities, or else all that go from 0 to 1."""
    names = dict.fromkeys(name for row in rows for name in row["scores"])
    values = {name: [row["scores"].get(name) for row in rows] for name in names}
    shares = [
        name
        for name, column in values.items()
        if any(v is not None for v in column) and all(v is None or 0 <= v <= 1 for v in column)
    ]
    return [name for name in PREFERRED if name in shares] or shares[:MOST_SCORES]


def _curve(frame: Frame, xs: Sequence[float], ys: Sequence[float | None], colour: int) -> str:
    known = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
    if not known:
        return ""
    return line(frame.points(*zip(*known, strict=True)), f"line c{colour % N_COLOURS}")


def _steps(frame: Frame, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """What holds from one threshold up to the next: the figure changes just above it."""
    points: list[tuple[float, float]] = []
    before = 0.0
    for x, y in zip(xs, ys, strict=True):
        points += [(frame.at_x(before), frame.at_y(y)), (frame.at_x(x), frame.at_y(y))]
        before = x
    return points
