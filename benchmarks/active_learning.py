"""Active learning: F1 against annotated tokens, each strategy of `bio-ner select` beside random.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.active_learning --output curves.jsonl
        [--gpu 0] [--jobs 6] [--precision bf16] [--layers N] [--words N]
        [--corpora NAME ...] [--strategies NAME ...] [--seeds N ...]
    python -m benchmarks.active_learning --output curves.jsonl --show [--chart curves.svg]
    python -m benchmarks.active_learning --output errors.jsonl --errors

A job is one corpus and one seed. It begins with random documents, the same for all strategies, so
that they share the first training. In each round a strategy trains anew from the pre-trained
weights, measures F1 on the test set, and then adds documents from the rest of the training set
until the next number of tokens. "full" is a job of its own, and trains once, on all documents.

Each round is one line of the output, written when it is known; strategies that are complete there
are not run again. All jobs together take 30,300 training steps: 100 in the first round, 650 for
each of 7 strategies, and 400 for all documents, on 2 corpora with 3 seeds. Needed below the folder
of corpora: `wnut17` and `uner_pt_bosque`.

`--errors` asks for less, with one training for each corpus and seed: the number of mistakes that
the model makes in the documents that each strategy chooses next.
"""

import argparse
import json
import multiprocessing
import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import fix_random_seed
from thinc.api import Adam, warmup_linear

from spacy_bio_crf.corpora import read
from spacy_bio_crf.heads.doubt import Doubt, measure_doubt
from spacy_bio_crf.selection import Strategy, document_vectors, k_center

from .adapters import CORPORA, components, examples, pipeline
from .learning_curves import FULL, curves_of, full_scores, read_rounds, show

ROOT = Path(__file__).parents[1]
NAMES = ("WNUT 17", "Bosque")
STRATEGIES: dict[str, Strategy] = {
    "random": Strategy("random"),
    "entropy": Strategy("entropy"),
    "entropy per token": Strategy("entropy", per_token=True),
    "margin": Strategy("margin"),
    "least confidence": Strategy("least-confidence"),
    # With all labels of the corpus: the expected number of entities.
    "rare": Strategy("rare", labels=("all",)),
    "entropy, diverse": Strategy("entropy"),
}
BUDGETS = {2_000: 100, 4_000: 120, 8_000: 150, 16_000: 180, 32_000: 200}  # tokens: steps
FULL_STEPS = 400
MOST_DOCS = 5_000  # of a training set that strategies choose from; "full" has all
RATE, DROPOUT = 2e-4, 0.1


@dataclass(frozen=True)
class Settings:
    """What all jobs have in common.

    encoder (str): A Hugging Face folder.
    output (Path): The file that gets a line for each round.
    gpu (int): A GPU, or -1.
    precision (str): Of the encoder.
    layers (int): Of the encoder, the first ones; below 0, all but as many of the last ones.
    words (int): About as many in a batch.
    full_steps (int): Of the training on all documents.
    share (float): Factor on the numbers of tokens and steps.
    """

    encoder: str
    output: Path
    gpu: int = -1
    precision: str = "fp32"
    layers: int = -1
    words: int = 600
    full_steps: int = FULL_STEPS
    share: float = 1.0

    def start(self) -> None:
        """Prepare the process of a job."""
        torch.set_num_threads(1)
        if self.gpu >= 0:
            spacy.require_gpu(self.gpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="JSON lines, added to")
    parser.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    parser.add_argument("--corpora", nargs="*", default=NAMES, choices=list(CORPORA))
    parser.add_argument("--strategies", nargs="*", default=[FULL, *STRATEGIES])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--gpu", type=int, default=-1, help="-1 for the CPU")
    parser.add_argument("--jobs", type=int, default=1, help="side by side")
    parser.add_argument("--precision", default="fp32", help="of the encoder")
    parser.add_argument("--layers", type=int, default=-1, help="of the encoder; -1: all but one")
    parser.add_argument("--words", type=int, default=600, help="in a batch")
    parser.add_argument("--full-steps", type=int, default=FULL_STEPS, help="on all documents")
    parser.add_argument("--share", type=float, default=1.0, help="of tokens and steps, for a try")
    parser.add_argument("--errors", action="store_true", help="count mistakes in what is chosen")
    parser.add_argument("--show", action="store_true", help="tables of the output, no training")
    parser.add_argument("--chart", type=Path, default=None, help="draw the output, with --show")
    args = parser.parse_args()
    names = [field.name for field in fields(Settings)]
    settings = Settings(**{name: getattr(args, name) for name in names})
    if args.errors:
        for corpus in args.corpora:
            for seed in args.seeds:
                count_errors(corpus, seed, settings)
        return
    known = read_rounds(args.output)
    if args.show:
        show(known)
        if args.chart is not None:
            from .chart import draw_curves

            draw_curves(curves_of(known), full_scores(known), args.chart)
        return
    complete = {(r["corpus"], r["strategy"], r["seed"]) for r in known if r["round"] == r["rounds"]}
    jobs = []
    for seed in args.seeds:
        for corpus in args.corpora:
            own = [name for name in args.strategies if (corpus, name, seed) not in complete]
            parts = [name for name in own if name != FULL], [name for name in own if name == FULL]
            jobs += [(corpus, part, seed) for part in parts if part]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context) as workers:
        for future in [workers.submit(run, *job, settings) for job in jobs]:
            future.result()
    show(read_rounds(args.output))


