"""Scores of labels of tokens: accuracy, figures of each label, confusions, and a paired test."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from spacy.scorer import PRFScore
from spacy.training import Example

from ..errors import counted
from ..tags.targets import read_label
from .chance import Chance, accuracy_difference
from .tables import Table, paired_note, paired_row, percent

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
        for gold, found in _judged(example, target):
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


def compare_accuracy(
    first: Iterable[Example], second: Iterable[Example], *, target: str, chance: Chance
) -> dict[str, Any] | None:
    """Compare the labels of two pipelines on the same documents.

    first (Iterable[Example]): Documents with the predictions of one pipeline.
    second (Iterable[Example]): The same documents with the predictions of the other, any that
        writes the attribute.
    target (str): The attribute with the labels, as `check_target` knows it.
    chance (Chance): Samples of the test and of its interval.
    RETURNS (dict | None): `accuracy` of the second pipeline, and what `accuracy_difference` has
        of the first minus the second. None without an annotated token.
    """
    ours, theirs = (_count_right(examples, target) for examples in (first, second))
    tokens = theirs[:, 1].sum()
    if not tokens:
        return None
    accuracy = float(theirs[:, 0].sum() / tokens)
    return {"accuracy": accuracy, **accuracy_difference(ours, theirs, chance)}


def _judged(example: Example, target: str) -> Iterator[tuple[str, str | None]]:
    """Yield the gold and the predicted label of each token that counts."""
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
        yield gold, read_label(owner[i], target) if fits else None


def _count_right(examples: Iterable[Example], target: str) -> np.ndarray:
    """Right tokens and all tokens by document; int64 [n_documents, 2]."""
    right = [[gold == found for gold, found in _judged(eg, target)] for eg in examples]
    return np.array([(sum(own), len(own)) for own in right], dtype=np.int64).reshape(-1, 2)


def label_tables(name: str, figures: Mapping[str, Any]) -> list[Table]:
    """Write the figures of one component as tables.

    name (str): The component.
    figures (Mapping[str, Any]): From `analyze_labels`; under `comparison`, if another pipeline was
        run, its `model` and what `compare_accuracy` has.
    RETURNS (list[Table]): Scores by label and, if there are any, confusions and the comparison.
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
    other = figures.get("comparison")
    if other is not None:
        title = f"Accuracy of {name} beside {other['model']}"
        columns = ("", "accuracy", "other accuracy", "difference", "interval", "p")
        row = paired_row("all", figures["accuracy"], other["accuracy"], other)
        found.append(Table(title, columns, [row], paired_note(other)))
    return found
