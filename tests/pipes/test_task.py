"""A second task in the same component: one tag for each token."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Optimizer

from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder
from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.heads.decode import Presets, Reading, decode_tags
from spacy_bio_crf.heads.emitter import build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice, restrict
from spacy_bio_crf.model import build_bio_tagger
from spacy_bio_crf.pipes.labeller import SequenceLabeller
from spacy_bio_crf.pipes.task import Task, TaskOption
from spacy_bio_crf.tags.tagset import TagSet

SENTENCES = [
    (["Ana", "met", "Bo"], ["NOUN", "VERB", "NOUN"]),
    (["They", "flew", "New", "York", "twice"], ["PRON", "VERB", "NOUN", "NOUN", "ADV"]),
    (["Nobody", "works", "today"], ["PRON", "VERB", "ADV"]),
]


@dataclass(frozen=True)
class TaggedTokens(Annotation):
    """The tag of each token; "" if it has none."""

    tags: Sequence[str] = ()

    def allowed(self, tagset: TagSet, tokens: np.ndarray, *, continued: bool) -> np.ndarray:
        allowed = np.ones((len(tokens), len(tagset.tags)), dtype=bool)
        for row, token in enumerate(tokens):
            if self.known[token]:
                allowed[row] = False
                allowed[row, tagset.ids[f"B-{self.tags[token]}"]] = True
        return allowed


@dataclass
class TagTask:
    """Labels are the tags of tokens."""

    misaligned: str = "missing"
    noun: str = "tags"
    written: list[str] = field(default_factory=list)

    def labels_of(self, doc: Doc) -> Iterable[str]:
        return [token.tag_ for token in doc if token.tag_]

    def gold(self, example: Example, labels: Sequence[str]) -> TaggedTokens:
        tags = [tag or "" for tag in example.get_aligned("TAG", as_string=True)]
        return TaggedTokens([], np.array([tag != "" for tag in tags], dtype=bool), tags=tags)

    def presets(self, doc: Doc) -> None:
        return None

    def find(self, lattice: Lattice, presets: Presets, reading: Reading) -> list[dict[int, str]]:
        tags = decode_tags(reading.head, restrict(reading.head, reading.tagset, lattice))
        names = reading.tagset.tags
        return [
            {int(token): names[tag][2:] for token, tag in zip(tokens, rows, strict=True)}
            for tokens, rows in zip(lattice.tokens, lattice.split(tags), strict=True)
        ]

    def find_alternatives(self, lattice, presets, reading, *, k: int) -> list[list]:
        raise NotImplementedError

    def write(self, doc: Doc, found: dict[int, str]) -> None:
        for token, tag in found.items():
            doc[token].tag_ = tag
        self.written.append(doc.text)


class TokenTagger(SequenceLabeller):
    written = TaskOption()


@pytest.fixture
def tagger(tiny_encoder) -> TokenTagger:
    task: Task = TagTask()
    head = build_softmax_head(constrained=False)
    encoder = build_transformer_encoder(str(tiny_encoder), dropout=0.0)
    model = build_bio_tagger(encoder, head)
    return TokenTagger(spacy.blank("en").vocab, model, "tagger", task=task, scheme="BIO")


def examples(tagger: TokenTagger) -> list[Example]:
    pairs = []
    for words, tags in SENTENCES:
        reference = Doc(tagger.vocab, words=words, tags=tags)
        pairs.append(Example(Doc(tagger.vocab, words=words), reference))
    return pairs


def test_a_tagger_learns_without_entities(tagger: TokenTagger):
    torch.manual_seed(0)
    spacy.util.fix_random_seed(0)
    tagger.initialize(lambda: examples(tagger))
    assert tagger.labels == ("ADV", "NOUN", "PRON", "VERB")
    optimizer = Optimizer(4e-3)
    losses = [tagger.update(examples(tagger), sgd=optimizer)["tagger"] for _ in range(80)]
    assert losses[-1] < 0.1 < losses[0]
    docs = [eg.predicted for eg in examples(tagger)]
    out = list(tagger.pipe(docs))
    assert [[token.tag_ for token in doc] for doc in out] == [tags for _, tags in SENTENCES]
    assert tagger.written == [doc.text for doc in docs]
    marginals = tagger.marginals(docs)
    assert [len(m) for m in marginals] == [len(words) for words, _ in SENTENCES]


def test_a_label_that_was_not_trained_is_told(tagger: TokenTagger):
    tagger.initialize(lambda: examples(tagger), labels=["NOUN", "VERB"])
    with pytest.warns(UserWarning, match=r"'tagger' was not trained with: \['ADV', 'PRON'\]"):
        assert tagger.score(examples(tagger)) == {}
