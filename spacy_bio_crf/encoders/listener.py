"""The pipeline's shared spacy-transformers `transformer` as an encoder, or a copy of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, Optimizer, to_numpy
from thinc.types import Ragged
from transformers.utils import ModelOutput

from ..errors import BioError, Plain, describe
from .api import Encoder
from .tok2vec import let_spacy_replace, without_tokens

if TYPE_CHECKING:
    from spacy_transformers.data_classes import TransformerData

HIDDEN = "last_hidden_state"


def build_transformer_listener(
    *, upstream: str = "*", grad_factor: float = 1.0, transformer: Model | None = None
) -> Model[list[Doc], list[Ragged]]:
    """Build an encoder that shares the pipeline's transformer.

    Registered as spacy-bio-crf.TransformerListener.v1.

    upstream (str): Name of the `transformer` component earlier in the pipeline; "*" takes any.
    grad_factor (float): Factor on the gradient that goes to the transformer; 0 leaves it alone.
    transformer (Model | None): A model of spacy-transformers to use alone, as
        `nlp.replace_listeners` leaves it; None listens.
    RETURNS (Model[list[Doc], list[Ragged]]): For each Doc the vectors of its sub-words, float32
        [n_subwords, d], and how many belong to each token, [n_tokens].
    RAISES: ImportError without spacy-transformers.
    """
    # Not at the top: spaCy imports this module, as all that are registered, to list their names.
    try:
        from spacy_transformers.layers import TransformerListener
    except ImportError as error:
        expected = "spacy-transformers for the pipeline's shared transformer"
        remedy = 'pip install "spacy_bio_crf[shared]"'
        raise ImportError(
            describe("TransformerListener", expected=expected, got=Plain(error), remedy=remedy)
        ) from error
    let_spacy_replace()
    layer: Model = TransformerListener(upstream_name=upstream)
    if transformer is not None:
        layer = transformer.attrs["replace_listener"](transformer)
    return Model(
        "transformer_listener_encoder",
        _forward,
        init=_init,
        layers=[layer],
        dims={"nO": None},
        attrs={"grad_factor": grad_factor, "encoder": SharedTransformer},
    )


class SharedTransformer(Encoder):
    """The interface of an encoder that shares the pipeline's transformer."""

    def transformer_rate(self, optimizer: Optimizer) -> float:
        return float(optimizer.learn_rate) if self.model.attrs["grad_factor"] else 0.0


def _init(model: Model, X: list[Doc] | None = None, Y: None = None) -> None:
    layer: Any = model.layers[0]
    upstream = getattr(layer, "upstream_name", None)
    if upstream is None:
        layer.initialize(X)
        # The model of spacy-transformers, before the layer that splits its output.
        layer = layer.layers[0]
    elif not layer.has_dim("nO"):
        raise BioError(_no_upstream(upstream))
    model.set_dim("nO", layer.get_dim("nO"), force=True)


def _forward(
    model: Model[list[Doc], list[Ragged]], docs: list[Doc], is_train: bool
) -> tuple[list[Ragged], Callable]:
    listener: Any = model.layers[0]
    ops: Any = model.ops
    # In training the transformer passes its output on, unless it is frozen and annotating.
    listens = hasattr(listener, "upstream_name") and not (
        is_train and listener._batch_id is not None
    )
    for doc in docs:
        missing = not Doc.has_extension("trf_data") or doc._.trf_data is None
        if listens and len(doc) and missing:
            raise BioError(_no_upstream(listener.upstream_name))
    if not any(map(len, docs)):
        return without_tokens(model, docs)
    datas, backprop_datas = listener(docs, is_train)
    picked = [pick_rows(doc, data) for doc, data in zip(docs, datas, strict=True)]
    outputs = []
    for data, (rows, lengths) in zip(datas, picked, strict=True):
        if len(rows):
            hidden: Any = data.model_output[HIDDEN]
            vectors = hidden.reshape(-1, hidden.shape[-1])[ops.asarray(rows)]
        else:
            vectors = ops.alloc2f(0, model.get_dim("nO"))
        outputs.append(Ragged(vectors, ops.asarray1i(lengths)))

    def backprop(d_outputs: list[Ragged]) -> list[Doc]:
        factor = model.attrs["grad_factor"]
        backprop_datas(
            [
                _gradient(model, data, rows, d.dataXd * factor)
                for data, (rows, _), d in zip(datas, picked, d_outputs, strict=True)
                # Documents without a token have no output, and take no gradient.
                if HIDDEN in data.model_output
            ]
        )
        return docs

    return outputs, backprop


