"""Scores of labels of tokens: accuracy, figures of each label, and confusions."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from spacy.scorer import PRFScore
from spacy.training import Example

from ..errors import counted
from ..tags.targets import read_label
from .tables import Table, percent

MOST_CONFUSIONS = 20


def analyze_labels(examples: Iterable[Example], *, target: str) -> dict[str, Any]:
    """Compare predicted labels with gold.

    Tokens count that are annotated. One that the prediction cuts otherwise has the wrong label.

    examples (Iterable[Example]): Predicted and reference documents.
    target (str): The attribute with the labels, as `check_target` knows it.
    RETURNS (dict): `target`, `tokens` and `right` (numbers), `accuracy` (None without a token),
        `per_label` (for each label `p`, `r`, `f` and `support`, its number in gold), and
        `confusions`: gold label, predicted label or None, and number, the most frequent first.
    """
    per_label: dict[str, PRFScore] = {}
    confusions: Counter[tuple[str, str | None]] = Counter()
    support: Counter[str] = Counter()
    for example in examples:
        predicted, align = example.predicted, example.alignment
        owner = {
            int(align.x2y[i][0]): token
            for i, token in enumerate(predicted)
            if align.x2y.lengths[i] == 1
        }
        for i, token in enumerate(example.reference):
            gold = read_label(token, target)
            if gold is None or token.is_space:
                continue
            fits = i in owner and align.y2x.lengths[i] == 1
            found = read_label(owner[i], target) if fits else None
            support[gold] += 1
            score = per_label.setdefault(gold, PRFScore())
            if found == gold:
                score.tp += 1
                continue
            score.fn += 1
            confusions[gold, found] += 1
            if found is not None:
                per_label.setdefault(found, PRFScore()).fp += 1
    tokens = support.total()
    right = sum(score.tp for score in per_label.values())
    return {
        "target": target,
        "tokens": tokens,
        "right": right,
        "accuracy": right / tokens if tokens else None,
        "per_label": {
            label: {**per_label[label].to_dict(), "support": support[label]}
            for label in sorted(per_label)
        },
        "confusions": [[*pair, n] for pair, n in confusions.most_common()],
    }


def label_tables(name: str, figures: Mapping[str, Any]) -> list[Table]:
    """Write the figures of one component as tables.

    name (str): The component.
    figures (Mapping[str, Any]): From `analyze_labels`.
    RETURNS (list[Table]): Scores by label and, if there are any, confusions.
    """
    accuracy = percent(figures["accuracy"])
    rows = [
        (label, *(percent(row[key]) for key in "prf"), str(row["support"]))
        for label, row in figures["per_label"].items()
    ]
    title = f"Labels of {name}, {figures['target']}: {accuracy} % of"
    title += f" {counted(figures['tokens'], 'token')} right"
    found = [Table(title, ("", "P", "R", "F1", "gold"), rows)]
    if figures["confusions"]:
        shown = figures["confusions"][:MOST_CONFUSIONS]
        more = len(figures["confusions"]) - len(shown)
        note = f"And {counted(more, 'pair')} more." if more else ""
        cells = [(gold, predicted or "-", str(n)) for gold, predicted, n in shown]
        header = ("gold", "predicted", "tokens")
        found.append(Table(f"Confusions of {name}", header, cells, note))
    return found