def count_errors(corpus: str, seed: int, settings: Settings) -> None:
    """Train once, and count the mistakes in the documents that each strategy chooses next: gold
    entities that are missed and entities that are not gold. The arguments are those of `run`."""
    settings.start()
    gold, labels, _ = parts_of(corpus)
    random.Random(seed).shuffle(gold)
    budget, steps = list(BUDGETS.items())[1]
    budget = round(budget * settings.share)
    chosen, rest = take([], gold, list(range(len(gold))), budget)
    rest = rest[: round(MOST_DOCS * settings.share)]
    nlp = fit(CORPORA[corpus][0], labels, chosen, seed, steps, settings)
    for name in STRATEGIES:
        order = choose(nlp, rest, name, seed, budget)
        own, _ = take([], rest, order, budget)
        found = examples(nlp, [eg.reference for eg in own])
        docs = nlp.pipe([eg.predicted for eg in found])
        n_gold = n_wrong = 0
        for doc, eg in zip(docs, found, strict=True):
            spans = [{(e.start, e.end, e.label_) for e in d.ents} for d in (doc, eg.reference)]
            n_gold += len(spans[1])
            n_wrong += len(spans[0] ^ spans[1])
        tokens = sum(map(size_of, own))
        line = {"corpus": corpus, "seed": seed, "strategy": name, "tokens": tokens}
        line |= {"documents": len(own), "entities": n_gold, "mistakes": n_wrong}
        line["mistakes per 1,000 tokens"] = round(1000 * n_wrong / tokens, 1)
        print(line, flush=True)
        write_line(settings.output, line)


def run(corpus: str, names: list[str], seed: int, settings: Settings) -> None:
    """Run a job, and append a line to the output after each round.

    corpus (str): A key of `CORPORA`.
    names (list[str]): Keys of `STRATEGIES`, or "full" alone.
    seed (int): Of the first documents, the weights, dropout and the order of documents.
    settings (Settings): Those of all jobs.
    """
    settings.start()
    gold, labels, test = parts_of(corpus)
    random.Random(0).shuffle(gold)
    full = names == [FULL]
    rounds = {sum(map(size_of, gold)): settings.full_steps} if full else BUDGETS
    pool = gold if full else gold[:MOST_DOCS]
    random.Random(seed).shuffle(pool)
    first: tuple[Language, float] | None = None
    for name in names:
        chosen: list[Example] = []
        # The first documents are random ones.
        rest, order = pool, list(range(len(pool)))
        for number, (budget, steps) in enumerate(rounds.items(), start=1):
            begun = time.perf_counter()
            chosen, rest = take(chosen, rest, order, budget * (1.0 if full else settings.share))
            if number > 1 or first is None:
                nlp = fit(CORPORA[corpus][0], labels, chosen, seed, steps, settings)
                f1 = 100.0 * nlp.evaluate(examples(nlp, test))["ents_f"]
                first = first or (nlp, f1)
            else:
                nlp, f1 = first
            trained = time.perf_counter()
            if number < len(rounds):
                order = choose(nlp, rest, name, seed, sum(map(size_of, chosen)))
            line = {
                "corpus": corpus,
                "strategy": name,
                "seed": seed,
                "round": number,
                "rounds": len(rounds),
                "tokens": sum(map(size_of, chosen)),
                "documents": len(chosen),
                "entities": sum(len(eg.reference.ents) for eg in chosen),
                "f1": f1,
                "training": trained - begun,
                "choosing": time.perf_counter() - trained,
            }
            write_line(settings.output, line)


