"""Batches by sub-words: from the registry, counted by hand, and in a training config."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from tests.support.pipelines import SENTENCES
from tests.support.tiny_models import make_encoder

NLP = spacy.blank("en")


def docs_of() -> list[Doc]:
    texts = [" ".join(words) for words, _ in SENTENCES] * 4
    return [NLP.make_doc(text) for text in ["", *texts, "Ana " * 100, "  "]]


def make_batcher(encoder: Path, **options):
    config = {"@batchers": "spacy-bio-crf.batch_by_subwords.v1", "encoder": str(encoder), **options}
    return spacy.registry.resolve({"batcher": config})["batcher"]


@pytest.mark.parametrize("tolerance", [0.0, 0.3])
def test_batches_hold_as_many_sub_words_as_they_may(tiny_encoder: Path, tolerance: float):
    docs = docs_of()
    _, shim = make_encoder(tiny_encoder)
    counts = {id(doc): len(own.ids) for doc, own in zip(docs, shim.text.cut(docs), strict=True)}
    # Sub-words are not words here, so that a batcher which counted those would be found out.
    assert sum(counts.values()) > 1.2 * sum(map(len, docs))
    batches = list(make_batcher(tiny_encoder, size=60, tolerance=tolerance)(docs))
    assert sorted(id(doc) for batch in batches for doc in batch) == sorted(counts)
    sizes = [sum(counts[id(doc)] for doc in batch) for batch in batches]
    assert all(
        size <= 60 * (1 + tolerance) or len(batch) == 1
        for size, batch in zip(sizes, batches, strict=True)
    )
    # No batch could have taken in the next one's first document as well, but for the long document.
    full = [size for size in sizes[:-1] if size <= 60 * (1 + tolerance)]
    assert min(full) > 60 - max(c for c in counts.values() if c <= 60)


def test_examples_and_schedules(tiny_encoder: Path):
    examples = [Example(doc, doc.copy()) for doc in docs_of()]
    batches = list(make_batcher(tiny_encoder, size=[20, 1000, 1000])(examples))
    assert [eg for batch in batches for eg in batch if len(eg.predicted)] != []
    assert {id(eg) for batch in batches for eg in batch} == {id(eg) for eg in examples}
    assert len(batches[0]) < 3 and max(map(len, batches)) > 10


def test_oversize_documents_may_be_left_out(tiny_encoder: Path):
    docs = docs_of()
    batches = make_batcher(tiny_encoder, size=60, discard_oversize=True)(docs)
    assert {id(doc) for doc in docs} - {id(doc) for b in batches for doc in b} == {id(docs[-2])}


def test_what_makes_no_sense(tmp_path: Path, tiny_encoder: Path):
    with pytest.raises(ValueError, match="size: expected 1 sub-word or more, got 0"):
        make_batcher(tiny_encoder, size=0)
    with pytest.raises(ValueError, match="tolerance: expected 0 or more, got -0.1"):
        make_batcher(tiny_encoder, size=9, tolerance=-0.1)
    batcher = make_batcher(tmp_path, size=9)
    with pytest.raises(ValueError, match="got no tokenizer that can be read"):
        list(batcher(docs_of()))
