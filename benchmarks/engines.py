"""Bulk annotation by one process, several, and Ray: speed, memory, and the overhead of Ray.

    python -m benchmarks.engines [--docs N] [--workers N ...] [--encoder PATH] [--json PATH]

Annotates short synthetic documents with a tiny random encoder, so that the cost around the network
shows. Each engine runs in a process of its own, with as many workers as asked for and one thread
for each. Speed is that between the first part and the last, without the start of processes, which
is told apart. Memory is the largest in each quarter of the run, of the process that plans and of
all workers together; it is read from Linux's /proc.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import srsly
from wasabi import msg

from spacy_bio_crf.bulk import annotate
from spacy_bio_crf.bulk.fingerprint import load_model

from .head_share import WORDS
from .scale import MEGABYTE, pipeline, tiny_encoder

ENGINES = ("local", "ray")
SHORTEST, LONGEST = 3, 9  # words of a document
LOOK = 0.5  # seconds between two looks at memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=int, default=1_000_000, help="short documents")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="one run with each")
    parser.add_argument("--encoder", default=None, help="a Hugging Face folder; else a tiny one")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    parser.add_argument("--one", nargs=3, default=None, help="FOLDER ENGINE WORKERS: one run only")
    args = parser.parse_args()
    if args.one is not None:
        folder, engine, workers = args.one
        sys.stdout.write(json.dumps(run(Path(folder), engine, int(workers))) + "\n")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        nlp = pipeline(args.encoder or tiny_encoder(folder / "encoder", width=8, layers=1))
        nlp.to_disk(folder / "model")
        write_documents(folder / "in.txt", args.docs)
        figures = [
            measure(folder, engine, workers) for workers in args.workers for engine in ENGINES
        ]
    show(figures)
    if args.json is not None:
        srsly.write_json(args.json, figures)


def write_documents(path: Path, n_docs: int) -> None:
    """Write a document on each line. They are the same in every run."""
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(n_docs):
            words = chance.choices(WORDS, k=chance.randint(SHORTEST, LONGEST))
            file.write(" ".join(words) + "\n")


def measure(folder: Path, engine: str, workers: int) -> dict[str, Any]:
    """Run an engine in a process of its own.

    folder (Path): Has "model" and "in.txt"; the output comes there, too.
    engine (str): One of `ENGINES`.
    workers (int): Processes or actors.
    RETURNS (dict[str, Any]): Its name, words per second, seconds of the start and in all, and
        megabytes of driver and workers in each quarter.
    """
    name = f"{engine}, {workers} worker{'s' if workers > 1 else ''}"
    command = [sys.executable, "-m", "benchmarks.engines", "--one", str(folder), engine]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, str(workers)], stdout=subprocess.PIPE, text=True, env=environment
    )
    looks: list[tuple[float, float, float]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            looks.append((time.monotonic() - start, *memory(process.pid)))

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    out, _ = process.communicate()
    over.set()
    watch.join()
    if process.returncode:
        raise RuntimeError(f"{name}: expected an end, got exit code {process.returncode}")
    found = json.loads(out.splitlines()[-1])
    first, last = found["first"] - start, found["last"] - start
    quarters = []
    for quarter in range(4):
        edges = (first + (last - first) * part / 4 for part in (quarter, quarter + 1))
        begin, end = edges
        inside = [sizes for moment, *sizes in looks if begin <= moment <= end]
        quarters.append([max((sizes[i] for sizes in inside), default=0.0) for i in (0, 1)])
    return {
        "name": name,
        "engine": engine,
        "workers": workers,
        "words per second": found["words"] / max(last - first, 1e-9),
        "start": first,
        "seconds": last,
        "memory": quarters,
    }


def run(folder: Path, engine: str, workers: int) -> dict[str, float]:
    """Annotate the documents, in this process or from it. Moments are on the monotonic clock."""
    cluster: Any = None
    if engine == "ray":
        from spacy_bio_crf.bulk.on_ray import RayCluster

        cluster = RayCluster("local", workers=workers)
    load = partial(load_model, folder / "model")
    nlp = load()
    seen: list[tuple[float, int]] = []
    output = folder / f"out-{engine}-{workers}"
    annotate(
        nlp,
        folder / "in.txt",
        output,
        n_process=workers if cluster is None else 1,
        engine=cluster,
        load=load if cluster is not None else None,
        report=lambda progress: seen.append((time.monotonic(), progress.counts.words)),
    )
    # The first report comes before the first part.
    (first, before), (last, words) = seen[1], seen[-1]
    return {"first": first, "last": last, "words": words - before}


def memory(pid: int) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Megabytes of a process and of the workers below it."""
    parents, sizes, names = {}, {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
            pages = int((folder / "statm").read_text().split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
        sizes[int(folder.name)] = pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    # Of Ray's processes, those that annotate are counted.
    is_ray = any(b"raylet" in names.get(child, b"") for child in below)
    workers = [
        child
        for child in below - {pid}
        if not is_ray or names.get(child, b"").startswith(b"ray::MapWorker")
    ]
    return sizes.get(pid, 0.0), sum(sizes[child] for child in workers)


def show(figures: list[dict[str, Any]]) -> None:
    """Print the table, and what Ray costs beside as many processes."""
    rows = []
    for found in figures:
        driver, workers = (
            " ".join(f"{quarter[i]:,.0f}" for quarter in found["memory"]) for i in (0, 1)
        )
        speed, start = f"{found['words per second']:,.0f}", f"{found['start']:,.0f}"
        rows.append((found["name"], speed, start, f"{found['seconds']:,.0f}", driver, workers))
    msg.divider("bulk annotation")
    msg.table(
        rows,
        header=("", "words/s", "start, s", "in all, s", "driver, MB by quarter", "workers, MB"),
        aligns=("l", "r", "r", "r", "r", "r"),
        divider=True,
    )
    for local, ray in zip(figures[::2], figures[1::2], strict=True):
        share = 1 - ray["words per second"] / local["words per second"]
        msg.text(f"{ray['name']}: {share:.1%} slower than {local['name']}")


if __name__ == "__main__":
    main()
