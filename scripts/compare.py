"""Compare heads on one corpus: plain softmax, constrained softmax and CRF, over several seeds.

Softmax is trained once for each seed, without the constraint in its loss, and decoded in two ways.
All results are kept, so that an interrupted comparison continues. Results of other settings or
other data are computed again.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import spacy
from spacy import util
from wasabi import msg

from spacy_bio_crf.cores import waiting_settings
from spacy_bio_crf.errors import Plain, describe
from spacy_bio_crf.io import write_json, write_text
from spacy_bio_crf.metrics import analyze, predict, read_corpus

# System: the configuration it is trained with, and whether it decodes legal sequences only.
SYSTEMS = {"softmax": ("softmax", False), "constrained": ("softmax", True), "crf": ("crf", True)}
TITLES = {"softmax": "softmax", "constrained": "softmax, constrained", "crf": "CRF"}
SPLITS = ("train", "dev", "test")
LOSS_OPTION = "components.bio_ner.model.head.constrained_loss"
HEADER = ("", "entity P", "entity R", "entity F1", "token F1", "partial F1", "training, s")


def settings_of(arguments: argparse.Namespace, head: str, seed: int) -> dict[str, Any]:
    """Everything that a training depends on, except for the versions of programs.

    arguments (argparse.Namespace): Of the command line.
    head (str): The configuration's name.
    seed (int): The seed.
    RETURNS (dict): Settings, with digests of files.
    """
    weights = Path(arguments.encoder) / "model.safetensors"
    return {
        "config": digest(arguments.configs / f"{head}.cfg"),
        "corpus": {name: digest(arguments.corpus / f"{name}.spacy") for name in SPLITS},
        "encoder": digest(weights) if weights.is_file() else arguments.encoder,
        "lang": arguments.lang,
        "seed": seed,
        "set": arguments.set,
    }


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_if_same(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a result if it was made with these settings; None otherwise."""
    # srsly reads floating-point numbers without their last digits.
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if found.get("settings") == settings else None


def train(arguments: argparse.Namespace, head: str, seed: int) -> dict[str, Any]:
    """Train a pipeline, unless that is done already.

    arguments (argparse.Namespace): Of the command line.
    head (str): The configuration's name.
    seed (int): The seed.
    RETURNS (dict): `settings` and `seconds`, the time of the whole training.
    """
    folder = arguments.output / f"{head}-{seed}"
    settings = settings_of(arguments, head, seed)
    done = read_if_same(folder / "training.json", settings)
    if done is not None:
        msg.info(f"{folder} is trained")
        return done
    # Remains of an interrupted training, or of one with other settings.
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "spacy", "train", arguments.configs / f"{head}.cfg"]
    options = {
        "output": folder,
        "gpu-id": arguments.gpu_id,
        "paths.train": arguments.corpus / "train.spacy",
        "paths.dev": arguments.corpus / "dev.spacy",
        "paths.encoder": arguments.encoder,
        "paths.log": folder / "curve.jsonl",
        "nlp.lang": arguments.lang,
        "system.seed": seed,
        **(plain(arguments.configs / f"{head}.cfg") if head == "softmax" else {}),
        **dict(item.split("=", 1) for item in arguments.set),
    }
    command += [part for key, value in options.items() for part in (f"--{key}", value)]
    start = perf_counter()
    environment = os.environ | waiting_settings()
    subprocess.run([str(part) for part in command], check=True, env=environment)
    done = {"settings": settings, "seconds": perf_counter() - start}
    write_json(folder / "training.json", done)
    return done


def plain(path: Path) -> dict[str, str]:
    """The option that removes the constraint from the loss of a configuration, if it is there.

    path (Path): The configuration.
    RETURNS (dict[str, str]): Options of `spacy train`.
    """
    head = util.load_config(path)["components"]["bio_ner"]["model"]["head"]
    return {LOSS_OPTION: "false"} if head.get("constrained_loss") else {}


