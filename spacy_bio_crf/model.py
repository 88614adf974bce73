"""The network of `bio_ner`: encoder, emissions, lattice."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import safetensors.torch
import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Ragged
from torch import Tensor

from .encoders.api import call_torch, encoder_of
from .encoders.transformer.run import Project
from .errors import Plain, SettingsError, check_choice, describe
from .heads.emitter import Emitter, Head
from .heads.lattice import Lattice
from .training.torch_shim import TorchShim

SUBWORD_LABELS = ("first", "all")


def build_bio_tagger(
    encoder: Model[list[Doc], list[Ragged]],
    head: Head,
    *,
    subword_labels: str = "first",
    nO: int | None = None,
) -> Model[list[Doc], Lattice]:
    """Build the network of `bio_ner`, from Docs to a lattice and back for the gradient.

    Registered as spacy-bio-crf.BioTagger.v1.

    encoder (Model[list[Doc], list[Ragged]]): Vectors of sub-words.
    head (Head): Softmax or CRF.
    subword_labels (str): Sub-words to train: "first", the first of each token, or "all" of them.
        The first decides in prediction either way.
    nO (int | None): Number of tags; None until the labels are known.
    RETURNS (Model[list[Doc], Lattice]): The network.
    RAISES: ValueError if `subword_labels` is neither.
    """
    check_choice("subword_labels", subword_labels, SUBWORD_LABELS)
    emitter: Model = Model(
        "emitter",
        _forward_emitter,
        dims={"nI": None, "nO": nO},
        attrs={"dropout_rate": 0.0},
        shims=[EmitterShim(head)],
    )
    return Model(
        "bio_tagger",
        _forward,
        init=_init,
        layers=[encoder, emitter],
        dims={"nO": nO},
        refs={"encoder": encoder, "emitter": emitter},
        attrs={"subword_labels": subword_labels},
    )


def _init(model: Model, X: list[Doc] | None = None, Y: Any = None) -> None:
    encoder, emitter = model.layers
    encoder.initialize(X=X)
    if not model.has_dim("nO"):
        remedy = "initialize the component first"
        raise ValueError(
            describe("nO", expected="a number of tags", got=Plain("none"), remedy=remedy)
        )
    emitter.set_dim("nI", encoder.get_dim("nO"), force=True)
    emitter.set_dim("nO", model.get_dim("nO"), force=True)
    shim = emitter_shim(emitter)
    shim.set_network(Emitter(emitter.get_dim("nI"), emitter.get_dim("nO"), crf=shim.head.crf))


def _forward(
    model: Model[list[Doc], Lattice], docs: list[Doc], is_train: bool
) -> tuple[Lattice, Callable]:
    # Not by the refs: a copy of a model has none.
    encoder, emitter = model.layers
    emissions, tokens, backprop_emissions = encoder_of(encoder).emit(
        docs,
        _projection(emitter, train=is_train),
        every=is_train and model.attrs["subword_labels"] == "all",
        train=is_train,
    )
    scores = emitter_shim(emitter).network.scores()
    start, transitions, end = (s.detach() for s in scores)
    lattice = Lattice(emissions, start, transitions, end, tokens)

    def backprop(d_lattice: Lattice) -> list[Doc]:
        learned = [
            (s, d) for s, d in zip(scores, d_lattice.scores[1:], strict=True) if s.requires_grad
        ]
        if learned:
            torch.autograd.backward([s for s, _ in learned], [d for _, d in learned])
        backprop_emissions(d_lattice.emissions)
        return docs

    return lattice, backprop


def _forward_emitter(model: Model, vectors: Any, is_train: bool) -> tuple[Tensor, Callable]:
    """Emissions [N, K], a torch tensor, of vectors [N, d], an array."""
    return call_torch(_projection(model, train=is_train), vectors, train=is_train)


def projection_of(model: Model[list[Doc], Lattice]) -> Project:
    """RETURNS (Project): From vectors [n, d] to emissions [n, K], in prediction."""
    return _projection(model.layers[1], train=False)


def _projection(emitter: Model, *, train: bool) -> Project:
    network = emitter_shim(emitter).network.train(train)
    dropout = emitter.attrs["dropout_rate"]
    return lambda vectors: network(vectors, dropout)


def chain_scores(model: Model[list[Doc], Lattice]) -> tuple[Tensor, ...]:
    """Read the scores of the chain; of an ensemble their mean over its networks.

    RETURNS (tuple[Tensor, ...]): Start [K], transition [K, K] and end [K] scores.
    """
    found = [emitter_shim(n).network.scores() for n in model.walk() if n.name == "emitter"]
    return tuple(torch.stack(own).detach().mean(dim=0) for own in zip(*found, strict=True))


def emitter_shim(emitter: Model) -> "EmitterShim":
    """Get the shim of the layer "emitter" that `build_bio_tagger` makes."""
    return cast(EmitterShim, emitter.shims[0])


class EmitterShim(TorchShim):
    """Holds the emitter; written with safetensors, never pickled.

    head (Head): The head's settings.
    """

    def __init__(self, head: Head):
        super().__init__(None, lr_scale=head.scale_of)
        self.head = head

    def to_bytes(self) -> bytes:
        """The emitter's parameters as safetensors."""
        if self._model is None:
            return b""
        state = {k: v.detach().cpu().contiguous() for k, v in self._model.state_dict().items()}
        return safetensors.torch.save(state)

    def from_bytes(self, bytes_data: bytes) -> "EmitterShim":
        """Read what `to_bytes` gave."""
        if bytes_data:
            state = safetensors.torch.load(bytes_data)
            if self.head.crf != ("crf.transitions" in state):
                expected = "the kind that the weights were trained with, CRFHead or SoftmaxHead"
                raise SettingsError(describe("head", expected=expected, got=Plain("the other")))
            n_tags, width = state["dense.weight"].shape
            transform = "transform.norm.weight" in state
            network = Emitter(width, n_tags, crf=self.head.crf, transform=transform)
            network.load_state_dict(state)
            self.set_network(network)
        return self


def widen(model: Model[list[Doc], Lattice], less: Sequence[float], *, like: Sequence[int]) -> None:
    """Add tags to a trained network, behind the present ones; see `Emitter.grown`.

    less (Sequence[float]): The margin of each new tag.
    like (Sequence[int]): The ids of the tags that new ones begin as.
    """
    emitter = model.layers[1]
    shim = emitter_shim(emitter)
    shim.widen_network(shim.network.grown(less, like=like))
    n_tags = emitter.get_dim("nO") + len(less)
    for node in (model, emitter):
        node.set_dim("nO", n_tags, force=True)


def free_tags(model: Model[list[Doc], Lattice]) -> None:
    """Let the next weights that a network reads have any number of tags."""
    for node in model.walk():
        if node.name in ("bio_tagger", "emitter", "ensemble"):
            node.set_dim("nO", None, force=True)  # type: ignore[arg-type]


def torch_shims(model: Model) -> Sequence[TorchShim]:
    """Find the networks of a model that this package steps itself, in the order of its layers."""
    return [s for node in model.walk() for s in node.shims if isinstance(s, TorchShim)]
