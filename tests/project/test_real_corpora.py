"""The whole way of real corpora: converted, looked through by `debug`, and trained on.

Counts were made with the commands; those that can be counted otherwise (sentences, entities, tokens
that a clean-up deletes, texts in two parts) agree with independent counts.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.training import Corpus
from spacy.training.batchers import minibatch_by_words
from thinc.api import Adam
from transformers import AutoTokenizer, BertConfig, BertModel

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.debug import ModelSettings, diagnose, read_part, read_settings
from tests.support.pipelines import MakeNlp

Findings = dict[str, int]
# What these count hangs on the vocabulary that the tests' encoder has learnt.
BY_VOCABULARY = {
    "unknown_subwords",
    "entities_with_unknown_subwords",
    "long_documents",
    "entities_across_cores",
    "entities_cut",
    "words_cut",
}


@dataclass(frozen=True)
class Counts:
    """What a corpus has: its files, what `debug` says of train and held-out data, and how the
    warnings of training begin."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    documents: tuple[int, int]
    tokens: tuple[int, int]
    entities: tuple[int, int]
    found: tuple[Findings, Findings]
    group_docs: bool = False
    # Where the corpus has known spaces, the pipeline's tokenizer makes other tokens.
    tokens_of_pipeline: int | None = None
    warned: tuple[str, ...] = ()


CORPORA: dict[str, Counts] = {
    "wnut17": Counts(
        train=("wnut17/wnut17train.conll",),
        dev=("wnut17/emerging.dev.conll", "wnut17/emerging.test.annotated"),
        documents=(3394, 2296),
        tokens=(62730, 39127),
        entities=(1975, 1915),
        found=(
            {
                "sentences end at a line of white space, not at an empty one": 2394,
                "tokens begin with # and are no comments": 828,
                "neighbours": 16,
                "repeated_documents": 103,
                "conflicting_annotation": 13,
            },
            {
                "tokens begin with # and are no comments": 269,
                "neighbours": 11,
                "invisible_tokens": 7,
                "hidden_characters": 2,
                "repeated_documents": 10,
                "conflicting_annotation": 2,
            },
        ),
    ),
    "btc": Counts(
        train=("btc/btc.train",),
        dev=("btc/btc.dev", "btc/btc.test"),
        documents=(6338, 3001),
        tokens=(99933, 50450),
        entities=(8779, 6106),
        found=(
            {
                "tokens begin with # and are no comments": 2263,
                "neighbours": 1535,
                "tokens_with_spaces": 17,
                "invisible_tokens": 25,
                "hidden_characters": 1,
                "undecodable_tokens": 2,
                "tokens_without_subwords": 1,
                "repeated_documents": 14,
            },
            {
                "empty token": 5,
                "sentence without tokens": 1,
                "tokens begin with # and are no comments": 1066,
                "sentences end at a line of white space, not at an empty one": 1,
                "neighbours": 2275,
                "tokens_with_spaces": 122,
                "white_space_tokens": 2,
                "invisible_tokens": 21,
                "tokens_without_subwords": 1,
                "shared_documents": 4,
                "repeated_documents": 5,
            },
        ),
        warned=("1 of 99933 tokens in 6338 training documents have no sub-word",),
    ),
    "lener_br": Counts(
        train=("lener_br/leNER-Br/train/*.conll",),
        dev=("lener_br/leNER-Br/dev/*.conll", "lener_br/leNER-Br/test/*.conll"),
        documents=(50, 20),
        tokens=(229277, 88796),
        entities=(8894, 3354),
        found=(
            {"neighbours": 48, "undecodable_tokens": 1, "tokens_without_subwords": 1},
            {
                "neighbours": 11,
                "hidden_characters": 22,
                "shared_sentences": 70,
                "repeated_documents": 1,
                "conflicting_annotation": 1,
            },
        ),
        group_docs=True,
        warned=("1 of 229277 tokens in 50 training documents have no sub-word",),
    ),
    "uner_pt_bosque": Counts(
        train=("uner_pt_bosque/train.iob2",),
        dev=("uner_pt_bosque/dev.iob2", "uner_pt_bosque/test.iob2"),
        documents=(7018, 2339),
        tokens=(171776, 56051),
        entities=(8101, 2616),
        found=(
            {
                "neighbours": 10,
                "tokens_with_spaces": 1,
                "retokenized_entities": 19,
                "repeated_documents": 11,
            },
            {
                "neighbours": 2,
                "retokenized_entities": 1,
                "shared_documents": 1,
                "shared_short_documents": 2,
            },
        ),
        tokens_of_pipeline=173702,
        warned=("19 of 8101 entities in 7018 training documents do not fit the tokens",),
    ),
    "sec_filings": Counts(
        train=("sec_filings/FIN5.train.txt",),
        dev=("sec_filings/FIN3.test.txt",),
        documents=(1164, 303),
        tokens=(41010, 13246),
        entities=(1168, 318),
        found=(
            {
                "tokens begin with # and are no comments": 14,
                "rare_labels": 1,
                "unused_tags": 1,
                "repeated_documents": 22,
                "conflicting_annotation": 1,
            },
            {
                "undecodable_tokens": 12,
                "tokens_without_subwords": 9,
                "shared_short_documents": 11,
                "repeated_documents": 4,
            },
        ),
    ),
    "bc5cdr": Counts(
        train=("bc5cdr/IOBES/train.tsv",),
        dev=("bc5cdr/IOB/devel.tsv", "bc5cdr/IOB/test.tsv"),
        documents=(4560, 9378),
        tokens=(118170, 242203),
        entities=(9385, 19402),
        found=(
            {"neighbours": 21, "repeated_documents": 7},
            {
                "neighbours": 73,
                "shared_short_documents": 35,
                "repeated_documents": 31,
                "conflicting_annotation": 1,
            },
        ),
    ),
}


