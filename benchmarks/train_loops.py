"""Time of `bio-ner train` beside `spacy train`: the same configuration, in turns.

    python -m benchmarks.train_loops --steps 40 --repeats 3

Both train in this process, with one evaluation, and save the pipeline; initialization is not
counted. Processor time is quiet on a busy machine; it leaves out waiting for the disk.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.training.checkpoint import Schedule
from spacy_bio_crf.training.loop import Training

from . import MINILM

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--checkpoint-steps", type=int, default=0, help="0: no checkpoints")
    args = parser.parse_args()
    figures = race(args.encoder, args.steps, args.repeats, args.checkpoint_steps)
    for name, seconds in figures.items():
        cpu, wall = (statistics.median(times) for times in zip(*seconds, strict=True))
        print(f"{name:16} {cpu:8.2f} s of processor time, {wall:8.2f} s in all")
    ratios = [a[0] / b[0] for a, b in zip(*figures.values(), strict=True)]
    print(f"spacy train / bio-ner train: {statistics.median(ratios):.3f} ({sorted(ratios)})")


def race(
    encoder: str, steps: int, repeats: int, checkpoint_steps: int = 0
) -> dict[str, list[tuple[float, float]]]:
    """Train in turns.

    RETURNS (dict): For each trainer processor seconds and seconds of each repeat.
    """
    figures: dict[str, list[tuple[float, float]]] = {"spacy train": [], "bio-ner train": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # The speed is that of any corpus, and the test set is a small one.
        for name, part in (("train", "test"), ("dev", "dev")):
            convert(ROOT / "assets" / f"{part}.conll", folder / f"{name}.spacy", lang="xx")
        overrides = {
            "paths.train": str(folder / "train.spacy"),
            "paths.dev": str(folder / "dev.spacy"),
            "paths.encoder": encoder,
            **MINILM,
            "corpora.dev.limit": 50,
            "training.max_steps": steps,
            "training.eval_frequency": 10 * steps,
        }
        config = load_config(ROOT / "configs" / "crf.cfg", overrides=overrides)
        (folder / "theirs").mkdir()

        def theirs(nlp: Language) -> None:
            train(nlp, folder / "theirs", stdout=io.StringIO(), stderr=io.StringIO())

        def ours(nlp: Language) -> None:
            schedule = Schedule(steps=checkpoint_steps)
            Training(nlp, folder / "ours", schedule=schedule).run(io.StringIO(), io.StringIO())

        def once(work: Callable[[Language], None]) -> tuple[float, float]:
            nlp = init_nlp(config)
            began = time.process_time(), time.perf_counter()
            work(nlp)
            return time.process_time() - began[0], time.perf_counter() - began[1]

        once(theirs)
        for _ in range(repeats):
            for name, work in zip(figures, (theirs, ours), strict=True):
                figures[name].append(once(work))
    return figures


if __name__ == "__main__":
    main()
