"""The encoder of a `bio_encoder` earlier in the pipeline as the encoder of a head."""

from collections.abc import Sequence
from typing import Any, NoReturn, cast

import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Ragged
from torch import Tensor

from ..errors import BioError, Plain, SettingsError, describe, is_number
from ..subwords.tokenizer import Subwords
from .api import Emitted, Encoder
from .transformer.run import Project, no_backprop
from .transformer.text import Preprocessor
from .upstream import Upstream

SHARED_ENCODER = "spacy-bio-crf.SharedEncoder.v1"
FACTORY = "bio_encoder"


def build_shared_encoder(*, upstream: str = "*", grad_factor: float = 1.0) -> Model:
    """Build an encoder that reads from a `bio_encoder` earlier in the pipeline.

    Registered as spacy-bio-crf.SharedEncoder.v1. All components that read from one encoder run on a
    single pass of it, in prediction and in training.

    upstream (str): Name of the `bio_encoder`; "*" takes the only one.
    grad_factor (float): Factor on the gradient that goes to the encoder: the weight of this
        component's loss in what the encoder learns. 0 leaves the encoder to the others.
    RETURNS (Model): For the model of a component of this package, spacy-bio-crf.BioTagger.v1.
    RAISES: ValueError for an option out of range.
    """
    if not isinstance(upstream, str) or not upstream:
        raise ValueError(describe("upstream", expected="a name or '*'", got=upstream))
    if not is_number(grad_factor) or grad_factor < 0:
        raise ValueError(describe("grad_factor", expected="0 or more", got=grad_factor))
    return SharedLayer(upstream, float(grad_factor))


class SharedLayer(Model):
    """The layer of a head that reads from a `bio_encoder`; spaCy links the two.

    upstream, grad_factor: As for `build_shared_encoder`.
    """

    def __init__(self, upstream: str, grad_factor: float):
        super().__init__(
            "shared_encoder",
            _forward,
            init=_init,
            dims={"nO": None},
            attrs={"encoder": SharedEncoder},
        )
        # Not in `attrs`, which are saved: the configuration counts.
        self.upstream = upstream
        self.grad_factor = grad_factor
        self._found: list[Upstream] = []

    def link(self, upstream: Upstream) -> None:
        """Read from an encoder from now on."""
        self._found = [*(other for other in self._found if other is not upstream), upstream]

    def find_upstream(self) -> Upstream:
        """Find the encoder to read from.

        RETURNS (Upstream): The one that was linked last.
        RAISES: ValueError if there is none, or several in one pipeline.
        """
        found = [
            one
            for one in self._found
            if self.upstream in ("*", one.owner.name) and not one.removed()
        ]
        place = f"SharedEncoder (upstream = {self.upstream!r})"
        if not found:
            named = "" if self.upstream == "*" else f" called {self.upstream!r}"
            expected = f"a component of the factory {FACTORY!r}{named} earlier in the pipeline"
            raise BioError(describe(place, expected=expected, got=Plain("none")))
        last = found[-1]
        names = [one.owner.name for one in found if one is last or one.nlp and one.nlp is last.nlp]
        if len(names) > 1:
            expected = f"the name of one {FACTORY}"
            raise BioError(describe(place, expected=expected, got=Plain(", ".join(names))))
        return last


def _init(model: Model, X: Any = None, Y: Any = None) -> None:
    owner = SharedEncoder(model).upstream.owner
    if not owner.model.has_dim("nO"):
        remedy = "initialize or load it first"
        got = Plain("none yet")
        raise ValueError(
            describe(repr(owner.name), expected="an encoder with weights", got=got, remedy=remedy)
        )
    model.set_dim("nO", owner.model.get_dim("nO"), force=True)


def _forward(model: Model, docs: list[Doc], is_train: bool) -> NoReturn:
    expected = "to be the encoder of a spacy-bio-crf.BioTagger.v1"
    raise ValueError(describe("SharedEncoder", expected=expected, got=Plain("a call of its own")))


class SharedEncoder(Encoder):
    """The interface of an encoder that several components share, for one of them."""

    def __init__(self, model: Model[list[Doc], list[Ragged]]):
        super().__init__(model)
        self.layer = cast(SharedLayer, model)

    @property
    def upstream(self) -> Upstream:
        """The encoder to read from. RAISES: ValueError if there is none, or several."""
        return self.layer.find_upstream()

    @property
    def precision(self) -> str:
        return self.upstream.encoder.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        self.upstream.encoder.precision = precision

    @property
    def budget(self) -> int:
        return self.upstream.encoder.budget

    @property
    def default_rate(self) -> float | None:
        return self.upstream.encoder.default_rate

    def text(self) -> Preprocessor:
        return self.upstream.encoder.text()

    def cut(self, docs: Sequence[Doc]) -> list[Subwords]:
        return self.upstream.encoder.cut(docs)

    def emit(self, docs: list[Doc], project: Project, *, every: bool, train: bool) -> Emitted:
        upstream = self.upstream
        width, own = upstream.owner.model.get_dim("nO"), self.layer.get_dim("nO")
        if width != own:
            expected = f"vectors of width {own}, as the head was trained on"
            raise SettingsError(describe(repr(upstream.owner.name), expected=expected, got=width))
        if train:
            return self._emit_training(upstream, docs, project, every=every)
        known = upstream.recall(self.layer, docs)
        missing = [doc for doc, found in zip(docs, known, strict=True) if found is None]
        if len(missing) == len(docs):
            return upstream.encoder.emit(docs, project, every=every, train=False)
        if missing:
            emissions, tokens, _ = upstream.encoder.emit(missing, project, every=every, train=False)
            parts = torch.split(emissions, [len(t) for t in tokens])
            computed = zip(parts, tokens, strict=True)
            known = [next(computed) if found is None else found for found in known]
        found = [rows for rows in known if rows is not None]
        return torch.cat([rows for rows, _ in found]), [tokens for _, tokens in found], no_backprop

    def _emit_training(
        self, upstream: Upstream, docs: list[Doc], project: Project, *, every: bool
    ) -> Emitted:
        batch = upstream.batch_of(docs, every=every)
        factor = self.layer.grad_factor
        rows, tokens = batch.select(docs, every=every)
        vectors = batch.vectors.index_select(0, rows)
        vectors.requires_grad_(batch.learns and factor > 0.0)
        with torch.enable_grad():
            emissions = project(vectors)

        def backprop(d_emissions: Tensor) -> None:
            torch.autograd.backward(emissions, d_emissions)
            if vectors.grad is not None:
                batch.add(rows, factor * vectors.grad)
            upstream.serve(self.layer, batch)

        return emissions.detach(), tokens, backprop


def resolve_encoder(encoder: Encoder) -> Encoder:
    """RETURNS (Encoder): The interface of the encoder that holds the weights an encoder uses."""
    return encoder.upstream.encoder if isinstance(encoder, SharedEncoder) else encoder


def reads_elsewhere(model: Model) -> bool:
    """RETURNS (bool): A model reads from another component: a copy of it would not be whole."""
    return any(
        isinstance(node, SharedLayer) or hasattr(node, "upstream_name") for node in model.walk()
    )
