"""Any spaCy tok2vec as an encoder, with one vector for each token."""

from collections.abc import Callable
from typing import Any

import numpy as np
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d, Ragged

from ..errors import Plain, describe


def build_tok2vec_encoder(
    tok2vec: Model[list[Doc], list[Floats2d]],
) -> Model[list[Doc], list[Ragged]]:
    """Build an encoder from a tok2vec. Registered as spacy-bio-crf.Tok2VecEncoder.v1.

    tok2vec (Model[list[Doc], list[Floats2d]]): Such as `spacy.HashEmbedCNN.v2`, or a listener to
        one.
    RETURNS (Model[list[Doc], list[Ragged]]): For each Doc the vectors of its tokens other than
        white space, float32 [n, d], and for each token 1, or 0 where it is white space, [n_tokens].
    """
    return Model(
        "tok2vec_encoder", _forward, init=_init, layers=[tok2vec], dims={"nO": None}, attrs={}
    )


def _init(model: Model, X: list[Doc] | None = None, Y: None = None) -> None:
    tok2vec = model.layers[0]
    tok2vec.initialize(X=X)
    if not tok2vec.has_dim("nO"):
        expected = "a width (nO) after its initialization"
        raise ValueError(
            describe(f"tok2vec {tok2vec.name!r}", expected=expected, got=Plain("none"))
        )
    model.set_dim("nO", tok2vec.get_dim("nO"), force=True)


def _forward(
    model: Model[list[Doc], list[Ragged]], docs: list[Doc], is_train: bool
) -> tuple[list[Ragged], Callable]:
    # Each token is its own only sub-word.
    ops: Any = model.ops
    _check_upstream(model.layers[0], docs, is_train)
    vectors, backprop_vectors = model.layers[0](docs, is_train)
    kept = [np.array([not token.is_space for token in doc], dtype=bool) for doc in docs]
    outputs = [
        Ragged(v[ops.asarray(k)], ops.asarray1i(k.astype("int32")))
        for v, k in zip(vectors, kept, strict=True)
    ]

    def backprop(d_outputs: list[Ragged]) -> list[Doc]:
        d_vectors = []
        for v, k, d in zip(vectors, kept, d_outputs, strict=True):
            d_v = ops.xp.zeros_like(v)
            d_v[ops.asarray(k)] = d.dataXd
            d_vectors.append(d_v)
        backprop_vectors(d_vectors)
        return docs

    return outputs, backprop


def _check_upstream(tok2vec: Model, docs: list[Doc], is_train: bool) -> None:
    """RAISES: ValueError for a listener whose upstream did not see the documents.

    spaCy's listener answers with zeros then. It reads `doc.tensor` in prediction, and in training
    where the upstream passes nothing on.
    """
    for listener in tok2vec.walk():
        if not isinstance(listener, Tok2VecListener) or (
            is_train and listener._batch_id is not None
        ):
            continue
        width = listener.get_dim("nO")
        for doc in docs:
            if len(doc) and doc.tensor.shape != (len(doc), width):
                place = f"Tok2VecListener (upstream = {listener.upstream_name!r})"
                expected = f"vectors of {len(doc)} tokens, [{len(doc)}, {width}], in doc.tensor"
                remedy = "its component has to run earlier in the pipeline"
                got = Plain(f"shape {doc.tensor.shape}" if doc.tensor.size else "none")
                raise ValueError(describe(place, expected=expected, got=got, remedy=remedy))
