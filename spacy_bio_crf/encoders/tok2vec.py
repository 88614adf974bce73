"""Any spaCy tok2vec as an encoder, with one vector for each token."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Config, Model
from thinc.types import Floats2d, Ragged

from ..errors import BioError, Plain, describe

# The encoder whose listener is replaced by a whole model of spacy-transformers.
SHARED = "spacy-bio-crf.TransformerListener.v1"


def build_tok2vec_encoder(
    tok2vec: Model[list[Doc], list[Floats2d]],
) -> Model[list[Doc], list[Ragged]]:
    """Build an encoder from a tok2vec. Registered as spacy-bio-crf.Tok2VecEncoder.v1.

    tok2vec (Model[list[Doc], list[Floats2d]]): Such as `spacy.HashEmbedCNN.v2`, or a listener to
        one.
    RETURNS (Model[list[Doc], list[Ragged]]): For each Doc the vectors of its tokens other than
        white space, float32 [n, d], and for each token 1, or 0 where it is white space, [n_tokens].
    """
    let_spacy_replace()
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
    if not any(map(len, docs)):
        return without_tokens(model, docs)
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


def without_tokens(model: Model, docs: list[Doc]) -> tuple[list[Ragged], Callable]:
    """RETURNS (tuple): The result for documents that layers of spacy-transformers can't take."""
    ops: Any = model.ops
    nothing = [Ragged(ops.alloc2f(0, model.get_dim("nO")), ops.alloc1i(0)) for _ in docs]
    return nothing, lambda d_outputs: docs


def _check_upstream(tok2vec: Model, docs: list[Doc], is_train: bool) -> None:
    """RAISES: ValueError for a listener whose upstream did not see the documents.

    Listeners answer with zeros then. They read a Doc's vectors in prediction, and in training where
    the upstream passes nothing on.
    """
    for node in tok2vec.walk():
        listener: Any = node
        if not hasattr(listener, "upstream_name"):
            continue
        if is_train and listener._batch_id is not None:
            continue
        for doc in docs:
            got = _fault(listener, doc) if len(doc) else None
            if got is not None:
                place = f"{type(listener).__name__} (upstream = {listener.upstream_name!r})"
                remedy = "its component has to run earlier in the pipeline"
                expected = f"vectors of {len(doc)} tokens"
                raise BioError(describe(place, expected=expected, got=Plain(got), remedy=remedy))


def _fault(listener: Any, doc: Doc) -> str | None:
    if isinstance(listener, Tok2VecListener):
        if doc.tensor.size == 0:
            return "none"
        fits = doc.tensor.shape == (len(doc), listener.get_dim("nO"))
        return None if fits else f"an array of {doc.tensor.shape}"
    # Of spacy-transformers and spacy-curated-transformers.
    missing = not Doc.has_extension("trf_data") or doc._.trf_data is None
    return "none" if missing else None


def let_spacy_replace() -> None:
    """Let `nlp.replace_listeners` find the listeners of a `BioTagger`.

    spaCy reads the settings of a transformer's listener at "model.tok2vec", whatever place it is
    given.
    """
    by_spacy = Language.replace_listeners
    if hasattr(by_spacy, "finds_bio_taggers"):
        return

    @wraps(by_spacy)
    def replace_listeners(
        self: Language, tok2vec_name: str, pipe_name: str, listeners: Iterable[str]
    ) -> None:
        paths = list(listeners)
        owner: Any = dict(self.components).get(tok2vec_name)
        if hasattr(owner, "check_listeners") and pipe_name in self._pipe_configs:
            owner.check_listeners(self._pipe_configs[pipe_name], paths)
        model: Any = self._pipe_configs.get(pipe_name, Config()).get("model", {})
        before = _settings_at(model, paths)
        if before is None:
            by_spacy(self, tok2vec_name, pipe_name, paths)
            return
        model["tok2vec"] = before
        try:
            by_spacy(self, tok2vec_name, pipe_name, paths)
        finally:
            del model["tok2vec"]
        if before["@architectures"] == SHARED and model["encoder"] is not before:
            own = self.get_pipe_config(tok2vec_name)["model"]
            model["encoder"] = {**before, "transformer": own}

    replace_listeners.finds_bio_taggers = True  # type: ignore[attr-defined]
    Language.replace_listeners = replace_listeners  # type: ignore[method-assign]


def _settings_at(model: dict[str, Any], paths: list[str]) -> dict[str, Any] | None:
    """The settings of the one listener within a `BioTagger`, if the paths name it."""
    if len(paths) != 1 or "tok2vec" in model or "encoder" not in model:
        return None
    try:
        settings = util.dot_to_object(Config({"model": model}), paths[0])
    except (KeyError, TypeError):
        return None
    return settings if isinstance(settings, dict) and "@architectures" in settings else None
