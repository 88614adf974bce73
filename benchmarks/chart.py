"""The figures of `benchmarks.speed` as a picture."""

import statistics
from pathlib import Path
from typing import Any


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw the medians of training and inference as bars.

    figures (dict[str, Any]): By part and contestant, words per second of every round.
    path (Path): The picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "speed"
    from matplotlib import pyplot as plt

    parts = ("training", "inference")
    sizes = [len(figures[part]) for part in parts]
    figure, axes = plt.subplots(
        2, 1, figsize=(8, 0.4 * sum(sizes) + 1.8), height_ratios=sizes, layout="constrained"
    )
    for ax, part in zip(axes, parts, strict=True):
        names = list(figures[part])
        medians = [statistics.median(figures[part][name]) for name in names]
        colors = ["#4477aa" if name.startswith("bio_ner") else "#bbbbbb" for name in names]
        bars = ax.barh(names, medians, color=colors)
        ax.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=3)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.set_title(f"{part}, words per second")
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
