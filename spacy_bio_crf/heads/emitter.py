"""Heads: what turns vectors into a lattice, and the best path through it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torchcrf import CRF

from .. import crf as linear_chain
from ..tags.tagset import TagSet

NEVER = float("-inf")


@dataclass(frozen=True)
class Lattice:
    """Scores of all tag paths through the rows of several documents.

    emissions (Tensor): A score for every row and tag; float32 [N, K].
    start (Tensor): Score of a document's first tag; float32 [K].
    transitions (Tensor): Score of one tag after another; float32 [K, K], (from, to).
    end (Tensor): Score of a document's last tag; float32 [K].
    tokens (Sequence[np.ndarray]): For each document, the tokens its rows stand for, in order;
        int64. A token without a sub-word has no row; one that trains all its sub-words has several.
    """

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor
    tokens: Sequence[np.ndarray]

    @property
    def lengths(self) -> list[int]:
        """Rows of each document; they sum to N."""
        return [len(t) for t in self.tokens]

    def first_rows(self) -> tuple[np.ndarray, list[int]]:
        """Which rows are the first of their token; bool [N], and how many each document has."""
        firsts = [np.diff(tokens, prepend=-1) != 0 for tokens in self.tokens]
        empty = np.zeros(0, dtype=bool)
        return np.concatenate([empty, *firsts]), [int(first.sum()) for first in firsts]

    @property
    def scores(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors a gradient belongs to."""
        return self.emissions, self.start, self.transitions, self.end


@dataclass(frozen=True)
class Head:
    """Settings of a head.

    crf (bool): Learn start, transition and end scores.
    constrained (bool): Decode legal tag sequences only.
    constrained_loss (bool): Leave illegal sequences out of the normaliser in training as well.
    class_weights (tuple): Pairs of a label, or "O", and its weight in training; 1.0 if absent.
    lr_scale (float): Factor on the learning rate of the emission weights.
    transitions_lr_scale (float): Factor on that of the start, transition and end scores.
    RAISES: ValueError if a weight is not positive.
    """

    crf: bool
    constrained: bool = True
    constrained_loss: bool = False
    class_weights: tuple[tuple[str, float], ...] = ()
    lr_scale: float = 1.0
    transitions_lr_scale: float = 1.0

    def __post_init__(self) -> None:
        for label, weight in self.class_weights:
            if not weight > 0.0:
                raise ValueError(
                    f"Option 'class_weights' of the head has {weight} for {label!r}; expected a"
                    " weight above 0."
                )

    def scale_of(self, name: str) -> float:
        """The learning rate's factor for a parameter of `Emitter`, by its name."""
        return self.transitions_lr_scale if name.endswith("transitions") else self.lr_scale


def build_softmax_head(
    *,
    constrained: bool = True,
    constrained_loss: bool = False,
    class_weights: dict[str, float] | None = None,
    lr_scale: float = 10.0,
) -> Head:
    """Every token's tag by itself. Registered as spacy-bio-crf.SoftmaxHead.v1.

    `y_i = softmax(h_i W + b)`; the loss is the cross-entropy. With `constrained` the best legal
    sequence is decoded, as by a CRF whose transition scores are zero where legal.

    constrained (bool): Decode legal tag sequences only; False gives the plain argmax.
    constrained_loss (bool): Train the probability among legal sequences instead of each token's.
    class_weights (dict[str, float] | None): Weight of labels, or of "O", in training; 1.0 if
        absent.
    lr_scale (float): Factor on the optimiser's learning rate.
    RETURNS (Head): The settings.
    """
    return Head(
        crf=False,
        constrained=constrained,
        constrained_loss=constrained_loss,
        class_weights=tuple((class_weights or {}).items()),
        lr_scale=lr_scale,
    )


