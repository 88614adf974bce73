"""F1 against annotated tokens: the rounds of `benchmarks.active_learning` as curves and tables."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from wasabi import msg

FULL = "full"  # the strategy that trains on all documents
SHARE = 0.95  # of the F1 of all documents
Rounds = list[dict[str, Any]]


def read_rounds(path: Path) -> Rounds:
    """RETURNS (list[dict]): The rounds in an output, each as it was run last; none if there is no
    such file."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    if path.exists():
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            found[line["corpus"], line["strategy"], line["seed"], line["round"]] = line
    return list(found.values())


def full_scores(rounds: Rounds) -> dict[str, float]:
    """RETURNS (dict[str, float]): For each corpus the mean F1 of all documents."""
    found = defaultdict(list)
    for r in rounds:
        if r["strategy"] == FULL:
            found[r["corpus"]].append(r["f1"])
    return {corpus: statistics.mean(scores) for corpus, scores in found.items()}


def curves_of(rounds: Rounds) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """RETURNS (dict): By corpus and strategy, means of tokens and F1 over seeds, by round."""
    found: dict[str, dict[str, dict[int, Rounds]]] = {}
    for r in rounds:
        if r["strategy"] != FULL:
            own = found.setdefault(r["corpus"], {}).setdefault(r["strategy"], {})
            own.setdefault(r["round"], []).append(r)
    return {
        corpus: {
            name: [
                (statistics.mean(r["tokens"] for r in own), statistics.mean(r["f1"] for r in own))
                for _, own in sorted(by_round.items())
            ]
            for name, by_round in strategies.items()
        }
        for corpus, strategies in found.items()
    }


def tokens_for(curve: list[tuple[float, float]], wanted: float) -> float | None:
    """RETURNS (float | None): Tokens at which a curve first has an F1, between rounds on a
    logarithmic scale; None if it has not."""
    before: tuple[float, float] | None = None
    for tokens, f1 in curve:
        if f1 >= wanted:
            if before is None:
                return tokens
            part = (wanted - before[1]) / (f1 - before[1])
            return float(before[0] * (tokens / before[0]) ** part)
        before = tokens, f1
    return None


def show(rounds: Rounds) -> None:
    """Print F1 by round, and the tokens needed for most of the F1 of all documents."""
    full = full_scores(rounds)
    for corpus, strategies in curves_of(rounds).items():
        wanted = SHARE * full.get(corpus, float("nan"))
        rows = []
        budgets = [f"{tokens:,.0f}" for tokens, _ in max(strategies.values(), key=len)]
        for name, curve in strategies.items():
            needed = tokens_for(curve, wanted)
            of_seeds = defaultdict(list)
            for r in rounds:
                if (r["corpus"], r["strategy"]) == (corpus, name):
                    of_seeds[r["round"]].append(r["f1"])
            spread = statistics.mean(
                statistics.stdev(own) if len(own) > 1 else 0.0 for own in of_seeds.values()
            )
            scores = [f"{f1:.1f}" for _, f1 in curve]
            scores += [""] * (len(budgets) - len(scores))
            more = "more" if needed is None else f"{needed:,.0f}"
            rows.append((name, *scores, f"{spread:.1f}", more))
        header = (corpus, *budgets, "sd", f"tokens for {wanted:.1f}")
        msg.table(rows, header=header, aligns=("l", *"r" * (len(header) - 1)), divider=True)
        msg.text(f"{corpus}, all documents: F1 {full.get(corpus, float('nan')):.1f}")
