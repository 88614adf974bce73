"""Gold annotation and preset entities of a Doc, and the tags that they allow."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example

from ..errors import BioError, Plain, describe
from ..tags.spans import EntIob, Span, annotated_labels, rows_of_spans
from ..tags.tagset import TagSet
from .misfits import carry_over, carry_spans


@dataclass(frozen=True)
class Annotation:
    """Entities of a document, and the tokens that are annotated.

    spans (list[Span]): Start, exclusive end and label, in tokens, in order, without overlap.
    known (np.ndarray): False for tokens without annotation, which may have any tag; bool
        [n_tokens].
    wrong (list[Span]): Spans that are known to be no entity of their label.
    misfits (list[Span]): Entities that do not fit the tokens, under every policy, in the tokens
        that they were annotated on.
    overlaps (list[Span]): Entities that are left out because they share tokens with another one of
        their group, in the tokens that they were annotated on.
    given (int | None): Labels that the reference gives, all in all; None for its `doc.ents`.
    annotated (frozenset[str] | None): The labels that are annotated; None for all. A known token
        outside of entities then has none of these, and may have any other.
    weight (float): The factor on the loss of the document.
    """

    spans: list[Span]
    known: np.ndarray
    wrong: list[Span] = field(default_factory=list)
    misfits: list[Span] = field(default_factory=list)
    overlaps: list[Span] = field(default_factory=list)
    given: int | None = None
    annotated: frozenset[str] | None = None
    weight: float = 1.0

    def knows(self, span: Span) -> bool:
        """RETURNS (bool): All tokens of a span are annotated, and its label is."""
        if self.annotated is not None and span[2] not in self.annotated:
            return False
        return bool(self.known[span[0] : span[1]].all())

    def count_given(self, reference: Doc) -> int:
        """RETURNS (int): The labels that the reference gives, whether they fit or not."""
        return len(reference.ents) if self.given is None else self.given

    def count_taught(self, labels: Collection[str]) -> int:
        """RETURNS (int): The tokens that teach a component with these labels."""
        return int(self.known.sum())

    def allowed(self, tagset: TagSet, tokens: np.ndarray, *, continued: bool) -> np.ndarray:
        """Find the tags that each row of a document's sequence may have.

        Tokens without a sub-word have no row, and tags are made without them: the first row of an
        entity has B- even if its first token has no row. A label outside the tag set counts as O.

        tagset (TagSet): The tags.
        tokens (np.ndarray): The token of each row, in order; repeated if a token trains several
            sub-words; int64 [n].
        continued (bool): Whether later sub-words of a word continue its entity (B- becomes I-), as
            in BIO they can, or repeat its tag.
        RETURNS (np.ndarray): One tag for a known token, all for an unknown one, and O with the tags
            of other labels for one outside of the `annotated` ones; bool [n, K].
        """
        opens = np.ones(len(tokens), dtype=bool)
        opens[1:] = tokens[1:] != tokens[:-1]
        words = tokens[opens]
        spans = [span for span in rows_of_spans(self.spans, words) if span[2] in tagset.labels]
        known = self.known[words]
        tags = tagset.encode(spans, len(words))
        # shape: [K], the tags of labels that are not annotated
        open_tags = self._open_tags(tagset)
        # shape: [n_words, K], tags that a word may have beside its own
        others = ~known[:, None] | ((tags == 0)[:, None] & open_tags)
        allowed = np.eye(len(tagset.tags), dtype=bool)[tags] | others
        # No entity continues into an open token if a known token ends it: the last token of an
        # annotated entity, or a token between them that has no row. The latter may be in an entity
        # of a label that is not annotated.
        unsettled = others[1:].any(axis=1)
        ended = known[:-1] & (tags[:-1] > 0)
        parted = between_words(self._settled(open_tags), words)
        allowed[1:][unsettled & (ended | parted)] &= tagset.legal_start
        allowed[1:][unsettled & between_words(self.known, words)] &= tagset.legal_start | open_tags
        if opens.all():
            return allowed
        places = np.cumsum(opens) - 1
        rows = allowed[places]
        if continued:
            word_tags = tags[places]
            # In BIO, I- follows B- of the same label.
            inner = word_tags + tagset.begins[word_tags]
            going_on = np.eye(len(tagset.tags), dtype=bool)[inner]
            # Later sub-words of an open word may continue the entity that it begins.
            rows[~opens] = (going_on | others[places])[~opens]
        return rows

    def _open_tags(self, tagset: TagSet) -> np.ndarray:
        """The tags that a token outside of entities may have beside O; bool [K]."""
        if self.annotated is None:
            return np.zeros(len(tagset.tags), dtype=bool)
        return ~tagset.has_label(self.annotated) & (tagset.label_of >= 0)

    def _settled(self, open_tags: np.ndarray) -> np.ndarray:
        """The tokens that have one tag only; bool [n_tokens]."""
        if not open_tags.any():
            return self.known
        settled = np.zeros_like(self.known)
        for start, end, _ in self.spans:
            settled[start:end] = True
        return settled & self.known


@dataclass(frozen=True)
class Preset(Annotation):
    """Entities and blocked tokens that an earlier component has set.

    ents (tuple[SpacySpan, ...]): The entities as they are on the Doc, with their links and ids.
    """

    ents: tuple[SpacySpan, ...] = ()

    @property
    def blocked(self) -> list[tuple[int, int]]:
        """Start and exclusive end of each blocked token."""
        blocked = self.known.copy()
        for start, end, _ in self.spans:
            blocked[start:end] = False
        return [(int(i), int(i) + 1) for i in np.flatnonzero(blocked)]


def between_words(tokens: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Find the pairs of neighboring rows with some tokens between them that have no row.

    tokens (np.ndarray): Which tokens; bool [n_tokens].
    words (np.ndarray): The token of each row, in order, each once; int64 [n].
    RETURNS (np.ndarray): Whether any is in front of each row but the first one; bool [n - 1].
    """
    before = np.concatenate([[0], np.cumsum(tokens)])
    return before[words[1:]] > before[words[:-1] + 1]