def build_crf_head(
    *,
    constrained: bool = True,
    constrained_loss: bool = False,
    class_weights: dict[str, float] | None = None,
    lr_scale: float = 10.0,
    transitions_lr_scale: float = 100.0,
) -> Head:
    """A linear-chain conditional random field. Registered as spacy-bio-crf.CRFHead.v1.

    Lafferty et al. 2001; the parameters are those of pytorch-crf, under its names.

    constrained (bool): Decode legal tag sequences only.
    constrained_loss (bool): Leave illegal sequences out of the normaliser in training as well.
    class_weights (dict[str, float] | None): Weight of labels, or of "O", in training; 1.0 if
        absent.
    lr_scale (float): Factor on the optimiser's learning rate for the emission weights.
    transitions_lr_scale (float): Factor for start, transition and end scores: at a transformer's
        learning rate they would hardly move.
    RETURNS (Head): The settings.
    """
    return Head(
        crf=True,
        constrained=constrained,
        constrained_loss=constrained_loss,
        class_weights=tuple((class_weights or {}).items()),
        lr_scale=lr_scale,
        transitions_lr_scale=transitions_lr_scale,
    )


class Emitter(nn.Module):
    """From vectors to emissions, and the transition scores beside them.

    width (int): d, the size of a vector.
    n_tags (int): K.
    crf (bool): Own transition scores, in a `torchcrf.CRF` called `crf`; otherwise they are zero.
    """

    def __init__(self, width: int, n_tags: int, *, crf: bool):
        super().__init__()
        self.dense = nn.Linear(width, n_tags)
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        self.crf = CRF(n_tags, batch_first=True) if crf else None

    def forward(self, vectors: Tensor, dropout: float = 0.0) -> Tensor:
        """RETURNS (Tensor): Emissions of vectors [N, d]; float32 [N, K]."""
        return self.dense(nn.functional.dropout(vectors, dropout, training=self.training))

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """RETURNS (tuple): Start [K], transition [K, K] and end [K] scores."""
        if self.crf is not None:
            crf = self.crf
            return crf.start_transitions, crf.transitions, crf.end_transitions
        zeros = self.dense.bias.new_zeros(self.dense.out_features)
        return zeros, zeros.new_zeros((len(zeros), len(zeros))), zeros


def decode(head: Head, lattice: Lattice) -> np.ndarray:
    """The best tag of every row: by Viterbi, or freely where neither head nor scheme ties them.

    head (Head): Whether sequences have to be legal.
    lattice (Lattice): From `restrict`; no score is NaN or +inf.
    RETURNS (np.ndarray): Tag ids; int64 [N].
    """
    if not head.crf and not head.constrained:
        tags = lattice.emissions.argmax(dim=1)
    else:
        chain = (lattice.start, lattice.transitions, lattice.end)
        tags, _ = linear_chain.viterbi(lattice.emissions, lattice.lengths, *chain)
    return tags.cpu().numpy()


def restrict(
    head: Head, tagset: TagSet, lattice: Lattice, allowed: np.ndarray | None = None
) -> Lattice:
    """The lattice with the paths shut that decoding may not take.

    head (Head): Whether sequences have to be legal.
    tagset (TagSet): Which are.
    lattice (Lattice): What the network said.
    allowed (np.ndarray | None): Tags each row may have; bool [N, K].
    RETURNS (Lattice): Scores of -inf where there is no way.
    """
    if allowed is not None:
        shut = torch.from_numpy(~allowed).to(lattice.emissions.device)
        lattice = replace(lattice, emissions=lattice.emissions.masked_fill(shut, NEVER))
    if head.constrained:
        start, transitions, end = constrain(tagset, lattice.start, lattice.transitions, lattice.end)
        lattice = replace(lattice, start=start, transitions=transitions, end=end)
    return lattice


def constrain(
    tagset: TagSet, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Shut what the scheme forbids. A mask, not trained values: no weight can open it again.

    tagset (TagSet): The scheme and its labels.
    start (Tensor): float32 [K].
    transitions (Tensor): float32 [K, K].
    end (Tensor): float32 [K].
    RETURNS (tuple): The same with -inf at illegal starts, transitions and ends.
    """
    shut_start, shut, shut_end = _illegal(tagset, start.device)
    return (
        start.masked_fill(shut_start, NEVER),
        transitions.masked_fill(shut, NEVER),
        end.masked_fill(shut_end, NEVER),
    )


@lru_cache(maxsize=64)
def _illegal(tagset: TagSet, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    start, between, end = (
        torch.tensor(~mask, device=device)
        for mask in (tagset.legal_start, tagset.legal, tagset.legal_end)
    )
    return start, between, end
