"""Two tasks on one encoder: their time, and their scores beside pipelines trained apart.

    python -m benchmarks.one_encoder speed [--encoder PATH] [--repeats N] [--threads N]
    python -m benchmarks.one_encoder scores [--encoder PATH] [--steps N] [--shared-steps N]
        [--seeds N ...] [--layers N] [--tagger-factor X] [--only KIND] [--part PART] [--gpu N]
        [--json PATH]

The tasks are the entities of the corpus in `assets/` and a label for each of its tokens, made from
the text: a function word, number or punctuation mark has its class, any other token the class of
the last function word before it. The label of most tokens so depends on what stands to their left.

`speed` annotates the test set by `bio_ner` alone, by both tasks on one encoder, and by two
pipelines, in turns, and counts the time of the processor. Quote the ratios.

`scores` trains both tasks on one encoder, and each task by itself. A step of both costs about as
much as a step of one, so `--shared-steps` may be up to twice `--steps` at equal cost. `--only`
trains one of the two, so that several settings share the other's figures.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, fix_random_seed
from wasabi import msg

from spacy_bio_crf.corpora import read

from .contestants import blank, by_words

ASSETS = Path(__file__).parents[1] / "assets"
# English and Portuguese.
CLASSES = {
    "the": "the a an this that these those o a os as um uma este esta esse essa",
    "of": "of in on at to from for with by about into de em no na nos nas do da dos das por com",
    "who": "i you he she it we they who which eu ele ela nós eles elas que quem",
    "and": "and or but if when while because e ou mas se quando porque como",
    "be": "is are was were be been has have had will would can é são foi era ser está tem há",
}
CLASS_OF = {word: name for name, words in CLASSES.items() for word in words.split()}
RATE, WARM_UP, BATCH_WORDS = 3e-4, 0.1, 600
KINDS = ("shared", "apart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", choices=["speed", "scores"])
    parser.add_argument("--encoder", default=str(ASSETS / "encoder"), help="a Hugging Face folder")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--shared-steps", type=int, default=None, help="of both tasks; as --steps")
    parser.add_argument("--only", choices=KINDS, default=None, help="train this alone")
    parser.add_argument("--part", choices=["dev", "test"], default="test", help="to score on")
    parser.add_argument("--layers", type=int, default=3, help="layers of the encoder in training")
    parser.add_argument(
        "--tagger-factor", type=float, default=1.0, help="grad_factor of the labels of tokens"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--gpu", type=int, default=-1, help="a GPU, or -1 for the CPU")
    parser.add_argument("--json", type=Path, default=None, help="write the scores here too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.gpu >= 0:
        spacy.require_gpu(args.gpu)
    if args.figure == "speed":
        show_speed(args.encoder, args.repeats)
    else:
        found = show_scores(args)
        if args.json is not None:
            settings = {k: v for k, v in vars(args).items() if k not in ("json", "figure")}
            srsly.write_json(args.json, {**settings, **found})


def show_speed(encoder: str, repeats: int) -> None:
    """Print times and ratios to `bio_ner` alone."""
    docs = corpus("test")
    few = docs[:50]
    shared, apart = pipeline(encoder, "both"), [pipeline(encoder, x) for x in ("ner", "tagger")]
    for nlp in (shared, *apart):
        nlp.initialize(lambda nlp=nlp: [Example(blank(nlp, doc), doc) for doc in few])
    times = processor_turns(
        {
            "bio_ner alone": lambda: annotate(apart[0], docs),
            "both on one encoder": lambda: annotate(shared, docs),
            "both, two encoders": lambda: annotate(apart[1], annotate(apart[0], docs)),
        },
        repeats,
    )
    first = next(iter(times.values()))
    rows = []
    for name, own in times.items():
        ratios = [a / b for a, b in zip(own, first, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append(
            (name, f"{statistics.median(own):.2f}", f"{statistics.median(ratios):.3f}", spread)
        )
    header = ("", "seconds", "ratio", "range")
    msg.table(rows, header=header, aligns=("l", "r", "r", "l"), divider=True)


def processor_turns(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Measure the processor time of each run, in turns, after one turn of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                times[name].append(time.process_time() - start)
    return times


def annotate(nlp: Language, docs: list[Doc]) -> list[Doc]:
    """RETURNS (list[Doc]): Fresh copies of documents, annotated."""
    return list(nlp.pipe([blank(nlp, doc) for doc in docs], batch_size=256))


def show_scores(args: argparse.Namespace) -> dict[str, list[float]]:
    """Print the scores of each seed, their means and the differences of these.

    RETURNS (dict[str, list[float]]): Scores of the seeds, by kind of pipeline and task.
    """
    train, test = corpus("train"), corpus(args.part)
    kinds = [kind for kind in KINDS if args.only in (None, kind)]
    found: dict[tuple[str, str], list[float]] = {(k, t): [] for k in kinds for t in ("F1", "acc")}
    rows: list[tuple[str, ...]] = []
    for seed in args.seeds:
        for kind in kinds:
            for tasks in ("both",) if kind == "shared" else ("ner", "tagger"):
                nlp = pipeline(args.encoder, tasks, args.layers, args.tagger_factor)
                steps = args.steps if kind == "apart" else args.shared_steps or args.steps
                for task, value in score(fit(nlp, train, steps, seed), test).items():
                    found[kind, task].append(value)
        rows.append((f"seed {seed}", *(f"{values[-1]:.2f}" for values in found.values())))
        # A seed takes minutes.
        print(*rows[-1], flush=True)
    for name, summarize in (("mean", statistics.mean), ("deviation", spread_of)):
        rows.append((name, *(f"{summarize(values):.2f}" for values in found.values())))
    header = ("", *(f"{task}, {kind}" for kind, task in found))
    msg.table(rows, header=header, aligns=("l", *"r" * len(found)), divider=True)
    for task in ("F1", "acc") if args.only is None else ():
        one, two = found["shared", task], found["apart", task]
        error = ((spread_of(one) ** 2 + spread_of(two) ** 2) / len(args.seeds)) ** 0.5
        difference = statistics.mean(one) - statistics.mean(two)
        msg.text(f"{task}: shared - apart = {difference:+.2f}, standard error {error:.2f}")
    return {f"{task}, {kind}": values for (kind, task), values in found.items()}


def spread_of(values: list[float]) -> float:
    """RETURNS (float): The standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def corpus(part: str) -> list[Doc]:
    """Read a part of the corpus, with entities and labels of tokens."""
    docs, _ = read(ASSETS / f"{part}.conll")
    for doc in docs:
        last = "first"
        for token in doc:
            own = CLASS_OF.get(token.lower_)
            last = own or last
            if not own and not token.is_alpha:
                own = "number" if token.is_digit else "mark"
            token.tag_ = own or f"after-{last}"
    return docs


