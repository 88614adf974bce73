"""Time and memory of documents from a thousand tokens to a million.

    python -m benchmarks.scale [--encoder PATH] [--longest N] [--docs N] [--json PATH]

For one document at a time: words per second, and the rise of memory above that of the loaded
pipeline. Then `nlp.pipe` over many short documents that are not kept: memory after each tenth of
them. The default encoder is tiny and random, so most of the time is spent around the network.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam
from wasabi import msg

from spacy_bio_crf.model import emitter_shim

from .head_share import LABELS, WORDS

MEGABYTE = 2**20
# One entity in so many words.
SPACING = 10
# Limits: documents of one length, and tokens in all of them.
MOST_REPEATS, MOST_TOKENS = 5, 500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=None, help="a Hugging Face folder; else a tiny one")
    parser.add_argument("--longest", type=int, default=1_000_000, help="tokens of a document")
    parser.add_argument("--docs", type=int, default=100_000, help="short documents")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as place:
        nlp = pipeline(args.encoder or tiny_encoder(Path(place)))
    lengths = [n for n in (10**k for k in range(3, 10)) if n < args.longest] + [args.longest]
    figures: dict[str, Any] = {}
    for part, work in (("inference", annotate), ("training", update)):
        work(nlp, document(nlp, 5000))
        figures[part] = [measure(nlp, n, work) for n in lengths]
        msg.divider(f"one document, {part}")
        msg.table(
            [(f"{n:,}", f"{speed:,.0f}", f"{rise:,.0f}") for n, speed, rise in figures[part]],
            header=("tokens", "words/s", "MB above the pipeline and the document"),
            aligns=("r", "r", "r"),
            divider=True,
        )
    figures["stream"] = stream(nlp, args.docs)
    msg.divider("nlp.pipe over short documents")
    msg.table(
        [(f"{n:,}", f"{speed:,.0f}", f"{size:,.0f}") for n, speed, size in figures["stream"]],
        header=("documents", "words/s", "resident MB"),
        aligns=("r", "r", "r"),
        divider=True,
    )
    if args.json is not None:
        srsly.write_json(args.json, figures)


def measure(nlp: Language, length: int, work: Any) -> tuple[int, float, float]:
    """Measure some work on documents of one length.

    nlp (Language): The pipeline.
    length (int): Tokens of a document.
    work (Callable[[Language, Doc], None]): The work.
    RETURNS (tuple[int, float, float]): The length, the median of words per second, and the largest
        rise of memory in megabytes.
    """
    seconds, rises = [], []
    for _ in range(max(1, min(MOST_REPEATS, MOST_TOKENS // length))):
        doc = document(nlp, length)
        with Watch() as watch:
            start = time.perf_counter()
            work(nlp, doc)
            seconds.append(time.perf_counter() - start)
        rises.append(watch.rise / MEGABYTE)
    return length, length / statistics.median(seconds), max(rises)


def annotate(nlp: Language, doc: Doc) -> None:
    """Annotate entities with confidence."""
    nlp.get_pipe("bio_ner")(doc)  # type: ignore[operator]


def update(nlp: Language, doc: Doc) -> None:
    """Do one training step."""
    reference = doc.copy()
    reference.set_ents(
        [Span(reference, i, i + 1, LABELS[i % len(LABELS)]) for i in range(0, len(doc), SPACING)]
    )
    optimizer = Adam(1e-5, L2=0.01, grad_clip=1.0, use_averages=False)
    nlp.get_pipe("bio_ner").update([Example(doc, reference)], sgd=optimizer)  # type: ignore[attr-defined]


def stream(nlp: Language, n_docs: int) -> list[tuple[int, float, float]]:
    """Measure words per second and resident megabytes after each tenth of many documents."""
    chance = random.Random(0)
    seen = [0]

    def docs() -> Iterator[Doc]:
        for _ in range(n_docs):
            length = chance.randint(1, 30)
            seen[0] += length
            yield Doc(nlp.vocab, words=chance.choices(WORDS, k=length))

    rows = []
    start, before = time.perf_counter(), 0
    for i, _ in enumerate(nlp.pipe(docs()), start=1):
        if i % max(1, n_docs // 10) == 0:
            now = time.perf_counter()
            rows.append((i, (seen[0] - before) / (now - start), resident() / MEGABYTE))
            start, before = now, seen[0]
    return rows


class Watch:
    """The rise of resident memory within a `with` block, sampled every few milliseconds."""

    def __enter__(self) -> "Watch":
        self._before = self._peak = resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self._peak = max(self._peak, resident())

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._thread.join()
        self.rise = max(self._peak, resident()) - self._before


def resident() -> int:
    """RETURNS (int): Resident memory of this process, in bytes. Reads Linux's /proc."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def document(nlp: Language, length: int) -> Doc:
    """Make a document of random words."""
    return Doc(nlp.vocab, words=random.Random(length).choices(WORDS, k=length))


def pipeline(encoder: str) -> Language:
    """Make an initialized pipeline of one `bio_ner` that finds at most an entity in ten words."""
    nlp = spacy.blank("en")
    ner: Any = nlp.add_pipe("bio_ner", config={"model": {"encoder": {"name": encoder}}})
    docs = [Doc(nlp.vocab, words=["a"], ents=[f"B-{label}"]) for label in LABELS]
    nlp.initialize(lambda: [Example(Doc(nlp.vocab, words=["a"]), doc) for doc in docs])
    # Untrained emissions make nearly every word an entity, unlike in real text.
    bias = emitter_shim(ner.model.get_ref("emitter")).network.dense.bias.detach()
    words = 5000
    while len(nlp(document(nlp, words)).ents) > words / SPACING:
        bias[ner.tagset.tags.index("O")] += 0.02
    return nlp


def tiny_encoder(folder: Path, *, width: int = 32, layers: int = 2) -> str:
    """Save a random BERT of few narrow layers whose vocabulary is the words in use."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {word: i for i, word in enumerate([*special, *WORDS])}
    engine = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    tokens = dict(zip(names, special, strict=True))
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=engine, **tokens)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=512,
    )
    torch.manual_seed(0)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    main()
