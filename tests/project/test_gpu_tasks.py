"""Tasks, shared encoders, adapters and checkpoints on a GPU. Skipped where there is none."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import require_cpu

from spacy_bio_crf.model import torch_shims
from tests.support.layered import LAYERED, fit_layers, layers_of
from tests.support.pipelines import SENTENCES, MakeNlp, make_examples, spans_of, train
from tests.support.sharing import make_shared
from tests.support.taggers import PARTS, TEXTS, fit_tagger, make_bio_tagger
from tests.support.trainings import TAGGER, TOK2VEC, bio_ner, run_command, write_training

SEEN = torch.cuda.is_available() and importlib.util.find_spec("cupy") is not None
pytestmark = pytest.mark.skipif(not SEEN, reason="there is no GPU, or no CuPy")


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    """spaCy and thinc on the first GPU."""
    spacy.require_gpu(0)
    try:
        yield
    finally:
        require_cpu()


def check_sentences(nlp: Language, names: tuple[str, ...] = ("bio_ner",)) -> None:
    for name in names:
        for example in make_examples(nlp):
            doc = nlp.get_pipe(name)(example.predicted)
            assert spans_of(doc) == spans_of(example.reference)


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_labels_of_tokens(tiny_encoder: Path, head: str):
    nlp = fit_tagger(make_bio_tagger(tiny_encoder, head))
    assert [[token.pos_ for token in doc] for doc in nlp.pipe(TEXTS)] == PARTS


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_entities_that_overlap(make_nlp: MakeNlp, head: str):
    nlp = fit_layers(make_nlp, head)
    docs = list(nlp.pipe(spacy.tokens.Doc(nlp.vocab, words=words) for words, _ in LAYERED))
    assert [layers_of(doc) for doc in docs] == [sorted(spans) for _, spans in LAYERED]


@pytest.mark.parametrize("batch_subwords", [None, 24])
def test_two_components_on_one_encoder(tiny_encoder: Path, batch_subwords: int | None):
    nlp = make_shared(tiny_encoder, batch_subwords=batch_subwords)
    check_sentences(train(nlp, make_examples(nlp)), ("bio_ner", "second"))


@pytest.mark.parametrize("merge", [True, False])
def test_adapters_go_to_a_cpu_by_disk(make_nlp: MakeNlp, tmp_path: Path, merge: bool):
    pytest.importorskip("peft", reason="adapters need peft")
    lora = {"r": 4, "alpha": 8, "merge": merge}
    nlp = make_nlp("crf", encoder_options={"dropout": 0.0, "lora": lora, "lr_scale": 10.0})
    check_sentences(train(nlp, make_examples(nlp), steps=60))
    nlp.to_disk(tmp_path / "model")
    texts = [" ".join(words) for words, _ in SENTENCES]
    before = [list(doc.spans["bio_ner"].attrs["scores"]) for doc in nlp.pipe(texts)]
    require_cpu()
    loaded = spacy.load(tmp_path / "model")
    after = [list(doc.spans["bio_ner"].attrs["scores"]) for doc in loaded.pipe(texts)]
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_a_training_goes_on(tiny_encoder: Path, tmp_path: Path):
    """On a GPU the order of sums differs between runs, so that scores are compared, not weights."""
    parts = {"tok2vec": TOK2VEC, "tagger": TAGGER, "bio_ner": bio_ner(tiny_encoder)}
    config = write_training(tmp_path, parts)
    options = ["--gpu-id", "0", "--checkpoint.steps", "5"]
    output = tmp_path / "output"
    run_command(config, output, *options, "--training.max_steps", "12")
    printed = run_command(config, output, *options, "--training.max_steps", "40", "--resume")
    assert "Pipeline: ['tok2vec', 'tagger', 'bio_ner']" in printed
    assert "the training begins" not in printed
    require_cpu()
    nlp = spacy.load(output / "model-last")
    assert all(
        p.device.type == "cpu"
        for s in torch_shims(nlp.get_pipe("bio_ner").model)
        for p in s.network.parameters()
    )
    assert nlp.meta["performance"]["ents_f"] > 0.5
    assert nlp.meta["performance"]["tag_acc"] > 0.5
