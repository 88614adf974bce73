"""Ensembles, soups and distilled students beside single models, on WNUT 17 and UNER Bosque.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.distillation train --folder DIR --output FILE.json
        [--gpu 0] [--jobs 6] [--seeds 0 1 2] [--steps 400] [--corpora wnut17 bosque]
        [--names full ensemble "small 3" "taught 3"]
    python -m benchmarks.distillation time [--threads 1] [--repeats 7] [--words 20000]

`train` trains with the settings of `configs/crf.cfg`, 1,000 words a step, several processes side by
side, and scores dev and test once, after the last step. Of each corpus:

* `full`: single models of five layers, one for each seed; `ensemble` and `soup` of these;
* `again`: the same, all trained on from one pipeline of a fourth of the steps; `soup of again`;
* `small`: models of fewer layers (`--layers`), trained alone;
* `taught`: such models that learn from the ensemble, on the training data;
* `texts`: the same with more texts, without their annotation, in twice as many steps: the tweets of
  the Broad Twitter Corpus for WNUT 17, the legal texts of LeNER-Br for Bosque;
* `texts …`: other weights and temperatures of the block [distillation], seed 0.

The output is written after each training. What is in the folder is not trained again.

`time` compares CPU time per word: an ensemble of three, one model of five layers and smaller ones,
all in turns in one process, with the weights before training and heads that find no entity.
"""

import argparse
import io
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from wasabi import msg

from spacy_bio_crf.combine import make_ensemble, make_soup
from spacy_bio_crf.corpora import read
from spacy_bio_crf.model import emitter_shim
from spacy_bio_crf.pipes.distillation import plan_distillation
from spacy_bio_crf.training.checkpoint import Schedule
from spacy_bio_crf.training.loop import Training

from . import MINILM

ROOT = Path(__file__).parents[1]
LAYERS = 5
CORPORA = {
    "wnut17": {
        "lang": "en",
        "train": "wnut17/wnut17train.conll",
        "dev": "wnut17/emerging.dev.conll",
        "test": "wnut17/emerging.test.annotated",
        "texts": "btc/btc.train",
    },
    "bosque": {
        "lang": "pt",
        "train": "uner_pt_bosque/train.iob2",
        "dev": "uner_pt_bosque/dev.iob2",
        "test": "uner_pt_bosque/test.iob2",
        "texts": "lener_br/leNER-Br/train/train.conll",
    },
}
SETS = ("train", "dev", "test", "texts")
VARIANTS: dict[str, dict[str, Any]] = {
    "weight 1": {"weight": 1.0},
    "temperature 2": {"temperature": 2.0},
    "weight 1, temperature 2": {"weight": 1.0, "temperature": 2.0},
}


