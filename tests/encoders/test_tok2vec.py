"""Tok2VecEncoder: BIO tagging without a transformer, alone or on a shared tok2vec."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Linear, Model, chain, get_current_ops, with_array

from spacy_bio_crf.encoders.tok2vec import build_tok2vec_encoder
from spacy_bio_crf.errors import BioError
from tests.support.pipelines import SENTENCES, make_examples, spans_of

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
TEXTS = [" ".join(words) for words, _ in SENTENCES]


def add_tagger(nlp: Language, tok2vec: dict[str, Any], head: str = "CRFHead") -> Language:
    nlp.add_pipe(
        "bio_ner",
        config={
            "model": {
                "@architectures": "spacy-bio-crf.BioTagger.v1",
                "encoder": {
                    "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
                    "tok2vec": tok2vec,
                },
                "head": {"@architectures": f"spacy-bio-crf.{head}.v1", "lr_scale": 1.0},
            }
        },
    )
    return nlp


def fit(nlp: Language, steps: int = 60) -> Language:
    examples = make_examples(nlp)
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


def alone(head: str = "CRFHead") -> Language:
    return add_tagger(spacy.blank("en"), CNN, head)


def shared() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": CNN})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "tok2vec"}
    return add_tagger(nlp, listener)


def assert_learned(nlp: Language) -> None:
    assert [spans_of(doc) for doc in nlp.pipe(TEXTS)] == [ents for _, ents in SENTENCES]


@pytest.mark.parametrize("make", [alone, lambda: alone("SoftmaxHead"), shared],
                         ids=["CRF", "softmax", "shared"])  # fmt: skip
def test_it_learns_and_is_saved(make: Any, tmp_path: Path):
    nlp = fit(make())
    assert_learned(nlp)
    nlp.to_disk(tmp_path)
    assert not (tmp_path / "bio_ner" / "encoder").exists()
    loaded = spacy.load(tmp_path)
    as_bytes = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    docs = list(nlp.pipe(TEXTS))
    for other in (loaded, as_bytes):
        assert_learned(other)
        others = list(other.pipe(TEXTS))
        a, b = (n.get_pipe("bio_ner").lattice(d) for n, d in ((nlp, docs), (other, others)))
        assert all(torch.equal(x, y) for x, y in zip(a.scores, b.scores, strict=True))


def test_the_shared_tok2vec_learns_from_it_alone():
    nlp = shared()
    nlp.initialize(lambda: make_examples(nlp))
    tok2vec = nlp.get_pipe("tok2vec").model
    before = parameters_of(tok2vec)
    nlp.update(make_examples(nlp), sgd=False)
    nlp.get_pipe("tok2vec").finish_update(nlp.create_optimizer())
    after = parameters_of(tok2vec)
    assert after and not any(np.array_equal(after[key], before[key]) for key in after)


def parameters_of(model: Model) -> dict[tuple[int, str], np.ndarray]:
    nodes = list(model.walk())
    return {
        (node.id, name): node.get_param(name).copy() for node in nodes for name in node.param_names
    }


def fake_tok2vec(width: int | None = 3) -> Model[list[Doc], list[Any]]:
    """A token's vector is (its index, its length, 1); keeps the gradient it was given."""

    def forward(model: Model, docs: list[Doc], is_train: bool):
        def backprop(d_vectors: list[Any]) -> list[Doc]:
            model.attrs["gradient"] = d_vectors
            return docs

        vectors = [
            np.array([[t.i, len(t), 1] for t in doc], dtype="float32").reshape(-1, 3)
            for doc in docs
        ]
        return vectors, backprop

    def init(model: Model, X: Any = None, Y: Any = None) -> None:
        if width is not None:
            model.set_dim("nO", width)

    return Model("fake", forward, init=init, dims={"nO": None})


def test_every_token_but_white_space_is_its_own_sub_word():
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in ["Ana \n met  Bo", "", "  ", "Bo"]]
    fake = fake_tok2vec()
    encoder = build_tok2vec_encoder(fake).initialize()
    assert encoder.get_dim("nO") == 3
    vectors, backprop = encoder.begin_update(docs)
    assert [v.lengths.tolist() for v in vectors] == [[1, 0, 1, 0, 1], [], [0], [1]]
    assert vectors[0].dataXd.tolist() == [[0, 3, 1], [2, 3, 1], [4, 2, 1]]
    assert [v.dataXd.shape for v in vectors] == [(3, 3), (0, 3), (0, 3), (1, 3)]
    ops = get_current_ops()
    d = [type(v)(v.dataXd * 10 + i, v.lengths) for i, v in enumerate(vectors)]
    assert backprop(d) == docs
    gradient = fake.attrs["gradient"]
    assert ops.to_numpy(gradient[0]).tolist() == [
        [0, 30, 10], [0, 0, 0], [20, 30, 10], [0, 0, 0], [40, 20, 10],
    ]  # fmt: skip
    assert [g.shape for g in gradient] == [(5, 3), (0, 3), (1, 3), (1, 3)]
    assert not gradient[2].any() and gradient[3].tolist() == [[3, 23, 13]]


