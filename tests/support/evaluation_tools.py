"""Documents for the tests of the metrics: made of tags, random, or held out."""

import random
from collections.abc import Sequence

import numpy as np
from spacy.language import Language
from spacy.training import Example

from spacy_bio_crf.metrics import Document
from spacy_bio_crf.tags.schemes import spans_of_tags
from spacy_bio_crf.tags.spans import Span
from tests.support.pipelines import make_example, make_examples


def spans(tags: Sequence[str]) -> list[Span]:
    """Entities of strict IOB2: a stray I- is none."""
    return spans_of_tags(tags, scheme="BIO", repair="discard")[0]


def document(
    gold: Sequence[Span],
    predicted: Sequence[Span],
    *,
    n: int = 10,
    words: Sequence[str] | None = None,
    confidence: Sequence[float | None] | None = None,
    missing: Sequence[int] = (),
) -> Document:
    """A document of n tokens `w0 w1 …`, or of the words given."""
    words = [f"w{i} " for i in range(n)] if words is None else [f"{word} " for word in words]
    known = np.ones(len(words), dtype=bool)
    known[list(missing)] = False
    scores = [None] * len(predicted) if confidence is None else list(confidence)
    return Document(list(words), known, list(gold), list(predicted), scores)


def of_tags(gold: str, predicted: str) -> Document:
    """A document of two lines of tags."""
    left, right = gold.split(), predicted.split()
    assert len(left) == len(right)
    return document(spans(left), spans(right), n=len(left))


def random_tags(rng: random.Random, labels: Sequence[str], n: int) -> list[str]:
    """Any sequence of tags, legal or not."""
    return rng.choices(["O", *(f"{p}-{label}" for label in labels for p in "BI")], k=n)


def random_documents(seed: int, count: int, *, labels=("A", "B", "C"), n=9) -> list[Document]:
    """Documents with random entities on both sides; a third of the sides are equal."""
    rng = random.Random(seed)
    documents = []
    for _ in range(count):
        gold = spans(random_tags(rng, labels, rng.randint(1, n)))
        other = spans(random_tags(rng, labels, n))
        predicted = gold if rng.random() < 1 / 3 else other
        documents.append(document(gold, predicted, n=n))
    return documents


def make_held_out(nlp: Language) -> list[Example]:
    """The training sentences, and others in which a trained pipeline is partly wrong."""
    others = [
        (["Bo", "Ruiz", "moved", "to", "Washington"], [(0, 2, "PER"), (4, 5, "LOC")]),
        (["Silva", "met", "York", "in", "Ana"], [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "LOC")]),
        (["Maria", "da", "Lisbon", "flew", "Bo"], [(0, 3, "PER")]),
    ]
    return make_examples(nlp) + [make_example(nlp, words, ents) for words, ents in others]