def read_example(
    example: Example, *, wrong_key: str | None = None, misaligned: str = "missing"
) -> Annotation:
    """Read the gold annotation of an example, on the tokens of its predicted Doc.

    Tokens without annotation (`-`) are unknown, as are the tokens of entities that are left out
    because they do not fit: they are never trained as O.

    example (Example): Predicted and reference Doc.
    wrong_key (str | None): Group in `reference.spans` of spans that are known to be wrong.
    misaligned (str): The rule for entities that do not fit: one of `misfits.POLICIES`.
    RETURNS (Annotation): Entities on the predicted tokens.
    RAISES: ValueError for a span that is an entity and known to be wrong, for texts that differ in
        more than white space and case and, under "strict", for an entity that does not fit.
    """
    predicted, reference = example.predicted, example.reference
    same = have_same_tokens(predicted, reference)
    group = reference.spans.get(wrong_key, ()) if wrong_key is not None else ()
    misfits: list[Span] = []
    if same:
        spans = [(ent.start, ent.end, ent.label_) for ent in reference.ents]
        wrong = [(span.start, span.end, span.label_) for span in group]
        known = _array(reference, "ENT_IOB") != EntIob.MISSING
    else:
        try:
            spans, known, unfit = carry_over(reference, predicted, policy=misaligned)
        except ValueError as error:
            raise BioError(f"document {reference.text[:40]!r}: {error}") from error
        ents = reference.ents
        misfits = [(ents[i].start, ents[i].end, ents[i].label_) for i in unfit]
        chars = [(span.start_char, span.end_char, span.label_) for span in group]
        wrong = carry_spans(reference, predicted, chars)
    check_wrong(predicted, spans, wrong, wrong_key)
    return Annotation(spans, known, wrong, misfits, annotated=annotated_labels(reference))


def check_wrong(doc: Doc, spans: list[Span], wrong: list[Span], key: str | None) -> None:
    """RAISES: ValueError for a span that is an entity and known to be wrong."""
    for start, end, label in sorted(set(wrong) & set(spans)):
        raise BioError(
            describe(
                f"document {doc.text[:40]!r}",
                expected=f"no entity in doc.spans[{key!r}], the spans known to be wrong",
                got=Plain(f"{doc[start:end].text!r} ({label}, tokens {start} to {end})"),
            )
        )


def read_presets(doc: Doc) -> Preset | None:
    """Read the entities and blocked tokens (`doc.set_ents(blocked=…)`) of an earlier component.

    doc (Doc): The document, before this component writes to it.
    RETURNS (Preset | None): Preset entities, with blocked tokens known to be outside. Tokens that
        an earlier component merely left outside are unknown, as for spaCy's `ner`. None if nothing
        is set.
    """
    iob = _array(doc, "ENT_IOB")
    known = (iob == EntIob.BEGIN) | (iob == EntIob.INSIDE)
    if not known.any():
        return None
    return Preset([(e.start, e.end, e.label_) for e in doc.ents], known, ents=tuple(doc.ents))


def have_same_tokens(predicted: Doc, reference: Doc) -> bool:
    """RETURNS (bool): Whether two documents have the same words for tokens."""
    return len(predicted) == len(reference) and np.array_equal(
        predicted.to_array("ORTH"), reference.to_array("ORTH")
    )


def _array(doc: Doc, attribute: str) -> np.ndarray:
    return np.asarray(doc.to_array(attribute)).reshape(-1)
