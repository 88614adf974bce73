"""Groups of labels beside two components and one, on the corpus of overlapping entities.

    python -m benchmarks.groups [--encoder PATH] [--epochs N] [--seeds N] [--repeats N]
                                [--threads N] [--json PATH]

Each contestant trains on `assets/layered-train.jsonl` and is scored on `layered-dev.jsonl`, over
all entities: one flat `bio_ner` (the outermost entities alone), two `bio_ner` with a transformer
each (outer and inner labels), one with two groups, and one with a group per label. Then all take
turns in training steps and in annotation, in this process, by CPU time. Quote the ratios.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch
from thinc.api import Adam
from wasabi import msg

from spacy_bio_crf.corpora import read
from spacy_bio_crf.corpora.options import GOLD_SPANS_KEY

ASSETS = Path(__file__).parents[1] / "assets"
GROUPS = {"outer": ["ORG", "EVENT", "ROLE"], "inner": ["PER", "LOC"]}
# From a contestant to its components: the options of each, and the labels that it learns.
CONTESTANTS: dict[str, list[tuple[dict, Sequence[str]]]] = {
    "one, flat": [({}, ())],
    "two components": [({}, GROUPS["outer"]), ({}, GROUPS["inner"])],
    "two groups": [({"groups": GROUPS}, ())],
    "per label": [({"groups": "per_label"}, ())],
}
BATCH = 16  # documents
Spans = set[tuple[int, int, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=str(ASSETS / "encoder"), help="a Hugging Face folder")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, dev = (
        read(ASSETS / f"layered-{part}.jsonl", layers=True)[0] for part in ("train", "dev")
    )
    scores: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    runs: dict[str, dict[str, Callable[[], None]]] = {}
    for seed in range(args.seeds):
        for name, parts in CONTESTANTS.items():
            fitted = [
                fit(args.encoder, options, labels, train, epochs=args.epochs, seed=seed)
                for options, labels in parts
            ]
            found = [annotate(nlp, dev) for nlp in fitted]
            scores[name].append(
                f1([set[tuple].union(*sides) for sides in zip(*found, strict=True)], dev)
            )
            runs[name] = tasks(fitted, [labels for _, labels in parts], train, dev)
    times = {task: turns(runs, task, args.repeats) for task in ("training", "prediction")}
    first = next(iter(CONTESTANTS))
    rows = []
    for name in CONTESTANTS:
        ratios = [times[task][name] / times[task][first] for task in times]
        rows.append((name, 100 * statistics.mean(scores[name]), *ratios))
    msg.table(
        [(name, f"{f:.2f}", f"{a:.3f}", f"{b:.3f}") for name, f, a, b in rows],
        header=("", "F1, all entities", "training, × one", "prediction, × one"),
        aligns=("l", "r", "r", "r"),
        divider=True,
    )
    if args.json is not None:
        names = ("contestant", "f", "training", "prediction")
        srsly.write_json(args.json, [dict(zip(names, row, strict=True)) for row in rows])


def fit(
    encoder: str,
    options: dict,
    labels: Sequence[str],
    docs: Sequence[Doc],
    *,
    epochs: int,
    seed: int,
) -> Language:
    """Train a pipeline with one component.

    options (dict): Of the component.
    labels (Sequence[str]): The labels that it learns, in `doc.ents`; empty for all.
    """
    fix_random_seed(seed)
    nlp = spacy.blank("xx")
    groups = bool(options)
    config = {
        "model": {
            "@architectures": "spacy-bio-crf.BioTagger.v1",
            "encoder": {"@architectures": "spacy-bio-crf.TransformerEncoder.v1", "name": encoder},
            "head": {"@architectures": "spacy-bio-crf.CRFHead.v1"},
        },
        **options,
        "gold_spans_key": GOLD_SPANS_KEY if groups else None,
    }
    nlp.add_pipe("bio_ner", config=config)
    examples = examples_of(nlp, docs, labels, groups=groups)
    optimizer = nlp.initialize(lambda: examples)
    rng = random.Random(seed)
    total = epochs * (-(-len(examples) // BATCH))
    step = 0
    for _ in range(epochs):
        rng.shuffle(examples)
        for batch in minibatch(examples, BATCH):
            optimizer.learn_rate = 3e-4 * (1 - step / total)
            nlp.update(batch, sgd=optimizer, drop=0.1)
            step += 1
    return nlp


def examples_of(
    nlp: Language, docs: Sequence[Doc], labels: Sequence[str], *, groups: bool
) -> list[Example]:
    """Gold in `doc.spans` for groups; else in `doc.ents`, of some labels or the outermost ones."""
    examples = []
    for doc in docs:
        words, spaces = [t.text for t in doc], [bool(t.whitespace_) for t in doc]
        predicted, reference = (Doc(nlp.vocab, words=words, spaces=spaces) for _ in range(2))
        spans = [Span(reference, s.start, s.end, s.label_) for s in doc.spans[GOLD_SPANS_KEY]]
        if groups:
            reference.spans[GOLD_SPANS_KEY] = spans
        elif labels:
            reference.set_ents([span for span in spans if span.label_ in labels])
        else:
            reference.set_ents([Span(reference, e.start, e.end, e.label_) for e in doc.ents])
        examples.append(Example(predicted, reference))
    return examples


def annotate(nlp: Language, docs: Sequence[Doc]) -> list[Spans]:
    """The entities that a pipeline finds in each document."""
    blanks = [eg.predicted for eg in examples_of(nlp, docs, (), groups=True)]
    return [{(s.start, s.end, s.label_) for s in doc.spans["bio_ner"]} for doc in nlp.pipe(blanks)]


def f1(found: Sequence[Spans], docs: Sequence[Doc]) -> float:
    """F1 over all entities of the gold layers."""
    gold = [{(s.start, s.end, s.label_) for s in doc.spans[GOLD_SPANS_KEY]} for doc in docs]
    right = sum(len(a & b) for a, b in zip(found, gold, strict=True))
    return 2 * right / (sum(map(len, found)) + sum(map(len, gold)))


def tasks(
    fitted: Sequence[Language],
    labels: Sequence[Sequence[str]],
    train: Sequence[Doc],
    dev: Sequence[Doc],
) -> dict[str, Callable[[], None]]:
    """A training step and an annotation by all components of a contestant.

    The learning rate of the step is zero: it costs the same, and the weights stay.
    """
    batches = [
        examples_of(nlp, train[: 2 * BATCH], own, groups=nlp.get_pipe("bio_ner").groups is not None)
        for nlp, own in zip(fitted, labels, strict=True)
    ]
    optimizers = [Adam(0.0) for _ in fitted]

    def train_step() -> None:
        for nlp, batch, optimizer in zip(fitted, batches, optimizers, strict=True):
            nlp.update(batch, sgd=optimizer)

    def predict() -> None:
        for nlp in fitted:
            annotate(nlp, dev)

    return {"training": train_step, "prediction": predict}


def turns(
    runs: dict[str, dict[str, Callable[[], None]]], task: str, repeats: int
) -> dict[str, float]:
    """Median CPU time of a task, all contestants in turns, after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, own in runs.items():
            begin = time.process_time()
            own[task]()
            if turn:
                times[name].append(time.process_time() - begin)
    return {name: statistics.median(own) for name, own in times.items()}


if __name__ == "__main__":
    main()
