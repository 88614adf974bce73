"""Preprocessing without any network."""

import textwrap
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from spacy_bio_crf.encoders.transformer.text import Preprocessor, check_window
from spacy_bio_crf.subwords.batches import SpecialIds
from spacy_bio_crf.subwords.casing import Shape
from spacy_bio_crf.subwords.tokenizer import SubwordTokenizer
from spacy_bio_crf.subwords.windows import make_windows
from tests.support.tokenizers_zoo import tokenizer

NLP = spacy.blank("en")
SPECIAL = SpecialIds((1,), (2,), 0)
TEXT = "Maria da Silva mora em na noite . "


def preprocessor(**options: Any) -> Preprocessor:
    return Preprocessor(tokenizer("bert_cased"), **{"special": SPECIAL, "limit": None, **options})


def docs_of(*texts: str) -> list[Doc]:
    return [NLP.make_doc(text) for text in texts]


@pytest.mark.parametrize(
    ("options", "window", "overlap"),
    [
        ({}, 512, 64),
        ({"limit": 62}, 62, 15),
        ({"limit": 510}, 510, 64),
        ({"limit": 62, "window": 62, "overlap": 61}, 62, 61),
        ({"window": 8}, 8, 2),
        ({"window": 1}, 1, 0),
    ],
)
def test_windows_by_default(options: dict[str, Any], window: int, overlap: int):
    text = preprocessor(**options)
    assert (text.window, text.overlap) == (window, overlap)


def test_windows_out_of_range():
    with pytest.raises(ValueError, match="window: expected at most 62, the model's .* 2 spec.*63"):
        preprocessor(limit=62, window=63)
    with pytest.raises(ValueError, match="overlap: .* less than the window of 62, got 62"):
        preprocessor(limit=62, overlap=62)
    with pytest.raises(ValueError, match="window: expected 1 or more, got 0"):
        check_window(0, None)


def test_sub_words_with_and_without_shapes():
    docs = docs_of("Maria mora", "", "NATO 12")
    plain, shaped = preprocessor().cut(docs), preprocessor(casing=True).cut(docs)
    for doc, a, b in zip(docs, plain, shaped, strict=True):
        assert a.ids.tolist() == b.ids.tolist() and a.shapes is None
        assert b.shapes is not None and len(b.shapes) == len(b.ids)
        assert (len(b.shapes) > 0) == (len(doc) > 0)
    assert shaped[0].shapes is not None and shaped[2].shapes is not None
    assert {*shaped[0].shapes.tolist()} == {Shape.TITLE, Shape.LOWER}
    assert {*shaped[2].shapes.tolist()} == {Shape.UPPER, Shape.DIGITS}
    assert preprocessor().unknown == tokenizer("bert_cased").unk_token_id


def test_documents_are_cut_once_while_remembered(monkeypatch: pytest.MonkeyPatch):
    text = preprocessor()
    docs = docs_of(TEXT, "Maria")
    seen: list[int] = []
    cut = SubwordTokenizer.__call__

    def count(self: SubwordTokenizer, docs: Any) -> Any:
        docs = list(docs)
        seen.append(len(docs))
        return cut(self, docs)

    monkeypatch.setattr(SubwordTokenizer, "__call__", count)
    with text.remembering(docs):
        text.cut(docs)
        text.costs(docs)
    assert sum(seen) == 2
    with text.remembering(docs):
        assert sum(seen) == 2
    text.cut(docs)
    assert sum(seen) == 4


def test_costs_are_those_of_full_windows():
    text = preprocessor(window=10, overlap=3)
    docs = docs_of("", "Maria", TEXT * 4)
    subwords = text.cut(docs)
    for own, cost in zip(subwords, text.costs(docs).tolist(), strict=True):
        n = len(own.ids)
        assert cost == max(len(make_windows(n, size=10, overlap=3)), 1) * (min(n, 10) + 2)


def test_batches_hold_every_window_once():
    text = preprocessor(window=10, overlap=3)
    subwords = text.cut(docs_of(TEXT * 3, "Maria", TEXT))
    wanted = [np.arange(len(own.ids)) for own in subwords]
    batches = text.make_batches(subwords, wanted, budget=36, overhead=0)
    assert all(b.size <= 36 and b.ids.shape[1] <= 12 for b in batches)
    targets = np.concatenate([b.targets for b in batches])
    assert sorted(targets.tolist()) == list(range(sum(map(len, wanted))))


def test_it_needs_no_torch_of_ours(run_python: Any):
    script = """
        import sys
        import spacy_bio_crf.subwords.casing
        import spacy_bio_crf.subwords.batches
        import spacy_bio_crf.subwords.cache
        import spacy_bio_crf.encoders.transformer.text
        ours = [name for name in sys.modules if name.startswith("spacy_bio_crf.")]
        print(*ours, "transformers" in sys.modules)
    """
    *names, transformers = run_python(textwrap.dedent(script)).split()
    assert transformers == "False"
    rooms = {name.split(".")[1] for name in names}
    assert rooms == {"subwords", "encoders", "errors"}
    assert "spacy_bio_crf.encoders.transformer.shim" not in names
