"""The figures of `benchmarks.speed` as a picture."""

import statistics
from pathlib import Path
from typing import Any


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw the medians of training and inference as bars.

    figures (dict[str, Any]): By part and contestant, words per second of every round.
    path (Path): The picture; its suffix selects the format.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from spacy_bio_crf.report.plots import COLORS, STYLE, Plot

    parts = ("training", "inference")
    sizes = [len(figures[part]) for part in parts]
    with matplotlib.rc_context(STYLE):
        figure = Figure((8, 0.4 * sum(sizes) + 1.8))
        for ax, part in zip(figure.subplots(2, 1, height_ratios=sizes), parts, strict=True):
            names = list(figures[part])
            medians = [statistics.median(figures[part][name]) for name in names]
            colors = [COLORS[0] if name.startswith("bio_ner") else "#bbbbbb" for name in names]
            bars = ax.barh(names, medians, color=colors)
            ax.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=3)
            ax.invert_yaxis()
            ax.margins(x=0.12)
            ax.set_title(f"{part}, words per second")
    Plot("speed", "Words per second", "", figure).save(path)