def pipeline(encoder: str, tasks: str, layers: int | None = None, factor: float = 1.0) -> Language:
    """Make a pipeline.

    encoder (str): A Hugging Face folder.
    tasks (str): "ner", "tagger", or "both" on one encoder.
    layers (int | None): The encoder's first layers to use; None takes all.
    factor (float): On the gradient that the tagger gives to an encoder for both.
    """
    nlp = spacy.blank("xx")
    own = {
        "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
        "name": encoder,
        "casing": True,
        "layers": layers,
        "lr_scale": 1.0,
    }
    if tasks == "both":
        nlp.add_pipe("bio_encoder", config={"model": own})
    for name, only, grad_factor in (("bio_tagger", "tagger", factor), ("bio_ner", "ner", 1.0)):
        shared = {
            "@architectures": "spacy-bio-crf.SharedEncoder.v1",
            "grad_factor": grad_factor,
        }
        if tasks in ("both", only):
            model = {"encoder": shared if tasks == "both" else own}
            nlp.add_pipe(name, config={"model": model})
    return nlp


def fit(nlp: Language, docs: list[Doc], steps: int, seed: int) -> Language:
    """Train a pipeline, with a rate that rises and falls."""
    fix_random_seed(seed)
    examples = [Example(blank(nlp, doc), doc) for doc in docs]
    nlp.initialize(lambda: examples)
    optimizer = Adam(RATE, L2=0.01, grad_clip=1.0, use_averages=False)
    batches: list[list[Doc]] = []
    for step in range(steps):
        if not batches:
            order = random.Random(seed).sample(docs, len(docs))
            batches = list(by_words(order, BATCH_WORDS))
        done = (step + 1) / steps
        optimizer.learn_rate = RATE * min(done / WARM_UP, (1 - step / steps) / (1 - WARM_UP))
        batch = [Example(blank(nlp, doc), doc) for doc in batches.pop()]
        nlp.update(batch, sgd=optimizer, drop=0.1)
    return nlp


def score(nlp: Language, docs: list[Doc]) -> dict[str, float]:
    """RETURNS (dict[str, float]): Entity F1 and accuracy of labels, in percent."""
    found = nlp.evaluate([Example(blank(nlp, doc), doc) for doc in docs], batch_size=256)
    names = {"ents_f": "F1", "tag_acc": "acc"}
    return {short: 100 * (found[name] or 0.0) for name, short in names.items() if name in found}


if __name__ == "__main__":
    main()