def run(arguments: argparse.Namespace, system: str, seed: int) -> dict[str, Any]:
    """Train and evaluate one system with one seed, as far as that was not done.

    arguments (argparse.Namespace): Of the command line.
    system (str): A key of `SYSTEMS`.
    seed (int): The seed.
    RETURNS (dict): What `bio-ner evaluate` has of the test set, with `settings`, `system`, `seed`
        and `seconds` of training.
    """
    head, constrained = SYSTEMS[system]
    trained = train(arguments, head, seed)
    path = arguments.output / f"{system}-{seed}.json"
    settings = {**trained["settings"], "model": arguments.model}
    done = read_if_same(path, settings)
    if done is not None:
        msg.info(f"{path} is evaluated")
        return done
    folder = arguments.output / f"{head}-{seed}" / f"model-{arguments.model}"
    option = "components.bio_ner.model.head.constrained"
    nlp = spacy.load(folder, config={option: constrained})
    result = {
        "settings": settings,
        "system": system,
        "seed": seed,
        "seconds": trained["seconds"],
        **analyze(predict(nlp, read_corpus(nlp, arguments.corpus / "test.spacy"))),
    }
    write_json(path, result)
    return result


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Mean and standard deviation of each system.

    results (Sequence[Mapping[str, Any]]): From `run`.
    RETURNS (str): A table in Markdown, with the standard deviation of a sample if there are several
        seeds.
    """
    rows = []
    for system in SYSTEMS:
        runs = [result for result in results if result["system"] == system]
        if runs:
            scores = [[100 * (run["entity"]["all"][key] or 0.0) for run in runs] for key in "prf"]
            for part in (lambda r: r["token"]["all"], lambda r: r["partial"]["partial"]):
                scores.append([100 * (part(run)["f"] or 0.0) for run in runs])
            seconds = spread([run["seconds"] for run in runs], digits=0)
            rows.append((TITLES[system], *(spread(values) for values in scores), seconds))
    divider = ("---", *["---:"] * (len(HEADER) - 1))
    return "".join(f"| {' | '.join(row)} |\n" for row in (HEADER, divider, *rows))


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Mean and standard deviation: "46.80 ± 0.41"."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def missing_files(arguments: argparse.Namespace) -> Iterable[Path]:
    """Input files that do not exist."""
    corpora = [arguments.corpus / f"{name}.spacy" for name in SPLITS]
    configs = [arguments.configs / f"{SYSTEMS[system][0]}.cfg" for system in arguments.systems]
    return [path for path in (*corpora, *configs) if not path.is_file()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder of train.spacy, dev.spacy, test.spacy")
    parser.add_argument("output", type=Path, help="folder for pipelines and results")
    parser.add_argument("--encoder", default="assets/e5", help="Hugging Face folder or name")
    parser.add_argument("--lang", default="xx", help="language of the pipeline")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="folder of them")
    parser.add_argument(
        "--model", choices=("best", "last"), default="best", help="which to evaluate"
    )
    parser.add_argument("--gpu-id", type=int, default=-1, help="-1 is the CPU")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the configuration"
    )
    arguments = parser.parse_args()
    wrong = [item for item in arguments.set if not all(item.partition("="))]
    if wrong:
        expected = "KEY=VALUE, such as training.max_epochs=4"
        msg.fail(describe("--set", expected=expected, got=wrong[0]))
        return 1
    missing = [str(path) for path in missing_files(arguments)]
    if missing:
        msg.fail(describe(", ".join(missing), expected="a file", got=Plain("no such file")))
        return 1
    if arguments.gpu_id >= 0:
        spacy.require_gpu(arguments.gpu_id)
    results = [
        run(arguments, system, seed) for seed in arguments.seeds for system in arguments.systems
    ]
    text = table(results)
    seeds = ", ".join(map(str, arguments.seeds))
    print(f"\nTest set of {arguments.corpus}, seeds {seeds}: mean ± standard deviation\n\n{text}")
    write_text(arguments.output / "table.md", text)
    write_json(arguments.output / "results.json", results)
    msg.good(f"Saved: {arguments.output / 'table.md'}, {arguments.output / 'results.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
