"""The reliability diagram: confidence against precision."""

from collections.abc import Mapping, Sequence
from typing import Any

from .frame import Drawing, Frame, line, number, text

TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def draw_reliability(bins: Sequence[Mapping[str, Any]], error: float) -> Drawing:
    """Draw a bar for each bin; on the diagonal confidence is as good as its word.

    bins (Sequence[Mapping[str, Any]]): `low`, `high`, `count`, `precision` (None for an empty bin).
    error (float): The expected calibration error.
    RETURNS (Drawing): The drawing.
    """
    frame = Frame(56, 28, 300, 300)
    body = frame.axes(TICKS, TICKS, "confidence", "share that is right")
    said = []
    for b in bins:
        if not b["count"]:
            continue
        left, right = frame.at_x(b["low"]), frame.at_x(b["high"])
        top, bottom = frame.at_y(b["precision"]), frame.at_y(0.0)
        body.append(
            f'<rect class="bar" x="{number(left + 1)}" y="{number(top)}"'
            f' width="{number(max(right - left - 2, 0.5))}" height="{number(bottom - top)}"/>'
        )
        body.append(text((left + right) / 2, top - 4, f"{b['count']:,}", "soft", anchor="middle"))
        said.append(
            f"{b['low']:.2f} to {b['high']:.2f}: {b['precision']:.2f} of {b['count']:,} right"
        )
    body.append(line(frame.points((0, 1), (0, 1)), "ideal"))
    title = f"Reliability, expected calibration error {error:.3f}"
    return Drawing("reliability", title, "; ".join(said) or "no entity", 376, 376, body)
