"""The encoder of a `bio_encoder` as several heads use it: emissions, vectors and gradients."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model
from torch import Tensor

from ..errors import Plain, SettingsError, describe
from ..subwords.cache import content_of
from ..subwords.tokenizer import sequence_rows
from ..training.torch_shim import TorchShim
from .transformer.layer import TransformerEncoder

# Emissions of a document for one head, [n, c], and the token of each row, [n].
Rows = tuple[Tensor, np.ndarray]


class Owner(Protocol):
    """The component that owns an encoder."""

    name: str
    model: Model
    origin: Any

    def take_due_step(self) -> None:
        """Take the step that waits for the gradients of the heads, if there is one."""


class TrainingBatch:
    """The vectors of some documents in training, and the gradient that the heads give them.

    docs (Sequence[Doc]): The documents.
    lengths (Sequence[np.ndarray]): For each document, how many vectors each token has.
    vectors (Tensor): Their vectors in order; float32 [n, d].
    every (bool): There is a vector for every sub-word of a token; otherwise for its first one.
    backprop (Callable | None): Takes the gradient of the vectors; None if the encoder is frozen.
    examples (Sequence[Example]): Those of the documents, one for each, if there are any. What an
        annotating component has put in the place of a document counts as the document.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        lengths: Sequence[np.ndarray],
        vectors: Tensor,
        *,
        every: bool,
        backprop: Callable[[Tensor], None] | None,
        examples: Sequence[Example] = (),
    ):
        self.vectors = vectors
        self.every = every
        self.served: set[Model] = set()
        # Documents are kept, so that no other one gets the id of one of them.
        self._docs = list(docs)
        self._examples = list(examples)
        self._contents = [content_of(doc) for doc in docs]
        self._lengths = lengths
        self._bases = np.cumsum([0, *(int(own.sum()) for own in lengths)])
        self._backprop = backprop
        self._gradient: Tensor | None = None

    @property
    def learns(self) -> bool:
        """Whether the encoder gets a gradient."""
        return self._backprop is not None

    def has(self, docs: Sequence[Doc], *, every: bool) -> bool:
        """RETURNS (bool): The batch has what a head needs for these documents."""
        found = self._find(docs)
        known = None not in found and (self.every or not every)
        return known and not self._differ(docs, found)

    def outdated(self, docs: Sequence[Doc]) -> bool:
        """RETURNS (bool): Some of these documents had other tokens when they were read."""
        return self._differ(docs, self._find(docs))

    def select(self, docs: Sequence[Doc], *, every: bool) -> tuple[Tensor, list[np.ndarray]]:
        """Find the vectors of documents.

        every (bool): Those of all sub-words, otherwise of each token's first one.
        RETURNS (tuple[Tensor, list[np.ndarray]]): Rows of `vectors`, int64 [m], and the token of
            each by document.
        """
        places = [i for i in self._find(docs) if i is not None]
        picked = [sequence_rows(self._lengths[i], every=every) for i in places]
        rows = [own + self._bases[i] for (own, _), i in zip(picked, places, strict=True)]
        nothing = np.zeros(0, dtype=np.int64)
        selected = torch.from_numpy(np.concatenate([nothing, *rows])).to(self.vectors.device)
        return selected, [tokens for _, tokens in picked]

    def add(self, rows: Tensor, gradient: Tensor) -> None:
        """Add to the gradient of some vectors.

        rows (Tensor): Rows of `vectors`; int64 [m].
        gradient (Tensor): Their gradient; float32 [m, d].
        """
        if self._gradient is None:
            self._gradient = torch.zeros_like(self.vectors)
        self._gradient.index_add_(0, rows, gradient)

    def _find(self, docs: Sequence[Doc]) -> list[int | None]:
        """The numbers of documents in the batch; None for one that is not in it."""
        present = [*self._docs, *(eg.predicted for eg in self._examples)]
        numbers = {id(doc): i % len(self._docs) for i, doc in enumerate(present)}
        return [numbers.get(id(doc)) for doc in docs]

    def _differ(self, docs: Sequence[Doc], found: Sequence[int | None]) -> bool:
        pairs = zip(docs, found, strict=True)
        return any(i is not None and self._contents[i] != content_of(doc) for doc, i in pairs)

    def backprop(self) -> None:
        """Give the gathered gradient to the encoder, if there is any."""
        if self._backprop is not None and self._gradient is not None:
            self._backprop(self._gradient)


@dataclass(frozen=True)
class HeldEmissions:
    """Emissions of one document for several heads, until each has read its own.

    emissions (Tensor): Float32 [n, sum of c].
    tokens (np.ndarray): The token of each row; int64 [n].
    content (bytes): A hash of the document's tokens.
    columns (dict[Model, tuple[slice, list]]): For each head that is still to come, by its layer,
        its columns and the state of its weights.
    """

    emissions: Tensor
    tokens: np.ndarray
    content: bytes
    columns: dict[Model, tuple[slice, list[Any]]]


@dataclass(frozen=True)
class JointEmissions:
    """Emissions of documents for several heads.

    emissions (Tensor): Float32 [n, sum of c].
    tokens (Sequence[np.ndarray]): The token of each row by document; int64.
    columns (Mapping[Model, slice]): The columns of each head, by its layer.
    """

    emissions: Tensor
    tokens: Sequence[np.ndarray]
    columns: Mapping[Model, slice]


