"""Pipelines in which two components share one encoder, and counts of its passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language

from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from spacy_bio_crf.pipes.bio_encoder import BioEncoder
from tests.support.pipelines import HEADS

SHARED = "spacy-bio-crf.SharedEncoder.v1"


def add_owner(
    nlp: Language,
    folder: Path,
    name: str = "bio_encoder",
    *,
    buffer: int | None = None,
    **options: Any,
) -> BioEncoder:
    """Add an owner on the weights of a folder. Other options are the encoder's."""
    model = {
        "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
        "name": str(folder),
        "dropout": 0.0,
        **options,
    }
    pipe = nlp.add_pipe("bio_encoder", name=name, config={"model": model, "buffer_tokens": buffer})
    assert isinstance(pipe, BioEncoder)
    return pipe


def add_head(
    nlp: Language,
    name: str = "bio_ner",
    head: str = "crf",
    *,
    subword_labels: str = "first",
    upstream: str = "*",
    grad_factor: float = 1.0,
    **options: Any,
) -> Any:
    """Add a `bio_ner` that reads from the owner. Other options are the component's."""
    model = {
        "@architectures": "spacy-bio-crf.BioTagger.v1",
        "subword_labels": subword_labels,
        "encoder": {"@architectures": SHARED, "upstream": upstream, "grad_factor": grad_factor},
        "head": {"@architectures": HEADS[head]},
    }
    return nlp.add_pipe("bio_ner", name=name, config={"model": model, **options})


def make_shared(folder: Path, **options: Any) -> Language:
    """A blank pipeline of an owner, a CRF "bio_ner" and a softmax "second", which replaces the
    entities. The options are the encoder's."""
    nlp = spacy.blank("xx")
    add_owner(nlp, folder, **options)
    add_head(nlp)
    add_head(nlp, "second", "softmax", overwrite=True, spans_key="second")
    return nlp


def owner_of(nlp: Language, name: str = "bio_encoder") -> BioEncoder:
    pipe = nlp.get_pipe(name)
    assert isinstance(pipe, BioEncoder)
    return pipe


def shim_of(nlp: Language, name: str = "bio_encoder") -> TransformerShim:
    return owner_of(nlp, name).model.shims[0]  # type: ignore[return-value]


@contextmanager
def passes(monkeypatch: Any) -> Iterator[list[int]]:
    """How many documents each pass through any encoder has had."""
    counts: list[int] = []
    run = TransformerShim.run

    def counted(self: TransformerShim, subwords: Any, *args: Any, **kwargs: Any) -> Any:
        counts.append(len(subwords))
        return run(self, subwords, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(TransformerShim, "run", counted)
        yield counts
