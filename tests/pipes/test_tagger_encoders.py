"""`bio_tagger` on encoders other than a transformer of its own, and chunks beside it."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language

from spacy_bio_crf.corpora import read
from tests.support.pipelines import HEADS, train
from tests.support.shared import needs_shared
from tests.support.taggers import PARTS, TEXTS, tagged_examples, tagger_config

CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 32,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
CHUNKS = """\
Ana NNP B-NP B-PER
met VBD B-VP O
old JJ B-NP O
Bo NNP I-NP B-PER

They PRP B-NP O
flew VBD B-VP O
New NNP B-NP B-LOC
York NNP I-NP I-LOC
"""


def add(nlp: Language, encoder: dict[str, Any], head: str) -> Language:
    model = {
        "@architectures": "spacy-bio-crf.BioTagger.v1",
        "encoder": encoder,
        "head": {"@architectures": HEADS[head], "lr_scale": 1.0},
    }
    nlp.add_pipe("bio_tagger", config={"target": "pos", "model": model})
    return nlp


def own_tok2vec(head: str) -> Language:
    encoder = {"@architectures": "spacy-bio-crf.Tok2VecEncoder.v1", "tok2vec": CNN}
    return add(spacy.blank("en"), encoder, head)


def shared_tok2vec(head: str) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": CNN})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "tok2vec"}
    encoder = {"@architectures": "spacy-bio-crf.Tok2VecEncoder.v1", "tok2vec": listener}
    return add(nlp, encoder, head)


def assert_learns(nlp: Language, tmp_path: Path, *, steps: int, lr: float) -> None:
    train(nlp, tagged_examples(nlp), steps=steps, lr=lr)
    assert [[t.pos_ for t in doc] for doc in nlp.pipe(TEXTS)] == PARTS
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    for doc, again in zip(nlp.pipe(TEXTS), loaded.pipe(TEXTS), strict=True):
        assert [t.pos_ for t in doc] == [t.pos_ for t in again]
        assert [t._.confidence for t in doc] == [t._.confidence for t in again]


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("make", [own_tok2vec, shared_tok2vec])
def test_tok2vec(make, head: str, tmp_path: Path):
    assert_learns(make(head), tmp_path, steps=60, lr=0.01)


@needs_shared
def test_a_shared_transformer(tiny_encoder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    config = json.loads((folder / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (folder / "config.json").write_text(json.dumps(config))
    assert find_spec("spacy_transformers")
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": str(folder),
        "tokenizer_config": {"use_fast": True},
    }
    nlp.add_pipe("transformer", config={"model": model})
    encoder = {"@architectures": "spacy-bio-crf.TransformerListener.v1"}
    assert_learns(add(nlp, encoder, "crf"), tmp_path, steps=60, lr=4e-3)


def test_parts_of_speech_and_chunks_of_one_corpus(tiny_encoder: Path, tmp_path: Path):
    """Chunks of doc.spans and tags, each learned by a component of its own."""
    (tmp_path / "train.conll").write_text(CHUNKS)
    docs, _ = read(tmp_path / "train.conll")
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_tagger", config={"model": tagger_config(tiny_encoder, "crf")})
    chunker = {"gold_spans_key": "chunks", "spans_key": "chunks"}
    model = tagger_config(tiny_encoder, "crf")
    nlp.add_pipe("bio_ner", config={**chunker, "model": model})
    torch.manual_seed(0)

    def examples() -> list[spacy.training.Example]:
        plain = [spacy.tokens.Doc(nlp.vocab, words=[t.text for t in doc]) for doc in docs]
        return [spacy.training.Example(p, doc) for p, doc in zip(plain, docs, strict=True)]

    train(nlp, examples(), steps=60, lr=4e-3)
    for doc, gold in zip(nlp.pipe([d.text for d in docs]), docs, strict=True):
        assert [t.tag_ for t in doc] == [t.tag_ for t in gold]
        expected = [(s.start, s.end, s.label_) for s in gold.spans["chunks"]]
        assert [(s.start, s.end, s.label_) for s in doc.spans["chunks"]] == expected
