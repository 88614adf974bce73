"""Recipes of training from the literature, each beside the same training without it: entity F1.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.recipes --output recipes.jsonl
        [--corpora NAME ...] [--recipes NAME ...] [--seeds N ...] [--steps N] [--layers N]
        [--words N] [--precision bf16]

All trainings of a corpus and a seed have the same batches of gold, rate and weights to begin with.
Dev and test are scored once, after the last step. Each training is a line of the output, written
when it is known; those that are there are not repeated.

* twice the steps: nothing else, to tell what is due to the number of steps alone;
* learned mean: the head sees a learned mean of the last layers (Peters et al. 2018, equation 1);
* adversarial: each step adds the gradient at embeddings that are moved by a vector of length 1 in
  the direction of their own gradient (fast gradient method, Miyato et al. 2017, equation 5); this
  takes twice the time;
* self-training: the model of the same seed without a recipe annotates texts; those whose best
  analysis has a probability of `SURE` or more, and an entity, are added to the gold, and a new
  model is trained in twice the steps;
* neighbors: `TOGETHER` sentences that follow one another are one document, in all sets;
* other names: half of the entities in a batch, at random, become other ones of the same label in
  the training data (mention replacement, Dai and Adel 2020, section 3);
* lower case: three in ten documents of a batch, at random, are in lower case.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, warmup_linear
from wasabi import msg

from spacy_bio_crf.corpora import read
from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.heads.doubt import measure_doubt
from spacy_bio_crf.pipes.bio_ner import BioNer
from spacy_bio_crf.selection import Strategy

from .distillation import CORPORA, ROOT
from .encoder_search import adjust, batches, combinations, example, make

Change = Callable[[Doc], Doc]
PLAIN = "without"
RECIPES = (
    PLAIN,
    "twice the steps",
    "learned mean",
    "adversarial",
    "self-training",
    "neighbors",
    "other names",
    "lower case",
)
SURE = 0.8  # probability of a whole analysis
TOGETHER = 5  # sentences
MIXED = 3  # last layers
REPLACED = 0.5  # of the entities
LOWERED = 0.3  # of the documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="JSON lines, added to")
    parser.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=CORPORA)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--layers", type=int, default=-1, help="below 0: all but as many")
    parser.add_argument("--words", type=int, default=400, help="in a batch")
    parser.add_argument("--precision", default="auto", help="of the encoder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for corpus, seed in itertools.product(args.corpora, args.seeds):
        run(corpus, seed, args)
    show(read_lines(args.output))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """RETURNS (list[dict]): The trainings in an output; none if there is no such file."""
    return list(map(json.loads, path.read_text("utf-8").splitlines())) if path.exists() else []


def run(corpus: str, seed: int, args: argparse.Namespace) -> None:
    """Train with the recipes whose results are not known yet.

    corpus (str): A key of `CORPORA`.
    seed (int): Of weights, dropout and the order of documents.
    args (Namespace): Of the command line.
    """
    settings = [f"{name}={getattr(args, name)}" for name in ("layers", "words", "precision")]
    job = combinations([*settings, f"steps={args.steps}", "casing=1", f"seed={seed}"])[0]
    lang = CORPORA[corpus]["lang"]
    known = {(line["corpus"], line["recipe"], line["seed"]) for line in read_lines(args.output)}
    names = [name for name in args.recipes if (corpus, name, seed) not in known]
    if not names:
        return
    parts = {part: read_part(corpus, part) for part in ("train", "dev", "test")}
    plain: Language | None = None
    for name in names:
        own, sets, gold = dict(job), parts, parts["train"]
        began = time.perf_counter()
        if name in ("twice the steps", "self-training"):
            own["steps"] *= 2
        if name == "learned mean":
            own["mix"] = MIXED
        if name == "neighbors":
            sets = {part: join(docs) for part, docs in parts.items()}
            gold = sets["train"]
        if name == "self-training":
            plain = plain or train(args.encoder, lang, gold, job)
            gold = [*gold, *annotate_surely(plain, read_part(corpus, "texts"))]
        change: Change | None = None
        if name == "other names":
            change = OtherNames(gold, seed)
        if name == "lower case":
            change = LowerCase(seed)
        nlp = train(args.encoder, lang, gold, own, change=change, adversarial=name == "adversarial")
        if name == PLAIN:
            plain = nlp
        line = {"corpus": corpus, "recipe": name, "seed": seed, "documents": len(gold)}
        for part in ("dev", "test"):
            found = nlp.evaluate([example(nlp, doc) for doc in sets[part]])
            line[part] = round(100.0 * (found["ents_f"] or 0.0), 2)
        line["seconds"] = round(time.perf_counter() - began, 1)
        with args.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def read_part(corpus: str, part: str) -> list[Doc]:
    """RETURNS (list[Doc]): A set of a corpus, without empty documents."""
    own = CORPORA[corpus]
    path = Path(os.environ.get("BIO_NER_CORPORA", "."), own[part])
    return [doc for doc in read(path, lang=own["lang"])[0] if len(doc)]


def join(docs: list[Doc]) -> list[Doc]:
    """RETURNS (list[Doc]): Documents of `TOGETHER` given ones each, in order."""
    first_ones = range(0, len(docs), TOGETHER)
    parts = (docs[i : i + TOGETHER] for i in first_ones)
    return [Doc.from_docs(part, ensure_whitespace=True, exclude=["user_data"]) for part in parts]


class OtherNames:
    """Replaces `REPLACED` of a document's entities by others of the same label.

    gold (list[Doc]): The documents whose entities are taken.
    seed (int): Of the choice.
    """

    def __init__(self, gold: list[Doc], seed: int):
        self._random = np.random.default_rng(seed)
        self._names: dict[str, list[list[str]]] = defaultdict(list)
        for ent in (ent for doc in gold for ent in doc.ents):
            self._names[ent.label_].append([token.text for token in ent])

    def __call__(self, doc: Doc) -> Doc:
        """RETURNS (Doc): A new document."""
        words: list[str] = []
        spaces: list[bool] = []
        ents: list[tuple[int, int, str]] = []
        own = {ent.start: ent for ent in doc.ents}
        place = 0
        while place < len(doc):
            ent = own.get(place)
            part = doc[place : ent.end if ent else place + 1]
            texts = [token.text for token in part]
            gaps = [bool(token.whitespace_) for token in part]
            if ent and self._random.random() < REPLACED:
                names = self._names[ent.label_]
                texts = names[self._random.integers(len(names))]
                gaps = [*[True] * (len(texts) - 1), gaps[-1]]
            if ent:
                ents.append((len(words), len(words) + len(texts), ent.label_))
            words += texts
            spaces += gaps
            place = part.end
        changed = Doc(doc.vocab, words=words, spaces=spaces)
        changed.set_ents([Span(changed, *found) for found in ents])
        return changed


class LowerCase:
    """Writes `LOWERED` of the documents in lower case.

    seed (int): Of the choice.
    """

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)

    def __call__(self, doc: Doc) -> Doc:
        """RETURNS (Doc): A new document, or the same."""
        if self._random.random() >= LOWERED:
            return doc
        spaces = [bool(token.whitespace_) for token in doc]
        changed = Doc(doc.vocab, words=[token.lower_ for token in doc], spaces=spaces)
        changed.set_ents([Span(changed, ent.start, ent.end, ent.label_) for ent in doc.ents])
        return changed


def train(
    encoder: str,
    lang: str,
    gold: list[Doc],
    job: dict[str, Any],
    *,
    change: Change | None = None,
    adversarial: bool = False,
) -> Language:
    """Train a pipeline.

    encoder (str): A Hugging Face folder.
    lang (str): The language.
    gold (list[Doc]): Annotated documents.
    job (dict[str, Any]): Settings of `benchmarks.encoder_search`.
    change (Change | None): Applied to each document of a batch, in each epoch anew.
    adversarial (bool): Add the gradient at the moved embeddings to each step.
    """
    util.fix_random_seed(job["seed"])
    nlp = make(encoder, job, lang)
    nlp.initialize(lambda: [example(nlp, doc) for doc in gold])
    adjust(nlp, job)
    schedule = warmup_linear(job["rate"], round(job["warmup"] * job["steps"]), job["steps"])
    sgd = Adam(schedule, L2=job["decay"], L2_is_weight_decay=True, grad_clip=job["clip"])
    weight = transformer_shim(ner_of(nlp).model.get_ref("encoder")).network.get_input_embeddings()
    for batch in itertools.islice(batches(gold, job["words"], job["seed"]), job["steps"]):
        found = [example(nlp, change(doc) if change else doc) for doc in batch]

        def step(sgd: Any, found: list[Example] = found) -> None:
            nlp.update(found, sgd=sgd, drop=job["dropout"])

        if adversarial:
            # False: gradients are summed, and no weight changes.
            step(False)
            move_and_return(weight.weight, lambda step=step: step(False))
            for _, pipe in nlp.pipeline:
                pipe.finish_update(sgd)
        else:
            step(sgd)
        sgd.step_schedules()
    return nlp


def move_and_return(weight: torch.nn.Parameter, function: Callable[[], None]) -> None:
    """Call a function while a weight is moved by a vector of length 1 along its gradient.

    weight (Parameter): A matrix with a gradient, float32 [V, e]. It is afterwards what it was.
    """
    kept, gradient = weight.detach().clone(), weight.grad
    assert gradient is not None
    with torch.no_grad():
        weight.add_(gradient / gradient.norm().clamp_min(1e-12))
    function()
    with torch.no_grad():
        weight.copy_(kept)


def annotate_surely(nlp: Language, texts: list[Doc]) -> list[Doc]:
    """Annotate texts. RETURNS (list[Doc]): Those with an entity and a sure analysis."""
    ner, found = ner_of(nlp), []
    sure = Strategy("confident", min_probability=SURE)
    for first in range(0, len(texts), 500):
        docs = [example(nlp, doc).predicted for doc in texts[first : first + 500]]
        lattice = ner.lattice(docs)
        doubts = measure_doubt(lattice, [None] * len(docs), ner.reading())
        for doc, doubt in zip(nlp.pipe(docs), doubts, strict=True):
            if sure.admits(doubt, doc.ents):
                found.append(doc)
    return found


def ner_of(nlp: Language) -> BioNer:
    """RETURNS (BioNer): The only component of a pipeline."""
    pipe = nlp.get_pipe("bio_ner")
    assert isinstance(pipe, BioNer)
    return pipe


def show(lines: list[dict[str, Any]]) -> None:
    """Print the means over seeds, and their differences to the training without a recipe."""
    scores: dict[tuple[str, str], dict[int, tuple[float, float]]] = defaultdict(dict)
    for line in lines:
        scores[line["corpus"], line["recipe"]][line["seed"]] = line["dev"], line["test"]
    rows = []
    for (corpus, recipe), by_seed in scores.items():
        plain = scores.get((corpus, PLAIN), {})
        cells = [f"{statistics.mean(own):.1f}" for own in zip(*by_seed.values(), strict=True)]
        # By seed: seeds differ by more than recipes do.
        pairs = [(by_seed[seed], plain[seed]) for seed in by_seed.keys() & plain.keys()]
        for i in range(2) if pairs and recipe != PLAIN else ():
            cells[i] += f" ({statistics.mean(own[i] - other[i] for own, other in pairs):+.1f})"
        rows.append((corpus, recipe, len(by_seed), *cells))
    header = ("corpus", "recipe", "seeds", "dev", "test")
    msg.table(rows, header=header, aligns=("l", "l", "r", "r", "r"), divider=True)


if __name__ == "__main__":
    main()