def parts_of(corpus: str) -> tuple[list[Example], list[str], list[Doc]]:
    """RETURNS (tuple): The training set of a corpus without empty documents, its labels, and the
    documents of the test set."""
    lang, *files = CORPORA[corpus]
    folder = Path(os.environ.get("BIO_NER_CORPORA", "."))
    train, test = (read([folder / file], lang=lang)[0] for file in files)
    gold = examples(spacy.blank(lang), [doc for doc in train if len(doc)])
    return gold, sorted({ent.label_ for eg in gold for ent in eg.reference.ents}), list(test)


def write_line(path: Path, line: dict[str, Any]) -> None:
    """Append a line of JSON, in one write, so that lines of several jobs do not mix."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def size_of(example: Example) -> int:
    """RETURNS (int): The tokens of a document."""
    return len(example.reference)


def take(
    chosen: list[Example], rest: list[Example], order: list[int], budget: float
) -> tuple[list[Example], list[Example]]:
    """Take documents in an order until there are as many tokens as wanted.

    RETURNS (tuple): The chosen documents, with those before, and the rest.
    """
    total = sum(map(size_of, chosen))
    taken: set[int] = set()
    for i in order:
        if total >= budget:
            break
        taken.add(i)
        total += size_of(rest[i])
    chosen = [*chosen, *(rest[i] for i in order if i in taken)]
    return chosen, [eg for i, eg in enumerate(rest) if i not in taken]


def fit(
    lang: str, labels: list[str], chosen: list[Example], seed: int, steps: int, settings: Settings
) -> Language:
    """Train a `bio_ner` from the pre-trained weights. It has all labels from the beginning."""
    fix_random_seed(seed)
    torch.manual_seed(seed)
    options = {"casing": True, "layers": settings.layers, "precision": settings.precision}
    nlp = pipeline(lang, settings.encoder, 1, options)
    gold = examples(nlp, [eg.reference for eg in chosen])
    for label in labels:
        components(nlp)[0].add_label(label)
    nlp.initialize(lambda: gold)
    steps = max(1, round(steps * settings.share))
    sgd = Adam(warmup_linear(RATE, steps // 10, steps), L2=0.01, grad_clip=1.0)
    chance, done = random.Random(seed), 0
    while done < steps:
        chance.shuffle(gold)
        for batch in minibatch_by_words(gold, settings.words, get_length=len):
            if done < steps:
                nlp.update(batch, sgd=sgd, drop=DROPOUT)
                sgd.step_schedules()
                done += 1
    return nlp


def choose(nlp: Language, rest: list[Example], name: str, seed: int, tokens: int) -> list[int]:
    """Order the documents that are left by a strategy.

    tokens (int): As many tokens will be taken, for "diverse" strategies from a pool of three times
        that.
    RETURNS (list[int]): Places in `rest`.
    """
    if name == "random":
        return list(range(len(rest)))
    ner = components(nlp)[0]
    docs = [eg.predicted for eg in examples(nlp, [eg.reference for eg in rest])]
    doubts: list[Doubt] = []
    for first in range(0, len(docs), 500):
        lattice = ner.lattice(docs[first : first + 500])
        doubts += measure_doubt(lattice, [None] * len(lattice.tokens), ner.reading())
    strategy = STRATEGIES[name]
    if strategy.labels:
        strategy = replace(strategy, labels=tuple(ner.labels))
    scores = np.array([strategy.score(doubt, b"") for doubt in doubts])
    order = np.argsort(-scores, kind="stable").tolist()
    if not name.endswith("diverse"):
        return order
    ends = np.cumsum([size_of(rest[i]) for i in order])
    pool = order[: int(np.searchsorted(ends, 3 * tokens)) + 1]
    vectors = document_vectors(nlp, ner, [rest[i].reference.text for i in pool])
    first_ones = [pool[i] for i in k_center(vectors, len(pool))]
    return [*first_ones, *order[len(pool) :]]


if __name__ == "__main__":
    main()
