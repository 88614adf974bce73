"""Words per second of this project and of its peers, side by side in one run.

    python -m benchmarks.speed --train corpus/train.spacy --test corpus/test.spacy

Without corpora, the project's own are used. All contestants have the same weights, documents and
batches, and take turns. Memory is measured in a process for each on a CPU, and by torch on a GPU
(`--gpu-id 0`). Quote the ratios: absolute figures depend on the machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
from spacy.tokens import Doc
from wasabi import msg

from .chart import draw
from .contestants import BARE, HF, PAIR, Contestant, count, device, inference, read, training
from .scale import MEGABYTE, Watch
from .stages import stages

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="assets/encoder", help="a Hugging Face folder")
    parser.add_argument("--train", type=Path, default=None, help="else the project's corpus")
    parser.add_argument("--test", type=Path, default=None, help="else the project's corpus")
    parser.add_argument("--words", type=int, default=10_000, help="of each corpus, at the most")
    parser.add_argument("--batch-words", type=int, default=600, help="words in a training batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--gpu-id", type=int, default=-1, help="-1 is the CPU")
    parser.add_argument(
        "--base-size",
        action="store_true",
        help="random weights of BERT-base, tokenizer kept",
    )
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    parser.add_argument(
        "--plot", type=Path, default=None, help="draw the figures; the suffix selects the format"
    )
    parser.add_argument("--memory-of", default=None, help="measure one contestant's memory alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.gpu_id >= 0:
        spacy.require_gpu(args.gpu_id)
    with tempfile.TemporaryDirectory() as place:
        train, test = (
            read(path or own_corpus(part, Path(place)), args.words)
            for part, path in (("train", args.train), ("test", args.test))
        )
        if args.base_size:
            args.encoder = base_size(args.encoder, Path(place))
        compete(args, train, test)


def compete(args: argparse.Namespace, train: list[Doc], test: list[Doc]) -> None:
    """Measure speed, shares and memory, or only the memory of one contestant."""
    if args.memory_of is not None:
        sys.stdout.write(json.dumps(rise(args.encoder, train, test, args.memory_of)) + "\n")
        return
    makers = inference(args.encoder, train, test)
    chosen = best(args.encoder, train, test)
    names = [name for name in makers if not name.startswith(HF) or name == chosen]
    figures: dict[str, Any] = {
        "training": race(
            training(args.encoder, train, args.batch_words), count(train), args.repeats
        ),
        "inference": race([makers[name]() for name in names], count(test), args.repeats),
        "stages": stages(args.encoder, train, test, args.repeats),
        "memory": {name: memory(args, train, test, name) for name in names},
    }
    for part, baseline in (("training", PAIR), ("inference", f"{BARE}, fp32")):
        show(part, figures[part], baseline)
    show_shares(figures["stages"])
    msg.divider("inference, memory above the loaded pipeline")
    msg.table(
        [(name, f"{size:,.0f}") for name, size in figures["memory"].items()],
        header=("", "MB"),
        aligns=("l", "r"),
        divider=True,
    )
    if args.json is not None:
        srsly.write_json(args.json, figures)
    if args.plot is not None:
        draw(figures, args.plot)


def own_corpus(part: str, place: Path) -> Path:
    """Convert a part of the project's corpus."""
    path = place / f"{part}.spacy"
    source = ROOT / "assets" / f"{part}.conll"
    command = [sys.executable, "-m", "spacy", "bio-ner", "convert", str(source), str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def best(encoder: str, train: list[Doc], test: list[Doc]) -> str:
    """Find the fastest batch size of the transformers pipeline, as a contestant's name."""
    makers = inference(encoder, train, test)
    trials = [make() for name, make in makers.items() if name.startswith(HF)]
    speeds = race(trials, count(test), 1)
    return max(speeds, key=lambda name: speeds[name][0])


def base_size(encoder: str, place: Path) -> str:
    """Save a random BERT of base size (110 million parameters) with an encoder's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = place / "base-size"
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
    return str(folder)


def memory(args: argparse.Namespace, train: list[Doc], test: list[Doc], name: str) -> float:
    """Measure the megabytes that annotation needs above the loaded pipeline; on a CPU, in a process
    of its own."""
    if device() == "cuda":
        return rise(args.encoder, train, test, name)
    command = [sys.executable, "-m", "benchmarks.speed", *sys.argv[1:], "--memory-of", name]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(out.splitlines()[-1]))


def rise(encoder: str, train: list[Doc], test: list[Doc], name: str) -> float:
    """Measure the same in this process."""
    contestant = inference(encoder, train, test)[name]()
    if device() == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        contestant.run()
        return (torch.cuda.max_memory_allocated() - before) / MEGABYTE
    with Watch() as watch:
        contestant.run()
    return watch.rise / MEGABYTE


def race(contestants: list[Contestant], words: int, repeats: int) -> dict[str, list[float]]:
    """Measure words per second of every contestant in every round, after one round of warm-up.

    contestants (list[Contestant]): They take turns, so a slow moment affects all of them.
    words (int): The number of words in one run.
    repeats (int): Rounds that count.
    RETURNS (dict[str, list[float]]): Words per second, by name.
    """
    figures: dict[str, list[float]] = {c.name: [] for c in contestants}
    for turn in range(repeats + 1):
        for contestant in contestants:
            start = time.perf_counter()
            contestant.run()
            if device() == "cuda":
                torch.cuda.synchronize()
            if turn:
                figures[contestant.name].append(words / (time.perf_counter() - start))
    return figures


def show_shares(runs: list[dict[str, float]]) -> None:
    """Print the median share of every stage over all runs, and its range."""
    msg.divider("inference, share of time")
    rows = []
    for name in runs[0]:
        shares = [100 * run[name] / sum(run.values()) for run in runs]
        spread = f"{min(shares):.1f} to {max(shares):.1f} %"
        rows.append((name, f"{statistics.median(shares):.1f} %", spread))
    msg.table(rows, header=("", "median", "range"), aligns=("l", "r", "r"), divider=True)


def show(part: str, figures: dict[str, list[float]], baseline: str) -> None:
    """Print medians, and the median of the ratios to a baseline within each round."""
    msg.divider(part)
    rows = []
    for name, speeds in figures.items():
        ratios = [a / b for a, b in zip(speeds, figures[baseline], strict=True)]
        rows.append(
            (
                name,
                f"{statistics.median(speeds):,.0f}",
                f"{min(speeds):,.0f} to {max(speeds):,.0f}",
                f"{statistics.median(ratios):.2f}",
            )
        )
    msg.table(
        rows,
        header=("", "words/s", "range", f"× {baseline}"),
        aligns=("l", "r", "r", "r"),
        divider=True,
    )


if __name__ == "__main__":
    main()