class Upstream:
    """One encoder for several heads.

    In prediction the owner computes the emissions of all heads batch by batch, so that the vectors
    of a long document are never in memory together. In training it computes vectors, and the heads
    give back their gradients (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under
    Memory Limited Setup", section 3.2).

    owner (Owner): The component that owns the encoder.
    """

    def __init__(self, owner: Owner):
        self.owner = owner
        self.batch: TrainingBatch | None = None
        self._heads: dict[Model, Any] = {}
        # Emissions go with their document, whatever becomes of it.
        self._held: WeakKeyDictionary[Doc, HeldEmissions] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {"owner": self.owner, "_heads": self._heads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy holds nothing for documents, which are those of the original.
        self.__init__(state["owner"])  # type: ignore[misc]
        self._heads = state["_heads"]

    @property
    def encoder(self) -> TransformerEncoder:
        """The interface of the encoder itself."""
        return TransformerEncoder(self.owner.model)

    @property
    def nlp(self) -> Language | None:
        """The owner's pipeline, if it is known."""
        return self.owner.origin.nlp

    def add_head(self, layer: Model, component: Any) -> None:
        """Remember a component, and its layer that reads from here."""
        self._heads[layer] = component

    def heads(self) -> dict[Model, Any]:
        """Find the components that read from here and are not disabled.

        RETURNS (dict[Model, Any]): Components by their layers.
        """
        found = {}
        for layer, component in self._linked().items():
            nlp = component.origin.nlp or self.nlp
            if nlp is None or any(pipe is component for _, pipe in nlp.pipeline):
                found[layer] = component
        return found

    def _linked(self) -> dict[Model, Any]:
        # `nlp.replace_listeners` puts another encoder in place of the layer.
        return {layer: c for layer, c in self._heads.items() if layer in c.model.layers}

    def removed(self) -> bool:
        """RETURNS (bool): The owner is in none of the pipelines that are known."""
        known = [self.nlp, *(component.origin.nlp for component in self._heads.values())]
        found = [pipe for nlp in known if nlp is not None for _, pipe in nlp.components]
        return bool(found) and not any(pipe is self.owner for pipe in found)

    def keep(self, docs: Iterable[Doc], joint: JointEmissions) -> None:
        """Hold the emissions of documents until the heads have read them."""
        columns = {layer: (own, self._state(layer)) for layer, own in joint.columns.items()}
        parts = torch.split(joint.emissions, [len(own) for own in joint.tokens])
        for doc, part, tokens in zip(docs, parts, joint.tokens, strict=True):
            self._held[doc] = HeldEmissions(part, tokens, content_of(doc), dict(columns))

    def recall(self, layer: Model, docs: Sequence[Doc]) -> list[Rows | None]:
        """Hand out the emissions of documents to one head, once.

        layer (Model): The head's layer.
        RETURNS (list[Rows | None]): None for a document without emissions, or with those of other
            tokens or weights than it has now.
        """
        state = self._state(layer)
        return [self._recall(layer, doc, state) for doc in docs]

    def _recall(self, layer: Model, doc: Doc, state: list[Any]) -> Rows | None:
        held = self._held.get(doc)
        if held is None or layer not in held.columns:
            return None
        columns, computed_with = held.columns.pop(layer)
        if not held.columns:
            del self._held[doc]
        if computed_with != state or held.content != content_of(doc):
            return None
        return held.emissions[:, columns], held.tokens

    def _state(self, layer: Model) -> list[Any]:
        """What emissions depend on beside the document: counts of changes, and the precision."""
        models = [self.owner.model]
        if layer in self._heads:
            models.append(self._heads[layer].model)
        shims = [shim for model in models for node in model.walk() for shim in node.shims]
        changes = [shim.changes for shim in shims if isinstance(shim, TorchShim)]
        return [self.encoder.precision, *changes]

    def open_batch(
        self, docs: Sequence[Doc], *, learns: bool, examples: Sequence[Example] = ()
    ) -> TrainingBatch:
        """Compute the vectors of documents for training.

        learns (bool): Train the encoder; otherwise it is frozen, as in prediction.
        examples (Sequence[Example]): As for `TrainingBatch`.
        RETURNS (TrainingBatch): The batch, which is now the one at hand.
        """
        every = any(c.model.attrs["subword_labels"] == "all" for c in self._linked().values())
        with self.encoder.remembering(docs):
            vectors, tokens, backprop = self.encoder.vectors(docs, every=every, learns=learns)
        lengths = [
            np.bincount(own, minlength=len(doc)) for doc, own in zip(docs, tokens, strict=True)
        ]
        self.batch = TrainingBatch(
            docs, lengths, vectors, every=every, backprop=backprop, examples=examples
        )
        return self.batch

    def batch_of(self, docs: Sequence[Doc], *, every: bool) -> TrainingBatch:
        """Find the vectors of documents in training; without an update of the owner it is frozen.

        every (bool): The head trains all sub-words.
        RAISES: SettingsError for documents whose tokens have changed since an encoder that learns
            has read them.
        """
        batch = self.batch
        if batch is not None and batch.has(docs, every=every):
            return batch
        if batch is not None and batch.learns and batch.outdated(docs):
            # A second reading would need a second step of the encoder in one update.
            expected = "the tokens that it has read, for every component that trains it"
            got = Plain("others, which an annotating component has made of them")
            remedy = "give the components behind that one an encoder of their own"
            place = repr(self.owner.name)
            raise SettingsError(describe(place, expected=expected, got=got, remedy=remedy))
        self.close_batch()
        return self.open_batch(docs, learns=False)

    def serve(self, layer: Model, batch: TrainingBatch) -> None:
        """Note that a head has given its gradient; after the last one it goes to the encoder."""
        batch.served.add(layer)
        if batch is self.batch and batch.served >= set(self.heads()):
            self.close_batch()

    def close_batch(self) -> None:
        """Give what the heads have gathered to the encoder, take the step that waits for it, and
        drop the vectors."""
        batch, self.batch = self.batch, None
        if batch is not None:
            batch.backprop()
        self.owner.take_due_step()
