"""Settings of an encoder, compared on training text that is held out.

    python -m benchmarks.encoder_search ENCODER --output FILE.jsonl [--gpu 0] [--part 1/4] \\
        --grid corpus=demo layers=6,8 rate=5e-5,1e-4 --grid corpus=wnut17 steps=300

Each combination of a grid's values is one training; `--help` lists the settings. The test sets, and
the development sets of public corpora, are never read: the last sentences of the training file are
held out and scored once, after the last step. The demo's own development set is scored beside them.
A line of the output is one training; those that are there are not repeated. `--part 2/4` runs the
second of four shares, so that processes can work side by side.

Public corpora are found in the folder that the variable BIO_NER_CORPORA names.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam
from torch import Tensor, nn

from spacy_bio_crf.corpora import read
from spacy_bio_crf.encoders.transformer.layer import transformer_shim

ASSETS = Path(__file__).parents[1] / "assets"
CORPORA = {
    "demo": (ASSETS / "train.conll", "xx"),
    "bosque": (Path("uner_pt_bosque", "train.iob2"), "pt"),
    "wnut17": (Path("wnut17", "wnut17train.conll"), "en"),
}
HELD_OUT = 0.1
OPTIONS: dict[str, tuple[type, Any, str]] = {
    "corpus": (str, "demo", "one of " + ", ".join(CORPORA)),
    "head": (str, "crf", "crf or softmax"),
    "layers": (int, 0, "of the encoder, from the first on; negative: all but so many; 0: all"),
    "rate": (float, 2e-4, "highest learning rate of the encoder"),
    "head_rate": (float, 2e-3, "that of the head"),
    "layer_decay": (float, 1.0, "factor on the rate from each layer to the one below"),
    "warmup": (float, 0.1, "share of the steps in which the rate rises"),
    "steps": (int, 300, "batches"),
    "words": (int, 400, "in a batch"),
    "dropout": (float, 0.1, "in encoder and head"),
    "mix": (int, 1, "last layers whose learned mean the head sees"),
    "norm": (int, 0, "1: normalize the vectors that the head sees"),
    "clip": (float, 1.0, "largest norm of the gradient"),
    "beta2": (float, 0.999, "Adam's"),
    "decay": (float, 0.01, "of weights"),
    "precision": (str, "auto", "of the encoder"),
    "casing": (int, 0, "1: an embedding of the forms of words, for encoders without capitals"),
    "limit": (int, 0, "training documents at most; 0: all"),
    "seed": (int, 0, "of everything"),
}


def main() -> None:
    settings = "\n".join(
        f"  {k:12} {text} ({default})" for k, (_, default, text) in OPTIONS.items()
    )
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=f"settings and their defaults:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("encoder", help="a Hugging Face folder")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines")
    parser.add_argument("--grid", nargs="+", action="append", default=[], metavar="NAME=VALUE,…")
    parser.add_argument("--part", default="1/1", help="which share of the trainings, of how many")
    parser.add_argument("--gpu", type=int, default=-1)
    parser.add_argument("--curve", type=int, default=0, help="keep the loss of every Nth step")
    args = parser.parse_args()
    jobs = [job for grid in args.grid or [[]] for job in combinations(grid)]
    part, parts = map(int, args.part.split("/"))
    if args.gpu >= 0:
        spacy.require_gpu(args.gpu)
    done = []
    if args.output.is_file():
        done = [json.loads(line)["settings"] for line in args.output.open(encoding="utf-8")]
    for job in jobs[part - 1 :: parts]:
        settings = {"encoder": Path(args.encoder).name, **job}
        if settings in done:
            continue
        result = {"settings": settings, **run(args.encoder, job, args.curve)}
        with args.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        changed = {k: v for k, v in job.items() if v != OPTIONS[k][1]}
        print(changed, result["f"], f"{result['seconds']} s", flush=True)


def combinations(grid: list[str]) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): The trainings of a grid, all settings of each."""
    values = {name: [default] for name, (_, default, _) in OPTIONS.items()}
    for item in grid:
        name, _, several = item.partition("=")
        values[name] = [OPTIONS[name][0](value) for value in several.split(",")]
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


@cache
def corpus(name: str, limit: int) -> tuple[list[Doc], dict[str, list[Doc]]]:
    """RETURNS (tuple): Training documents, and those to score on by the name of the set."""
    path, lang = CORPORA[name]
    path = Path(os.environ.get("BIO_NER_CORPORA", ""), path)
    docs = read(path, lang=lang)[0]
    first = round((1.0 - HELD_OUT) * len(docs))
    held_out = {"held_out": docs[first:]}
    if name == "demo":
        held_out["dev"] = read(ASSETS / "dev.conll", lang=lang)[0]
    return docs[: limit or first][:first], held_out


