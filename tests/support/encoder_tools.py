"""Tools for tests of encoders: vectors window by window, one training step, held memory."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.tokens import Doc
from torch import Tensor, nn

from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from spacy_bio_crf.subwords.tokenizer import Subwords
from spacy_bio_crf.subwords.windows import make_windows
from tests.support.tiny_models import make_encoder

NLP = spacy.blank("xx")
LONG = "Ana Ruiz met Bo in New York City and moved from Lisbon to Washington ."
TEXTS = [
    LONG,
    "",
    "Bo",
    "   ",
    "\ufe0f\ufe0f",
    f"{LONG} {LONG} {LONG} {LONG}",
    "Nobody\n\nworks  today .",
    "\n",
    " ".join([LONG] * 9),
]
WINDOWS = {"window": 9, "overlap": 4}


def docs_of(texts: list[str]) -> list[Doc]:
    return [NLP.make_doc(text) for text in texts]


def network_alone(shim: TransformerShim, ids: np.ndarray) -> Tensor:
    """Vectors of some sub-words that pass the network by themselves, [n, d]."""
    framed = [*shim.text.special.prefix, *ids.tolist(), *shim.text.special.suffix]
    hidden = shim.network(input_ids=torch.tensor([framed])).last_hidden_state[0]
    return hidden[len(shim.text.special.prefix) : len(framed) - len(shim.text.special.suffix)]


def by_hand(shim: TransformerShim, own: Subwords) -> Tensor:
    """Vectors of a document's sub-words: each window alone, each sub-word from the window in which
    it is furthest from an edge that cuts the text, [n, d]."""
    n = len(own.ids)
    windows = make_windows(
        n, size=shim.text.window, overlap=shim.text.overlap, boundaries=own.word_starts
    )
    best = np.full(n, -1.0)
    vectors: list[Any] = [None] * n
    for start, end in zip(windows.starts, windows.ends, strict=True):
        hidden = network_alone(shim, own.ids[start:end])
        for p in range(start, end):
            left = p - start if start > 0 else np.inf
            right = end - 1 - p if end < n else np.inf
            if min(left, right) > best[p]:
                best[p], vectors[p] = min(left, right), hidden[p - start]
    return torch.stack(vectors) if vectors else torch.zeros((0, 32))


def gradients(*networks: nn.Module) -> list[Tensor]:
    return [
        p.grad.clone() for network in networks for p in network.parameters() if p.grad is not None
    ]


def all_rows(subwords: list[Subwords]) -> list[np.ndarray]:
    return [np.arange(len(own.ids)) for own in subwords]


def a_gradient(like: Tensor) -> Tensor:
    """Of the size that a loss divided by the batch has; the same each time."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(7)) / len(like)


def step_of(
    folder: Path, texts: list[str], *, seed: int = 1, **options: Any
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
    """One forward and backward pass: emissions, the gradients of network and emitter, and the next
    random number after both."""
    _, shim = make_encoder(folder, **options)
    torch.manual_seed(0)
    emitter = nn.Linear(32, 3)
    subwords = shim.text.cut(docs_of(texts))
    torch.manual_seed(seed)
    emissions, backprop = shim.run(subwords, all_rows(subwords), train=True, project=emitter)
    torch.rand(2)  # Others draw numbers, too, before the backward pass.
    backprop(a_gradient(emissions))
    return emissions, gradients(shim.network), gradients(emitter), torch.rand(3)


def close(a: list[Tensor], b: list[Tensor]) -> None:
    """Equal up to rounding, measured by the largest of all numbers: some gradients are sums that
    nearly cancel."""
    assert len(a) == len(b) > 0
    atol = 1e-5 * max(float(x.abs().max()) for x in b)
    assert atol > 0
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, atol=atol, rtol=1e-4)


def layers_of(shim: TransformerShim) -> dict[str, list[Tensor]]:
    """Copies of a BERT's parameters by part."""
    parts = {"embeddings": shim.network.embeddings}
    parts |= {str(i): layer for i, layer in enumerate(shim.network.encoder.layer)}
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}


class Held:
    """Counts the bytes that autograd holds for the backward pass, weights not counted."""

    def __init__(self, network: nn.Module):
        self.now = self.peak = 0
        self.weights = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def pack(self, tensor: Tensor) -> Any:
        holder = [tensor.detach()]

        class Box(list):
            pass

        box = Box(holder)
        if tensor.untyped_storage().data_ptr() not in self.weights:
            size = tensor.numel() * tensor.element_size()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(box, self._drop, size)
        return box

    def _drop(self, size: int) -> None:
        self.now -= size

    def watch(self) -> Any:
        return torch.autograd.graph.saved_tensors_hooks(self.pack, lambda box: box[0])


def checkpoints(network: Any) -> bool:
    """Whether a network computes activations again, in transformers 4 and 5."""
    return any(getattr(module, "gradient_checkpointing", False) for module in network.modules())
