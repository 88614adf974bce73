"""Models of two encoders, and small ones that learn from what both are sure of, on WNUT 17.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.two_encoders train --folder DIR [--seeds 0 1 2]
    BIO_NER_CORPORA=FOLDER python -m benchmarks.two_encoders time --folder DIR [--repeats 7]

`train` makes for each seed, on one core:

* `minilm` (5 layers) and `e5` (6 layers), trained on the training data;
* `both`: the ensemble of these two;
* `minilm-self`, `e5-self` and `minilm-3-self` (3 layers), new models that learn from the training
  data and from texts without annotation: `both` annotates the tweets of the Broad Twitter Corpus,
  and those with an entity and a sure analysis are taken (`benchmarks.recipes`, self-training);
* `both-self`: the ensemble of the new `minilm` and `e5`.

Dev and test are scored once, after the last step. Each model is a line of DIR/results.jsonl, and a
folder of DIR; those that are there are not made again.

`time` compares CPU time per word of the first seed's pipelines, in turns in one process.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from spacy_bio_crf.combine import make_ensemble

from .distillation import ROOT, print_times
from .encoder_search import combinations, example
from .recipes import annotate_surely, read_lines, read_part, train

CORPUS = "wnut17"


@dataclass(frozen=True)
class Plan:
    """A model to train.

    encoder (str): A folder of assets.
    settings (str): As for `benchmarks.encoder_search`.
    more_texts (bool): Learn from texts without annotation, too.
    """

    encoder: str
    settings: str
    more_texts: bool = False


MINILM, E5 = "words=400 casing=1 precision=bf16", "words=600 layers=6 precision=bf16"
PLANS: dict[str, Plan | tuple[str, str]] = {
    "minilm": Plan("encoder", f"{MINILM} layers=-1 steps=300"),
    "e5": Plan("e5", f"{E5} steps=420"),
    "both": ("minilm", "e5"),
    "minilm-self": Plan("encoder", f"{MINILM} layers=-1 steps=600", more_texts=True),
    "minilm-3-self": Plan("encoder", f"{MINILM} layers=3 steps=600", more_texts=True),
    "e5-self": Plan("e5", f"{E5} steps=600", more_texts=True),
    "both-self": ("minilm-self", "e5-self"),
}
TEACHER = "both"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("train", "time"))
    parser.add_argument("--folder", type=Path, required=True, help="of models and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--names", nargs="+", default=list(PLANS), choices=PLANS)
    parser.add_argument("--repeats", type=int, default=7, help="runs of each model, for time")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.action == "time":
        compare_times(args.folder, args.seeds[0], args.repeats)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    parts = {part: read_part(CORPUS, part) for part in ("train", "dev", "test", "texts")}
    for seed in args.seeds:
        make_models(args.folder, seed, parts, args.names)
    show(read_lines(args.folder / "results.jsonl"))


def make_models(folder: Path, seed: int, parts: dict[str, list[Doc]], names: list[str]) -> None:
    """Make the models of a seed that are not there yet, and score them."""
    results = folder / "results.jsonl"
    known = {line["name"] for line in read_lines(results) if line["seed"] == seed}
    more: list[Doc] | None = None
    for name, plan in PLANS.items():
        if name not in names or name in known:
            continue
        began = time.perf_counter()
        if isinstance(plan, tuple):
            nlp = make_ensemble({part: spacy.load(folder / f"{part}-{seed}") for part in plan})
        else:
            gold = parts["train"]
            if plan.more_texts:
                if more is None:
                    more = annotate_surely(spacy.load(folder / f"{TEACHER}-{seed}"), parts["texts"])
                gold = [*gold, *more]
            job = combinations([*plan.settings.split(), f"seed={seed}"])[0]
            nlp = train(str(ROOT / "assets" / plan.encoder), "en", gold, job)
        nlp.to_disk(folder / f"{name}-{seed}")
        line: dict[str, Any] = {"seed": seed, "name": name}
        line["seconds"] = round(time.perf_counter() - began)
        for part in ("dev", "test"):
            found = nlp.evaluate([example(nlp, doc) for doc in parts[part]])
            line[part] = [round(100.0 * (found[f"ents_{key}"] or 0.0), 2) for key in "prf"]
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def compare_times(folder: Path, seed: int, repeats: int) -> None:
    """Print CPU time per word of the test set, as medians of runs in turns."""
    docs = read_part(CORPUS, "test")
    found = {name: folder / f"{name}-{seed}" for name in PLANS}
    models = {name: spacy.load(path) for name, path in found.items() if path.is_dir()}
    print_times(
        models,
        lambda nlp: measure(nlp, docs),
        words=sum(map(len, docs)),
        repeats=repeats,
        beside={TEACHER: TEACHER},
    )


def measure(nlp: Language, docs: list[Doc]) -> float:
    """RETURNS (float): Seconds of CPU time for the entities of tokenized documents."""
    fresh = [example(nlp, doc).predicted for doc in docs]
    began = time.process_time()
    for _ in nlp.pipe(fresh, batch_size=256):
        pass
    return time.process_time() - began


def show(lines: list[dict[str, Any]]) -> None:
    """Print means and standard deviations over seeds."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        by_name[line["name"]].append(line)
    rows = []
    for name in PLANS:
        own = by_name[name]
        columns = [[line["dev"][2] for line in own]]
        columns += [[line["test"][i] for line in own] for i in range(3)]
        if own:
            rows.append((name, len(own), *map(spread, columns)))
    header = ("", "seeds", "dev F1", "test P", "R", "F1")
    msg.table(rows, header=header, aligns=("l", *"rrrrr"), divider=True)


def spread(values: list[float]) -> str:
    """RETURNS (str): Mean and standard deviation of a sample: "46.8 ± 0.4"."""
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
