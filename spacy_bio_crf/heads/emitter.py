"""Heads: their settings, and the torch module that turns vectors into scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchcrf import CRF

from ..errors import Plain, describe
from ..tags.schemes import OUTSIDE


@dataclass(frozen=True)
class Head:
    """Settings of a head.

    crf (bool): Learn start, transition and end scores.
    constrained (bool): Decode legal tag sequences only.
    constrained_loss (bool): Leave illegal sequences out of the normalizer in training as well.
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
                got = Plain(f"{weight} for {label!r}")
                raise ValueError(describe("class_weights", expected="weights above 0", got=got))

    def check_labels(self, labels: Sequence[str], tags: Sequence[str]) -> None:
        """Raise a ValueError if a label with a weight is none of these, nor an "O" of the tags."""
        outside = {OUTSIDE} & set(tags)
        unknown = sorted({label for label, _ in self.class_weights} - {*outside, *labels})
        if unknown:
            expected = f"labels of {list(labels)}"
            if outside:
                expected = f"'O' or {expected}"
            raise ValueError(describe("class_weights", expected=expected, got=unknown))

    def scale_of(self, name: str) -> float:
        """RETURNS (float): Factor on the learning rate of a parameter of `Emitter`, by its name."""
        return self.transitions_lr_scale if name.endswith("transitions") else self.lr_scale


def build_softmax_head(
    *,
    constrained: bool = True,
    constrained_loss: bool = False,
    class_weights: dict[str, float] | None = None,
    lr_scale: float = 10.0,
) -> Head:
    """Build the settings of a softmax head. Registered as spacy-bio-crf.SoftmaxHead.v1.

    Each token has a tag of its own: `y_i = softmax(h_i W + b)`, and the loss is the cross-entropy.
    With `constrained` the best legal sequence is decoded, as by a CRF whose legal transitions
    score zero.

    constrained (bool): Decode legal tag sequences only; False gives the plain argmax.
    constrained_loss (bool): Train the probability among legal sequences instead of each token's.
    class_weights, lr_scale: As for `Head`.
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
    """Build the settings of a linear-chain CRF head. Registered as spacy-bio-crf.CRFHead.v1.

    Lafferty et al. 2001; the parameters are those of pytorch-crf, under its names. The options are
    those of `Head`: at a transformer's learning rate the transition scores would hardly move.

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


class Transform(nn.Module):
    """The layers that ModernBERT's token classifiers have before the linear one: `norm(gelu(Wx))`.

    width (int): d, the size of a vector.
    """

    def __init__(self, width: int):
        super().__init__()
        self.dense = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """RETURNS (Tensor): Vectors of the same shape, [N, d]."""
        return self.norm(nn.functional.gelu(self.dense(vectors)))


class Emitter(nn.Module):
    """A linear layer from vectors to emissions, and the transition scores.

    width (int): d, the size of a vector.
    n_tags (int): K.
    crf (bool): Own transition scores, in a `torchcrf.CRF` called `crf`; otherwise they are zero.
    transform (bool): Put a `Transform` before the linear layer.
    """

    def __init__(self, width: int, n_tags: int, *, crf: bool, transform: bool = False):
        super().__init__()
        self.transform = Transform(width) if transform else None
        self.dense = nn.Linear(width, n_tags)
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        self.crf = CRF(n_tags, batch_first=True) if crf else None

    def forward(self, vectors: Tensor, dropout: float = 0.0) -> Tensor:
        """RETURNS (Tensor): Emissions of vectors [N, d]; float32 [N, K]."""
        if self.transform is not None:
            vectors = self.transform(vectors)
        return self.dense(nn.functional.dropout(vectors, dropout, training=self.training))

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """RETURNS (tuple): Start [K], transition [K, K] and end [K] scores."""
        if self.crf is not None:
            crf = self.crf
            return crf.start_transitions, crf.transitions, crf.end_transitions
        zeros = self.dense.bias.new_zeros(self.dense.out_features)
        return zeros, zeros.new_zeros((len(zeros), len(zeros))), zeros

    def reorder(self, order: Sequence[int]) -> None:
        """Put the tags in another order.

        order (Sequence[int]): For each tag in the new order its place in the present one; [K].
        """
        index = torch.tensor(order, device=self.dense.bias.device)
        with torch.no_grad():
            own: list[Tensor] = [self.dense.weight, self.dense.bias]
            if self.crf is not None:
                crf = self.crf
                own += [crf.start_transitions, crf.end_transitions, crf.transitions]
                crf.transitions.copy_(crf.transitions[:, index])
            for scores in own:
                scores.copy_(scores[index])

    def grown(self, less: Sequence[float], *, like: Sequence[int]) -> "Emitter":
        """Copy this network with more tags, behind the present ones, whose scores stay the same.

        A new tag begins as the mean of some tags, those that its tokens have had so far, less a
        margin (Cermelli et al. 2020, "Modeling the Background for Incremental Learning in Semantic
        Segmentation", section 3.3). No sequence with a new tag has the highest score then: with
        one of those tags in its place the score is higher by the margin.

        less (Sequence[float]): The margin of each new tag, in nats.
        like (Sequence[int]): The ids of those tags.
        RETURNS (Emitter): The network; its parameters are new ones.
        """
        weight, bias = self.dense.weight.detach(), self.dense.bias.detach()
        width, n_new, own = weight.shape[1], len(less), list(like)
        network = Emitter(
            width,
            len(bias) + n_new,
            crf=self.crf is not None,
            transform=self.transform is not None,
        )
        margins = torch.tensor(less, device=bias.device)
        state = {name: value.detach() for name, value in self.state_dict().items()}
        state["dense.weight"] = torch.cat([weight, weight[own].mean(0).expand(n_new, -1)])
        state["dense.bias"] = torch.cat([bias, bias[own].mean() - margins])
        if self.crf is not None:
            for name in ("start_transitions", "end_transitions"):
                scores = state[f"crf.{name}"]
                state[f"crf.{name}"] = torch.cat([scores, scores[own].mean().expand(n_new)])
            # shape: [K, K], then with rows of the new tags, then with their columns
            scores = state["crf.transitions"]
            scores = torch.cat([scores, scores[own].mean(0).expand(n_new, -1)])
            columns = scores[:, own].mean(1, keepdim=True).expand(-1, n_new)
            state["crf.transitions"] = torch.cat([scores, columns], dim=1)
        network.load_state_dict(state)
        return network
