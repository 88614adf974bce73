"""BioTagger: encoder -> emissions -> lattice."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Ragged
from torch import Tensor

from .encoders.transformer.layer import transformer_shim
from .encoders.transformer.shim import TransformerShim
from .heads.emitter import Emitter, Head, Lattice
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
    every = is_train and model.attrs["subword_labels"] == "all"
    run = _run_transformer if owns_transformer(encoder) else _run_layers
    emissions, tokens, backprop_emissions = run(encoder, emitter, docs, every, is_train)
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


def owns_transformer(encoder: Model) -> bool:
    """Whether the encoder has a transformer of its own, which can be run pack by pack.

    encoder (Model): Any encoder.
    RETURNS (bool): True for spacy-bio-crf.TransformerEncoder.v1.
    """
    return bool(encoder.shims) and isinstance(encoder.shims[0], TransformerShim)


def _run_transformer(
    encoder: Model, emitter: Model, docs: list[Doc], every: bool, is_train: bool
) -> tuple[Tensor, list[np.ndarray], Callable[[Tensor], None]]:
    """Emissions pack by pack: the vectors of a long document are never in memory together."""
    shim = transformer_shim(encoder)
    network = emitter_shim(emitter).network.train(is_train)
    dropout = emitter.attrs["dropout_rate"]
    pieces = shim.tokenize(docs)
    picked = [pick(p.lengths, every=every) for p in pieces]
    emissions, backprop = shim.run(
        pieces,
        [p.rows[rows] for p, (rows, _) in zip(pieces, picked, strict=True)],
        train=is_train,
        project=lambda vectors: network(vectors, dropout),
    )
    return emissions, [tokens for _, tokens in picked], backprop


def _run_layers(
    encoder: Model, emitter: Model, docs: list[Doc], every: bool, is_train: bool
) -> tuple[Tensor, list[np.ndarray], Callable[[Tensor], None]]:
    """Emissions of an encoder that is a thinc layer like any other."""
    vectors, backprop_encoder = encoder(docs, is_train)
    xp = encoder.ops.xp
    # One copy from the device for all documents. shape: [n_tokens of all documents]
    lengths = _numpy(xp.concatenate([v.lengths for v in vectors]))
    by_doc = np.split(lengths, np.cumsum([len(v.lengths) for v in vectors])[:-1])
    picked = [pick(own, every=every) for own in by_doc]
    ends = np.cumsum([len(v.dataXd) for v in vectors])
    bases = ends - [len(v.dataXd) for v in vectors]
    # shape: [N]
    rows = xp.asarray(np.concatenate([r + b for (r, _), b in zip(picked, bases, strict=True)]))
    # shape: [n_subwords of all documents, d]
    flat = xp.concatenate([v.dataXd for v in vectors])
    emissions, backprop_emitter = emitter(flat[rows], is_train)

    def backprop(d_emissions: Tensor) -> None:
        d_flat = xp.zeros_like(flat)
        d_flat[rows] = backprop_emitter(d_emissions)
        d_vectors = xp.split(d_flat, ends[:-1].tolist())
        backprop_encoder([Ragged(d, v.lengths) for d, v in zip(d_vectors, vectors, strict=True)])

    return emissions, [tokens for _, tokens in picked], backprop


def pick(lengths: np.ndarray, *, every: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which of a document's rows make the sequence, and the tokens they stand for.

    lengths (np.ndarray): Sub-words of each token; int [n_tokens].
    every (bool): All sub-words; otherwise the first of each token.
    RETURNS (tuple[np.ndarray, np.ndarray]): Row indices and token indices; int64 [n] both.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if every:
        return np.arange(int(lengths.sum())), np.repeat(np.arange(len(lengths)), lengths)
    tokens = np.flatnonzero(lengths)
    return (np.cumsum(lengths) - lengths)[tokens], tokens


def forward_emitter(model: Model, vectors: Any, is_train: bool) -> tuple[Tensor, Callable]:
    """Emissions [N, K], a torch tensor, of vectors [N, d], an array."""
    network = emitter_shim(model).network.train(is_train)
    leaf: Any = xp2torch(vectors, requires_grad=is_train)
    with torch.set_grad_enabled(is_train):
        emissions = network(leaf, model.attrs["dropout_rate"])

    def backprop(d_emissions: Tensor) -> Any:
        torch.autograd.backward(emissions, d_emissions)
        return torch2xp(leaf.grad)

    return emissions.detach(), backprop


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


def _numpy(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else np.asarray(array)
