"""The interface of every encoder: sub-words, parts of a batch, emissions, files."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, Optimizer, to_numpy, torch2xp, xp2torch
from thinc.types import Ragged
from torch import Tensor

from ..errors import Plain, describe
from ..subwords.tokenizer import Subwords, sequence_rows
from .transformer.run import Project
from .transformer.text import Preprocessor

# Emissions [N, c], the token of each row by document, and the way back for the gradient [N, c].
Emitted = tuple[Tensor, list[np.ndarray], Callable[[Tensor], None]]


class Encoder:
    """An encoder as models, components and the debugger see it. This class serves any layer: a
    shared transformer, a tok2vec, a layer of another package.

    A layer that can do more names a subclass in its attribute "encoder".

    model (Model[list[Doc], list[Ragged]]): The layer.
    """

    def __init__(self, model: Model[list[Doc], list[Ragged]]):
        self.model = model

    @property
    def precision(self) -> str:
        """The precision, as the encoder's option has it. RAISES: ValueError if the encoder has no
        transformer of its own."""
        raise self._no_precision()

    @precision.setter
    def precision(self, precision: str) -> None:
        raise self._no_precision()

    def _no_precision(self) -> ValueError:
        expected = "an encoder with its own transformer, spacy-bio-crf.TransformerEncoder.v1"
        return ValueError(describe("precision", expected=expected, got=Plain(self.model.name)))

    @property
    def budget(self) -> int:
        """Most padded sub-words in one batch; 0 if the encoder makes no batches, or has no weights
        yet."""
        return 0

    @property
    def default_rate(self) -> float | None:
        """The learning rate in place of spaCy's own, where nobody has chosen one."""
        return None

    def transformer_rate(self, optimizer: Optimizer) -> float:
        """RETURNS (float): The learning rate of a pre-trained transformer; 0 if none is trained."""
        return 0.0

    def text(self) -> Preprocessor | None:
        """RETURNS (Preprocessor | None): Cuts texts, and needs no weights; None if the encoder has
        no tokenizer of its own."""
        return None

    def cut(self, docs: Sequence[Doc]) -> list[Subwords] | None:
        """RETURNS (list[Subwords] | None): The sub-words of each document; None if the encoder has
        no tokenizer of its own."""
        return None

    def remembering(self, docs: Sequence[Doc]) -> contextlib.AbstractContextManager:
        """Cut documents once for all calls within; the documents must not change until the end."""
        return contextlib.nullcontext()

    def split(self, docs: Sequence[Doc]) -> list[np.ndarray]:
        """RETURNS (list[np.ndarray]): Indices of the documents that train together; each document
        is in one part."""
        # A shared transformer answers for the batch it was given, not for parts of it.
        return [np.arange(len(docs))]

    def emit(self, docs: list[Doc], project: Project, *, every: bool, train: bool) -> Emitted:
        """Compute emissions.

        project (Project): From vectors float32 [n, d] to emissions [n, c].
        every (bool): A row for every sub-word of a token; otherwise for its first one.
        train (bool): Use dropout, and prepare for the backward pass.
        RETURNS (Emitted): Emissions, tokens, and a function that takes the gradient of the
            emissions and adds to those of the encoder and of what `project` holds.
        """
        xp = self.model.ops.xp
        if not docs:
            # Arrays of no documents can't be joined.
            nothing = xp.zeros((0, self.model.get_dim("nO")), dtype="float32")
            emissions, _ = call_torch(project, nothing, train=False)
            return emissions, [], lambda d_emissions: None
        vectors, backprop_encoder = self.model(docs, train)
        # One copy from the device for all documents. shape: [n_tokens of all documents]
        lengths: Any = to_numpy(xp.concatenate([v.lengths for v in vectors]))
        by_doc = np.split(lengths, np.cumsum([len(v.lengths) for v in vectors])[:-1])
        picked = [sequence_rows(own, every=every) for own in by_doc]
        ends = np.cumsum([len(v.dataXd) for v in vectors])
        bases = ends - [len(v.dataXd) for v in vectors]
        # shape: [N]
        rows = xp.asarray(np.concatenate([r + b for (r, _), b in zip(picked, bases, strict=True)]))
        # shape: [n_subwords of all documents, d]
        flat = xp.concatenate([v.dataXd for v in vectors])
        emissions, backprop_project = call_torch(project, flat[rows], train=train)

        def backprop(d_emissions: Tensor) -> None:
            d_flat = xp.zeros_like(flat)
            d_flat[rows] = backprop_project(d_emissions)
            d_vectors = xp.split(d_flat, ends[:-1].tolist())
            backprop_encoder(
                [Ragged(d, v.lengths) for d, v in zip(d_vectors, vectors, strict=True)]
            )

        return emissions, [tokens for _, tokens in picked], backprop

    def weights_apart(self) -> contextlib.AbstractContextManager:
        """Leave out of `Model.to_bytes` what `save` writes."""
        return contextlib.nullcontext()

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer as a Hugging Face folder, if the encoder owns them."""

    def begin_anew(self) -> None:
        """Let the next initialization fetch the weights, whatever has become of them."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""


def encoder_of(model: Model[list[Doc], list[Ragged]]) -> Encoder:
    """RETURNS (Encoder): The interface of any layer."""
    return model.attrs.get("encoder", Encoder)(model)


def call_torch(
    project: Project, vectors: Any, *, train: bool
) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Call a function of torch on an array of thinc, float32 [n, d].

    RETURNS (tuple[Tensor, Callable]): The result [n, c] and, in training, a function from its
        gradient to that of the vectors.
    """
    leaf: Any = xp2torch(vectors, requires_grad=train)
    with torch.set_grad_enabled(train):
        result = project(leaf)

    def backprop(d_result: Tensor) -> Any:
        torch.autograd.backward(result, d_result)
        return torch2xp(leaf.grad)

    return result.detach(), backprop
