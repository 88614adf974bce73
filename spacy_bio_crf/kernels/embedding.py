"""Word embeddings of several batches, looked up once, so that their gradient is gathered once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..subwords.batches import PaddedBatch


class RowGradient:
    """The gradient of a vocabulary, kept from step to step.

    The gradient is as large as the vocabulary, and zero but for the rows of a batch. A new array of
    zeros for every step costs a CPU more than the rows themselves, so only those rows are cleared.
    """

    def __init__(self) -> None:
        self._zeros: Tensor | None = None
        self._written: list[Tensor] = []

    def add(self, weight: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Add a gradient [n, e] to some rows [n], each once, of the gradient of a vocabulary."""
        if weight.grad is None:
            kept = self._zeros
            if kept is None or kept.shape != weight.shape or kept.device != weight.device:
                kept, self._written = torch.zeros_like(weight), []
            for written in self._written:
                kept.index_fill_(0, written, 0.0)
            self._zeros, self._written = kept, []
            weight.grad = kept
        self._written.append(rows)
        weight.grad.index_add_(0, rows, gradient)

    def rows(self, weight: Tensor) -> Tensor | None:
        """RETURNS (Tensor | None): The rows of a weight with a gradient, int64 [n], ascending; None
        if its gradient is not kept here."""
        if weight.grad is None or weight.grad is not self._zeros:
            return None
        return torch.unique(torch.cat(self._written))


class WordTable:
    """The rows of a vocabulary that some batches use.

    The gradient of an embedding is a dense array as large as the vocabulary, and autograd would
    fill one for every batch. Here each batch adds to the gradient of the few rows in use, and
    `finish` adds these to the vocabulary's gradient together.

    words (Embedding): The vocabulary.
    batches (Sequence[PaddedBatch]): Batches whose ids are looked up.
    total (RowGradient): Gathers the gradient of the vocabulary.
    """

    def __init__(self, words: nn.Embedding, batches: Sequence[PaddedBatch], total: RowGradient):
        self._total = total
        self._words = words
        weight = words.weight
        used = np.unique(np.concatenate([b.ids.reshape(-1) for b in batches] or [np.zeros(0, int)]))
        self._place = {id(b): np.searchsorted(used, b.ids) for b in batches}
        self._used = torch.from_numpy(used).to(weight.device)
        # shape: [n_used, e]
        self._rows = weight.detach().index_select(0, self._used)
        self._rows.requires_grad_(weight.requires_grad)

    def __call__(self, batch: PaddedBatch) -> Tensor:
        """RETURNS (Tensor): The word embeddings of one of the batches; float32 [B, T, e]."""
        place = torch.from_numpy(self._place[id(batch)]).to(self._rows.device)
        return nn.functional.embedding(place, self._rows)

    def finish(self) -> None:
        """Add the gathered gradient to that of the vocabulary."""
        gradient = self._rows.grad
        if gradient is None:
            return
        if self._words.padding_idx is not None:
            gradient[self._used == self._words.padding_idx] = 0.0
        self._total.add(self._words.weight, self._used, gradient)
        self._rows.grad = None