def run(encoder: str, job: dict[str, Any], curve: int = 0) -> dict[str, Any]:
    """Train once and score.

    RETURNS (dict): "f", entity F1 by set; "loss", the mean over the last tenth of the steps;
        "seconds" of training; with `curve` the losses.
    """
    docs, held_out = corpus(job["corpus"], job["limit"])
    util.fix_random_seed(job["seed"])
    nlp = make(encoder, job, CORPORA[job["corpus"]][1])
    # Labels are read from the first hundred examples in any case.
    nlp.initialize(lambda: [example(nlp, doc) for doc in docs])
    adjust(nlp, job)
    optimizer = Adam(
        job["rate"],
        L2=job["decay"],
        L2_is_weight_decay=True,
        grad_clip=job["clip"],
        beta2=job["beta2"],
        use_averages=False,
    )
    losses = []
    began = time.perf_counter()
    warm = max(1, round(job["warmup"] * job["steps"]))
    for step, batch in zip(
        range(job["steps"]), batches(docs, job["words"], job["seed"]), strict=False
    ):
        factor = min((step + 1) / warm, (job["steps"] - step) / max(1, job["steps"] - warm))
        optimizer.learn_rate = job["rate"] * factor
        loss: dict[str, float] = {}
        nlp.update(
            [example(nlp, doc) for doc in batch], sgd=optimizer, drop=job["dropout"], losses=loss
        )
        losses.append(loss["bio_ner"])
    seconds = time.perf_counter() - began
    scores = {}
    for name, part in held_out.items():
        found = nlp.evaluate([example(nlp, doc) for doc in part])
        scores[name] = {
            k[-1]: round(100 * (found[f"ents_{k[-1]}"] or 0.0), 2) for k in ("p", "r", "f")
        }
    result = {
        "f": {name: score["f"] for name, score in scores.items()},
        "scores": scores,
        "loss": statistics.mean(losses[-max(1, job["steps"] // 10) :]),
        "seconds": round(seconds, 1),
    }
    return result | ({"curve": [round(x, 4) for x in losses[::curve]]} if curve else {})


def make(encoder: str, job: dict[str, Any], lang: str) -> Language:
    scale = job["head_rate"] / job["rate"]
    head = {
        "@architectures": "spacy-bio-crf.SoftmaxHead.v1",
        "constrained_loss": True,
        "lr_scale": scale,
    }
    if job["head"] == "crf":
        head = {
            "@architectures": "spacy-bio-crf.CRFHead.v1",
            "lr_scale": scale,
            "transitions_lr_scale": 2e-2 / job["rate"],
        }
    options = {
        "name": encoder,
        "layers": job["layers"] or None,
        "dropout": job["dropout"],
        "casing": bool(job["casing"]),
        "precision": job["precision"],
    }
    nlp = spacy.blank(lang)
    nlp.add_pipe("bio_ner", config={"model": {"encoder": options, "head": head}})
    return nlp


def example(nlp: Language, doc: Doc) -> Example:
    words, spaces = [t.text for t in doc], [bool(t.whitespace_) for t in doc]
    return Example(Doc(nlp.vocab, words=words, spaces=spaces), doc)


def batches(docs: list[Doc], words: int, seed: int) -> Iterator[list[Doc]]:
    """Deal documents out by their number of words, epoch after epoch."""
    random = np.random.default_rng(seed)
    batch: list[Doc] = []
    while True:
        for i in random.permutation(len(docs)):
            batch.append(docs[i])
            if sum(map(len, batch)) >= words:
                yield batch
                batch = []


class Mix(nn.Module):
    """A learned mean of the last layers (Peters et al. 2018, equation 1), normalized on request."""

    def __init__(self, layers: int, *, norm: bool):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.norm = norm
        self.outputs: list[Tensor] = []

    def attach(self, network: Any) -> None:
        """Let the network's output be the mean."""
        layers = network.encoder.layer
        for layer in layers[len(layers) - len(self.weights) :]:
            layer.register_forward_hook(self.keep)
        network.encoder.register_forward_hook(self.replace)

    def keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self.outputs.append(output[0] if isinstance(output, tuple) else output)

    def replace(self, _module: Any, _inputs: Any, output: Any) -> Any:
        outputs, self.outputs = self.outputs, []
        shares = self.weights.softmax(0)
        mixed = sum(share * vectors for share, vectors in zip(shares, outputs, strict=True))
        if self.norm:
            mixed = nn.functional.layer_norm(mixed, mixed.shape[-1:])
        output["last_hidden_state"] = mixed
        return output


def adjust(nlp: Language, job: dict[str, Any]) -> None:
    """Make those changes that no option of the component has."""
    shim = transformer_shim(nlp.get_pipe("bio_ner").model.get_ref("encoder"))
    network = shim.network
    if job["mix"] > 1 or job["norm"]:
        mix = Mix(job["mix"], norm=bool(job["norm"])).to(shim.device)
        mix.attach(network)
        network.add_module("mix", mix)
    depth = network.config.num_hidden_layers
    scale_of = shim.lr_scale

    def scale(name: str) -> float:
        parts = name.split(".")
        if parts[0] == "mix":
            return job["head_rate"] / job["rate"]
        below = depth if parts[0] == "embeddings" else 0
        if "layer" in parts:
            below = depth - 1 - int(parts[parts.index("layer") + 1])
        return scale_of(name) * job["layer_decay"] ** below

    shim.lr_scale = scale


if __name__ == "__main__":
    main()
