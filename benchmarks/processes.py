"""Words per second of `bio-ner train` in one and in several processes, and equal steps.

    python -m benchmarks.processes --runs alone,1 alone,2 torchrun-1,1 torchrun-2,1

A run is named by its processes and the threads of each: `alone` is no torchrun. The first steps are
not timed. Dropout is off, so that the weights at the end can be compared with those of the first
run of the same precision. On a GPU, which adds in no fixed order, a second run alone shows how far
two runs lie apart anyway:

    python -m benchmarks.processes --gpu 0 --precisions fp32 bf16 \\
        --runs alone,1 alone,1 torchrun-1,1
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import MINILM

ROOT = Path(__file__).parents[1]
WARM = 10  # steps before those that are timed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    parser.add_argument("--steps", type=int, default=40, help="after the first ones")
    parser.add_argument("--words", type=int, default=500, help="in a batch")
    parser.add_argument("--runs", nargs="+", default=["alone,1", "alone,2", "torchrun-2,1"])
    parser.add_argument("--precisions", nargs="+", default=["fp32"])
    parser.add_argument("--gpu", type=int, default=-1)
    parser.add_argument("--output", type=Path, help="figures as JSON, after each run")
    args = parser.parse_args()
    figures = []
    for precision in args.precisions:
        first: Any = None
        for run in args.runs:
            found = measure(args, run, precision)
            weights = found.pop("weights")
            first = weights if first is None else first
            found["difference"] = float(((weights - first) ** 2).sum() / (first**2).sum()) ** 0.5
            figures.append(found)
            print(
                f"{precision:5} {run:14} {found['words per second']:10,.0f} words/s, loss"
                f" {found['loss']:.6f}, weights differ by {found['difference']:.1e}",
                flush=True,
            )
            if args.output is not None:
                args.output.write_text(json.dumps(figures, indent=2))


def measure(args: argparse.Namespace, run: str, precision: str) -> dict[str, Any]:
    """Train in processes of their own.

    RETURNS (dict[str, Any]): Words per second, the loss of all steps, and the weights.
    """
    import numpy as np

    kind, threads = run.split(",")
    with tempfile.TemporaryDirectory() as place:
        settings = {
            "encoder": args.encoder,
            "steps": args.steps,
            "words": args.words,
            "gpu": args.gpu,
            "precision": precision,
            "folder": place,
        }
        program = [sys.executable, "-m"]
        if kind != "alone":
            count = kind.removeprefix("torchrun-")
            program += ["torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m"]
        subprocess.run(
            [*program, "benchmarks.processes", json.dumps(settings)],
            env={**os.environ, "OMP_NUM_THREADS": threads, "BENCHMARK_WORKER": "1"},
            cwd=ROOT,
            check=True,
        )
        found = json.loads(Path(place, "figures.json").read_text())
        weights = np.load(Path(place, "weights.npy")).astype(np.float64)
    return {"run": run, "precision": precision, "gpu": args.gpu, **found, "weights": weights}


def work(settings: dict[str, Any]) -> None:
    """Train, as one process of a run; the first one writes figures and weights."""
    import numpy as np
    import spacy
    from spacy.training.initialize import init_nlp
    from spacy.util import load_config

    from spacy_bio_crf.corpora import convert
    from spacy_bio_crf.training.loop import Training
    from spacy_bio_crf.training.pipeline_state import PipelineState
    from spacy_bio_crf.training.processes import join

    processes, folder = join(settings["gpu"]), Path(settings["folder"])
    rank = 0 if processes is None else processes.rank
    gpu = settings["gpu"] if processes is None else processes.gpu
    if gpu >= 0:
        spacy.require_gpu(gpu)
    # The speed is that of any corpus, and the test set is a small one.
    for name, part in (("train", "test"), ("dev", "dev")):
        path = ROOT / "assets" / f"{part}.conll"
        convert(path, folder / str(rank) / f"{name}.spacy", lang="xx")
    last = WARM + settings["steps"]
    overrides = {
        "paths.train": str(folder / str(rank) / "train.spacy"),
        "paths.dev": str(folder / str(rank) / "dev.spacy"),
        "paths.encoder": settings["encoder"],
        **MINILM,
        "corpora.dev.limit": 20,
        "components.bio_ner.model.encoder.precision": settings["precision"],
        "training.max_steps": last,
        "training.eval_frequency": 10 * last,
        "training.dropout": 0.0,
        "training.batcher.size": settings["words"],
    }
    config = load_config(ROOT / "configs" / "crf.cfg", overrides=overrides)
    config["components"]["bio_ner"]["model"]["encoder"]["dropout"] = 0.0
    seen: list[tuple[float, int, float]] = []

    def watch(info: dict[str, Any]) -> None:
        loss = float(sum(map(float, info["losses"].values())))
        seen.append((time.perf_counter(), info["words"], loss))

    nlp = init_nlp(config, use_gpu=gpu)
    training = Training(nlp, None, use_gpu=gpu, processes=processes)
    training.run(io.StringIO(), io.StringIO(), watch=watch)
    if rank == 0:
        (began, before, _), (ended, after, loss) = seen[WARM], seen[-1]
        figures = {"words per second": (after - before) / (ended - began), "loss": loss}
        (folder / "figures.json").write_text(json.dumps(figures))
        tensors, _ = PipelineState(nlp, training._optimizer).read()
        weights = [t.float().numpy().ravel() for k, t in tensors.items() if k.startswith("weights")]
        np.save(folder / "weights.npy", np.concatenate(weights))
    if processes is not None:
        processes.leave()


if __name__ == "__main__":
    if os.environ.get("BENCHMARK_WORKER"):
        work(json.loads(sys.argv[1]))
    else:
        main()