def pick_rows(doc: Doc, data: "TransformerData") -> tuple[np.ndarray, np.ndarray]:
    """Select each token's rows in the window where its first sub-word has most context.

    spacy-transformers lists the rows of a token in every window that saw it, one window after the
    other. A reduction over all of them mixes windows; here one window provides the token's rows:

        window 0   rows 0..7    [CLS] the cat sat on  the mat [SEP]
        window 1   rows 8..15   [CLS] on  the mat and saw it  [SEP]

    "on" has rows 4 and 9, at distances of 3 and 1 from the nearer edge: row 4 is taken. "mat" has
    rows 6 and 11, at distances of 1 and 3: row 11.

    doc (Doc): The document; its white-space tokens get no rows.
    RETURNS (tuple[np.ndarray, np.ndarray]): Rows of the flattened output, int64 [m], and how many
        of them belong to each token, int32 [n_tokens].
    """
    if HIDDEN not in data.model_output:
        return np.zeros(0, dtype=np.int64), np.zeros(len(doc), dtype=np.int32)
    lengths = to_numpy(data.align.lengths).reshape(-1).astype(np.int64)
    rows = to_numpy(data.align.dataXd).reshape(-1).astype(np.int64)
    width = data.model_output[HIDDEN].shape[1]
    windows, places = rows // width, rows % width
    window_lengths = np.asarray(data.wordpieces.lengths, dtype=np.int64)
    # How far a row is from the nearer edge of its window; shape: [sum of lengths]
    context = np.minimum(places, window_lengths[windows] - 1 - places)
    tokens = np.repeat(np.arange(len(lengths)), lengths)
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = (tokens[1:] != tokens[:-1]) | (windows[1:] != windows[:-1])
    # Of the first rows a token has in each window, the one with most context; the earlier if equal.
    firsts = np.flatnonzero(opens)
    order = np.lexsort((firsts, -context[firsts], tokens[firsts]))
    _, best = np.unique(tokens[firsts][order], return_index=True)
    chosen_window = np.full(len(lengths), -1, dtype=np.int64)
    chosen = firsts[order][best]
    chosen_window[tokens[chosen]] = windows[chosen]
    chosen_window[[token.is_space for token in doc]] = -1
    kept = windows == chosen_window[tokens]
    return rows[kept], np.bincount(tokens[kept], minlength=len(lengths)).astype(np.int32)


def _gradient(
    model: Model, data: "TransformerData", rows: np.ndarray, d_vectors: Any
) -> "TransformerData":
    ops: Any = model.ops
    hidden: Any = data.model_output[HIDDEN]
    d_hidden = ops.alloc2f(hidden.shape[0] * hidden.shape[1], hidden.shape[2])
    if len(rows):
        # A row may belong to two tokens, so the gradients add up.
        ops.scatter_add(d_hidden, ops.asarray1i(rows.astype("int32")), d_vectors)
    output = ModelOutput(last_hidden_state=d_hidden.reshape(hidden.shape))
    return type(data)(wordpieces=data.wordpieces, model_output=output, align=data.align)


def _no_upstream(name: str) -> str:
    expected = "a component of the factory 'transformer' earlier in the pipeline"
    return describe(
        f"TransformerListener (upstream = {name!r})", expected=expected, got=Plain("none")
    )
