"""Accuracy of `bio_tagger` beside spaCy's `tagger` on the same encoder, in one run.

    python -m benchmarks.tagging [--train PATH --test PATH] [--epochs N] [--seeds N [N ...]]

The default corpus is that of `assets/pos`: 93 Portuguese sentences for training and 40 for testing,
with universal parts of speech. All systems see the same batches with the same schedule. The encoder
of spaCy's tagger is ours, with the vector of each token's first sub-word. Its head learns at the
rate of the encoder, as all of spaCy's do; those of `bio_tagger` have ten times that rate.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import srsly
import torch
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Model, chain
from thinc.types import Floats2d, Ragged
from wasabi import msg

from spacy_bio_crf.corpora import read
from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder

POS = Path(__file__).parents[1] / "assets" / "pos"
RATE = 3e-4
BATCH = 8  # sentences
ENCODER_OPTIONS = {"casing": True, "layers": -1}
FIRST_ROWS = "spacy-bio-crf-benchmarks.FirstRows.v1"
SYSTEMS = ("bio_tagger, softmax", "bio_tagger, CRF", "spaCy's tagger")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, default=POS / "train.pt.tsv")
    parser.add_argument("--test", type=Path, default=POS / "test.pt.tsv")
    parser.add_argument("--lang", default="pt")
    parser.add_argument("--pos-column", type=int, default=2, help="0 for CoNLL-U")
    parser.add_argument("--limit", type=int, default=0, help="training sentences at most; 0: all")
    parser.add_argument("--encoder", default="assets/encoder", help="a Hugging Face folder")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    parts = [load(path, args.lang, args.pos_column) for path in (args.train, args.test)]
    train, test = parts[0][: args.limit or None], parts[1]
    sizes = [(len(docs), sum(map(len, docs))) for docs in (train, test)]
    msg.text("Sentences and tokens, train and test: " + ", ".join(map(str, sizes)))
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    for seed in args.seeds:
        for name in SYSTEMS:
            figures[name].append(run(name, args.encoder, train, test, args.epochs, seed))
            print(f"seed {seed}, {name}: {figures[name][-1]['accuracy']:.4f}", flush=True)
    rows = [
        (
            name,
            f"{100 * statistics.mean(r['accuracy'] for r in runs):.2f}",
            f"{100 * min(r['accuracy'] for r in runs):.2f} to "
            f"{100 * max(r['accuracy'] for r in runs):.2f}",
            f"{statistics.median(r['seconds'] for r in runs):.0f}",
        )
        for name, runs in figures.items()
    ]
    header = ("", "accuracy, %", "least to most", "training, s of CPU")
    msg.table(rows, header=header, aligns=("l", "r", "r", "r"), divider=True)
    if args.json is not None:
        srsly.write_json(args.json, figures)


def load(path: Path, lang: str, pos_column: int) -> list[Doc]:
    """Read a corpus; all systems learn `tag_`, which universal parts of speech are copied to."""
    options: dict[str, Any] = {"lang": lang}
    if pos_column:
        options |= {"untagged": True, "pos_column": pos_column, "format": "columns"}
    docs = read(path, **options)[0]
    for doc in docs:
        for token in doc:
            token.tag_ = token.tag_ or token.pos_
    return docs


def run(
    name: str, encoder: str, train: list[Doc], test: list[Doc], epochs: int, seed: int
) -> dict[str, float]:
    """Train one system and score it.

    RETURNS (dict[str, float]): "accuracy" on the test documents, and "seconds" of CPU in training.
    """
    util.fix_random_seed(seed)
    nlp = make(name, encoder, train[0].vocab.lang)
    optimizer = Adam(RATE)
    nlp.initialize(lambda: examples(nlp, train))
    order = np.random.default_rng(seed)
    steps = epochs * -(-len(train) // BATCH)
    started, step = time.process_time(), 0
    for _ in range(epochs):
        shuffled = [train[i] for i in order.permutation(len(train))]
        for batch in util.minibatch(shuffled, BATCH):
            optimizer.learn_rate = RATE * min((step + 1) / (0.1 * steps), 1.0 - step / steps)
            nlp.update(examples(nlp, batch), sgd=optimizer)
            step += 1
    seconds = time.process_time() - started
    return {"accuracy": nlp.evaluate(examples(nlp, test))["tag_acc"], "seconds": seconds}


def examples(nlp: Language, docs: list[Doc]) -> list[Example]:
    words = [[token.text for token in doc] for doc in docs]
    return [Example(Doc(nlp.vocab, words=w), doc) for w, doc in zip(words, docs, strict=True)]


def make(name: str, encoder: str, lang: str) -> Language:
    """A pipeline with one system on the encoder."""
    nlp = spacy.blank(lang)
    if name == "spaCy's tagger":
        tok2vec = {"@architectures": FIRST_ROWS, "name": encoder}
        model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
        nlp.add_pipe("tagger", config={"model": model})
        return nlp
    head = {"bio_tagger, CRF": "CRFHead", "bio_tagger, softmax": "SoftmaxHead"}[name]
    model = {
        "@architectures": "spacy-bio-crf.BioTagger.v1",
        "encoder": {
            "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
            "name": encoder,
            **ENCODER_OPTIONS,
        },
        "head": {"@architectures": f"spacy-bio-crf.{head}.v1"},
    }
    nlp.add_pipe("bio_tagger", config={"target": "tag", "model": model})
    return nlp


@spacy.registry.architectures(FIRST_ROWS)
def build_first_rows(name: str) -> Model[list[Doc], list[Floats2d]]:
    """The vector of each token's first sub-word; zeros for a token without one."""
    return chain(build_transformer_encoder(name, **ENCODER_OPTIONS), Model("first_rows", _forward))


def _forward(
    model: Model, vectors: list[Ragged], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Ragged]]]:
    picked, places = [], []
    for own in vectors:
        lengths = model.ops.to_numpy(own.lengths)
        starts = np.cumsum(lengths) - lengths
        rows = model.ops.alloc2f(len(lengths), own.dataXd.shape[1])
        has = np.flatnonzero(lengths)
        rows[has] = own.dataXd[starts[has]]
        picked.append(rows)
        places.append((has, starts[has]))

    def backprop(d_picked: list[Floats2d]) -> list[Ragged]:
        d_vectors = []
        for own, d, (has, starts) in zip(vectors, d_picked, places, strict=True):
            d_own = model.ops.xp.zeros_like(own.dataXd)
            d_own[starts] = d[has]
            d_vectors.append(Ragged(d_own, own.lengths))
        return d_vectors

    return picked, backprop


if __name__ == "__main__":
    main()
