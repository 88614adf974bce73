"""Adapters (LoRA) against full fine-tuning: F1, time, memory, size on disk; components on one base.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.adapters [--steps N] [--encoder PATH] [--json PATH]

Each training runs in a process of its own, with a CRF and MiniLM without its last layer.
Memory is the peak of the resident set above that of the data and the libraries, or with `--gpu`
that of the GPU's tensors. Then pipelines with one and with three `bio_ner` on one base are loaded,
each in its own process, and annotate a text.
"""

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import fix_random_seed
from thinc.api import Adam, warmup_linear
from wasabi import msg

from spacy_bio_crf.corpora import read
from spacy_bio_crf.model import torch_shims
from spacy_bio_crf.pipes.bio_ner import BioNer

from .scale import MEGABYTE, Watch, resident, tiny_encoder

ROOT = Path(__file__).parents[1]
# Name: the language of its tokenizer, training files, test files, in the folder of corpora.
CORPORA = {
    "WNUT 17": ("en", "wnut17/wnut17train.conll", "wnut17/emerging.test.annotated"),
    "Bosque": ("pt", "uner_pt_bosque/train.iob2", "uner_pt_bosque/test.iob2"),
    "assets": ("xx", "train.conll", "dev.conll"),
}
LORA = {"r": 8, "alpha": 16}
SYSTEMS: dict[str, dict[str, Any]] = {
    "all weights": {},
    "LoRA, r = 8": {"lora": LORA, "lr_scale": 10.0},
}
RATE, BATCH_WORDS, DROPOUT = 2e-4, 400, 0.1
TEXT = "Ana Ruiz met Bo in New York City and moved from Lisbon to Washington . " * 70


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    parser.add_argument("--corpora", type=Path, default=os.environ.get("BIO_NER_CORPORA", "."))
    parser.add_argument("--names", nargs="*", default=["WNUT 17", "Bosque"], choices=CORPORA)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--gpu", type=int, default=-1, help="a GPU for the trainings, or -1")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    figures: dict[str, Any] = {"training": {}, "base": {}}
    for name in args.names:
        for system in args.systems:
            options = SYSTEMS[system]
            settings = (args.encoder, args.corpora, name, options, args.steps, args.threads)
            runs = [apart(measure_training, *settings, seed, args.gpu) for seed in args.seeds]
            figures["training"][f"{name}, {system}"] = runs
            show_training(f"{name}, {system}", runs)
    with tempfile.TemporaryDirectory() as place:
        for n in (1, 3):
            folder = Path(place, str(n))
            apart(save_components, args.encoder, folder, n)
            figures["base"][n] = apart(measure_components, folder, args.threads)
    show_components(figures["base"])
    if args.json is not None:
        srsly.write_json(args.json, figures)


def apart(function: Any, *arguments: Any) -> Any:
    """Call a function in a process of its own, so that memory is that of its work alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measure_training(
    encoder: str,
    corpora: Path,
    name: str,
    options: dict[str, Any],
    steps: int,
    threads: int,
    seed: int,
    gpu: int,
) -> dict[str, float]:
    """Train on a corpus, and measure F1 on its test set, time, memory and size.

    encoder (str): A Hugging Face folder.
    corpora (Path): The folder of corpora.
    name (str): A key of `CORPORA`.
    options (dict[str, Any]): Options of the encoder.
    steps (int): Steps of about `BATCH_WORDS` words.
    threads (int): Of torch.
    seed (int): Of weights, dropout and the order of documents.
    gpu (int): A GPU, or -1 for the CPU.
    RETURNS (dict[str, float]): F1 in percent; seconds of all steps; megabytes of memory and of the
        encoder on disk; numbers of weights that learn, and of all.
    """
    torch.set_num_threads(threads)
    if gpu >= 0:
        spacy.require_gpu(gpu)
    lang, *files = CORPORA[name]
    place = ROOT / "assets" if name == "assets" else Path(corpora)
    train, test = (read([place / file], lang=lang)[0] for file in files)
    fix_random_seed(seed)
    torch.manual_seed(seed)
    nlp = pipeline(lang, encoder, 1, {**options, "casing": True, "layers": -1})
    gold = examples(nlp, train)
    with Watch() as watch:
        nlp.initialize(lambda: gold)
        sgd = Adam(warmup_linear(RATE, steps // 10, steps), L2=0.01, grad_clip=1.0)
        batches = batches_of(gold, seed)
        start = time.perf_counter()
        for _ in range(steps):
            nlp.update(next(batches), sgd=sgd, drop=DROPOUT)
            sgd.step_schedules()
        seconds = time.perf_counter() - start
    weights = [
        p for shim in torch_shims(components(nlp)[0].model) for p in shim.network.parameters()
    ]
    scores = nlp.evaluate(examples(nlp, test))
    with tempfile.TemporaryDirectory() as place:
        nlp.to_disk(place)
        size = folder_size(Path(place, "bio_ner", "encoder"))
    return {
        "f1": 100.0 * scores["ents_f"],
        "seconds": seconds,
        "memory": (watch.rise if gpu < 0 else torch.cuda.max_memory_allocated()) / MEGABYTE,
        "disk": size / MEGABYTE,
        "learning": sum(p.numel() for p in weights if p.requires_grad),
        "weights": sum(p.numel() for p in weights),
    }


def save_components(encoder: str, folder: Path, n: int) -> None:
    """Save a pipeline of some components whose adapters are apart from their base, untrained.

    encoder (str): A Hugging Face folder.
    folder (Path): The pipeline's folder.
    n (int): How many components.
    """
    nlp = pipeline("en", encoder, n, {"lora": {**LORA, "merge": False}, "layers": -1})
    doc = Doc(nlp.vocab, words=["a"], ents=["B-A"])
    nlp.initialize(lambda: [Example(Doc(nlp.vocab, words=["a"]), doc)])
    chance = torch.Generator().manual_seed(0)
    for component in components(nlp):
        for shim in torch_shims(component.model):
            for parameter in shim.network.parameters():
                # Adapters of zeros would be equal: each component gets its own.
                if parameter.requires_grad:
                    noise = torch.randn(parameter.shape, generator=chance)
                    parameter.data.add_(noise, alpha=0.01)
    nlp.to_disk(folder)


def measure_components(folder: Path, threads: int) -> dict[str, float]:
    """Load a pipeline of `save_components`, and annotate a text of a thousand words with it.

    folder (Path): The pipeline's folder.
    threads (int): Of torch.
    RETURNS (dict[str, float]): Megabytes of weights, each counted once; of resident memory above
        that of the libraries, loaded, and at its peak in between; of the folder.
    """
    torch.set_num_threads(threads)
    # What a pipeline needs that is there once: libraries, the memory of a first computation.
    with tempfile.TemporaryDirectory() as place:
        spacy.load(tiny_pipeline(Path(place)))(TEXT)
    before = resident()
    with Watch() as watch:
        nlp = spacy.load(folder)
        nlp(TEXT)
    return {
        "weights": unique_bytes(nlp) / MEGABYTE,
        "resident": (resident() - before) / MEGABYTE,
        "peak": watch.rise / MEGABYTE,
        "disk": folder_size(folder) / MEGABYTE,
    }


def pipeline(lang: str, encoder: str, n: int, options: dict[str, Any]) -> Language:
    """Make a pipeline of n `bio_ner` that is not initialized; the options are the encoder's."""
    nlp = spacy.blank(lang)
    for i in range(n):
        config = {"model": {"encoder": {"name": encoder, **options}}, "overwrite": True}
        nlp.add_pipe("bio_ner", name="bio_ner" if i == 0 else f"bio_ner_{i}", config=config)
    return nlp


