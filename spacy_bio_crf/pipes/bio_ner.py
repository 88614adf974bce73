"""BioNer: the factory `bio_ner`, named-entity recognition as sequence labelling."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..errors import Plain, describe
from ..heads.decode import Reading
from ..heads.lattice import Lattice
from ..heads.soft_loss import check_soft
from ..tags.groups import PER_LABEL, Groups, TagGroups, check_flat_rule, make_groups
from ..tags.tagset import TagSet
from .confidence import check_extension
from .entity_task import EntityTask
from .labeller import SequenceLabeller, find_labeller
from .origin import Origin
from .task import TaskOption

DEFAULT_CONFIG = """
[bio_ner]
scheme = "BIO"
repair = "begin"
overwrite = false
misaligned = "missing"
incorrect_spans_key = null
groups = null
gold_spans_key = null
soft_gold = false
ents = null
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
    groups: dict[str, list[str]] | str | None,
    gold_spans_key: str | None,
    soft_gold: bool,
    ents: str | None,
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
    groups (dict[str, list[str]] | str | None): Groups of labels, by name, that are tagged apart, so
        that entities of different groups may overlap; "per_label" makes a group of each label.
    gold_spans_key (str | None): Group in the gold `doc.spans` of the entities to learn, which may
        overlap; null learns `doc.ents`.
    soft_gold (bool): Learn the entities of `gold_spans_key` with the probabilities in the group's
        `attrs["scores"]`; those that overlap exclude each other.
    ents (str | None): With groups, the rule for the entities that go to `doc.ents`:
        "most_probable", which null means, "outermost" or "group:NAME".
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
        groups=groups,
        gold_spans_key=gold_spans_key,
        soft_gold=soft_gold,
        ents=ents,
        spans_key=spans_key,
        threshold=threshold,
        buffer_tokens=buffer_tokens,
        scorer=scorer,
    )
    pipe.origin = Origin(nlp)
    return pipe


class BioNer(SequenceLabeller):
    """Named-entity recognition as sequence labelling with a transformer.

    The options are those of `make_bio_ner`. All but `scheme` and `groups` can be set on the
    component, too.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`.
    name (str): The component's name.
    RAISES: ValueError for an option out of range.
    """

    task: EntityTask
    repair = TaskOption()
    overwrite = TaskOption()
    misaligned = TaskOption()
    incorrect_spans_key = TaskOption()
    gold_spans_key = TaskOption()
    soft_gold = TaskOption()
    ents = TaskOption()
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
        if isinstance(self.groups, Mapping):
            own = make_groups(self.groups, (), scheme).labels
            self.cfg.update(labels=list(own), added=list(own))
            for label in own:
                self.vocab.strings.add(label)
        if self.groups is not None:
            self.cfg["groups"] = self._stored_groups()
        check_extension()

    @property
    def groups(self) -> Groups:
        """The option of that name, which can't change."""
        return self.task.groups

    @property
    def tagset(self) -> TagSet:
        """The tags of the labels in the component's scheme.

        RAISES: ValueError with groups, each of which has tags of its own.
        """
        if self.groups is not None:
            expected, remedy = "a component without `groups`", "tag_groups has the tags of each"
            got = Plain(repr(self.name))
            raise ValueError(describe("tagset", expected=expected, got=got, remedy=remedy))
        return super().tagset

    @property
    def tag_groups(self) -> TagGroups | None:
        """The tags of the groups of labels; None without groups."""
        if self.groups is None:
            return None
        return make_groups(self.groups, self.labels, self.scheme)

    @property
    def tag_names(self) -> list[tuple[str, str]]:
        """The group, "" without groups, and the name of each tag, in order."""
        groups = self.tag_groups or [("", self.tagset)]
        return [(name, tag) for name, tagset in groups for tag in tagset.tags]

    def tag_facts(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): What two components have to share to have the same tags, in any
        order: labels, scheme and groups."""
        groups = self.tag_groups
        return {
            "labels": sorted(self.labels),
            "scheme": self.scheme,
            "groups": None if groups is None else {n: sorted(own.labels) for n, own in groups},
        }

    def chains_of(self, labels: Sequence[str]) -> list[tuple[TagSet, slice]]:
        """The tags with these labels; see `Predictor.chains_of`."""
        if self.groups is None:
            return super().chains_of(labels)
        groups = make_groups(self.groups, labels, self.scheme)
        return list(zip(groups.tagsets, groups.columns, strict=True))

    def reading(self, *, temperature: float | None = None) -> Reading:
        """The settings of decoding; see `Predictor.reading`."""
        if self.groups is None:
            return super().reading(temperature=temperature)
        own = self.temperature if temperature is None else temperature
        return Reading(TagSet((), self.scheme), self.head, own, self.tag_groups, self.untrained)

    def check_labels(self, labels: Sequence[str], tags: Sequence[str]) -> None:
        """Raise a ValueError if an option names a label that is none of these."""
        super().check_labels(labels, tags)
        if self.soft_gold:
            check_soft(self.head)
        if self.ents is not None and self.groups == PER_LABEL:
            check_flat_rule(self.ents, {label: [label] for label in labels})

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions, with groups those of all groups; see `SequenceLabeller.score`."""
        own = {
            "groups": self.groups,
            "spans_key": self.spans_key,
            "gold_spans_key": self.gold_spans_key,
        }
        return super().score(examples, **{**own, **kwargs})

    def _stored_groups(self) -> Any:
        groups = self.groups
        if isinstance(groups, Mapping):
            return {name: list(labels) for name, labels in groups.items()}
        return groups

    def _count_tags(self, n_labels: int) -> int:
        if self.groups is None:
            return super()._count_tags(n_labels)
        return len(self.tags_of(self.labels))

    def _check_groups(self) -> None:
        stored, own = self.cfg.get("groups"), self._stored_groups()
        same = stored == own and (own is None or own == PER_LABEL or list(stored) == list(own))
        if not same:
            expected = "the groups that the network was trained with"
            remedy = "set them in the configuration again"
            got = Plain(f"{own!r}, not {stored!r}")
            raise ValueError(describe("groups", expected=expected, got=got, remedy=remedy))


def find_component(nlp: Language, name: str | None = None) -> tuple[str, BioNer]:
    """Find the `bio_ner` of a pipeline.

    nlp (Language): The pipeline.
    name (str | None): The component's name, needed if there are several.
    RETURNS (tuple[str, BioNer]): Its name and the component.
    RAISES: SettingsError if there is no such component, or several and no name.
    """
    return find_labeller(nlp, name, kind=BioNer, noun="bio_ner")
