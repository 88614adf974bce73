"""BioTagger: encoder -> emissions -> lattice."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import safetensors.torch
import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Ragged
from torch import Tensor

from .encoders.api import Project, call_torch, encoder_of
from .heads.emitter import Emitter, Head
from .heads.lattice import Lattice
from .training.optimizer import TorchShim

SUBWORD_LABELS = ("first", "all")


def build_bio_tagger(
    encoder: Model[list[Doc], list[Ragged]],
    head: Head,
    *,
    subword_labels: str = "first",
    nO: int | None = None,
) -> Model[list[Doc], Lattice]:
    """Build the network of `bio_ner`. Registered as spacy-bio-crf.BioTagger.v1.

    encoder (Model[list[Doc], list[Ragged]]): Vectors of sub-words.
    head (Head): Softmax or CRF.
    subword_labels (str): What trains: "first", the first sub-word of each token, or "all" of them.
        The first decides either way.
    nO (int | None): Number of tags; None until the labels are known.
    RETURNS (Model[list[Doc], Lattice]): The network.
    RAISES: ValueError if `subword_labels` is neither.
    """
    if subword_labels not in SUBWORD_LABELS:
        raise ValueError(
            f"Option 'subword_labels' is {subword_labels!r}; expected one of"
            f" {list(SUBWORD_LABELS)}."
        )
    emitter: Model = Model(
        "emitter",
        forward_emitter,
        dims={"nI": None, "nO": nO},
        attrs={"dropout_rate": 0.0},
        shims=[EmitterShim(head)],
    )
    model: Model = Model(
        "bio_tagger",
        forward,
        init=init,
        layers=[encoder, emitter],
        dims={"nO": nO},
        refs={"encoder": encoder, "emitter": emitter},
        attrs={"subword_labels": subword_labels},
    )
    return model


def init(model: Model, X: list[Doc] | None = None, Y: Any = None) -> None:
    """Initialise the encoder, then make the emitter to its width."""
    encoder, emitter = model.layers
    encoder.initialize(X=X)
    if not model.has_dim("nO"):
        raise ValueError("The number of tags (nO) is not known: initialise the component first.")
    emitter.set_dim("nI", encoder.get_dim("nO"))
    emitter.set_dim("nO", model.get_dim("nO"))
    emitter_shim(emitter).make(emitter.get_dim("nI"), emitter.get_dim("nO"))


def forward(
    model: Model[list[Doc], Lattice], docs: list[Doc], is_train: bool
) -> tuple[Lattice, Callable]:
    """The lattice of some documents. The function beside it takes the gradient as a lattice too."""
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


def forward_emitter(model: Model, vectors: Any, is_train: bool) -> tuple[Tensor, Callable]:
    """Emissions [N, K], a torch tensor, of vectors [N, d], an array."""
    return call_torch(_projection(model, train=is_train), vectors, train=is_train)


def _projection(emitter: Model, *, train: bool) -> Project:
    network = emitter_shim(emitter).network.train(train)
    dropout = emitter.attrs["dropout_rate"]
    return lambda vectors: network(vectors, dropout)


def emitter_shim(emitter: Model) -> "EmitterShim":
    """What holds the network of an emitter.

    emitter (Model): The layer `build_bio_tagger` makes, its ref "emitter".
    RETURNS (EmitterShim): The shim.
    """
    return cast(EmitterShim, emitter.shims[0])


class EmitterShim(TorchShim):
    """Holds the emitter; written with safetensors, never pickled.

    head (Head): The head's settings.
    """

    def __init__(self, head: Head):
        super().__init__(None, lr_scale=head.scale_of)
        self.head = head

    def make(self, width: int, n_tags: int) -> None:
        """Make a fresh emitter.

        width (int): d.
        n_tags (int): K.
        """
        self.set_network(Emitter(width, n_tags, crf=self.head.crf))

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
            n_tags, width = state["dense.weight"].shape
            network = Emitter(width, n_tags, crf=self.head.crf)
            network.load_state_dict(state)
            self.set_network(network)
        return self


def torch_shims(model: Model) -> Sequence[TorchShim]:
    """The networks of a model that this project steps itself.

    model (Model): Any model.
    RETURNS (Sequence[TorchShim]): The shims, in the order of the layers.
    """
    return [s for node in model.walk() for s in node.shims if isinstance(s, TorchShim)]
