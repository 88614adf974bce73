"""Evaluate a pipeline on annotated documents: tables per entity and per token, printed and as JSON.

Works for every pipeline that sets doc.ents, so that others can be measured by the same scale.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.language import Language
from spacy.training import Corpus, Example
from wasabi import msg, table

from spacy_bio_crf.scoring import score_examples

ALL = "all"


def predict(nlp: Language, path: Path, *, limit: int = 0) -> list[Example]:
    """Run a pipeline over annotated documents, tokenised as they are for `spacy train`.

    nlp (Language): The pipeline.
    path (Path): A .spacy file.
    limit (int): How many documents to read at the most; 0 reads all.
    RETURNS (list[Example]): Predicted documents beside their references, in the file's order.
    """
    examples = list(Corpus(path, limit=limit)(nlp))
    docs = nlp.pipe(example.predicted for example in examples)
    return [Example(doc, example.reference) for doc, example in zip(docs, examples, strict=True)]


def evaluate(examples: Sequence[Example]) -> dict[str, Any]:
    """Score predictions at both levels.

    examples (Sequence[Example]): Predicted documents beside their references.
    RETURNS (dict): `documents` (how many) and, under `entity` and `token`, for `all` and for every
        label: `p`, `r` and `f` from 0 to 1 (None where there is nothing to count) and `gold` (how
        many the references have); `token` has `acc` too.
    """
    scores = score_examples(examples)
    ents = Counter(ent.label_ for example in examples for ent in example.reference.ents)
    tokens = Counter(t.ent_type_ for example in examples for t in example.reference if t.ent_type_)
    return {
        "documents": len(examples),
        "entity": _rows(scores, "ents", ents),
        "token": {"acc": scores["ner_token_acc"], **_rows(scores, "ner_token", tokens)},
    }


def _rows(scores: dict[str, Any], prefix: str, gold: Counter[str]) -> dict[str, Any]:
    per_type = {
        label: {**row, "gold": gold[label]}
        for label, row in sorted((scores[f"{prefix}_per_type"] or {}).items())
    }
    total = {key: scores[f"{prefix}_{key}"] for key in "prf"}
    return {ALL: {**total, "gold": gold.total()}, "per_type": per_type}


def show(metrics: dict[str, Any], level: str, title: str) -> None:
    """Print the table of one level.

    metrics (dict): What `evaluate` returns.
    level (str): "entity" or "token".
    title (str): What stands above.
    """
    scores = metrics[level]
    rows = [*scores["per_type"].items(), (ALL, scores[ALL])]
    accuracy = f", accuracy {percent(scores['acc'])}" if "acc" in scores else ""
    print(f"\n{title}, per {level}{accuracy}")
    print(
        table(
            [(label, *(percent(row[k]) for k in "prf"), row["gold"]) for label, row in rows],
            header=("", "P", "R", "F1", "gold"),
            aligns=("l", "r", "r", "r", "r"),
            divider=True,
        ),
        end="",
    )


def percent(score: float | None) -> str:
    """A score from 0 to 1 as people print it: 0.8 is "80.00"; "-" for None."""
    return "-" if score is None else f"{100 * score:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="pipeline: folder or installed package")
    parser.add_argument("corpus", type=Path, help="annotated documents (.spacy)")
    parser.add_argument("output", type=Path, help="where the JSON goes")
    parser.add_argument("--gpu-id", type=int, default=-1, help="-1 is the CPU")
    arguments = parser.parse_args()
    if not arguments.corpus.is_file():
        msg.fail(f"No file {arguments.corpus}: expected annotated documents (.spacy)")
        return 1
    if arguments.gpu_id >= 0:
        spacy.require_gpu(arguments.gpu_id)
    metrics = evaluate(predict(spacy.load(arguments.model), arguments.corpus))
    if metrics["documents"] == 0:
        msg.fail(f"{arguments.corpus} holds no documents: there is nothing to evaluate")
        return 1
    title = f"{arguments.model} on {arguments.corpus}, {metrics['documents']} documents"
    show(metrics, "entity", title)
    show(metrics, "token", title)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(
        arguments.output,
        {"model": arguments.model, "corpus": str(arguments.corpus), **metrics},
    )
    msg.good(f"Saved the tables to {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
