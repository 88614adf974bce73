"""This project and its peers, prepared for timing on the same documents."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, Config, fix_random_seed, get_torch_default_device

from spacy_bio_crf.kernels.precision import autocast

PAIR = "spaCy transformer + ner"
BARE = "bare encoder"
HF = "transformers pipeline, batches"
HF_SIZES = (1, 8, 32, 128)
# Precisions of encoders, by kind of device.
PRECISIONS = {"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp32", "bf16")}

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
    """A system to time.

    name (str): Its name in tables.
    run (Callable[[], None]): Processes all documents once.
    """

    name: str
    run: Callable[[], None]


def training(encoder: str, docs: list[Doc], batch_words: int) -> list[Contestant]:
    """RETURNS (list[Contestant]): One epoch of fine-tuning each, optimizer steps included."""
    batches = [[doc.copy() for doc in batch] for batch in by_words(docs, batch_words)]
    contestants = []
    for head, precision in (("Softmax", "fp32"), ("CRF", "fp32"), ("CRF", "bf16")):
        nlp = bio_ner(encoder, head)
        nlp.get_pipe("bio_ner").precision = precision  # type: ignore[attr-defined]
        name = f"bio_ner, {head}, {precision}"
        contestants.append(Contestant(name, epoch(nlp, docs, batches)))
    nlp = spacy_pair(encoder)
    contestants.append(Contestant(PAIR, epoch(nlp, docs, batches)))
    contestants.append(Contestant("plain torch loop", torch_epoch(encoder, batches)))
    return contestants


def epoch(nlp: Language, docs: list[Doc], batches: list[list[Doc]]) -> Callable[[], None]:
    """RETURNS (Callable[[], None]): Update a pipeline with every batch once."""
    fix_random_seed(0)
    examples = [[Example(blank(nlp, doc), doc) for doc in batch] for batch in batches]
    optimizer = nlp.initialize(lambda: [Example(blank(nlp, doc), doc) for doc in docs])
    optimizer = Adam(1e-4, L2=0.01, grad_clip=1.0, use_averages=False)

    def run() -> None:
        for batch in examples:
            nlp.update(batch, sgd=optimizer, drop=0.1)

    return run


def torch_epoch(encoder: str, batches: list[list[Doc]]) -> Callable[[], None]:
    """RETURNS (Callable[[], None]): A usual hand-written loop: padded batches, clipping, torch's
    default AdamW."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    labels = sorted({e.label_ for batch in batches for doc in batch for e in doc.ents})
    tags = ["O", *(f"{p}-{label}" for label in labels for p in "BI")]
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=len(tags))
    model.to(device())
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
            model(**pieces.to(device()), labels=gold.to(device())).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return run


def inference(
    encoder: str, train: list[Doc], test: list[Doc]
) -> dict[str, Callable[[], Contestant]]:
    """RETURNS (dict[str, Callable]): Functions that make a contestant, by name. Each one annotates
    tokenized documents."""
    makers: dict[str, Callable[[], Contestant]] = {}
    for head in ("Softmax", "CRF"):
        for precision in PRECISIONS[device()]:
            name = f"bio_ner, {head}, {precision}"
            makers[name] = partial(_bio_ner_contestant, name, encoder, head, precision, train, test)
    makers["bio_ner, CRF, fp32, no confidence"] = partial(
        _bio_ner_contestant,
        *("bio_ner, CRF, fp32, no confidence", encoder, "CRF", "fp32", train, test),
        spans_key=None,
    )
    makers[PAIR] = lambda: Contestant(PAIR, annotate(ready(spacy_pair(encoder), train), test))
    for size in HF_SIZES:
        name = f"{HF} of {size}"
        makers[name] = partial(_hf_contestant, name, encoder, test, size)
    for precision in ("fp32", "bf16"):
        name = f"{BARE}, {precision}"
        makers[name] = partial(_bare_contestant, name, encoder, precision, train, test)
    return makers


def device() -> str:
    """RETURNS (str): The device of spaCy: "cpu" or "cuda"."""
    return get_torch_default_device().type