@dataclass(frozen=True)
class Job:
    """A training, or a combination of trained models.

    kind (str): "corpus", "train", "ensemble" or "soup".
    name (str), corpus (str), seed (int): What it is called in the output.
    needs (tuple[str, ...]): The jobs before it; a combination is of the first ones.
    layers, steps (int): Of a training.
    taught (dict | None): Settings of a distillation; the teacher is the last job before it.
    start (bool): Train on from the job before it.
    """

    kind: str
    name: str
    corpus: str
    seed: int = 0
    needs: tuple[str, ...] = ()
    layers: int = LAYERS
    steps: int = 0
    taught: dict[str, Any] | None = field(default=None, hash=False)
    start: bool = False

    @property
    def key(self) -> str:
        """The name of its folder."""
        return f"{self.corpus}-{self.name}-{self.seed}".replace(" ", "_").replace(",", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.set_defaults(run=run_jobs)
    training.add_argument("--folder", type=Path, required=True, help="for corpora and models")
    training.add_argument("--output", type=Path, required=True, help="JSON, all results")
    training.add_argument("--gpu", type=int, default=-1)
    training.add_argument("--jobs", type=int, default=1, help="processes side by side")
    training.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    training.add_argument("--steps", type=int, default=400)
    training.add_argument("--corpora", nargs="+", default=list(CORPORA))
    training.add_argument(
        "--names", nargs="+", help="of trainings; those that they need come along; else all"
    )
    training.add_argument("--limit", type=int, default=0, help="documents of each set; 0 takes all")
    timing = commands.add_parser("time")
    timing.set_defaults(run=compare_times)
    timing.add_argument("--threads", type=int, default=1)
    timing.add_argument("--repeats", type=int, default=7)
    timing.add_argument("--words", type=int, default=20_000)
    for command in (training, timing):
        command.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
        command.add_argument("--layers", type=int, nargs="+", default=[3], help="of the students")
    args = parser.parse_args()
    args.run(args)


def list_jobs(corpus: str, seeds: list[int], steps: int, layers: list[int]) -> Iterator[Job]:
    """All jobs of a corpus, the most important ones first."""
    data = Job("corpus", "data", corpus)
    yield data
    full = [Job("train", "full", corpus, s, (data.key,), steps=steps) for s in seeds]
    yield from full
    start = Job("train", "start", corpus, 99, (data.key,), steps=max(1, steps // 4))
    yield start
    ensemble = Job("ensemble", "ensemble", corpus, needs=tuple(job.key for job in full))
    yield ensemble
    yield Job("soup", "soup", corpus, needs=ensemble.needs)
    taught = (data.key, ensemble.key)
    for n in layers:
        own: dict[str, Any] = {"corpus": corpus, "layers": n}
        for s in seeds:
            yield Job("train", f"small {n}", seed=s, needs=(data.key,), steps=steps, **own)
        for s in seeds:
            settings = {"texts": True}
            yield Job(
                "train", f"texts {n}", seed=s, needs=taught, steps=2 * steps, taught=settings, **own
            )
    for n in layers:
        own = {"corpus": corpus, "layers": n}
        for s in seeds:
            yield Job("train", f"taught {n}", seed=s, needs=taught, steps=steps, taught={}, **own)
    rest = steps - start.steps
    again = [
        Job("train", "again", corpus, s, (data.key, start.key), steps=rest, start=True)
        for s in seeds
    ]
    yield from again
    yield Job("soup", "soup of again", corpus, needs=tuple(job.key for job in again))
    for name, variant in VARIANTS.items():
        own = {"corpus": corpus, "layers": layers[0], "steps": 2 * steps}
        settings = {"texts": True, **variant}
        yield Job("train", f"texts {layers[0]}, {name}", needs=taught, taught=settings, **own)


def choose_jobs(jobs: list[Job], names: list[str] | None) -> list[Job]:
    """The jobs of these names and those that they need, in their order; all without names."""
    known = dict.fromkeys(job.name for job in jobs)
    if names is None:
        return jobs
    if others := [name for name in names if name not in known]:
        raise SystemExit(f"--names: expected names of {', '.join(known)}, got {', '.join(others)}")
    wanted: set[str] = set()
    for job in reversed(jobs):
        if job.name in names or job.key in wanted:
            wanted |= {job.key, *job.needs}
    return [job for job in jobs if job.key in wanted]


def run_jobs(args: argparse.Namespace) -> None:
    """Run all jobs, each as soon as those before it are done."""
    by_corpus = [list_jobs(name, args.seeds, args.steps, args.layers) for name in args.corpora]
    # The corpora in turns.
    left = [job for jobs in zip(*by_corpus, strict=True) for job in jobs]
    left = choose_jobs(left, args.names)
    results = [found for job in left if (found := result_of(args.folder, job)) is not None]
    done = {result["key"] for result in results}
    left = [job for job in left if job.key not in done]
    running: dict[Future, Job] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(
        args.jobs, mp_context=context, initializer=begin, initargs=(args.gpu,)
    ) as pool:
        while left or running:
            for job in [j for j in left if set(j.needs) <= done][: args.jobs - len(running)]:
                running[pool.submit(run_job, job, args)] = job
                left.remove(job)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                results.append(result := future.result())
                done.add(result["key"])
                args.output.write_text(json.dumps(results, indent=1))
                print(json.dumps({k: v for k, v in result.items() if k != "key"}), flush=True)


def begin(gpu: int) -> None:
    torch.set_num_threads(1)
    if gpu >= 0:
        spacy.require_gpu(gpu)


def result_of(folder: Path, job: Job) -> dict[str, Any] | None:
    """The result of a job that is done."""
    path = folder / job.key / "result.json"
    return json.loads(path.read_text()) if path.is_file() else None


def run_job(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    began = time.perf_counter()
    folder = args.folder / job.key
    folder.mkdir(parents=True, exist_ok=True)
    scores: dict[str, float] = {}
    if job.kind == "corpus":
        write_corpus(job.corpus, folder, args.limit)
    else:
        if job.kind == "train":
            nlp = train(job, folder, args)
        else:
            make = make_soup if job.kind == "soup" else make_ensemble
            nlp = make({key: spacy.load(args.folder / key / "model-last") for key in job.needs})
            nlp.to_disk(folder / "model-last")
        data = args.folder / Job("corpus", "data", job.corpus).key
        for name in ("dev", "test"):
            examples = list(Corpus(data / f"{name}.spacy")(nlp))
            scores[name] = round(100 * (nlp.evaluate(examples)["ents_f"] or 0.0), 2)
    result = {
        "key": job.key,
        "corpus": job.corpus,
        "name": job.name,
        "seed": job.seed,
        "steps": job.steps,
        "layers": job.layers,
        **scores,
        "seconds": round(time.perf_counter() - began, 1),
    }
    (folder / "result.json").write_text(json.dumps(result))
    return result


def write_corpus(name: str, folder: Path, limit: int) -> None:
    """Convert a corpus; the annotation of the texts is left out."""
    own = CORPORA[name]
    for part in SETS:
        docs = read(Path(os.environ["BIO_NER_CORPORA"], own[part]), lang=own["lang"])[0]
        DocBin(docs=docs[: limit or len(docs)]).to_disk(folder / f"{part}.spacy")


def train(job: Job, folder: Path, args: argparse.Namespace) -> Language:
    """Train as `bio-ner train` does. RETURNS (Language): The trained pipeline."""
    data = args.folder / job.needs[0]
    config = spacy.util.load_config(
        ROOT / "configs" / "crf.cfg",
        interpolate=False,
        overrides={
            "paths.train": str(data / "train.spacy"),
            "paths.dev": str(data / "dev.spacy"),
            "paths.encoder": args.encoder,
            "system.seed": job.seed,
            "nlp.lang": CORPORA[job.corpus]["lang"],
            **MINILM,
            "components.bio_ner.model.encoder.layers": job.layers,
            # Dev is scored once, at the end.
            "corpora.dev.limit": 10,
            "training.max_steps": job.steps,
            "training.eval_frequency": job.steps,
            "training.batcher.size": 1000,
            "training.optimizer.learn_rate.total_steps": job.steps,
            "training.optimizer.learn_rate.warmup_steps": max(1, job.steps // 10),
            "training.logger.progress_bar": None,
        },
    )
    if job.start:
        source = str(args.folder / job.needs[-1] / "model-last")
        config["components"] = {"bio_ner": {"source": source}}
    distil = None
    if job.taught is not None:
        block = {**job.taught, "teacher": str(args.folder / job.needs[-1] / "model-last")}
        if block.get("texts"):
            block["texts"] = str(data / "texts.spacy")
        config["distillation"] = block
        distil = plan_distillation(config, block)
    nlp = init_nlp(config, use_gpu=args.gpu)
    training = Training(
        nlp, folder, use_gpu=args.gpu, schedule=Schedule(), around=distil and distil(nlp)
    )
    training.run(io.StringIO(), io.StringIO())
    return nlp


def compare_times(args: argparse.Namespace) -> None:
    """Print CPU time per word of an ensemble, a single model and students."""
    torch.set_num_threads(args.threads)
    path = ROOT / "assets" / "test.conll"
    texts = [doc.text for doc in read(path, lang="pt")[0]]
    contestants = {"ensemble of 3": ensemble_of(args.encoder, 3)}
    contestants |= {f"{n} layers": untrained(args.encoder, n) for n in (LAYERS, *args.layers)}
    words, given = 0, []
    tokenizer = contestants["ensemble of 3"].make_doc
    while words < args.words:
        given += texts
        words += sum(len(tokenizer(text)) for text in texts)

    def measure(nlp: Language) -> float:
        docs = [nlp.make_doc(text) for text in given]
        began = time.process_time()
        for _ in nlp.get_pipe("bio_ner").pipe(docs, batch_size=256):  # type: ignore[attr-defined]
            pass
        return time.process_time() - began

    beside = {"ensemble of 3": "ensemble", f"{LAYERS} layers": f"{LAYERS} layers"}
    print_times(contestants, measure, words=words, repeats=args.repeats, beside=beside)


def print_times(
    models: Mapping[str, Language],
    measure: Callable[[Language], float],
    *,
    words: int,
    repeats: int,
    beside: Mapping[str, str],
) -> None:
    """Print the CPU time per word of pipelines, as medians of runs in turns.

    measure (Callable[[Language], float]): Gives the seconds of a run.
    words (int): That a run reads.
    repeats (int): Runs of each pipeline, after one that warms up.
    beside (Mapping[str, str]): Pipelines by whose times to divide those of all, and what the table
        calls them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(repeats + 1):
        for name, nlp in models.items():
            taken = measure(nlp)
            if repeat:  # the first one warms up
                seconds[name].append(taken)
    others = [name for name in beside if name in models]
    rows = []
    for name, own in seconds.items():
        # Paired with the runs beside them.
        ratios = [
            statistics.median(a / b for a, b in zip(own, seconds[other], strict=True))
            for other in others
        ]
        rate = 1e6 * statistics.median(own) / words
        rows.append((name, f"{rate:.0f}", *(f"{ratio:.2f}" for ratio in ratios)))
    header = ("", "µs a word", *(f"× {beside[other]}" for other in others))
    msg.table(rows, header=header, aligns=("l", *"r" * (1 + len(others))), divider=True)


def untrained(encoder: str, layers: int, *, seed: int = 0) -> Language:
    """A pipeline without training that finds no entity."""
    torch.manual_seed(seed)
    nlp = spacy.blank("xx")
    options = {"name": encoder, "layers": layers, "casing": True}
    pipe: Any = nlp.add_pipe("bio_ner", config={"model": {"encoder": options}})
    for label in ("LOC", "ORG", "PER"):
        pipe.add_label(label)
    pipe.model.set_dim("nO", 7)
    pipe.model.initialize()
    emitter_shim(pipe.model.get_ref("emitter")).network.dense.bias.data[0] = 20.0
    return nlp


def ensemble_of(encoder: str, n: int) -> Language:
    return make_ensemble({str(i): untrained(encoder, LAYERS, seed=i) for i in range(n)})


if __name__ == "__main__":
    main()
