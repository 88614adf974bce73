"""All figures of a pipeline on annotated documents, as one dict that goes into JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spacy.training import Example

from .averages import entity_table, tally
from .bootstrap import Chance, intervals
from .breakdowns import Surfaces, document_lengths, entity_lengths, surfaces
from .calibration import confidence_table
from .confusion import confusion
from .documents import Document, labels_of, read_documents
from .mistakes import KINDS, find_errors
from .partial import semeval_table
from .scorer import score_examples
from .significance import difference

ALL = "all"
NO_CHANCE = Chance(resamples=0)


def analyse(
    examples: Sequence[Example],
    *,
    known: Surfaces | None = None,
    chance: Chance = NO_CHANCE,
    bins: int = 10,
) -> dict[str, Any]:
    """Score predictions in every way that this room knows.

    examples (Sequence[Example]): Predicted documents beside their references.
    known (Surfaces | None): Entities of the training data, from `breakdowns.read_surfaces`.
    chance (Chance): How confidence intervals are drawn; none by default.
    bins (int): Bins of the reliability diagram.
    RETURNS (dict): `documents` (how many); `counts` of what is in them; under `entity` and `token`
        `all` and `per_type`, with `p`, `r`, `f` from 0 to 1 (None where there is nothing to count)
        and `gold` (how many); `entity` has `macro`, `weighted` and `intervals`, `token` has `acc`;
        `partial` by schema; `confusion`; `breakdowns`; `confidence` (None without any); `errors`
        (how many of each kind). docs/evaluation.md describes all of it.
    """
    documents = read_documents(examples)
    counted = tally(documents)
    matrix = confusion(documents)
    kinds = Counter(error.kind for error in find_errors(documents))
    return {
        "documents": len(documents),
        "counts": _counts(documents),
        "entity": {**entity_table(counted), "intervals": intervals(counted, chance)},
        "token": _token_table(examples),
        "partial": semeval_table(documents),
        "confusion": {
            "names": matrix.names,
            "entities": matrix.entities.tolist(),
            "tokens": matrix.tokens.tolist(),
        },
        "breakdowns": {
            "entity_length": entity_lengths(documents),
            "document_length": document_lengths(documents),
            "surface": None if known is None else surfaces(documents, known),
        },
        "confidence": confidence_table(documents, bins=bins),
        "errors": {kind: kinds[kind] for kind in KINDS},
    }


def compare(
    first: Sequence[Document], second: Sequence[Document], *, chance: Chance
) -> dict[str, Any]:
    """Compare two pipelines on the same documents.

    first (Sequence[Document]): What the one predicts.
    second (Sequence[Document]): What the other one predicts, in the same order.
    chance (Chance): How chance is drawn.
    RETURNS (dict): The figures of the second one under `entity`, and what `significance.difference`
        says of both; None under `difference` if there is no label at all.
    """
    labels = labels_of([*first, *second])
    counted, other = tally(first, labels), tally(second, labels)
    return {
        "entity": entity_table(other),
        "difference": difference(counted, other, chance) if labels else None,
    }


def _counts(documents: Sequence[Document]) -> dict[str, int]:
    return {
        "tokens": sum(len(doc.words) for doc in documents),
        "unannotated_tokens": sum(int((~doc.known).sum()) for doc in documents),
        "ignored_predictions": sum(doc.ignored for doc in documents),
    }


def _token_table(examples: Sequence[Example]) -> dict[str, Any]:
    scores = score_examples(examples)
    gold = Counter(t.ent_type_ for example in examples for t in example.reference if t.ent_type_)
    per_type = {
        label: {**row, "gold": gold[label]}
        for label, row in sorted((scores["ner_token_per_type"] or {}).items())
    }
    total = {key: scores[f"ner_token_{key}"] for key in "prf"}
    return {
        "acc": scores["ner_token_acc"],
        ALL: {**total, "gold": gold.total()},
        "per_type": per_type,
    }
