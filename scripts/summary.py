"""Show the scores of several heads side by side, and their entities in a few sentences."""

import argparse
import sys
from pathlib import Path
from typing import Any

import spacy
import srsly
from wasabi import msg, table

from spacy_bio_crf.errors import Plain, describe
from spacy_bio_crf.metrics.tables import percent

SENTENCES = (
    "Nadia Okonkwo left Brightwater Energy last week and moved from Calgary to Lisbon.",
    "The Kestrel X2 from Halvorsen Audio is quieter than my old Sony, says Tom Brandt.",
    "A ministra Helena Sarmento visitou ontem o porto de Leixões e a sede da Naval do Douro.",
    "Send the signed copy to Ruiz & Partners, 14th floor, before the trip to South Korea.",
)


def comparison(metrics: dict[str, dict[str, Any]], level: str) -> str:
    """The table of one level, with precision, recall and F1 of each head.

    metrics (dict[str, dict]): The JSON of `bio-ner evaluate`, by head.
    level (str): "entity" or "token".
    RETURNS (str): The table, percentages.
    """
    labels = sorted({label for scores in metrics.values() for label in scores[level]["per_type"]})
    rows = []
    for label in [*labels, "all"]:
        cells = []
        for scores in metrics.values():
            found = {**scores[level]["per_type"], "all": scores[level]["all"]}.get(label, {})
            cells += [percent(found.get(key)) for key in "prf"]
        rows.append((label, *cells))
    header = ["", *(f"{head} {name}" for head in metrics for name in ("P", "R", "F1"))]
    aligns = ["l", *["r"] * (len(header) - 1)]
    return table(rows, header=header, aligns=aligns, divider=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", nargs="+", help="names of trained and evaluated heads")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"))
    parser.add_argument("--training", type=Path, default=Path("training"))
    arguments = parser.parse_args()
    metrics = {}
    for head in arguments.heads:
        path = arguments.metrics / f"{head}.json"
        if not path.is_file():
            remedy = f"run `spacy project run all . --vars.head {head}` first"
            msg.fail(
                describe(str(path), expected="figures", got=Plain("no such file"), remedy=remedy)
            )
            return 1
        metrics[head] = srsly.read_json(path)
    corpora = sorted({scores["corpus"] for scores in metrics.values()})
    for level in ("entity", "token"):
        print(f"\nPer {level}, on {', '.join(corpora)}")
        print(comparison(metrics, level), end="")
    pipelines = {head: spacy.load(arguments.training / head / "model-best") for head in metrics}
    print("\nA few sentences")
    for sentence in SENTENCES:
        print(f"\n  {sentence}")
        for head, nlp in pipelines.items():
            found = ", ".join(f"{ent.text} [{ent.label_}]" for ent in nlp(sentence).ents)
            print(f"    {head:8} {found or '-'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
