"""BioNer: the factory `bio_ner`, and named-entity recognition as a task of sequence labelling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

from spacy.language import Language
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..errors import Plain, SettingsError, check_choice, describe, is_number
from ..gold.annotation import Annotation, Preset, read_example, read_presets
from ..gold.misfits import POLICIES
from ..gold.notices import ENTITY_NOUN
from ..heads.decode import (
    Alternative,
    Entities,
    Presets,
    Reading,
    find_alternatives,
    find_entities,
)
from ..heads.lattice import Lattice
from ..tags.schemes import REPAIRS
from .confidence import check_extension, write_scores
from .labeller import SequenceLabeller
from .predictor import Origin
from .task import TaskOption

DEFAULT_CONFIG = """
[bio_ner]
scheme = "BIO"
repair = "begin"
overwrite = false
misaligned = "missing"
incorrect_spans_key = null
spans_key = "bio_ner"
threshold = 0.0
buffer_tokens = null

[bio_ner.model]
@architectures = "spacy-bio-crf.BioTagger.v1"
subword_labels = "first"

[bio_ner.model.encoder]
@architectures = "spacy-bio-crf.TransformerEncoder.v1"
name = "bert-base-multilingual-cased"
lr_scale = null

[bio_ner.model.head]
@architectures = "spacy-bio-crf.CRFHead.v1"