def test_a_tok2vec_without_a_width():
    encoder = build_tok2vec_encoder(fake_tok2vec(width=None))
    with pytest.raises(ValueError, match=r"tok2vec 'fake': expected a width \(nO\) after"):
        encoder.initialize()


def test_documents_without_tokens_in_the_middle_of_a_batch():
    nlp = fit(alone(), steps=40)
    texts = [TEXTS[0], "", "  ", TEXTS[1], "\n\n"]
    together = [spans_of(doc) for doc in nlp.pipe(texts)]
    assert together == [SENTENCES[0][1], [], [], SENTENCES[1][1], []]
    examples = make_examples(nlp)
    blank = [spacy.training.Example(nlp.make_doc(t), nlp.make_doc(t)) for t in ("", " ")]
    losses = nlp.update([examples[0], *blank, examples[1]], sgd=nlp.create_optimizer())
    assert np.isfinite(losses["bio_ner"])


def test_no_documents():
    pipe: Any = fit(alone(), steps=1).get_pipe("bio_ner")
    assert pipe.predict([]) == pipe.kbest([], 2) == pipe.marginals([]) == []


# Without the upstream -----------------------------------------------------------------------------

NO_VECTORS = r"Tok2VecListener .upstream = 'tok2vec'.: expected vectors of \d+ tokens, got none; "


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    fit(shared(), steps=5).to_disk(folder)
    return folder


@pytest.mark.parametrize(
    "options", [{"exclude": ["tok2vec"]}, {"disable": ["tok2vec"]}, {"enable": ["bio_ner"]}]
)
def test_an_upstream_that_does_not_run_is_missed(saved: Path, options: dict[str, Any]):
    nlp = spacy.load(saved, **options)
    with pytest.raises(BioError, match=NO_VECTORS):
        nlp(TEXTS[0])
    with pytest.raises(BioError, match=NO_VECTORS):
        list(nlp.pipe(["", *TEXTS]))
    ner = nlp.get_pipe("bio_ner")
    with pytest.raises(BioError, match=NO_VECTORS):
        ner.marginals([nlp.make_doc(TEXTS[0])])
    assert not nlp("").ents and list(nlp.pipe(["", ""]))


def test_vectors_of_another_width_are_no_upstream(saved: Path):
    nlp = spacy.load(saved, exclude=["tok2vec"])
    doc = nlp.make_doc(TEXTS[0])
    doc.tensor = np.zeros((len(doc), 7), dtype="float32")
    with pytest.raises(BioError, match=r"expected .* of 9 tokens, got an array of \(9, 7\)"):
        nlp(doc)
    doc.tensor = np.zeros((len(doc), 32), dtype="float32")
    nlp(doc)  # Zeros may be what it found.


def test_an_upstream_may_annotate_in_training_without_learning(saved: Path):
    nlp = spacy.load(saved)
    examples = make_examples(nlp)
    optimizer = nlp.resume_training()
    nlp.update(examples, sgd=optimizer, exclude=["tok2vec"], annotates=["tok2vec"])
    with pytest.raises(BioError, match=NO_VECTORS):
        nlp.update(make_examples(nlp), sgd=optimizer, exclude=["tok2vec"])


def test_a_listener_within_another_layer_is_found(saved: Path):
    listener = spacy.load(saved).get_pipe("bio_ner").model.get_ref("encoder").layers[0]
    inner: Model = chain(listener, with_array(Linear(32, 32)))
    inner.set_dim("nO", 32)
    encoder = build_tok2vec_encoder(inner)
    encoder.set_dim("nO", 32)
    with pytest.raises(BioError, match=NO_VECTORS):
        encoder.predict([spacy.blank("en")(TEXTS[0])])


def test_the_listener_is_replaced_by_a_copy(saved: Path, tmp_path: Path):
    nlp = spacy.load(saved)
    before = [spans_of(doc) for doc in nlp.pipe(TEXTS)]
    nlp.replace_listeners("tok2vec", "bio_ner", ["model.encoder.tok2vec"])
    nlp.remove_pipe("tok2vec")
    nlp.to_disk(tmp_path)
    for alone in (nlp, spacy.load(tmp_path)):
        assert [spans_of(doc) for doc in alone.pipe(TEXTS)] == before
