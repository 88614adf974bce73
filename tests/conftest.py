"""Fixtures for all tests: a tiny encoder made on the spot, pipelines on top of it, the corpora."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import spacy
import torch
from hypothesis import settings
from spacy.language import Language
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.support.many import PROFILE
from tests.support.paths import CORPORA, STARTUP
from tests.support.pipelines import HEADS, SENTENCES, SPECIAL, MakeNlp, make_examples, train

# For all property tests, those with fewer examples too.
settings.register_profile("bio_ner", PROFILE)
settings.load_profile("bio_ner")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # The networks are too small to gain from threads, and tests share the machine.
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _quick_starts() -> None:
    # Of the processes that tests start; pytest's own ones have begun before.
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(STARTUP), given)))


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: a random BERT (2 layers, width 32, 64 positions) with a WordPiece
    tokenizer. Words of the training sentences have several sub-words."""
    folder = tmp_path_factory.mktemp("encoder")
    # Listed, not trained: a trainer breaks ties differently in every run.
    words = {word for sentence, _ in SENTENCES for word in sentence}
    letters = {*ascii_lowercase, *"".join(words)}
    pieces = {*letters, *(f"##{letter}" for letter in letters), *(word[:2] for word in words)}
    vocab = {piece: i for i, piece in enumerate([*SPECIAL, *sorted(pieces)])}
    engine = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=False)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.post_processor = processors.BertProcessing(
        ("[SEP]", engine.token_to_id("[SEP]")), ("[CLS]", engine.token_to_id("[CLS]"))
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=engine,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=engine.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_nlp(tiny_encoder: Path) -> MakeNlp:
    """Make a blank pipeline of no language, the quickest, with one `bio_ner` on the tiny encoder.

    head: "crf" or "softmax"; head_options and encoder_options go to the head and the encoder, all
    others to the component (`scheme`, `overwrite`, …) or, if None, into neither.
    """

    def make(
        head: str = "crf",
        *,
        subword_labels: str = "first",
        head_options: dict[str, Any] | None = None,
        encoder_options: dict[str, Any] | None = None,
        name: str = "bio_ner",
        nlp: Language | None = None,
        **options: Any,
    ) -> Language:
        nlp = spacy.blank("xx") if nlp is None else nlp
        nlp.add_pipe(
            "bio_ner",
            name=name,
            config={
                "model": {
                    "@architectures": "spacy-bio-crf.BioTagger.v1",
                    "subword_labels": subword_labels,
                    "encoder": {
                        "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
                        "name": str(tiny_encoder),
                        **(encoder_options or {}),
                    },
                    "head": {"@architectures": HEADS[head], **(head_options or {})},
                },
                **options,
            },
        )
        return nlp

    return make


@pytest.fixture(scope="session")
def trained(make_nlp: MakeNlp) -> Language:
    """A pipeline with a CRF head that has learned the training sentences. Do not change it."""
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    return train(nlp, make_examples(nlp))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of public corpora that BIO_NER_CORPORA names."""
    if not CORPORA.is_dir():
        pytest.skip("BIO_NER_CORPORA names no folder of corpora")
    return CORPORA


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """Run a script in a process of its own, with no hub and no cache of one in reach."""

    def run(script: str, *arguments: Any, timeout: float = 120, **environment: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "HF_HOME": str(tmp_path / "nowhere"),
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "HTTP_PROXY": "http://127.0.0.1:9",
                **environment,
            },
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # Processes that the script has started would wait forever.
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"no end after {timeout} seconds")
        if process.returncode:
            pytest.fail(f"exit code {process.returncode}\n{out}\n{err}")
        return out

    return run
