"""Drawings: reliability diagrams and the heat map of transition scores. Needs matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .transition_table import TransitionTable


def draw_reliability(diagrams: Sequence[tuple[str, Mapping[str, Any]]], path: Path) -> None:
    """Draw reliability diagrams side by side.

    diagrams (Sequence[tuple[str, Sequence[Bin], float]]): Title and `calibration_table`.
    path (Path): The picture; its suffix says the format.
    RAISES: ImportError without matplotlib.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(
        1, len(diagrams), figsize=(4.5 * len(diagrams), 4.5), sharey=True, squeeze=False
    )
    for ax, (title, table) in zip(axes[0], diagrams, strict=True):
        full = [b for b in table["bins"] if b["count"]]
        ax.bar(
            [(b["low"] + b["high"]) / 2 for b in full],
            [b["precision"] for b in full],
            width=[0.9 * (b["high"] - b["low"]) for b in full],
            color="#4477aa",
        )
        ax.plot([0, 1], [0, 1], color="#bbbbbb", linestyle="--")
        for b in full:
            ax.annotate(
                str(b["count"]),
                ((b["low"] + b["high"]) / 2, b["precision"]),
                ha="center",
                fontsize=7,
            )
        error = table["expected_calibration_error"]
        ax.set(title=f"{title}\nECE {error:.3f}", xlabel="confidence", xlim=(0, 1), ylim=(0, 1.05))
    axes[0][0].set_ylabel("precision")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_transitions(table: TransitionTable, path: Path) -> None:
    """Draw a heat map of transition scores.

    table (TransitionTable): The scores.
    path (Path): The picture; its suffix says the format.
    RAISES: ImportError without matplotlib.
    """
    plt = _pyplot()
    scores = [[float("nan") if s is None else s for s in row] for row in table.scores]
    strength = max((abs(s) for row in table.scores for s in row if s is not None), default=1.0)
    side = 2.5 + 0.45 * len(table.columns)
    figure, ax = plt.subplots(figsize=(side, side))
    image = ax.imshow(scores, cmap="RdBu", vmin=-strength, vmax=strength)
    ax.set_xticks(range(len(table.columns)), table.columns, rotation=90)
    ax.set_yticks(range(len(table.rows)), table.rows)
    ax.set(xlabel="to", ylabel="from", title="transition scores (nats)")
    figure.colorbar(image, shrink=0.7)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
