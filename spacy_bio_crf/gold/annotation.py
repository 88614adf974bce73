"""What is known about a document's tags: from gold annotation, or from earlier components."""

from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..tags.schemes import spans_of_tags
from ..tags.spans import EntIob, Span, rows_of_spans
from ..tags.tagset import TagSet
from .retokenized import carry_over


@dataclass(frozen=True)
class Annotation:
    """Entities of a document, and where anything is known at all.

    spans (list[Span]): Start, exclusive end and label, in tokens, in order, without overlap.
    known (np.ndarray): False for tokens nobody has annotated; they may be anything. bool
        [n_tokens].
    wrong (list[Span]): Spans that are known to be no entity of their label.
    misfits (list[Span]): Entities that did not fit the tokens, in the tokens they were annotated
        on, whatever became of them.
    """

    spans: list[Span]
    known: np.ndarray
    wrong: list[Span] = field(default_factory=list)
    misfits: list[Span] = field(default_factory=list)


def read_example(
    example: Example, *, wrong_key: str | None = None, misaligned: str = "missing"
) -> Annotation:
    """The gold annotation of an example, on the tokens of its predicted Doc.

    Tokens without annotation (`-`), and those of entities that do not fit the predicted tokens and
    are not made to, are unknown: they are never trained as O.

    example (Example): Predicted and reference Doc.
    wrong_key (str | None): Group in `reference.spans` of spans that are known to be wrong.
    misaligned (str): What becomes of entities that do not fit: one of `misaligned.POLICIES`.
    RETURNS (Annotation): Entities on the predicted tokens.
    RAISES: ValueError if a span is an entity and known to be wrong or, under "strict", if an entity
        does not fit the predicted tokens.
    """
    predicted, reference = example.predicted, example.reference
    same = len(predicted) == len(reference) and np.array_equal(
        predicted.to_array("ORTH"), reference.to_array("ORTH")
    )
    misfits: list[Span] = []
    if same:
        spans = [(ent.start, ent.end, ent.label_) for ent in reference.ents]
        known = _array(reference, "ENT_IOB") != EntIob.MISSING
    else:
        tags = example.get_aligned_ner()
        known = np.array([tag is not None for tag in tags], dtype=bool)
        spans, _ = spans_of_tags([tag or "O" for tag in tags], scheme="BILUO", repair="discard")
        spans, known, misfits = carry_over(example, spans, known, policy=misaligned)
    wrong: list[Span] = []
    if wrong_key is not None and wrong_key in reference.spans:
        aligned = example.get_aligned_spans_y2x(reference.spans[wrong_key], allow_overlap=True)
        wrong = [(span.start, span.end, span.label_) for span in aligned]
        for start, end, label in sorted(set(wrong) & set(spans)):
            raise ValueError(
                f"{predicted[start:end].text!r}, tokens {start} to {end} of the document"
                f" {predicted.text[:40]!r}, is both an entity {label!r} and in"
                f" doc.spans[{wrong_key!r}], where spans are known to be wrong."
            )
    return Annotation(spans, known, wrong, misfits)


def read_presets(doc: Doc) -> Annotation | None:
    """Entities and blocked tokens that an earlier component has set.

    doc (Doc): The document, before this component writes to it.
    RETURNS (Annotation | None): Preset entities, with blocked tokens known to be outside; tokens
        that an earlier component merely left outside are unknown, as for spaCy's `ner`. None if
        nothing is set.
    """
    iob = _array(doc, "ENT_IOB")
    known = (iob == EntIob.BEGIN) | (iob == EntIob.INSIDE)
    if not known.any():
        return None
    return Annotation([(ent.start, ent.end, ent.label_) for ent in doc.ents], known)


def blocked_spans(doc: Doc) -> list[tuple[int, int]]:
    """Tokens that an earlier component has barred from entities (`doc.set_ents(blocked=…)`).

    doc (Doc): The document.
    RETURNS (list[tuple[int, int]]): Start and exclusive end of each blocked token.
    """
    blocked = (_array(doc, "ENT_IOB") == EntIob.BEGIN) & (_array(doc, "ENT_TYPE") == 0)
    return [(int(i), int(i) + 1) for i in np.flatnonzero(blocked)]


def allowed_tags(
    annotation: Annotation, tagset: TagSet, tokens: np.ndarray, *, continued: bool
) -> np.ndarray:
    """The set of tags that each row of a document's sequence may have.

    Tokens without a sub-word have no row, so tags are made after they are gone: an entity's first
    row has B- even where its first token has none. A label that is not in the tag set counts as
    outside.

    annotation (Annotation): What is known.
    tagset (TagSet): The tags.
    tokens (np.ndarray): The token of each row, in order; repeated where a token trains several
        sub-words; int64 [n].
    continued (bool): Whether later sub-words of a word continue its entity (B- becomes I-) or
        repeat its tag.
    RETURNS (np.ndarray): One tag where the token is known, all where it is not; bool [n, K].
    """
    opens = np.ones(len(tokens), dtype=bool)
    opens[1:] = tokens[1:] != tokens[:-1]
    words = tokens[opens]
    spans = [span for span in rows_of_spans(annotation.spans, words) if span[2] in tagset.labels]
    known = annotation.known[words]
    tags = tagset.encode(spans, len(words))
    # shape: [n_words, K]
    allowed = np.eye(len(tagset.tags), dtype=bool)[tags] | ~known[:, None]
    # No entity goes on into an unknown token if a known one sets its end: the last of an annotated
    # entity, or one between that has no row.
    before = np.concatenate([[0], np.cumsum(annotation.known)])
    ended = known[:-1] & (tags[:-1] > 0)
    parted = before[words[1:]] > before[words[:-1] + 1]
    allowed[1:][~known[1:] & (ended | parted)] &= tagset.legal_start
    if opens.all():
        return allowed
    rows = allowed[np.cumsum(opens) - 1]
    if continued:
        word_tags = tags[np.cumsum(opens) - 1]
        going_on = np.eye(len(tagset.tags), dtype=bool)[tagset.continuation(word_tags)]
        # What an unknown word begins, its later sub-words may go on with.
        rows[~opens] = (going_on | ~annotation.known[tokens, None])[~opens]
    return rows


def _array(doc: Doc, attribute: str) -> np.ndarray:
    return np.asarray(doc.to_array(attribute)).reshape(-1)
