"""Tiny random token classifiers of real architectures, and texts on whose words all agree."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer, pipeline

from spacy_bio_crf.encoders.transformer.pretrained import quiet
from tests.support.tiny_models import write_checkpoint
from tests.support.tokenizers_zoo import SENTENCES

# In no order: a checkpoint's is any.
NAMES = ("B-PER", "O", "I-LOC", "B-LOC", "I-PER")
# Words that every tokenizer of the zoo knows by their letters, and that no one cuts at punctuation.
WORDS = sorted({w for s in SENTENCES for w in s.split() if w.isascii() and w.isalpha()})
Found = tuple[int, int, str]  # first character, exclusive end, label


def write_classifier_checkpoint(
    folder: Path, family: str = "bert", names: Sequence[str] = NAMES, **options: Any
) -> Path:
    """Write a Hugging Face folder: a random token classifier whose answers differ by word."""
    write_checkpoint(folder, family, **options)
    config = AutoConfig.from_pretrained(folder)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    with quiet():
        network = AutoModelForTokenClassification.from_pretrained(folder, config=config)
        with torch.no_grad():
            network.classifier.weight.normal_()
            network.classifier.bias.normal_()
        network.save_pretrained(folder)
    # Published tokenizers have it in the class of their family.
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"model_input_names": ["input_ids", "attention_mask"]}))
    return folder


def make_texts(n: int, folder: Path) -> list[str]:
    """Texts of words that a checkpoint's tokenizer cuts without a sub-word for the space alone: of
    such a one transformers makes a word, without a letter."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = [word for word in WORDS if not {*tokenizer.tokenize(f"a {word} {word}")} & {"▁", "Ġ"}]
    rng = random.Random(0)
    return [" ".join(rng.choices(words, k=rng.randint(1, 7))) for _ in range(n)]


def load_reference(folder: Path) -> tuple[Any, Any]:
    """A checkpoint as transformers loads it: network and tokenizer."""
    network = AutoModelForTokenClassification.from_pretrained(folder)
    return network.eval(), AutoTokenizer.from_pretrained(folder)


def logits_of(reference: tuple[Any, Any], text: str) -> torch.Tensor:
    """The logits of the first sub-word of each word, [n_words, rows]."""
    network, tokenizer = reference
    encoding = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        logits = network(**encoding).logits[0]
    starts = [i for i in range(len(text)) if i == 0 or text[i - 1] == " "]
    return logits[[encoding.char_to_token(start) for start in starts]]


def found_by_transformers(folder: Path, texts: Sequence[str]) -> list[list[Found]]:
    """The entities that the pipeline of transformers finds, by the first sub-word of a word."""
    network, tokenizer = load_reference(folder)
    find = pipeline(
        "token-classification", network, tokenizer=tokenizer, aggregation_strategy="first"
    )
    # Some tokenizers count the space in front of a word.
    return [
        [(g["start"] + (text[g["start"]] == " "), g["end"], g["entity_group"]) for g in find(text)]
        for text in texts
    ]