[bio_ner.scorer]
@scorers = "spacy-bio-crf.bio_ner_scorer.v1"
"""


@Language.factory(
    "bio_ner",
    assigns=["doc.ents", "doc.spans", "span._.confidence", "token.ent_iob", "token.ent_type"],
    default_config=Config().from_str(DEFAULT_CONFIG)["bio_ner"],
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
        "ner_token_acc": None,
        "ner_token_p": None,
        "ner_token_r": None,
        "ner_token_f": None,
        "ner_token_per_type": None,
    },
)
def make_bio_ner(
    nlp: Language,
    name: str,
    model: Model[list[Doc], Lattice],
    scheme: str,
    repair: str,
    overwrite: bool,
    misaligned: str,
    incorrect_spans_key: str | None,
    spans_key: str | None,
    threshold: float,
    buffer_tokens: int | None,
    scorer: Callable | None,
) -> "BioNer":
    """Make a `bio_ner` component. Registered as the factory "bio_ner".

    nlp (Language): The pipeline.
    name (str): The component's name in it.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`.
    scheme (str): "BIO" or "BILUO".
    repair (str): The rule for a stray I- if decoding is not constrained: "begin" or "discard".
    overwrite (bool): Replace the entities of earlier components instead of keeping them.
    misaligned (str): The rule for gold entities that do not fit the tokens, in training: one of
        `misfits.POLICIES`.
    incorrect_spans_key (str | None): Group in the gold `doc.spans` of spans that are known to be
        no entities of their label, as for spaCy's `ner`.
    spans_key (str | None): Group in `doc.spans` for the entities with their confidence; null does
        not compute it.
    threshold (float): Least confidence of an entity, from 0 to 1.
    buffer_tokens (int | None): Tokens that `pipe` gathers, across the batches of the stream, to
        sort windows by length. None and 0 never draw more than a batch; None works on a batch in
        parts of eight times the encoder's `batch_subwords`, 0 on all of it at once.
    scorer (Callable | None): The scoring function.
    RETURNS (BioNer): The component.
    """
    pipe = BioNer(
        nlp.vocab,
        model,
        name,
        scheme=scheme,
        repair=repair,
        overwrite=overwrite,
        misaligned=misaligned,
        incorrect_spans_key=incorrect_spans_key,
        spans_key=spans_key,
        threshold=threshold,
        buffer_tokens=buffer_tokens,
        scorer=scorer,
    )
    pipe.origin = Origin(nlp)
    return pipe


@dataclass(frozen=True)
class EntityTask:
    """Named entities as labels: the `Task` of `bio_ner`.

    repair, overwrite, misaligned, incorrect_spans_key, spans_key, threshold: Options of
        `make_bio_ner`.
    RAISES: ValueError for an option out of range.
    """

    repair: str = "begin"
    overwrite: bool = False
    misaligned: str = "missing"
    incorrect_spans_key: str | None = None
    spans_key: str | None = "bio_ner"
    threshold: float = 0.0
    noun: ClassVar[str] = ENTITY_NOUN

    def __post_init__(self) -> None:
        check_choice("repair", self.repair, REPAIRS)
        check_choice("misaligned", self.misaligned, POLICIES)
        if not is_number(self.threshold) or not 0.0 <= self.threshold <= 1.0:
            expected = "a probability, 0 to 1"
            raise ValueError(describe("threshold", expected=expected, got=self.threshold))
        if not isinstance(self.overwrite, bool):
            raise ValueError(describe("overwrite", expected="true or false", got=self.overwrite))
        for name in ("incorrect_spans_key", "spans_key"):
            key = getattr(self, name)
            if key is not None and (not isinstance(key, str) or not key):
                raise ValueError(describe(name, expected="a name of a group or none", got=key))

    def labels_of(self, doc: Doc) -> list[str]:
        """The label of each entity."""
        return [ent.label_ for ent in doc.ents]

    def gold(self, example: Example, labels: Sequence[str]) -> Annotation:
        """Read the gold entities of an example, and the spans known to be wrong; see `Task.gold`.

        RAISES: ValueError for another label and, under "strict", for an entity that does not fit.
        """
        annotation = read_example(
            example, wrong_key=self.incorrect_spans_key, misaligned=self.misaligned
        )
        for start, end, label in [*annotation.spans, *annotation.wrong]:
            if label not in labels:
                place = f"entity {example.predicted[start:end].text!r}"
                expected = f"a label of {list(labels)}"
                raise ValueError(describe(place, expected=expected, got=label))
        return annotation

    def presets(self, doc: Doc) -> Preset | None:
        """Entities and blocked tokens of earlier components, or None."""
        return None if self.overwrite else read_presets(doc)

    def find(self, lattice: Lattice, presets: Presets, reading: Reading) -> list[Entities]:
        """The entities of each document, scored if anyone asks."""
        return find_entities(
            lattice,
            presets,
            reading,
            scored=self.spans_key is not None or self.threshold > 0.0,
            repair=self.repair,
            threshold=self.threshold,
        )

    def find_alternatives(
        self, lattice: Lattice, presets: Presets, reading: Reading, *, k: int
    ) -> list[list[Alternative]]:
        """The k best analyses of each document."""
        return find_alternatives(lattice, presets, reading, k=k, repair=self.repair)

    def write(self, doc: Doc, found: Entities) -> None:
        """Write entities to `doc.ents`. Tokens without annotation become outside."""
        preset = found.preset if isinstance(found.preset, Preset) else None
        if self.overwrite:
            # set_ents leaves the links and ids of former entities on their tokens.
            for token in chain.from_iterable(doc.ents):
                token.ent_kb_id = token.ent_id = 0
        ents = [SpacySpan(doc, s, e, label=label) for s, e, label in found.found]
        if preset is None:
            doc.set_ents(ents, default="outside")
        else:
            # Preset entities are written back as the objects that they were, with their links.
            blocked = [doc[s:e] for s, e in preset.blocked]
            doc.set_ents([*preset.ents, *ents], blocked=blocked, default="outside")
        if self.spans_key is not None and found.scores is not None:
            write_scores(doc, self.spans_key, found.found, found.scores)


class BioNer(SequenceLabeller):
    """Named-entity recognition as sequence labelling with a transformer.

    The options are those of `make_bio_ner`. All but `scheme` can be set on the component, too.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`.
    name (str): The component's name.
    RAISES: ValueError for an option out of range.
    """

    repair = TaskOption()
    overwrite = TaskOption()
    misaligned = TaskOption()
    incorrect_spans_key = TaskOption()
    spans_key = TaskOption()
    threshold = TaskOption()

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Lattice],
        name: str = "bio_ner",
        *,
        scheme: str = "BIO",
        buffer_tokens: int | None = None,
        scorer: Callable | None = None,
        **options: Any,
    ):
        super().__init__(
            vocab,
            model,
            name,
            task=EntityTask(**options),
            scheme=scheme,
            buffer_tokens=buffer_tokens,
            scorer=scorer,
        )
        check_extension()


def find_component(nlp: Language, name: str | None = None) -> tuple[str, BioNer]:
    """Find the `bio_ner` of a pipeline.

    nlp (Language): The pipeline.
    name (str | None): The component's name, needed if there are several.
    RETURNS (tuple[str, BioNer]): Its name and the component.
    RAISES: SettingsError if there is no such component, or several and no name.
    """
    found = {n: pipe for n, pipe in nlp.pipeline if isinstance(pipe, BioNer)}
    names = ", ".join(found) or "none"
    if name is None and len(found) != 1:
        remedy = "name one of them" if found else None
        message = describe("component", expected="one bio_ner", got=Plain(names), remedy=remedy)
        raise SettingsError(message)
    if name is not None and name not in found:
        raise SettingsError(describe("component", expected=f"a bio_ner of {names}", got=name))
    name = next(iter(found)) if name is None else name
    return name, found[name]
