"""Tokenizers that components hold together: equal ones alone, and no longer than they are used."""

import gc
import pickle
from pathlib import Path
from typing import Any

import pytest
import spacy
from transformers import PreTrainedTokenizerFast

from spacy_bio_crf.subwords.shared_tokenizers import share_tokenizer
from tests.support.pipelines import MakeNlp, make_examples, train
from tests.support.tokenizers_zoo import tokenizer


def saved(folder: Path, name: str = "bert_cased", **settings: Any) -> Any:
    tokenizer(name).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(str(folder), **settings)


def test_equal_tokenizers_are_one(tmp_path: Path):
    one = share_tokenizer(saved(tmp_path / "a"))
    two = share_tokenizer(saved(tmp_path / "b"))
    assert one is two and one.tokenizer is two.tokenizer
    assert pickle.loads(pickle.dumps(one)) is not one


def test_others_are_others(tmp_path: Path):
    shared = [
        share_tokenizer(saved(tmp_path / "a")),
        share_tokenizer(saved(tmp_path / "b", "bert_narrow")),
        share_tokenizer(saved(tmp_path / "c", model_max_length=77)),
        share_tokenizer(tokenizer("bert_slow")),
        share_tokenizer(tokenizer("bert_slow")),
    ]
    assert len({id(own) for own in shared}) == 5


def test_nothing_is_kept_that_is_not_in_use(tmp_path: Path):
    one = share_tokenizer(saved(tmp_path / "a"))
    number = id(one.tokenizer)
    keep = one.tokenizer
    del one
    gc.collect()
    assert id(share_tokenizer(saved(tmp_path / "b")).tokenizer) != number
    assert keep is not None


@pytest.mark.parametrize("merge", [False, True])
def test_components_on_one_base_share_their_tokenizer(
    make_nlp: MakeNlp, tmp_path: Path, merge: bool
):
    options = {"dropout": 0.0, "lora": {"r": 2, "merge": merge}}
    nlp = make_nlp(encoder_options=options)
    nlp = make_nlp(encoder_options=options, name="second", nlp=nlp, spans_key="second")
    train(nlp, make_examples(nlp), steps=1)
    nlp.to_disk(tmp_path / "model")
    for own in (nlp, spacy.load(tmp_path / "model")):
        pipes: list[Any] = [pipe for _, pipe in own.pipeline]
        one, two = (pipe.encoder.shim.text for pipe in pipes)
        assert (one.tokenizer is two.tokenizer) == (not merge)
        assert [len(pipe.encoder.cut([own.make_doc("Ana met Bo")])[0].ids) > 3 for pipe in pipes]
