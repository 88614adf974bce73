"""On a GPU: the same results as on the processor, and nothing of the device left behind.

Skipped where torch sees no GPU or CuPy, which spaCy works with there, is missing.
"""

import gc
import importlib.util
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import require_cpu

from spacy_bio_crf import crf
from spacy_bio_crf.crf.batch import TUNING
from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from tests.support.chain_oracle import random_chain
from tests.support.pipelines import SENTENCES, MakeNlp, make_examples, spans_of, train
from tests.support.shared import needs_shared

TEXTS = [" ".join(words) for words, _ in SENTENCES]
SEEN = torch.cuda.is_available() and importlib.util.find_spec("cupy") is not None
pytestmark = pytest.mark.skipif(not SEEN, reason="there is no GPU, or no CuPy")


@pytest.fixture
def gpu() -> Iterator[None]:
    """spaCy and thinc on the first GPU."""
    spacy.require_gpu(0)
    try:
        yield
    finally:
        require_cpu()


# The engine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("n_tags, lengths", [(13, [40, 0, 7, 1]), (25, [3, 300]), (1, [5])])
def test_sums_and_gradients_of_the_engine(monkeypatch, tree, n_tags, lengths):
    monkeypatch.setattr(TUNING, "tree", tree)
    found = []
    for device in ("cpu", "cuda"):
        chain = [s.requires_grad_() for s in drawn(n_tags, lengths, device)]
        emissions, *scores = chain
        log_z = crf.log_partition(emissions, lengths, *scores)
        marginals = crf.marginals(emissions, lengths, *scores)
        entropy = crf.entropy(emissions, lengths, *scores)
        results = [log_z, marginals, entropy, *torch.autograd.grad(log_z.sum(), chain)]
        assert all(r.device.type == device for r in results)
        found.append([r.detach().cpu().double() for r in results])
    for on_cpu, on_gpu in zip(*found, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_tags, lengths", [(13, [40, 0, 7, 1]), (25, [3, 300]), (41, [20_000])])
def test_paths_of_the_engine(n_tags, lengths):
    found = []
    for device in ("cpu", "cuda"):
        emissions, *scores = drawn(n_tags, lengths, device)
        tags, best = crf.viterbi(emissions, lengths, *scores)
        few = [min(n, 300) for n in lengths]
        paths = crf.kbest(emissions[: sum(few)], few, *scores, k=3)
        kbest = [[list(path.tags) for path in own] for own in paths]
        found.append((tags.cpu().tolist(), kbest, best.cpu()))
    on_cpu, on_gpu = found
    assert on_gpu[:2] == on_cpu[:2]
    torch.testing.assert_close(on_gpu[2], on_cpu[2], rtol=1e-5, atol=1e-5)


def drawn(n_tags: int, lengths: list[int], device: str) -> list[torch.Tensor]:
    """Emissions, start, transition and end scores; float32, the same on every device."""
    chain = random_chain(0, n_tags, lengths)
    scores = (chain.emissions, chain.start, chain.transitions, chain.end)
    return [s.detach().float().to(device) for s in scores]


# The component ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_it_learns_in_every_precision(gpu, make_nlp: MakeNlp, head: str, precision: str):
    nlp = make_nlp(head, encoder_options={"precision": precision, "dropout": 0.0, "casing": True})
    # A loss in fp16 may be skipped at first, until its scale has settled.
    train(nlp, make_examples(nlp), steps=80)
    assert transformer_shim(nlp.get_pipe("bio_ner").model.get_ref("encoder")).device.type == "cuda"
    for example in make_examples(nlp):
        doc = nlp.get_pipe("bio_ner")(example.predicted)
        assert spans_of(doc) == spans_of(example.reference)


def test_a_pipeline_goes_from_device_to_device(gpu, make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    train(nlp, make_examples(nlp))
    nlp.to_disk(tmp_path / "model")
    on_gpu = [(spans_of(doc), scores(doc)) for doc in nlp.pipe(TEXTS)]
    assert any(spans for spans, _ in on_gpu)
    require_cpu()
    moved = spacy.load(tmp_path / "model")
    assert device_of(moved) == "cpu"
    on_cpu = [(spans_of(doc), scores(doc)) for doc in moved.pipe(TEXTS)]
    spacy.require_gpu(0)
    back = spacy.load(tmp_path / "model")
    assert device_of(back) == "cuda"
    again = [(spans_of(doc), scores(doc)) for doc in back.pipe(TEXTS)]
    for first, *others in zip(on_gpu, on_cpu, again, strict=True):
        for spans, confidence in others:
            assert spans == first[0]
            assert confidence == pytest.approx(first[1], abs=1e-3)


def test_nothing_of_the_device_stays_on_a_document(gpu, make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    train(nlp, make_examples(nlp))
    list(nlp.pipe(TEXTS))
    gc.collect()
    before = torch.cuda.memory_allocated()
    docs = list(nlp.pipe(TEXTS * 50))
    gc.collect()
    assert torch.cuda.memory_allocated() == before
    assert spans_of(pickle.loads(pickle.dumps(docs[0]))) == spans_of(docs[0]) != []
    for doc in docs[:6]:
        assert all(isinstance(score, float) for score in scores(doc))


def test_a_long_document_needs_the_memory_of_its_budget(gpu, make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"batch_subwords": 1024})
    nlp.initialize(lambda: make_examples(nlp))
    ner = nlp.get_pipe("bio_ner")
    words = [word for sentence, _ in SENTENCES for word in sentence]

    def rise(repeats: int) -> int:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        ner(Doc(nlp.vocab, words=words * repeats))
        return torch.cuda.max_memory_allocated() - before

    rise(10)
    short, long = rise(100), rise(2500)
    # What grows is the lattice of five tags with its sums: about a kilobyte for each token.
    assert long - short < 2400 * len(words) * 2048


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_batches_that_are_computed_again_give_the_gradient_of_those_kept(
    gpu, make_nlp: MakeNlp, dropout: float
):
    """With dropout the masks of both passes must be the same, or the loss would not fall."""
    nlp = make_nlp(encoder_options={"dropout": dropout, "batch_subwords": 24})
    nlp.initialize(lambda: make_examples(nlp))
    ner = nlp.get_pipe("bio_ner")
    shim = transformer_shim(ner.model.get_ref("encoder"))
    docs = [example.predicted for example in make_examples(nlp)]
    subwords = shim.text.cut(docs)
    wanted = [own.rows for own in subwords]
    seen: list[torch.Tensor] = []

    def project(vectors: torch.Tensor) -> torch.Tensor:
        seen.append(vectors.detach())
        return vectors

    result, backprop = shim.run(subwords, wanted, train=True, project=project)
    forward = [v for v in seen if len(v)]
    seen.clear()
    backprop(torch.ones_like(result))
    assert len(forward) > 1
    for first, second in zip(forward, seen, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-5, atol=1e-6)


@needs_shared
def test_a_shared_transformer(gpu, tiny_encoder: Path):
    # Without spacy-transformers the import would skip the whole file.
    from tests.encoders.test_listener import add_ner, add_transformer

    nlp = spacy.blank("en")
    add_transformer(nlp, tiny_encoder)
    add_ner(nlp)
    examples = make_examples(nlp)
    losses = []
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 2e-3
    for _ in range(60):
        step: dict[str, float] = {}
        nlp.update(examples, sgd=optimizer, losses=step)
        losses.append(step["bio_ner"])
    assert losses[-1] < 0.5 * losses[0]
    assert sum(len(doc.ents) for doc in nlp.pipe(TEXTS)) > 0


def test_a_tok2vec(gpu):
    nlp = spacy.blank("en")
    encoder = {
        "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "pretrained_vectors": None,
            "width": 32,
            "depth": 2,
            "embed_size": 300,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
        },
    }
    nlp.add_pipe("bio_ner", config={"model": {"encoder": encoder}})
    examples = make_examples(nlp)
    train(nlp, examples, steps=80, lr=5e-3)
    for example in make_examples(nlp):
        doc = nlp.get_pipe("bio_ner")(example.predicted)
        assert spans_of(doc) == spans_of(example.reference)


def device_of(nlp: Language) -> str:
    return transformer_shim(nlp.get_pipe("bio_ner").model.get_ref("encoder")).device.type


def scores(doc: Doc) -> list[float]:
    return list(doc.spans["bio_ner"].attrs["scores"])
