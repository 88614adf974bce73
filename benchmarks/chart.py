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


def draw_curves(
    curves: dict[str, dict[str, list[tuple[float, float]]]], full: dict[str, float], path: Path
) -> None:
    """Draw F1 against annotated tokens, from `benchmarks.active_learning`.

    curves (dict): By corpus and strategy, pairs of tokens and F1.
    full (dict[str, float]): By corpus, the F1 of all documents.
    path (Path): The picture; its suffix selects the format.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from spacy_bio_crf.report.plots import COLORS, STYLE, Plot

    with matplotlib.rc_context(STYLE):
        figure = Figure((9, 4))
        axes = figure.subplots(1, len(curves), squeeze=False)[0]
        # One order for all corpora: the last one's legend is for all.
        names = dict.fromkeys(name for strategies in curves.values() for name in strategies)
        colors = dict(zip((name for name in names if name != "random"), COLORS, strict=False))
        for ax, (corpus, strategies) in zip(axes, curves.items(), strict=True):
            for name in (name for name in names if name in strategies):
                line = "--" if name == "random" else "-"
                color = colors.get(name, "#888888")
                points = zip(*strategies[name], strict=True)
                ax.plot(*points, line, color=color, marker="o", label=name)
            if corpus in full:
                ax.axhline(full[corpus], color="#bbbbbb", linewidth=1)
                ax.axhline(0.95 * full[corpus], color="#bbbbbb", linewidth=1, linestyle=":")
            ax.set_xscale("log", base=2)
            ticks = [round(tokens) for tokens, _ in max(strategies.values(), key=len)]
            ax.set_xticks(ticks, [f"{round(tick, -2):,}" for tick in ticks])
            ax.minorticks_off()
            ax.set_title(corpus)
            ax.set_xlabel("annotated tokens")
        axes[0].set_ylabel("F1, mean of the seeds")
        axes[-1].legend()
    Plot("active-learning", "F1 against annotated tokens", "", figure).save(path)