def tiny_pipeline(folder: Path) -> Path:
    """Save a pipeline on the tiny encoder of `benchmarks.scale`, with adapters apart."""
    save_components(tiny_encoder(folder / "encoder"), folder / "pipeline", 1)
    return folder / "pipeline"


def components(nlp: Language) -> list[BioNer]:
    """RETURNS (list[BioNer]): Those of a pipeline, in order."""
    return [pipe for _, pipe in nlp.pipeline if isinstance(pipe, BioNer)]


def unique_bytes(nlp: Language) -> int:
    """RETURNS (int): Bytes of all weights of a pipeline's components, shared ones counted once."""
    storages = {
        parameter.untyped_storage().data_ptr(): parameter.untyped_storage().nbytes()
        for component in components(nlp)
        for shim in torch_shims(component.model)
        for parameter in shim.network.parameters()
    }
    return sum(storages.values())


def examples(nlp: Language, docs: list[Doc]) -> list[Example]:
    """RETURNS (list[Example]): Annotated documents of another vocabulary as examples."""
    found = []
    for doc in docs:
        words, spaces = [t.text for t in doc], [bool(t.whitespace_) for t in doc]
        tags = [f"{t.ent_iob_}-{t.ent_type_}".rstrip("-") for t in doc]
        reference = Doc(nlp.vocab, words=words, spaces=spaces, ents=tags)
        found.append(Example(Doc(nlp.vocab, words=words, spaces=spaces), reference))
    return found


def batches_of(gold: list[Example], seed: int) -> Iterator[list[Example]]:
    """Yield batches of about `BATCH_WORDS` words without end, in another order in every epoch."""
    chance, order = random.Random(seed), list(gold)
    while True:
        chance.shuffle(order)
        yield from minibatch_by_words(order, BATCH_WORDS, get_length=len)


def folder_size(folder: Path) -> int:
    """RETURNS (int): Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show_training(title: str, runs: list[dict[str, float]]) -> None:
    """Print the means of some runs as one line."""
    mean = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
    print(
        f"{title:24} F1 {mean['f1']:5.2f}   {mean['seconds']:6.1f} s   {mean['memory']:6.0f} MB"
        f"   disk {mean['disk']:6.1f} MB   learning {mean['learning']:12,.0f}"
        f" of {mean['weights']:12,.0f} weights"
    )


def show_components(figures: dict[int, dict[str, float]]) -> None:
    """Print what one and several components take, and the ratio."""
    one, several = figures.values()
    rows = []
    for key in one:
        # Pages that were freed before are used again, so memory may not rise at all.
        ratio = f"{several[key] / one[key]:.2f}" if one[key] > 0 else "-"
        rows.append((key, f"{one[key]:.1f}", f"{several[key]:.1f}", ratio))
    header = ("MB", *(f"{n} component{'s' * (n > 1)}" for n in figures), "ratio")
    msg.table(rows, header=header, aligns=("l", "r", "r", "r"), divider=True)


if __name__ == "__main__":
    main()
