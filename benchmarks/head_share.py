"""Cost of the CRF head in a whole pipeline, relative to the softmax head.

    python -m benchmarks.head_share [--encoder PATH] [--repeats N] [--threads N] [--json PATH]

For each document length, both heads take turns in training steps and annotation with confidence, on
the same documents. Quote the ratio of the medians.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam
from wasabi import msg

from .contestants import bio_ner, blank

LENGTHS = (64, 128, 256, 512)
WORDS = ("the", "a", "of", "in", "to", "and", "paper", "house", "river", "north", "green", "table")
LABELS = ("PER", "ORG", "LOC", "GPE", "PROD", "DATE")
SUBWORDS = 2048  # in one batch, whatever the length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="assets/encoder", help="a Hugging Face folder")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for length in LENGTHS:
        runs = {head: tasks(args.encoder, head, length) for head in ("Softmax", "CRF")}
        for task in ("training", "inference"):
            times = turns({head: run[task] for head, run in runs.items()}, args.repeats)
            softmax, crf = (statistics.median(times[head]) for head in ("Softmax", "CRF"))
            rows.append((length, task, softmax * 1e3, crf * 1e3, crf / softmax))
    msg.table(
        [(n, task, f"{a:.0f}", f"{b:.0f}", f"{100 * (r - 1):+.1f} %") for n, task, a, b, r in rows],
        header=("sub-words", "", "softmax, ms", "CRF, ms", "CRF costs"),
        aligns=("r", "l", "r", "r", "r"),
        divider=True,
    )
    if args.json is not None:
        names = ("length", "task", "softmax_ms", "crf_ms", "ratio")
        srsly.write_json(args.json, [dict(zip(names, row, strict=True)) for row in rows])


def tasks(encoder: str, head: str, length: int) -> dict[str, Callable[[], None]]:
    """Prepare a training step and an annotation of the same documents.

    encoder (str): A Hugging Face folder.
    head (str): "Softmax" or "CRF".
    length (int): Sub-words of a document; every word is a single one.
    RETURNS (dict[str, Callable]): By name.
    """
    nlp = bio_ner(encoder, head)
    docs = [make_doc(nlp, length, seed) for seed in range(SUBWORDS // length)]
    examples = [Example(blank(nlp, doc), doc) for doc in docs]
    nlp.initialize(lambda: examples)
    optimizer = Adam(1e-5, L2=0.01, grad_clip=1.0, use_averages=False)

    def train() -> None:
        nlp.update(examples, sgd=optimizer, drop=0.1)

    def annotate() -> None:
        for _ in nlp.pipe([blank(nlp, doc) for doc in docs]):
            pass

    return {"training": train, "inference": annotate}


def make_doc(nlp: Language, length: int, seed: int) -> Doc:
    """Make a document of random words, every tenth of them an entity."""
    chance = random.Random(seed)
    doc = Doc(nlp.vocab, words=chance.choices(WORDS, k=length))
    doc.set_ents([Span(doc, i, i + 1, chance.choice(LABELS)) for i in range(0, length, 10)])
    return doc


def turns(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Time each run, in turns, after one turn of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
