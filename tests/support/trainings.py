"""Small trainings from a folder: configuration, corpora, and what they leave."""

import contextlib
import io
import random
from pathlib import Path
from typing import Any

import spacy
from spacy.cli.train import train as spacy_train
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import init_nlp
from thinc.api import Config
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.training.checkpoint import Schedule
from spacy_bio_crf.training.loop import Training
from spacy_bio_crf.training.processes import Processes
from tests.support.pipelines import HEADS, SENTENCES, make_example

STEPS = 24

TRAINING: dict[str, Any] = {
    "train_corpus": "corpora.train",
    "dev_corpus": "corpora.dev",
    "seed": 0,
    "max_steps": STEPS,
    "max_epochs": 0,
    "patience": 0,
    "eval_frequency": 6,
    "dropout": 0.2,
    "accumulate_gradient": 2,
    "batcher": {
        "@batchers": "spacy.batch_by_words.v1",
        "size": {"@schedules": "compounding.v1", "start": 20, "stop": 60, "compound": 1.1},
        "tolerance": 0.2,
        "discard_oversize": False,
    },
    "optimizer": {
        "@optimizers": "Adam.v1",
        "learn_rate": {
            "@schedules": "warmup_linear.v1",
            "warmup_steps": 5,
            "total_steps": 40,
            "initial_rate": 0.002,
        },
        "use_averages": True,
    },
}

WIDTH = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32}
TOK2VEC = {
    "factory": "tok2vec",
    "model": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 32,
        "depth": 1,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    },
}
TAGGER = {
    "factory": "tagger",
    "model": {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": WIDTH},
}


def bio_ner(encoder: Path, head: str = "crf", **options: Any) -> dict[str, Any]:
    """The block of a `bio_ner`. The options are those of its encoder."""
    return {
        "factory": "bio_ner",
        "model": {
            "@architectures": "spacy-bio-crf.BioTagger.v1",
            "encoder": {
                "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
                "name": str(encoder),
                **options,
            },
            "head": {"@architectures": HEADS[head]},
        },
    }


def write_training(folder: Path, components: dict[str, Any], **changes: Any) -> Path:
    """Write corpora and a configuration.

    components: Their blocks by name, in order.
    changes: Sections of the configuration, merged.
    RETURNS (Path): The configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in (("train", 0), ("dev", 1)):
        write_corpus(folder / f"{name}.spacy", 30 if name == "train" else 8, seed=seed)
    readers = {
        name: {"@readers": "spacy.Corpus.v1", "path": str(folder / f"{name}.spacy")}
        for name in ("train", "dev")
    }
    config = Config(
        {
            "nlp": {"lang": "xx", "pipeline": list(components)},
            "components": components,
            "corpora": readers,
            "training": TRAINING,
        }
    ).merge(changes)
    path = folder / "config.cfg"
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    filled = nlp.config
    # A sourced component stays one.
    filled["components"] = config["components"]
    for name, block in changes.items():
        if name not in filled:
            filled[name] = block
    filled.to_disk(path)
    return path


def write_corpus(path: Path, size: int, *, seed: int) -> None:
    """Sentences with entities and tags, in an order that the seed decides."""
    nlp, docs = spacy.blank("xx"), []
    chosen = random.Random(seed)
    for _ in range(size):
        words, ents = chosen.choice(SENTENCES)
        doc = make_example(nlp, words, ents).reference
        extra = [chosen.choice(["today", "again", "Bo", "Lisbon"]) for _ in range(2)]
        longer = Doc(nlp.vocab, words=[*words, *extra])
        longer.set_ents([spacy.tokens.Span(longer, e.start, e.end, e.label_) for e in doc.ents])
        for token in longer:
            token.tag_ = "NAME" if token.text[0].isupper() else f"W{len(token.text) % 3}"
            token.lemma_ = token.lower_.removesuffix("s")
        docs.append(longer)
    DocBin(docs=docs, store_user_data=True).to_disk(path)


def run_spacy(config: Path, output: Path, **overrides: Any) -> None:
    """`spacy train` in this process."""
    with contextlib.redirect_stdout(io.StringIO()):
        spacy_train(config, output, overrides=overrides)


def run_training(
    config: Path,
    output: Path,
    *,
    resume: bool = False,
    stop: int | None = None,
    schedule: Schedule | None = None,
    overrides: dict[str, Any] | None = None,
    processes: Processes | None = None,
) -> list[str]:
    """Train as `bio-ner train` does, in this process.

    stop: The number of a step after which the training is interrupted.
    RETURNS (list[str]): Messages.
    """
    said: list[str] = []
    loaded = spacy.util.load_config(config, overrides=overrides or {}, interpolate=False)
    training = Training(
        init_nlp(loaded),
        output,
        resume=resume,
        schedule=schedule or Schedule(steps=5),
        say=lambda kind, message: said.append(f"{kind}: {message}"),
        processes=processes,
    )

    def watch(info: dict[str, Any]) -> None:
        if info["step"] == stop:
            raise KeyboardInterrupt

    try:
        training.run(io.StringIO(), io.StringIO(), watch=watch)
    except KeyboardInterrupt:
        assert stop is not None
    return said


def run_command(config: Path, output: Path, *options: str) -> str:
    """`bio-ner train` in this process. RETURNS (str): What it prints, in one line."""
    done = CliRunner().invoke(app, ["train", str(config), "--output", str(output), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    return " ".join(done.output.split())


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a folder with their bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def models(output: Path) -> dict[str, dict[str, bytes]]:
    """The contents of both models."""
    return {name: contents(output / name) for name in ("model-best", "model-last")}


def assert_same(one: Path, two: Path) -> None:
    """Models of two folders have the same files with the same bytes."""
    first, second = models(one), models(two)
    for name, files in first.items():
        assert files.keys() == second[name].keys()
        differing = [file for file in files if files[file] != second[name][file]]
        assert not differing, (name, differing)
        assert files
