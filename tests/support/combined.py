"""Pipelines to combine: the same task, other weights."""

from collections.abc import Sequence
from typing import Any

import spacy
import torch
from spacy.language import Language

from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples

TEXTS = [" ".join(words) for words, _ in SENTENCES]


def make_member(
    make_nlp: MakeNlp,
    *,
    seed: int,
    labels: Sequence[str] = ("LOC", "PER"),
    steps: int = 3,
    **options: Any,
) -> Language:
    """A pipeline of a few steps of training; its labels have this order."""
    nlp = make_nlp(**options)
    for label in labels:
        nlp.get_pipe("bio_ner").add_label(label)  # type: ignore[attr-defined]
    torch.manual_seed(seed)
    spacy.util.fix_random_seed(seed)
    examples = [make_example(nlp, *sentence) for sentence in SENTENCES]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(steps):
        optimizer.learn_rate = 2e-3
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp
