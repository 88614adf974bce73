"""TokenTagger: the factory `bio_tagger`, and one label for each token as a task."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..errors import Plain, describe
from ..gold.token_labels import TokenLabels, read_example_labels, read_preset_labels
from ..heads.decode import Presets, Reading
from ..heads.lattice import Lattice
from ..heads.token_tags import FoundLabels, LabelSequence, find_label_sequences, find_labels
from ..tags.tagset import NO_SCHEME
from ..tags.targets import (
    check_target,
    extension_name,
    normal_label,
    read_labels,
    score_name,
    set_label,
    space_label,
)
from .labeller import SequenceLabeller
from .origin import Origin
from .task import TaskOption

DEFAULT_TAGGER_CONFIG = """
[bio_tagger]
target = "tag"
overwrite = false
confidence = "confidence"
buffer_tokens = null

[bio_tagger.model]
@architectures = "spacy-bio-crf.BioTagger.v1"
subword_labels = "first"

[bio_tagger.model.encoder]
@architectures = "spacy-bio-crf.TransformerEncoder.v1"
name = "bert-base-multilingual-cased"
lr_scale = null

[bio_tagger.model.head]
@architectures = "spacy-bio-crf.SoftmaxHead.v1"

[bio_tagger.scorer]
@scorers = "spacy-bio-crf.bio_tagger_scorer.v1"
"""


@Language.factory(
    "bio_tagger",
    assigns=["token.tag", "token.pos", "token.morph", "token._.confidence"],
    default_config=Config().from_str(DEFAULT_TAGGER_CONFIG)["bio_tagger"],
    # spaCy weighs the scores that there are: one of these, by the component's target.
    default_score_weights={
        "tag_acc": 1.0,
        "pos_acc": 1.0,
        "morph_acc": 1.0,
        "morph_per_feat": None,
    },
)
def make_bio_tagger(
    nlp: Language,
    name: str,
    model: Model[list[Doc], Lattice],
    target: str,
    overwrite: bool,
    confidence: str | None,
    buffer_tokens: int | None,
    scorer: Callable | None,
) -> "TokenTagger":
    """Make a `bio_tagger` component. Registered as the factory "bio_tagger".

    nlp (Language): The pipeline.
    name (str): The component's name in it.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`. All sequences of
        labels are legal, so `constrained` and `constrained_loss` of its head change nothing.
    target (str): The attribute of tokens to read gold from and to write: "tag", "pos", "morph", or
        "_.name" for an extension attribute.
    overwrite (bool): Replace the labels of earlier components instead of keeping them.
    confidence (str | None): Name of the extension attribute of tokens that gets the probability of
        the label; null does not compute it.
    buffer_tokens (int | None): As for `bio_ner`.
    scorer (Callable | None): The scoring function.
    RETURNS (TokenTagger): The component.
    """
    pipe = TokenTagger(
        nlp.vocab,
        model,
        name,
        target=target,
        overwrite=overwrite,
        confidence=confidence,
        buffer_tokens=buffer_tokens,
        scorer=scorer,
    )
    pipe.origin = Origin(nlp)
    return pipe


@dataclass(frozen=True)
class TagTask:
    """Labels of single tokens: the `Task` of `bio_tagger`.

    target, overwrite, confidence: Options of `make_bio_tagger`.
    RAISES: ValueError for an option out of range.
    """

    target: str = "tag"
    overwrite: bool = False
    confidence: str | None = "confidence"
    # Labels that do not fit the tokens are unknown, as for spaCy's `tagger`.
    misaligned: ClassVar[str] = "missing"
    noun: ClassVar[str] = "labels of tokens"

    def __post_init__(self) -> None:
        check_target(self.target)
        if not isinstance(self.overwrite, bool):
            raise ValueError(describe("overwrite", expected="true or false", got=self.overwrite))
        name = self.confidence
        if name is not None and (not isinstance(name, str) or not name.isidentifier()):
            expected = "a name of an extension attribute or none"
            raise ValueError(describe("confidence", expected=expected, got=name))
        if name is not None and name == extension_name(self.target):
            expected = f"another attribute than the target, {self.target!r}"
            raise ValueError(describe("confidence", expected=expected, got=name))
        self._install()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickled pipeline reaches another process without the constructor.
        self.__dict__.update(state)
        self._install()

    def _install(self) -> None:
        """Register the extensions that the labels and their confidence go to."""
        for option, name in (
            ("target", extension_name(self.target)),
            ("confidence", self.confidence),
        ):
            if name is None:
                continue
            if not Token.has_extension(name):
                Token.set_extension(name, default=None)
            _, method, getter, setter = Token.get_extension(name)
            if method is not None or (getter is not None and setter is None):
                got = Plain(f"token._.{name}, which can only be read")
                raise ValueError(describe(option, expected="an attribute to write", got=got))

    def labels_of(self, doc: Doc) -> list[str]:
        """The labels of the tokens that have one, white space apart."""
        labels = read_labels(doc, self.target)
        return [x for x, token in zip(labels, doc, strict=True) if x and not token.is_space]

    def gold(self, example: Example, labels: Sequence[str]) -> TokenLabels:
        """Read the gold labels of an example; see `Task.gold`.

        RAISES: ValueError for a label that the component lacks.
        """
        annotation = read_example_labels(example, self.target)
        known = set(labels)
        for token, label, is_known in zip(
            example.predicted, annotation.labels, annotation.known, strict=True
        ):
            if is_known and label not in known:
                expected = f"a label of {list(labels)}"
                raise ValueError(describe(f"token {token.text!r}", expected=expected, got=label))
        return annotation

    def presets(self, doc: Doc) -> TokenLabels | None:
        """Labels of earlier components, or None."""
        return None if self.overwrite else read_preset_labels(doc, self.target)

    def find(self, lattice: Lattice, presets: Presets, reading: Reading) -> list[FoundLabels]:
        """The labels of each document, scored if anyone asks."""
        return find_labels(lattice, presets, reading, scored=self.confidence is not None)

    def find_alternatives(
        self, lattice: Lattice, presets: Presets, reading: Reading, *, k: int
    ) -> list[list[LabelSequence]]:
        """The k best label sequences of each document."""
        return find_label_sequences(lattice, presets, reading, k=k)

    def rate(
        self,
        examples: Sequence[Example],
        labels: Sequence[str],
        lattice: Lattice,
        presets: Presets,
        reading: Reading,
    ) -> list[tuple[float, bool]]:
        """Confidence and correctness of the labels of annotated tokens, preset ones apart."""
        rated = []
        for example, found in zip(
            examples, find_labels(lattice, presets, reading, scored=True), strict=True
        ):
            gold = read_example_labels(example, self.target)
            kept = found.preset.known if found.preset is not None else np.zeros_like(gold.known)
            for i, label, score in zip(
                found.tokens.tolist(), found.labels, found.scores or (), strict=True
            ):
                if gold.known[i] and not kept[i]:
                    rated.append((score, label == gold.labels[i]))
        return rated

    def write(self, doc: Doc, found: FoundLabels) -> None:
        """Write labels to the tokens of a document, and their probabilities.

        White space gets the label that it has in spaCy's pipelines. Other tokens without a sub-word
        stay as they are.
        """
        kept = found.preset.known if found.preset is not None else [False] * len(doc)
        for_space = space_label(self.target)
        if for_space is not None:
            for token in doc:
                if token.is_space and not kept[token.i]:
                    set_label(token, self.target, for_space)
        scores: Iterable[float | None] = found.scores or [None] * len(found.labels)
        for i, label, score in zip(found.tokens.tolist(), found.labels, scores, strict=True):
            if kept[i]:
                continue
            set_label(doc[i], self.target, label)
            if self.confidence is not None and score is not None:
                doc[i]._.set(self.confidence, score)


class TokenTagger(SequenceLabeller):
    """Labels of tokens, one for each: parts of speech, morphology, or any extension attribute.

    The options are those of `make_bio_tagger`. They can be set on the component, too.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`.
    name (str): The component's name.
    RAISES: ValueError for an option out of range.
    """

    schemes = (NO_SCHEME,)
    task: TagTask
    target = TaskOption()
    overwrite = TaskOption()
    confidence = TaskOption()

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Lattice],
        name: str = "bio_tagger",
        *,
        buffer_tokens: int | None = None,
        scorer: Callable | None = None,
        **options: Any,
    ):
        super().__init__(
            vocab,
            model,
            name,
            task=TagTask(**options),
            scheme=NO_SCHEME,
            buffer_tokens=buffer_tokens,
            scorer=scorer,
        )

    @property
    def kind(self) -> str:
        """The target, for `repr`."""
        return self.target

    def add_label(self, label: str) -> int:
        """Add a label; see `LabelledPipe.add_label`.

        label (str): The label; of "morph" all features of a token, in any order.
        RETURNS (int): 1, or 0 for a label that the component has.
        RAISES: ValueError for a "pos" that is none.
        """
        own = normal_label(self.target, label) if isinstance(label, str) else label
        return super().add_label(own)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Find the labels, fetch the encoder and make the head; see `SequenceLabeller.initialize`.

        RAISES: ValueError also for a label of "pos" that is none.
        """
        if labels is not None and not isinstance(labels, str):
            labels = [normal_label(self.target, x) if isinstance(x, str) else x for x in labels]
        super().initialize(get_examples, nlp=nlp, labels=labels)
        if nlp is not None and extension_name(self.target) is not None:
            self._check_weights(nlp)

    def _check_weights(self, nlp: Language) -> None:
        weights = nlp.config["training"]["score_weights"]
        key = score_name(self.target)
        if not weights.get(key):
            warnings.warn(
                describe(
                    "training.score_weights",
                    expected=f"a weight for {key}, the score of {self.name!r}",
                    got=Plain("none"),
                    remedy=f"set {key} = 1.0, or `spacy train` can't choose its best model by it",
                ),
                stacklevel=3,
            )

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions. Each set of labels that can't be predicted causes one warning."""
        return super().score(examples, **{"target": self.target, **kwargs})