@pytest.fixture(scope="module")
def smallest(
    make_nlp: MakeNlp, tiny_encoder: Path, tmp_path_factory
) -> Callable[[], spacy.Language]:
    """Makes pipelines with one layer of width 16, so that an epoch is a matter of seconds."""
    folder = tmp_path_factory.mktemp("smallest")
    words = AutoTokenizer.from_pretrained(tiny_encoder)
    words.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=16, max_position_embeddings=130,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return lambda: make_nlp(encoder_options={"name": str(folder)})


@pytest.fixture(scope="module")
def model(smallest, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    path = tmp_path_factory.mktemp("config") / "config.cfg"
    config = smallest().config
    # That of spaCy is a finding of its own.
    config["training"]["optimizer"]["learn_rate"] = 2e-4
    config.to_disk(path)
    return read_settings(path)


def files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Files by patterns, without a file that holds all the others of its folder together."""
    return [
        path
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if "*" not in pattern or path.stem != path.parent.name
    ]


def counted(report, part: str) -> Findings:
    counts: Findings = {}
    for finding in report.findings:
        if finding.part == part and finding.check not in BY_VOCABULARY:
            name = finding.detail or finding.check
            counts[name] = counts.get(name, 0) + finding.count
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPORA)
def test_debug_counts_what_is_there(corpora: Path, model: ModelSettings, name: str):
    expected = CORPORA[name]
    parts = [
        read_part(part, files(corpora, patterns), group_docs=expected.group_docs)
        for part, patterns in (("train", expected.train), ("dev", expected.dev))
    ]
    report = diagnose(parts, model)
    figures = [report.figures[part] for part in ("train", "dev")]
    for key in ("documents", "tokens", "entities"):
        assert tuple(f[key] for f in figures) == getattr(expected, key), key
    assert (counted(report, "train"), counted(report, "dev")) == expected.found


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPORA)
def test_convert_and_train(corpora: Path, smallest, tmp_path: Path, name: str):
    expected = CORPORA[name]
    paths = files(corpora, expected.train)
    summary = convert(paths, tmp_path / "train.spacy", group_docs=expected.group_docs)
    counts = (summary.documents, summary.tokens, sum(summary.entities.values()))
    assert counts == (expected.documents[0], expected.tokens[0], expected.entities[0])
    nlp = smallest()
    examples = list(Corpus(tmp_path / "train.spacy")(nlp))
    tokens = sum(len(eg.predicted) for eg in examples)
    # Every document is there, whole.
    expected_tokens = expected.tokens_of_pipeline or counts[1]
    assert (len(examples), tokens) == (counts[0], expected_tokens)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        nlp.initialize(lambda: examples)
        optimizer = Adam(3e-3)
        # About 40,000 tokens from all over the corpus are enough to see that it can be learnt.
        share = examples[:: max(1, tokens // 40_000)]
        losses = [
            nlp.update(batch, sgd=optimizer)["bio_ner"]
            for batch in minibatch_by_words(share, size=2000, discard_oversize=False)
        ]
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.7 * losses[0]
    said = [str(w.message) for w in record if "bio-ner debug" in str(w.message)]
    assert [s[: len(start)] for s, start in zip(said, expected.warned, strict=True)] == [
        *expected.warned
    ]
