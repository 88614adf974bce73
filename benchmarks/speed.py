"""Words per second of this project and of its peers, side by side in one run.

    python -m benchmarks.speed --train corpus/train.spacy --test corpus/test.spacy

All contestants have the same weights, documents and batches, take turns, and repeat.
Quote the ratios: absolute figures belong to the machine.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, Config, fix_random_seed
from wasabi import msg

SPACY_PAIR = """
[nlp]
lang = "en"
pipeline = ["transformer","ner"]

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = "ENCODER"
tokenizer_config = {"use_fast": true}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96

[components.ner]
factory = "ner"

[components.ner.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "ner"
extra_state_tokens = false
hidden_width = 64
maxout_pieces = 2
use_upper = false

[components.ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0
pooling = {"@layers":"reduce_mean.v1"}
"""


@dataclass(frozen=True)
class Contestant:
    """Something to time.

    name (str): What it is.
    run (Callable[[], None]): Works once through all documents.
    """

    name: str
    run: Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="assets/encoder", help="a Hugging Face folder")
    parser.add_argument("--train", type=Path, default=Path("corpus/train.spacy"))
    parser.add_argument("--test", type=Path, default=Path("corpus/test.spacy"))
    parser.add_argument("--words", type=int, default=10_000, help="of each corpus, at the most")
    parser.add_argument("--batch-words", type=int, default=600, help="words in a training batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    train, test = (read(path, args.words) for path in (args.train, args.test))
    figures = {
        "training": race(
            training(args.encoder, train, args.batch_words), count(train), args.repeats
        ),
        "inference": race(inference(args.encoder, train, test), count(test), args.repeats),
    }
    for part, baseline in (("training", "spaCy transformer + ner"), ("inference", "bare encoder")):
        show(part, figures[part], baseline)
    if args.json is not None:
        srsly.write_json(args.json, figures)


def training(encoder: str, docs: list[Doc], batch_words: int) -> list[Contestant]:
    """One epoch of fine-tuning, optimiser and all."""
    batches = [[doc.copy() for doc in batch] for batch in by_words(docs, batch_words)]
    contestants = []
    for head in ("Softmax", "CRF"):
        nlp = bio_ner(encoder, head)
        contestants.append(Contestant(f"bio_ner, {head}", epoch(nlp, docs, batches)))
    nlp = spacy_pair(encoder)
    contestants.append(Contestant("spaCy transformer + ner", epoch(nlp, docs, batches)))
    contestants.append(Contestant("plain torch loop", torch_epoch(encoder, batches)))
    return contestants


def epoch(nlp: Language, docs: list[Doc], batches: list[list[Doc]]) -> Callable[[], None]:
    """Updates of a pipeline with every batch once."""
    fix_random_seed(0)
    examples = [[Example(blank(nlp, doc), doc) for doc in batch] for batch in batches]
    optimizer = nlp.initialize(lambda: [Example(blank(nlp, doc), doc) for doc in docs])
    optimizer = Adam(1e-4, L2=0.01, grad_clip=1.0, use_averages=False)

    def run() -> None:
        for batch in examples:
            nlp.update(batch, sgd=optimizer, drop=0.1)

    return run


def torch_epoch(encoder: str, batches: list[list[Doc]]) -> Callable[[], None]:
    """The loop people write by hand: padded batches, clipping, torch's default AdamW."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    labels = sorted({e.label_ for batch in batches for doc in batch for e in doc.ents})
    tags = ["O", *(f"{p}-{label}" for label in labels for p in "BI")]
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=len(tags))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    prepared = []
    for batch in batches:
        words = [[token.text for token in doc] for doc in batch]
        pieces = tokenizer(
            words, is_split_into_words=True, return_tensors="pt", padding=True, truncation=True
        )
        gold = torch.full(pieces["input_ids"].shape, -100)
        for i, doc in enumerate(batch):
            seen = None
            for j, word in enumerate(pieces.word_ids(i)):
                if word is not None and word != seen:
                    token = doc[word]
                    tag = f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else "O"
                    gold[i, j] = tags.index(tag)
                seen = word
        prepared.append((pieces, gold))

    def run() -> None:
        model.train()
        for pieces, gold in prepared:
            optimizer.zero_grad()
            model(**pieces, labels=gold).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return run


def inference(encoder: str, train: list[Doc], test: list[Doc]) -> list[Contestant]:
    """Annotation of documents that are tokenised already."""
    contestants = []
    pipelines = {
        "bio_ner, Softmax": bio_ner(encoder, "Softmax"),
        "bio_ner, CRF": bio_ner(encoder, "CRF"),
        "bio_ner, CRF, no confidence": bio_ner(encoder, "CRF", spans_key=None),
        "spaCy transformer + ner": spacy_pair(encoder),
    }
    for name, nlp in pipelines.items():
        few = train[:200]
        nlp.initialize(lambda nlp=nlp, few=few: [Example(blank(nlp, doc), doc) for doc in few])
        contestants.append(Contestant(name, annotate(nlp, test)))
    contestants.append(Contestant("transformers pipeline", hf_pipeline(encoder, test)))
    contestants.append(Contestant("bare encoder", bare_encoder(pipelines["bio_ner, CRF"], test)))
    return contestants


def annotate(nlp: Language, docs: list[Doc]) -> Callable[[], None]:
    """A pipeline over fresh copies of documents."""

    def run() -> None:
        for _ in nlp.pipe([blank(nlp, doc) for doc in docs], batch_size=256):
            pass

    return run


def hf_pipeline(encoder: str, docs: list[Doc]) -> Callable[[], None]:
    """The transformers token-classification pipeline, in batches of 32 texts."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=9).eval()
    tagger = pipeline(
        "token-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(encoder),
        aggregation_strategy="first",
        batch_size=32,
    )
    texts = [doc.text for doc in docs]

    def run() -> None:
        tagger(texts)

    return run


def bare_encoder(nlp: Language, docs: list[Doc]) -> Callable[[], None]:
    """The network alone over well-made batches: the limit of what a pipeline can reach."""
    from spacy_bio_crf.encoder.packs import make_packs

    shim: Any = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]  # type: ignore[attr-defined]
    pieces = shim.tokenize(docs)
    packs = make_packs(
        pieces,
        [p.rows for p in pieces],
        frame=shim.frame,
        window=shim.window,
        overlap=shim.overlap,
        budget=shim.budget,
    )
    ready = [(torch.from_numpy(p.ids), torch.from_numpy(p.mask)) for p in packs]
    network = shim.network

    def run() -> None:
        network.eval()
        with torch.inference_mode():
            for ids, mask in ready:
                network(input_ids=ids, attention_mask=mask)

    return run


def bio_ner(encoder: str, head: str, **options: Any) -> Language:
    """A pipeline of one `bio_ner`."""
    nlp = spacy.blank("en")
    architecture = {"@architectures": f"spacy-bio-crf.{head}Head.v1"}
    nlp.add_pipe(
        "bio_ner", config={**options, "model": {"encoder": {"name": encoder}, "head": architecture}}
    )
    return nlp


def spacy_pair(encoder: str) -> Language:
    """spaCy's `transformer` and `ner`, as its documentation configures them."""
    config = Config().from_str(SPACY_PAIR.replace("ENCODER", encoder))
    return spacy.util.load_model_from_config(config, auto_fill=True)


def blank(nlp: Language, doc: Doc) -> Doc:
    """The same tokens without annotation."""
    return Doc(nlp.vocab, words=[t.text for t in doc], spaces=[bool(t.whitespace_) for t in doc])


def read(path: Path, words: int) -> list[Doc]:
    """Documents of a corpus, in an order of their own, up to a number of words."""
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
    random.Random(0).shuffle(docs)
    chosen: list[Doc] = []
    for doc in docs:
        if count(chosen) >= words:
            break
        if len(doc):
            chosen.append(doc)
    return chosen


def by_words(docs: Iterable[Doc], size: int) -> Iterable[list[Doc]]:
    """Batches of consecutive documents with about `size` words."""
    batch: list[Doc] = []
    for doc in docs:
        batch.append(doc)
        if count(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def count(docs: Iterable[Doc]) -> int:
    """Words of some documents."""
    return sum(len(doc) for doc in docs)


def race(contestants: list[Contestant], words: int, repeats: int) -> dict[str, list[float]]:
    """Words per second of every contestant in every round, after one round of warm-up.

    contestants (list[Contestant]): They take turns, so that a slow moment hits all of them.
    words (int): How many words one run works on.
    repeats (int): Rounds that count.
    RETURNS (dict[str, list[float]]): Words per second, by name.
    """
    figures: dict[str, list[float]] = {c.name: [] for c in contestants}
    for turn in range(repeats + 1):
        for contestant in contestants:
            start = time.perf_counter()
            contestant.run()
            if turn:
                figures[contestant.name].append(words / (time.perf_counter() - start))
    return figures


def show(part: str, figures: dict[str, list[float]], baseline: str) -> None:
    """Print medians, and the median of the ratios to a baseline, round by round."""
    msg.divider(part)
    rows = []
    for name, speeds in figures.items():
        ratios = [a / b for a, b in zip(speeds, figures[baseline], strict=True)]
        rows.append(
            (
                name,
                f"{statistics.median(speeds):,.0f}",
                f"{min(speeds):,.0f} to {max(speeds):,.0f}",
                f"{statistics.median(ratios):.2f}",
            )
        )
    msg.table(
        rows,
        header=("", "words/s", "range", f"× {baseline}"),
        aligns=("l", "r", "r", "r"),
        divider=True,
    )


if __name__ == "__main__":
    main()
