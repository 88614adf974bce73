"""Labels added to a trained pipeline: F1 of the old and of the new ones, by four ways of training.

    python -m benchmarks.new_labels --seeds 0 1 2 --output FILE.jsonl [--gpu 0] [--head softmax]
    python -m benchmarks.new_labels --show FILE.jsonl …

A pipeline learns three labels of WNUT 17. Then it goes on with the same texts, in which the other
three labels alone are marked:

    naive       all other tokens are O
    annotated   `labels_annotated`: they may have any old label
    rehearsed   the same, and a rehearsal of the old model's tag sequences in every update

"old alone" is the pipeline before the new labels, "all six" one that is trained on all labels at
once, for as many steps as the two others together. F1 is exact, over the entities of three labels
together, on the test set (`--part dev`: the development set). Each result is a line of the output
as soon as it is there. WNUT 17 is found in the folder that the variable BIO_NER_CORPORA names.
"""

import argparse
import copy
import json
import os
import random
import statistics
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, fix_random_seed
from wasabi import msg

from spacy_bio_crf.corpora import read

from .contestants import blank, by_words

ASSETS = Path(__file__).parents[1] / "assets"
FILES = {
    "train": "wnut17train.conll",
    "dev": "emerging.dev.conll",
    "test": "emerging.test.annotated",
}
OLD = ("group", "location", "person")
NEW = ("corporation", "creative-work", "product")
ONCE = ("old alone", "all six")
WARM_UP, DROPOUT = 0.1, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=str(ASSETS / "encoder"), help="a Hugging Face folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--head", choices=["crf", "softmax"], default="crf")
    parser.add_argument("--steps", type=int, default=400, help="of one training")
    parser.add_argument("--words", type=int, default=600, help="in a batch")
    parser.add_argument("--rate", type=float, default=3e-4, help="highest learning rate")
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0], help="of the rehearsal")
    parser.add_argument("--part", choices=["dev", "test"], default="test")
    parser.add_argument("--limit", type=int, default=0, help="documents of each part; 0: all")
    parser.add_argument("--only", choices=["grown", "once"], help="leave out the other trainings")
    parser.add_argument("--output", type=Path, help="JSON lines, to which results are added")
    parser.add_argument("--gpu", type=int, default=-1)
    parser.add_argument("--show", type=Path, nargs="+", help="print results that are there")
    args = parser.parse_args()
    if args.show:
        lines = [line for path in args.show for line in path.open(encoding="utf-8")]
        show([json.loads(line) for line in lines])
        return
    if args.gpu >= 0:
        spacy.require_gpu(args.gpu)
    results = []
    for seed in args.seeds:
        for result in trainings(args, seed):
            results.append(result)
            print(result, flush=True)
            if args.output is not None:
                with args.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
    show(results)


def trainings(args: argparse.Namespace, seed: int) -> Iterator[dict[str, Any]]:
    """Train in all ways with one seed, and score each pipeline."""
    docs = {part: corpus(part, args.limit) for part in ("train", args.part)}
    started = time.perf_counter()

    def result(method: str, nlp: Language) -> dict[str, Any]:
        scores = score(nlp, docs[args.part])
        seconds = round(time.perf_counter() - started, 1)
        own = {"head": args.head, "part": args.part, "steps": args.steps}
        return {"method": method, "seed": seed, **scores, **own, "seconds": seconds}

    if args.only != "grown":
        nlp = pipeline(args.encoder, args.head)
        fit(nlp, docs["train"], args, seed, steps=2 * args.steps)
        yield result("all six", nlp)
    if args.only == "once":
        return
    known = pipeline(args.encoder, args.head)
    fit(known, marked(docs["train"], OLD), args, seed, steps=args.steps)
    yield result("old alone", known)
    data = {"naive": marked(docs["train"], NEW)}
    data["annotated"] = [copy_of(doc, NEW) for doc in data["naive"]]
    ways = [("naive", 0.0), ("annotated", 0.0), *(("annotated", w) for w in args.weights)]
    for name, weight in ways:
        nlp = copy.deepcopy(known)
        nlp.get_pipe("bio_ner").rehearsal = weight  # type: ignore[attr-defined]
        fit(nlp, data[name], args, seed, steps=args.steps, resumes=True)
        yield result(f"rehearsed, {weight:g}" if weight else name, nlp)


def corpus(part: str, limit: int = 0) -> list[Doc]:
    """RETURNS (list[Doc]): A part of WNUT 17, with all labels."""
    path = Path(os.environ["BIO_NER_CORPORA"]) / "wnut17" / FILES[part]
    docs, _ = read(path, lang="en")
    return docs[: limit or None]


