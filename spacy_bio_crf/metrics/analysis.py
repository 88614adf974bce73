"""All figures of a pipeline on annotated documents, as one dict that goes into JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spacy.training import Example

from ..tags.spans import LEFT_ASIDE
from .averages import count_entities, strict_table
from .breakdowns import Surfaces, breakdowns
from .calibration import confidence_table
from .chance import Chance, difference, intervals
from .documents import Document, labels_of, read_documents
from .layered import Layers
from .mistakes import KINDS, confusion, find_mistakes
from .partial import semeval_table
from .scorer import score_examples, score_layers

NO_CHANCE = Chance(resamples=0)


def analyze(
    examples: Sequence[Example],
    *,
    known: Surfaces | None = None,
    chance: Chance = NO_CHANCE,
    bins: int = 10,
    layers: Layers | None = None,
) -> dict[str, Any]:
    """Compute all figures of a pipeline; docs/evaluation.md describes them.

    examples (Sequence[Example]): Predicted documents beside their references.
    known (Surfaces | None): Entities of the training data, from `breakdowns.read_surfaces`.
    chance (Chance): Samples of the confidence intervals; none by default.
    bins (int): Bins of the reliability diagram.
    layers (Layers | None): Where entities are that may overlap; None takes `doc.ents`.
    RETURNS (dict): `documents` (number); `counts` of tokens; under `entity` and `token` `all` and
        `per_type`, with `p`, `r`, `f` from 0 to 1 (None where there is nothing to count) and `gold`
        (number); `entity` has `macro`, `weighted` and `intervals`, `token` has `acc`; `partial` by
        schema; `confusion`; `breakdowns`; `confidence` (None without any); `errors` (numbers by
        kind).
    """
    documents = read_documents(examples, layers)
    counted = count_entities(documents)
    kinds = Counter(mistake.kind for mistake in find_mistakes(documents))
    return {
        "documents": len(documents),
        "counts": _counts(documents, examples),
        "entity": {**strict_table(counted), "intervals": intervals(counted, chance)},
        "token": _token_table(
            score_examples(examples) if layers is None else score_layers(documents), documents
        ),
        "partial": semeval_table(documents),
        "confusion": confusion(documents),
        "breakdowns": breakdowns(documents, known),
        "confidence": confidence_table(documents, bins=bins),
        "errors": {kind: kinds[kind] for kind in KINDS},
    }


def compare(
    first: Sequence[Document], second: Sequence[Document], *, chance: Chance
) -> dict[str, Any]:
    """Compare two pipelines on the same documents.

    first (Sequence[Document]): Documents with the predictions of one pipeline.
    second (Sequence[Document]): The same documents with the predictions of the other.
    chance (Chance): Samples of the test and of its intervals.
    RETURNS (dict): The strict figures of the second pipeline under `entity`, and those of
        `chance.difference` under `difference`, None if there is no label.
    """
    labels = labels_of([*first, *second])
    counted, other = count_entities(first, labels), count_entities(second, labels)
    return {
        "entity": strict_table(other),
        "difference": difference(counted, other, chance) if labels else None,
    }


def _counts(documents: Sequence[Document], examples: Sequence[Example]) -> dict[str, int]:
    return {
        "tokens": sum(len(doc.words) for doc in documents),
        "unannotated_tokens": sum(int((~doc.known).sum()) for doc in documents),
        "ignored_predictions": sum(doc.ignored for doc in documents),
        "unfit_gold": sum(doc.unfit for doc in documents),
        "left_aside_gold": sum(eg.reference.user_data.get(LEFT_ASIDE, 0) for eg in examples),
    }


def _token_table(scores: dict[str, Any], documents: Sequence[Document]) -> dict[str, Any]:
    gold: Counter[str] = Counter()
    for doc in documents:
        for start, end, label in doc.gold:
            gold[label] += end - start
    per_type = {
        label: {**row, "gold": gold[label]}
        for label, row in sorted((scores["ner_token_per_type"] or {}).items())
    }
    total = {key: scores[f"ner_token_{key}"] for key in "prf"}
    return {
        "acc": scores["ner_token_acc"],
        "all": {**total, "gold": gold.total()},
        "per_type": per_type,
    }
