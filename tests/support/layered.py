"""Sentences with overlapping entities, and pipelines with groups of labels fitted to them."""

from typing import Any

import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from tests.support.pipelines import MakeNlp

GROUPS = {"outer": ["ORG", "PER"], "inner": ["LOC"]}
KEY = "gold_spans"
Ents = list[tuple[int, int, str]]

LAYERED: list[tuple[list[str], Ents]] = [
    (["Bo", "left", "New", "York", "City", "."], [(0, 1, "PER"), (2, 5, "ORG"), (2, 4, "LOC")]),
    (["Ana", "Ruiz", "met", "Lisbon", "City", "."], [(0, 2, "PER"), (3, 5, "ORG"), (3, 4, "LOC")]),
    (["Nobody", "works", "in", "Berlin", "today", "."], [(3, 4, "LOC")]),
    (["Ana", "met", "Bo", "."], [(0, 1, "PER"), (2, 3, "PER")]),
    (["Nobody", "works", "today", "."], []),
]


def layered_example(nlp: Language, words: list[str], spans: Ents, *, key: str = KEY) -> Example:
    reference = Doc(nlp.vocab, words=words)
    reference.spans[key] = [Span(reference, s, e, label=label) for s, e, label in spans]
    return Example(Doc(nlp.vocab, words=words), reference)


def layered_examples(nlp: Language) -> list[Example]:
    return [layered_example(nlp, *sentence) for sentence in LAYERED]


def fit_layers(
    make_nlp: MakeNlp, head: str = "crf", *, steps: int = 60, groups: Any = GROUPS, **options: Any
) -> Language:
    """A pipeline that has learned the sentences, the same way every time."""
    encoder = options.pop("encoder_options", None) or {"dropout": 0.0}
    nlp = make_nlp(head, groups=groups, gold_spans_key=KEY, encoder_options=encoder, **options)
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: layered_examples(nlp))
    optimizer.learn_rate = 2e-3
    for _ in range(steps):
        nlp.update(layered_examples(nlp), sgd=optimizer)
    return nlp


def layers_of(doc: Doc, key: str = "bio_ner") -> Ents:
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]
