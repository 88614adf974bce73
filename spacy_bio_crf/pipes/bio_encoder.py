"""BioEncoder: the factory `bio_encoder`, one encoder for several components."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from spacy import util
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer
from thinc.types import Ragged
from torch import Tensor

from ..cores import fit_threads
from ..encoders.api import Encoder, encoder_of
from ..encoders.shared import SHARED_ENCODER, SharedLayer
from ..encoders.tok2vec import let_spacy_replace
from ..encoders.transformer.layer import TransformerEncoder
from ..encoders.upstream import JointEmissions, Upstream
from ..errors import Plain, describe
from ..model import projection_of, torch_shims
from ..training.torch_shim import clip_global_norm
from ..training.watch import StepWatch
from .forks import install_fork_guards
from .origin import Origin
from .predictor import Predictor
from .stream import StreamedPipe

DEFAULT_ENCODER_CONFIG = """
[bio_encoder]
buffer_tokens = null

[bio_encoder.model]
@architectures = "spacy-bio-crf.TransformerEncoder.v1"
name = "bert-base-multilingual-cased"
lr_scale = null
"""


@Language.factory(
    "bio_encoder", default_config=Config().from_str(DEFAULT_ENCODER_CONFIG)["bio_encoder"]
)
def make_bio_encoder(
    nlp: Language,
    name: str,
    model: Model[list[Doc], list[Ragged]],
    buffer_tokens: int | None,
) -> "BioEncoder":
    """Make a `bio_encoder` component. Registered as the factory "bio_encoder".

    nlp (Language): The pipeline.
    name (str): The component's name in it.
    model (Model[list[Doc], list[Ragged]]): The encoder, `spacy-bio-crf.TransformerEncoder.v1`.
    buffer_tokens (int | None): As for `make_bio_ner`.
    RETURNS (BioEncoder): The component.
    """
    pipe = BioEncoder(nlp.vocab, model, name, buffer_tokens=buffer_tokens)
    pipe.origin = Origin(nlp)
    return pipe


class BioEncoder(StreamedPipe):
    """Owns an encoder, and runs it once for all components behind it that share it.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model[list[Doc], list[Ragged]]): The encoder, `spacy-bio-crf.TransformerEncoder.v1`.
    name (str): The component's name.
    buffer_tokens (int | None): As for `make_bio_ner`.
    RAISES: ValueError for another kind of encoder, or an option out of range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Ragged]],
        name: str = "bio_encoder",
        *,
        buffer_tokens: int | None = None,
    ):
        if not isinstance(encoder_of(model), TransformerEncoder):
            expected = "spacy-bio-crf.TransformerEncoder.v1"
            raise ValueError(
                describe(f"model of {name!r}", expected=expected, got=Plain(model.name))
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.origin = Origin()
        self.buffer_tokens = buffer_tokens
        self.cfg: dict[str, Any] = {}
        self.upstream = Upstream(self)
        self.listener_map: dict[str, list[SharedLayer]] = {}
        self._watch = StepWatch(name)
        self._due: Optimizer | None = None
        let_spacy_replace()
        install_fork_guards()
        fit_threads()

    def __getstate__(self) -> dict[str, Any]:
        # The optimizer's schedules can't be copied or pickled.
        return {**self.__dict__, "_due": None}

    @property
    def encoder(self) -> Encoder:
        """The interface of the encoder."""
        return encoder_of(self.model)

    @property
    def precision(self) -> str:
        """The precision of the encoder: "fp32", "bf16", "fp16" or, in prediction only, "int8".

        RAISES: ValueError for an unknown precision.
        """
        return self.encoder.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        self.encoder.precision = precision

    @property
    def listeners(self) -> list[SharedLayer]:
        """The layers that read from this component."""
        return [layer for layers in self.listener_map.values() for layer in layers]

    @property
    def listening_components(self) -> list[str]:
        """The names of the components with such a layer."""
        return list(self.listener_map)

    def add_listener(self, listener: SharedLayer, component_name: str) -> None:
        """Add a layer that reads from this component; spaCy calls it, as the next two."""
        layers = self.listener_map.setdefault(component_name, [])
        if listener not in layers:
            layers.append(listener)

    def remove_listener(self, listener: SharedLayer, component_name: str) -> bool:
        """Remove a layer. RETURNS (bool): It was there."""
        layers = self.listener_map.get(component_name, [])
        if listener not in layers:
            return False
        layers.remove(listener)
        if not layers:
            del self.listener_map[component_name]
        return True

    def find_listeners(self, component: Any) -> None:
        """Link the layers of a component behind this one that are to read from it."""
        for node in component.model.walk() if isinstance(component, Predictor) else ():
            if isinstance(node, SharedLayer) and node.upstream in ("*", self.name):
                self.add_listener(node, component.name)
                self.upstream.add_head(node, component)
                node.link(self.upstream)

    def check_listeners(self, settings: dict[str, Any], listeners: Sequence[str]) -> None:
        """Check the paths that `nlp.replace_listeners` is given.

        settings (dict[str, Any]): The settings of the component that reads from here.
        listeners (Sequence[str]): Paths in them.
        RAISES: ValueError for a path without a `SharedEncoder`.
        """
        for path in listeners:
            try:
                found = util.dot_to_object(Config(settings), path)
            except (KeyError, TypeError):
                found = None
            if not isinstance(found, dict) or found.get("@architectures") != SHARED_ENCODER:
                expected = f"['model.encoder'], the place of {SHARED_ENCODER}"
                raise ValueError(describe("listeners", expected=expected, got=list(listeners)))

    def predict(self, docs: Iterable[Doc]) -> JointEmissions | None:
        """Compute the emissions of all components that share the encoder, in one pass.

        RETURNS (JointEmissions | None): The emissions; None if no component waits for them.
        RAISES: ValueError before initialization.
        """
        # A head without weights raises an error of its own.
        heads = {
            layer: component.model
            for layer, component in self.upstream.heads().items()
            if component.model.has_dim("nO")
        }
        if not heads:
            return None
        if not self.model.has_dim("nO"):
            raise ValueError(Errors.E109.format(name=self.name))
        projections = [projection_of(model) for model in heads.values()]

        def project(vectors: Tensor) -> Tensor:
            return torch.cat([own(vectors) for own in projections], dim=1)

        emissions, tokens, _ = self.encoder.emit(list(docs), project, every=False, train=False)
        ends = np.cumsum([model.get_dim("nO") for model in heads.values()]).tolist()
        columns = map(slice, [0, *ends[:-1]], ends)
        return JointEmissions(emissions, tokens, dict(zip(heads, columns, strict=True)))

    def set_annotations(self, docs: Iterable[Doc], scores: JointEmissions | None) -> None:
        """Hold the emissions until the components behind have read them; Docs do not change.

        scores (JointEmissions | None): The result of `predict` for them.
        """
        if scores is not None:
            self.upstream.keep(docs, scores)

    def initialize(
        self, get_examples: Callable[[], Iterable[Example]], *, nlp: Language | None = None
    ) -> None:
        """Fetch the encoder. A trained component begins anew.

        get_examples (Callable[[], Iterable[Example]]): Gives the training data.
        nlp (Language | None): The pipeline.
        RAISES: ValueError if there are no examples.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        self._drop_batch()
        if self.model.has_dim("nO"):
            self.encoder.begin_anew()
        self.model.initialize()
        self._watch = StepWatch(self.name)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Compute the vectors of a batch; the components behind learn from them and give gradients.

        If the batch exceeds the encoder's budget, its activations are not kept but computed again
        for the gradient.

        drop (float): For the components behind: dropout on vectors that enter a head. The dropout
            of the encoder is an option of its own.
        sgd (Optimizer | None): Takes a step once the components behind have been updated.
        losses (dict[str, float] | None): Losses by component; the encoder has none of its own.
        RETURNS (dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        self.upstream.close_batch()
        docs = [eg.predicted for eg in examples]
        if any(map(len, docs)):
            self.upstream.open_batch(docs, learns=True, examples=examples)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step with the gradients of all components behind, clipped by their norm.

        `nlp.update` with an optimizer calls this before those components are updated. Then the step
        is taken after the last of them; if one of them is left out by `exclude`, before the next
        update, or before the component is saved.
        """
        batch = self.upstream.batch
        self._due = sgd
        if batch is None or batch.served or not batch.learns:
            self.upstream.close_batch()

    def complete_gradients(self) -> None:
        """Give what the components behind have gathered to the encoder, before `finish_update`."""
        self.upstream.close_batch()

    def take_due_step(self) -> None:
        """Take the step that waits for gradients, if there is one."""
        sgd, self._due = self._due, None
        if sgd is not None:
            self._watch.check_rate(self.encoder.transformer_rate(sgd))
            self._watch.check_norm(clip_global_norm(torch_shims(self.model), sgd.grad_clip))
            self.model.finish_update(sgd)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The component with its encoder, for `from_bytes`."""
        self.upstream.close_batch()
        return super().to_bytes(exclude=exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "BioEncoder":
        """Read the result of `to_bytes`."""
        self._drop_batch()
        return super().from_bytes(bytes_data, exclude=exclude)

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        """Write the component; see `StoredPipe.to_disk`."""
        self.upstream.close_batch()
        super().to_disk(path, exclude=exclude)

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> "BioEncoder":
        """Read the result of `to_disk`; see `StoredPipe.from_disk`."""
        self._drop_batch()
        return super().from_disk(path, exclude=exclude)

    def _drop_batch(self) -> None:
        self.upstream.batch = self._due = None

    def _check_cfg(self, place: str, exclude: Iterable[str]) -> None:
        """There are no labels to compare."""
