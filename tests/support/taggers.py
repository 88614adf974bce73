"""Sentences with a label for each token, and pipelines with a `bio_tagger` fitted to them."""

from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example

from spacy_bio_crf.pipes.bio_tagger import TokenTagger
from tests.support.pipelines import HEADS, train

# Words, parts of speech, tags and features.
TAGGED = [
    (["Ana", "met", "Bo"], ["PROPN", "VERB", "PROPN"]),
    (["They", "flew", "New", "York", "twice"], ["PRON", "VERB", "PROPN", "PROPN", "ADV"]),
    (["Nobody", "works", "today"], ["PRON", "VERB", "ADV"]),
]
TEXTS = [" ".join(words) for words, _ in TAGGED]
PARTS = [parts for _, parts in TAGGED]
FEATURES = {"PROPN": "Case=Nom|Number=Sing", "VERB": "Tense=Past", "PRON": "Person=3", "ADV": ""}
ATTRIBUTES = {"tag": "tags", "pos": "pos", "morph": "morphs"}


def label_of(target: str, pos: str) -> str:
    """The label of a word with this part of speech."""
    return {"tag": f"{pos}-x", "pos": pos, "morph": FEATURES[pos] or "_"}.get(target, pos.lower())


def label_doc(doc: Doc, target: str, labels: list[str]) -> Doc:
    """Write labels without the code under test; "" leaves a token without one."""
    for token, label in zip(doc, labels, strict=True):
        if label and target == "morph":
            token.set_morph(label)
        elif label and target in ATTRIBUTES:
            setattr(token, f"{target}_", label)
        elif label:
            token._.set(target[2:], label)
    return doc


def labels_in(doc: Doc, target: str) -> list[str | None]:
    """The labels of a document, read without the code under test."""
    if target == "morph":
        return [(str(t.morph) or "_") if t.has_morph() else None for t in doc]
    if target in ATTRIBUTES:
        return [getattr(t, f"{target}_") or None for t in doc]
    return [t._.get(target[2:]) for t in doc]


def tagged_examples(nlp: Language, target: str = "pos") -> list[Example]:
    if target.startswith("_.") and not Token.has_extension(target[2:]):
        Token.set_extension(target[2:], default=None)
    examples = []
    for words, parts in TAGGED:
        labels = [label_of(target, pos) for pos in parts]
        reference = label_doc(Doc(nlp.vocab, words=words), target, labels)
        examples.append(Example(Doc(nlp.vocab, words=words), reference))
    return examples


def tagger_config(folder: Path, head: str = "softmax", **head_options: Any) -> dict[str, Any]:
    return {
        "@architectures": "spacy-bio-crf.BioTagger.v1",
        "encoder": {
            "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
            "name": str(folder),
            "dropout": 0.0,
        },
        "head": {"@architectures": HEADS[head], **head_options},
    }


def make_bio_tagger(folder: Path, head: str = "softmax", **options: Any) -> Language:
    """A blank pipeline with a `bio_tagger`, of parts of speech if no target is given."""
    nlp = spacy.blank("xx")
    config = {"target": "pos", "model": tagger_config(folder, head), **options}
    nlp.add_pipe("bio_tagger", config=config)
    return nlp


def tagger_of(nlp: Language, name: str = "bio_tagger") -> TokenTagger:
    found = nlp.get_pipe(name)
    assert isinstance(found, TokenTagger)
    return found


def fit_tagger(nlp: Language, target: str = "pos", steps: int = 40) -> Language:
    return train(nlp, tagged_examples(nlp, target), steps=steps, lr=4e-3)
