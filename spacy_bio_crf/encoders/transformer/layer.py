"""The encoder that owns a pre-trained transformer, as a thinc layer."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, Optimizer, torch2xp, xp2torch
from thinc.types import Ragged
from torch import Tensor

from ...errors import SettingsError, describe
from ...subwords.batches import plan_batches
from ...subwords.tokenizer import Subwords, sequence_rows
from ..api import Emitted, Encoder
from .adapter_files import read_encoder
from .encoder_options import Options
from .run import Project
from .shim import TransformerShim
from .surgery import CASING
from .text import Preprocessor


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
    lr_scale: float | None = 1.0,
    lora: dict[str, Any] | None = None,
) -> Model[list[Doc], list[Ragged]]:
    """Build an encoder that owns its transformer.

    Registered as spacy-bio-crf.TransformerEncoder.v1. The weights are fetched when the layer is
    initialized, or read when a pipeline is loaded.

    name (str): A Hugging Face folder, or the name of an encoder on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    window (int | None): Most sub-words in one window, special ones not counted; None takes the
        model's limit.
    overlap (int | None): Sub-words that neighboring windows share; None takes 64, or a quarter of
        the window where that is less.
    batch_subwords (int | None): Most padded sub-words that pass the network, and keep their
        activations for the gradient, at once; None takes 2,048 on a CPU and 32,768 on a GPU.
    precision (str): "fp32", "bf16", "fp16" or, for prediction on a CPU, "int8"; "auto" is "bf16"
        on hardware with instructions for it and "fp32" elsewhere. Weights stay in float32, and are
        saved in it.
    layers (int | None): N uses the network's first N layers, -N all but the last N; the others are
        dropped when the weights are fetched, and not saved. None uses all. The last layers of an
        encoder that was trained for another task, such as the similarity of sentences, may know
        less about words than those below.
    frozen_layers (int): 0 trains everything, N all but the embeddings and the first N layers,
        -1 nothing.
    gradient_checkpointing (bool): Recompute activations in the backward pass to save memory.
    dropout (float | None): Every dropout probability of the network; None keeps those of its
        config.
    casing (bool): Add a learned embedding of how words are written (lower case, Title, UPPER,
        miXed, with digits). For encoders whose tokenizer lower-cases.
    lr_scale (float | None): Factor on the optimizer's learning rate. None is 1.0, but where the
        optimizer has spaCy's default rate of 0.001, the encoder and its head train at 2e-4 times
        their factors, with more than 6 layers at 1e-4, and from a width of 768 at 5e-5.
    lora (dict[str, Any] | None): Trains low-rank adapters in place of the network's own weights;
        settings by name, as `adapters.Lora` has them: r (8), alpha (16), dropout (0.0),
        target_modules (null for all linear layers of the network's layers) and merge (true).
        Where the optimizer has spaCy's default rate, adapters train at ten times the rate of
        `lr_scale`. None trains the weights themselves.
    RETURNS (Model[list[Doc], list[Ragged]]): For each Doc the vectors of its sub-words, float32
        [n_subwords, d], and how many belong to each token, [n_tokens].
    RAISES: ValueError for an option that is out of range.
    """
    shim = TransformerShim(Options(**locals()))
    return Model(
        "transformer_encoder",
        _forward,
        init=_init,
        dims={"nO": None},
        shims=[shim],
        attrs={"encoder": TransformerEncoder},
    )


def _init(model: Model, X: Any = None, Y: Any = None) -> None:
    shim = transformer_shim(model)
    if not shim.ready or shim.begins_anew:
        shim.fetch()
    model.set_dim("nO", shim.network.config.hidden_size, force=True)


def _forward(
    model: Model[list[Doc], list[Ragged]], docs: list[Doc], is_train: bool
) -> tuple[list[Ragged], Callable]:
    ops: Any = model.ops
    shim = transformer_shim(model)
    subwords = shim.text.cut(docs)
    vectors, backprop_vectors = shim.run(subwords, [s.rows for s in subwords], train=is_train)
    # shape: [m of all documents, d]
    flat: Any = torch2xp(vectors)
    ends = np.cumsum([len(s.rows) for s in subwords])
    outputs = [
        Ragged(flat[end - len(s.rows) : end], ops.asarray1i(s.lengths))
        for s, end in zip(subwords, ends, strict=True)
    ]

    def backprop(d_outputs: list[Ragged]) -> list[Doc]:
        backprop_vectors(xp2torch(ops.xp.concatenate([d.dataXd for d in d_outputs])))
        return docs

    return outputs, backprop


def transformer_shim(encoder: Model) -> TransformerShim:
    """RETURNS (TransformerShim): Holds the network of an encoder that owns its transformer."""
    return cast(TransformerShim, encoder.shims[0])


class TransformerEncoder(Encoder):
    """The interface of an encoder that owns its transformer."""

    def __init__(self, model: Model[list[Doc], list[Ragged]]):
        super().__init__(model)
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

    @property
    def default_rate(self) -> float | None:
        return self.shim.default_rate

    def transformer_rate(self, optimizer: Optimizer) -> float:
        options = self.shim.options
        scale = 1.0 if options.lr_scale is None else options.lr_scale
        # With adapters the pre-trained weights stay as they are.
        frozen = options.frozen_layers == -1 or options.lora is not None
        return 0.0 if frozen else scale * self.shim.rate(optimizer)

    def text(self) -> Preprocessor:
        return self.shim.text_alone()

    def cut(self, docs: Sequence[Doc]) -> list[Subwords]:
        return self.shim.text.cut(docs)

    def remembering(self, docs: Sequence[Doc]) -> contextlib.AbstractContextManager:
        return self.shim.text.remembering(docs)

    def split(self, docs: Sequence[Doc]) -> list[np.ndarray]:
        # As few parts as the budget allows: each is a forward and a backward pass over the batches
        # that `emit` will make of it.
        shim, left = self.shim, 0
        costs = shim.text.costs(docs)
        parts: list[np.ndarray] = []
        for members in plan_batches(costs, budget=shim.budget, overhead=shim.overhead(train=True)):
            size = len(members) * int(costs[members].max())
            if size <= left:
                parts[-1] = np.concatenate([parts[-1], members])
            else:
                parts.append(members)
                left = shim.budget
            left -= size
        return parts

    def emit(self, docs: list[Doc], project: Project, *, every: bool, train: bool) -> Emitted:
        # Batch by batch: the vectors of a long document are never in memory together.
        return self._run(docs, project, every=every, train=train)

    def vectors(
        self, docs: Sequence[Doc], *, every: bool, learns: bool
    ) -> tuple[Tensor, list[np.ndarray], Callable[[Tensor], None] | None]:
        """Compute vectors for heads that train on them.

        every (bool): Of every sub-word of a token; otherwise of its first one.
        learns (bool): Use dropout, and prepare for the backward pass, if the encoder is not frozen.
        RETURNS (tuple): Vectors, float32 [n, d], the token of each by document, and a function that
            takes their gradient, or None if the encoder does not learn.
        RAISES: ValueError in "int8".
        """
        self.shim.check_training(self.shim.precision)
        learns = learns and self.shim.options.frozen_layers != -1
        vectors, tokens, backprop = self._run(docs, None, every=every, train=learns)
        return vectors, tokens, backprop if learns else None

    def _run(
        self, docs: Sequence[Doc], project: Project | None, *, every: bool, train: bool
    ) -> Emitted:
        subwords = self.shim.text.cut(docs)
        picked = [sequence_rows(s.lengths, every=every) for s in subwords]
        wanted = [s.rows[rows] for s, (rows, _) in zip(subwords, picked, strict=True)]
        results, backprop = self.shim.run(subwords, wanted, train=train, project=project)
        return results, [tokens for _, tokens in picked], backprop

    @contextlib.contextmanager
    def weights_apart(self) -> Iterator[None]:
        self.shim.weights_apart = True
        try:
            yield
        finally:
            self.shim.weights_apart = False

    def save(self, folder: Path) -> None:
        if self.shim.ready:
            self.shim.save(folder)

    def begin_anew(self) -> None:
        self.shim.begins_anew = True

    def load(self, folder: Path) -> None:
        # A pipeline saved before its initialization has no folder; later ones must have one.
        if not folder.exists() and not self.model.has_dim("nO"):
            return
        pretrained, weights = read_encoder(folder)
        width = pretrained.network.config.hidden_size
        casing = hasattr(pretrained.network, CASING) or f"{CASING}.weight" in (weights or {})
        if self.model.has_dim("nO") and width != self.model.get_dim("nO"):
            expected = f"vectors of width {self.model.get_dim('nO')}, as the head was trained on"
            raise SettingsError(describe(str(folder), expected=expected, got=width))
        if casing != self.shim.options.casing:
            expected = f"{str(casing).lower()}, as the weights in {folder} were trained"
            raise SettingsError(describe("casing", expected=expected, got=not casing))
        self.shim.set_pretrained(pretrained, adapts=weights is not None, weights=weights)