def _bio_ner_contestant(
    name: str,
    encoder: str,
    head: str,
    precision: str,
    train: list[Doc],
    test: list[Doc],
    **options: Any,
) -> Contestant:
    nlp = ready(bio_ner(encoder, head, **options), train)
    nlp.get_pipe("bio_ner").precision = precision  # type: ignore[attr-defined]
    return Contestant(name, annotate(nlp, test))


def _hf_contestant(name: str, encoder: str, test: list[Doc], size: int) -> Contestant:
    return Contestant(name, hf_pipeline(encoder, test, size))


def _bare_contestant(
    name: str, encoder: str, precision: str, train: list[Doc], test: list[Doc]
) -> Contestant:
    return Contestant(name, bare_encoder(ready(bio_ner(encoder, "CRF"), train), test, precision))


def ready(nlp: Language, train: list[Doc]) -> Language:
    """Initialize a pipeline on some documents."""
    few = train[:200]
    nlp.initialize(lambda: [Example(blank(nlp, doc), doc) for doc in few])
    return nlp


def annotate(nlp: Language, docs: list[Doc]) -> Callable[[], None]:
    """RETURNS (Callable[[], None]): Annotate fresh copies of documents."""

    def run() -> None:
        for _ in nlp.pipe([blank(nlp, doc) for doc in docs], batch_size=256):
            pass

    return run


def hf_pipeline(encoder: str, docs: list[Doc], size: int) -> Callable[[], None]:
    """RETURNS (Callable[[], None]): Run the transformers token-classification pipeline, `size`
    texts at a time."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=9).eval()
    tagger = pipeline(
        "token-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(encoder),
        aggregation_strategy="first",
        batch_size=size,
        device=device(),
    )
    texts = [doc.text for doc in docs]

    def run() -> None:
        tagger(texts)

    return run


def bare_encoder(nlp: Language, docs: list[Doc], precision: str) -> Callable[[], None]:
    """RETURNS (Callable[[], None]): Run the network alone on padded batches of similar lengths, the
    upper bound for a pipeline."""
    shim: Any = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]  # type: ignore[attr-defined]
    subwords = shim.text.cut(docs)
    padded = shim.text.make_batches(
        subwords,
        [own.rows for own in subwords],
        budget=shim.budget,
        overhead=shim.overhead(train=False),
    )
    batches = [[torch.from_numpy(x).to(shim.device) for x in (p.ids, p.mask)] for p in padded]
    network = shim.network

    def run() -> None:
        network.eval()
        with torch.inference_mode(), autocast(precision, shim.device):
            for ids, mask in batches:
                network(input_ids=ids, attention_mask=mask)

    return run


def bio_ner(encoder: str, head: str, **options: Any) -> Language:
    """Make a pipeline of one `bio_ner`."""
    nlp = spacy.blank("en")
    architecture = {"@architectures": f"spacy-bio-crf.{head}Head.v1"}
    nlp.add_pipe(
        "bio_ner", config={**options, "model": {"encoder": {"name": encoder}, "head": architecture}}
    )
    return nlp


def spacy_pair(encoder: str) -> Language:
    """Make spaCy's `transformer` and `ner`, as its documentation configures them."""
    config = Config().from_str(SPACY_PAIR.replace("ENCODER", encoder))
    return spacy.util.load_model_from_config(config, auto_fill=True)


def blank(nlp: Language, doc: Doc) -> Doc:
    """Copy a document's tokens without annotation."""
    return Doc(nlp.vocab, words=[t.text for t in doc], spaces=[bool(t.whitespace_) for t in doc])


def read(path: Path, words: int) -> list[Doc]:
    """Read documents of a corpus in random order, up to a number of words."""
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
    """YIELDS (list[Doc]): Consecutive documents with about `size` words."""
    batch: list[Doc] = []
    for doc in docs:
        batch.append(doc)
        if count(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def count(docs: Iterable[Doc]) -> int:
    """RETURNS (int): Words of some documents."""
    return sum(len(doc) for doc in docs)
