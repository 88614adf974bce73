"""TransformerEncoder: a pre-trained transformer of its own, as a thinc layer."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Ragged
from torch import Tensor

from ...subwords.tokenizer import Subwords, pick_rows
from ...subwords.windows import pack
from . import pretrained as storage
from .options import Options
from .shim import Project, TransformerShim


def build_transformer_encoder(
    name: str,
    *,
    revision: str | None = None,
    window: int | None = None,
    overlap: int | None = None,
    batch_subwords: int | None = None,
    precision: str = "fp32",
    layers: int | None = None,
    frozen_layers: int = 0,
    gradient_checkpointing: bool = False,
    dropout: float | None = None,
    casing: bool = False,
    lr_scale: float = 1.0,
) -> Model[list[Doc], list[Ragged]]:
    """Build an encoder that owns its transformer.

    Registered as spacy-bio-crf.TransformerEncoder.v1. The weights are fetched when the layer is
    initialised or read when a pipeline is loaded.

    name (str): A Hugging Face folder, or the name of an encoder on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    window (int | None): Most sub-words in one window, special ones not counted; None takes the
        model's limit.
    overlap (int | None): Sub-words that neighbouring windows share; None takes 64, or a quarter of
        the window where that is less.
    batch_subwords (int | None): Most padded sub-words that pass the network, and keep their
        activations for the gradient, at once; None takes 2,048 on a CPU and 32,768 on a GPU.
    precision (str): "fp32", "bf16", "fp16" or, for prediction on a CPU, "int8"; "auto" is "bf16"
        on hardware with instructions for it and "fp32" elsewhere. Weights stay in float32, and are
        saved so.
    layers (int | None): N uses the network's first N layers, -N all but the last N; the others are
        dropped when the weights are fetched, and not saved. None uses all. The last layers of an
        encoder that was trained for another task, such as the similarity of sentences, may know
        less of words than those below.
    frozen_layers (int): 0 trains everything, N all but the embeddings and the first N layers,
        -1 nothing.
    gradient_checkpointing (bool): Recompute activations in the backward pass to save memory.
    dropout (float | None): Every dropout probability of the network; None keeps those of its
        config.
    casing (bool): Tell the network how words are written (lower case, Title, UPPER, miXed, with
        digits), by an embedding that is learnt. For encoders whose tokenizer lower-cases.
    lr_scale (float): Factor on the optimiser's learning rate.
    RETURNS (Model[list[Doc], list[Ragged]]): For each Doc the vectors of its sub-words, float32
        [n_subwords, d], and how many belong to each token, [n_tokens].
    RAISES: ValueError for an option that is out of range.
    """
    options = Options(
        name=name,
        revision=revision,
        window=window,
        overlap=overlap,
        batch_subwords=batch_subwords,
        precision=precision,
        layers=layers,
        frozen_layers=frozen_layers,
        gradient_checkpointing=gradient_checkpointing,
        dropout=dropout,
        casing=casing,
        lr_scale=lr_scale,
    )
    return Model(
        "transformer_encoder",
        forward,
        init=init,
        dims={"nO": None},
        shims=[TransformerShim(options)],
        attrs={},
    )


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    """Fetch the weights, unless they are there already."""
    shim = transformer_shim(model)
    if not shim.ready:
        shim.fetch()
    model.set_dim("nO", shim.network.config.hidden_size)


def forward(
    model: Model[list[Doc], list[Ragged]], docs: list[Doc], is_train: bool
) -> tuple[list[Ragged], Callable]:
    """The vectors of every document's sub-words, in float32, on the device of the network."""
    ops: Any = model.ops
    shim = transformer_shim(model)
    pieces = shim.tokenize(docs)
    vectors, backprop_vectors = shim.run(pieces, [p.rows for p in pieces], train=is_train)
    # shape: [m of all documents, d]
    flat: Any = torch2xp(vectors)
    ends = np.cumsum([len(p.rows) for p in pieces])
    outputs = [
        Ragged(flat[end - len(p.rows) : end], ops.asarray1i(p.lengths))
        for p, end in zip(pieces, ends, strict=True)
    ]

    def backprop(d_outputs: list[Ragged]) -> list[Doc]:
        backprop_vectors(xp2torch(ops.xp.concatenate([d.dataXd for d in d_outputs])))
        return docs

    return outputs, backprop


class OwnTransformer:
    """The interface (`encoders.api.Encoder`) of an encoder that owns its transformer.

    model (Model): Built by `build_transformer_encoder`.
    """

    def __init__(self, model: Model[list[Doc], list[Ragged]]):
        self.model = model
        self.shim = transformer_shim(model)

    @property
    def precision(self) -> str:
        return self.shim.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        self.shim.precision = precision

    @property
    def budget(self) -> int:
        return self.shim.budget if self.shim.ready else 0

    def cut(self, docs: Sequence[Doc]) -> list[Subwords]:
        return self.shim.tokenize(docs)

    def remembering(self, docs: Sequence[Doc]) -> contextlib.AbstractContextManager:
        return self.shim.remembering(docs)

    def split(self, docs: Sequence[Doc]) -> list[np.ndarray]:
        # As few parts as the budget allows: each is a forward and a backward pass over the batches
        # that `run` will make of it.
        costs = self.shim.costs(docs)
        parts: list[np.ndarray] = []
        left = 0
        overhead = self.shim.overhead(train=True)
        for members in pack(costs, budget=self.shim.budget, overhead=overhead):
            size = len(members) * int(costs[members].max())
            if size <= left:
                parts[-1] = np.concatenate([parts[-1], members])
            else:
                parts.append(members)
                left = self.shim.budget
            left -= size
        return parts

    def emit(
        self, docs: list[Doc], project: Project, *, every: bool, train: bool
    ) -> tuple[Tensor, list[np.ndarray], Callable[[Tensor], None]]:
        # Batch by batch: the vectors of a long document are never in memory together.
        subwords = self.shim.tokenize(docs)
        picked = [pick_rows(s.lengths, every=every) for s in subwords]
        wanted = [s.rows[rows] for s, (rows, _) in zip(subwords, picked, strict=True)]
        emissions, backprop = self.shim.run(subwords, wanted, train=train, project=project)
        return emissions, [tokens for _, tokens in picked], backprop

    @contextlib.contextmanager
    def weights_apart(self) -> Iterator[None]:
        self.shim.weights_apart = True
        try:
            yield
        finally:
            self.shim.weights_apart = False

    def save(self, folder: Path) -> None:
        if self.shim.ready:
            storage.save(self.shim.pretrained, folder)

    def load(self, folder: Path) -> None:
        # Before initialization there is nothing to write; afterwards there must be one to read.
        if folder.exists() or self.model.has_dim("nO"):
            self.shim.set_pretrained(storage.load(folder))


def transformer_shim(encoder: Model) -> TransformerShim:
    """The shim that holds the network of an encoder with its own transformer.

    encoder (Model): Built by `build_transformer_encoder`.
    RETURNS (TransformerShim): The shim.
    """
    return cast(TransformerShim, encoder.shims[0])


def find_shim(encoder: Model) -> TransformerShim | None:
    """As `transformer_shim`, and None for any other layer."""
    shim = encoder.shims[0] if encoder.shims else None
    return shim if isinstance(shim, TransformerShim) else None
