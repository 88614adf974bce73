"""Trimmed vocabularies: size, and F1 on texts that they were not trimmed for.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.trimming [--names …] [--seeds …] [--steps N]
        [--encoder PATH] [--gpu 0] [--output FILE.json]

A pipeline is trained on each corpus as in `benchmarks.adapters`, and trimmed for the texts that it
was trained on, by each of `SETTINGS`: with "more" for those of `MORE`, too, and with "then" it is
trained on for so many steps. Scores are those of the test set. Figures are written as they come.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam, warmup_linear

from spacy_bio_crf.corpora import read
from spacy_bio_crf.export.pipeline_trimming import trim_pipeline

from .adapters import (
    CORPORA,
    DROPOUT,
    RATE,
    ROOT,
    batches_of,
    components,
    examples,
    folder_size,
    pipeline,
)
from .scale import MEGABYTE

SETTINGS: dict[str, dict[str, Any]] = {
    "seen characters": {},
    "all characters": {"keep_characters": "all"},
    "no characters": {"keep_characters": "none"},
    "twice or more": {"min_count": 2},
    "5 times or more": {"min_count": 5},
    "more texts": {"more": True},
    "trained on": {"then": 100},
    "more texts, trained on": {"more": True, "then": 100},
}
# Texts of the same language and kind: files in the folder of corpora.
MORE = {
    "WNUT 17": ["btc/btc.train", "btc/btc.dev", "btc/btc.test"],
    "Bosque": ["lener_br/leNER-Br/train/train.conll"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    parser.add_argument("--corpora", type=Path, default=os.environ.get("BIO_NER_CORPORA", "."))
    parser.add_argument("--names", nargs="*", default=["WNUT 17", "Bosque"], choices=CORPORA)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--gpu", type=int, default=-1, help="GPU, or -1 for the CPU")
    parser.add_argument("--output", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    if args.gpu >= 0:
        spacy.require_gpu(args.gpu)
    for setting in [setting for setting in SETTINGS if setting not in args.settings]:
        del SETTINGS[setting]
    figures: list[dict[str, Any]] = []
    for name in args.names:
        for seed in args.seeds:
            for row in measure(args.encoder, args.corpora, name, args.steps, seed):
                figures.append({"corpus": name, "seed": seed, **row})
                print("  ".join(f"{key} {value}" for key, value in figures[-1].items()), flush=True)
                if args.output is not None:
                    srsly.write_json(args.output, figures)


def measure(
    encoder: str, corpora: Path, name: str, steps: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Train on a corpus, trim by each setting, and measure.

    encoder (str): A Hugging Face folder.
    corpora (Path): The folder of corpora.
    name (str): A key of `CORPORA`.
    steps (int): Of the training.
    seed (int): Of weights, dropout and the order of documents.
    YIELDS (dict[str, Any]): Before, and for each setting: rows of the embedding, megabytes of the
        weights in memory and of the pipeline on disk, F1 on the test set in percent, sub-words of
        the test set, and those for unknown text.
    """
    lang, *files = CORPORA[name]
    place = ROOT / "assets" if name == "assets" else Path(corpora)
    train, test = (read([place / file], lang=lang)[0] for file in files)
    fix_random_seed(seed)
    torch.manual_seed(seed)
    nlp = pipeline(lang, encoder, 1, {"casing": True, "layers": -1})
    gold = examples(nlp, train)
    nlp.initialize(lambda: gold)
    learn(nlp, gold, steps, seed)
    texts = [doc.text for doc in train]
    others = [doc.text for file in MORE.get(name, ()) for doc in read([place / file], lang=lang)[0]]
    with tempfile.TemporaryDirectory() as folder:
        nlp.to_disk(folder)
        yield {"setting": "whole", **facts(nlp, test)}
        for setting, options in SETTINGS.items():
            small, options = spacy.load(folder), dict(options)
            chosen = [*texts, *others] if options.pop("more", False) else texts
            then = options.pop("then", 0)
            trim_pipeline(small, lambda chosen=chosen: chosen, **options)
            if then:
                learn(small, examples(small, train), then, seed)
            yield {"setting": setting, **facts(small, test)}


def learn(nlp: Language, gold: list[Example], steps: int, seed: int) -> None:
    """Train for some steps, with a learning rate that rises and falls."""
    sgd = Adam(warmup_linear(RATE, steps // 10, steps), L2=0.01, grad_clip=1.0)
    batches = batches_of(gold, seed)
    for _ in range(steps):
        nlp.update(next(batches), sgd=sgd, drop=DROPOUT)
        sgd.step_schedules()


def facts(nlp: Language, test: list[Doc]) -> dict[str, Any]:
    """Measure a pipeline; see `measure`."""
    encoder: Any = components(nlp)[0].encoder
    network = encoder.shim.network
    subwords = encoder.cut([nlp.make_doc(doc.text) for doc in test])
    unknown = encoder.text().unknown
    with tempfile.TemporaryDirectory() as folder:
        nlp.to_disk(folder)
        size = folder_size(Path(folder))
    return {
        "rows": len(network.get_input_embeddings().weight),
        "memory": round(sum(p.nbytes for p in network.parameters()) / MEGABYTE, 1),
        "disk": round(size / MEGABYTE, 1),
        "f1": round(100.0 * nlp.evaluate(examples(nlp, test))["ents_f"], 2),
        "subwords": sum(len(own.ids) for own in subwords),
        "unknown": sum(int((own.ids == unknown).sum()) for own in subwords),
    }


if __name__ == "__main__":
    main()