def marked(docs: list[Doc], labels: Collection[str]) -> list[Doc]:
    """RETURNS (list[Doc]): Copies in which some labels are marked, and other entities are O."""
    copies = [doc.copy() for doc in docs]
    for doc in copies:
        doc.set_ents([ent for ent in doc.ents if ent.label_ in labels], default="outside")
    return copies


def copy_of(doc: Doc, labels: Collection[str]) -> Doc:
    """RETURNS (Doc): A copy that says which labels are annotated."""
    own = doc.copy()
    own.user_data["labels_annotated"] = list(labels)
    return own


def pipeline(encoder: str, head: str) -> Language:
    """RETURNS (Language): A blank pipeline with a `bio_ner`."""
    nlp = spacy.blank("en")
    model = {
        "encoder": {"name": encoder, "casing": True, "lr_scale": 1.0},
        "head": {"@architectures": f"spacy-bio-crf.{'CRF' if head == 'crf' else 'Softmax'}Head.v1"},
    }
    nlp.add_pipe("bio_ner", config={"model": model})
    return nlp


def fit(
    nlp: Language,
    docs: list[Doc],
    args: argparse.Namespace,
    seed: int,
    *,
    steps: int,
    resumes: bool = False,
) -> None:
    """Train a pipeline, with a rate that rises and falls."""
    fix_random_seed(seed)
    shuffler = random.Random(seed)
    optimizer = Adam(args.rate, L2=0.01, grad_clip=1.0, use_averages=False)
    examples = [Example(blank(nlp, doc), doc) for doc in docs]
    if resumes:
        nlp.resume_training(sgd=optimizer)
    else:
        nlp.initialize(lambda: examples, sgd=optimizer)
    batches: list[list[Doc]] = []
    for step in range(steps):
        if not batches:
            batches = list(by_words(shuffler.sample(docs, len(docs)), args.words))
        done = (step + 1) / steps
        optimizer.learn_rate = args.rate * min(done / WARM_UP, (1 - step / steps) / (1 - WARM_UP))
        batch = [Example(blank(nlp, doc), doc) for doc in batches.pop()]
        nlp.update(batch, sgd=optimizer, drop=DROPOUT)


def score(nlp: Language, docs: list[Doc]) -> dict[str, float]:
    """RETURNS (dict[str, float]): Exact F1 of the old and of the new labels, in percent."""
    found = list(nlp.pipe([blank(nlp, doc) for doc in docs], batch_size=256))
    return {
        name: round(f1([spans(doc, own) for doc in docs], [spans(doc, own) for doc in found]), 2)
        for name, own in (("old", OLD), ("new", NEW))
    }


def spans(doc: Doc, labels: Collection[str]) -> set[tuple[int, int, str]]:
    """RETURNS (set): The entities with some labels."""
    return {(ent.start, ent.end, ent.label_) for ent in doc.ents if ent.label_ in labels}


def f1(gold: list[set], found: list[set]) -> float:
    """RETURNS (float): F1 over all documents, in percent; 0 without an entity."""
    right = sum(len(a & b) for a, b in zip(gold, found, strict=True))
    total = sum(map(len, gold)) + sum(map(len, found))
    return 200.0 * right / total if total else 0.0


def show(results: list[dict[str, Any]]) -> None:
    """Print means and deviations over the seeds, and the differences to the trainings at once."""
    for head in sorted({result["head"] for result in results}):
        own = [result for result in results if result["head"] == head]
        means = {
            method: {
                name: [r[name] for r in own if r["method"] == method] for name in ("old", "new")
            }
            for method in dict.fromkeys(result["method"] for result in own)
        }
        rows = []
        for method, values in means.items():
            row = [method, str(len(values["old"]))]
            for name, other in zip(("old", "new"), ONCE, strict=True):
                mean = statistics.mean(values[name])
                spread = statistics.stdev(values[name]) if len(values[name]) > 1 else 0.0
                row.append(f"{mean:.1f} ± {spread:.1f}")
                there = other in means
                row.append(f"{mean - statistics.mean(means[other][name]):+.1f}" if there else "")
            rows.append(row)
        header = (head, "seeds", "F1 old", "to old alone", "F1 new", "to all six")
        msg.table(rows, header=header, aligns=("l", "r", "r", "r", "r", "r"), divider=True)


if __name__ == "__main__":
    main()
