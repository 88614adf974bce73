"""Training sentences, and pipelines fitted to them."""

from collections.abc import Callable

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

HEADS = {"crf": "spacy-bio-crf.CRFHead.v1", "softmax": "spacy-bio-crf.SoftmaxHead.v1"}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

Words = list[str]
Ents = list[tuple[int, int, str]]  # start token, exclusive end token, label

# "Washington" is of two kinds, so a model must learn the context.
SENTENCES: list[tuple[Words, Ents]] = [
    (
        ["Ana", "Ruiz", "met", "Bo", "in", "New", "York", "City", "."],
        [(0, 2, "PER"), (3, 4, "PER"), (5, 8, "LOC")],
    ),
    (
        ["Bo", "moved", "from", "Lisbon", "to", "Berlin", "."],
        [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "LOC")],
    ),
    (["Ana", "Maria", "da", "Silva", "lives", "in", "Washington"], [(0, 4, "PER"), (6, 7, "LOC")]),
    (["Washington", "met", "Ana", "Ruiz", "yesterday"], [(0, 1, "PER"), (2, 4, "PER")]),
    (["Nobody", "works", "today", "."], []),
    (["They", "flew", "New", "York", "Lisbon", "twice"], [(2, 4, "LOC"), (4, 5, "LOC")]),
]


MakeNlp = Callable[..., Language]


def make_examples(nlp: Language) -> list[Example]:
    """The training sentences, annotated completely, as fresh examples."""
    return [make_example(nlp, words, ents) for words, ents in SENTENCES]


def make_example(nlp: Language, words: Words, ents: Ents) -> Example:
    """An example with the same tokens on both sides, annotated completely."""
    reference = Doc(nlp.vocab, words=words)
    reference.set_ents([Span(reference, start, end, label=label) for start, end, label in ents])
    return Example(Doc(nlp.vocab, words=words), reference)


def train(
    nlp: Language,
    examples: list[Example],
    *,
    steps: int = 40,
    lr: float = 2e-3,
    settle: bool = False,
) -> Language:
    """Initialize a pipeline and fit it to some examples, the same way every time.

    settle: Decrease the learning rate to zero, for tests of the loss. After a last step at the full
    rate, the loss depends on that step's noise, which differs between processors.
    """
    torch.manual_seed(0)
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    for step in range(steps):
        optimizer.learn_rate = lr * (1.0 - step / steps) if settle else lr
        nlp.update(examples, sgd=optimizer)
    return nlp


def spans_of(doc: Doc) -> Ents:
    """A document's entities as start token, exclusive end token and label."""
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]
