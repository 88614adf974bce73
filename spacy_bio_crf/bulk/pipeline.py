"""Run a pipeline over one batch of texts: what comes back stands in the order of the texts, and a
text that the pipeline fails on harms no other."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from .records import Entity

DIGITS = 6  # of a score; those after them depend on how many threads there are


class Job(NamedTuple):
    """A batch for the pipeline.

    texts (list[str]): The texts.
    notes (list[dict[str, Any]] | None): What goes into the `user_data` of each Doc; None: Docs are
        not wanted.
    """

    texts: list[str]
    notes: list[dict[str, Any]] | None = None


class Outcome(NamedTuple):
    """What became of a text.

    words (int): Its tokens.
    entities (list[Entity]): Its entities.
    error (str | None): Why the pipeline failed on it.
    """

    words: int = 0
    entities: Sequence[Entity] = ()
    error: str | None = None


@dataclass
class Result:
    """What became of a batch.

    outcomes (list[Outcome]): One for each text, in order.
    docs (bytes | None): A DocBin of the Docs without those that failed, if they are wanted.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    docs: bytes | None = None


def annotate_job(nlp: Language, job: Job) -> Result:
    """Annotate a batch.

    nlp (Language): The pipeline.
    job (Job): The batch.
    RETURNS (Result): What became of it.
    """
    result = Result()
    doc_bin = DocBin(store_user_data=True)
    with _memory_zone(nlp):
        for number, doc in enumerate(_docs(nlp, job.texts)):
            if isinstance(doc, str):
                result.outcomes.append(Outcome(error=doc))
                continue
            result.outcomes.append(Outcome(len(doc), list(_entities(doc))))
            if job.notes is not None:
                doc.user_data.update(job.notes[number])
                doc_bin.add(doc)
        if job.notes is not None:
            result.docs = doc_bin.to_bytes()
    return result


def _memory_zone(nlp: Language) -> AbstractContextManager:
    """New words are forgotten after each batch, where spaCy can do so (from 3.8 on): the vocabulary
    would grow with the input."""
    return nlp.memory_zone() if hasattr(nlp, "memory_zone") else nullcontext()


def _docs(nlp: Language, texts: list[str]) -> Iterator[Doc | str]:
    """For each text its Doc, or what went wrong."""
    try:
        docs = list(nlp.pipe(texts, batch_size=max(1, len(texts))))
    # What a pipeline raises is up to its components.
    except Exception:
        docs = []
    # An error handler may have dropped documents of the batch: which ones is not said.
    if [doc.text for doc in docs] == texts:
        return iter(docs)
    return (_alone(nlp, text) for text in texts)


def _alone(nlp: Language, text: str) -> Doc | str:
    try:
        doc = nlp(text)
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    if doc.text != text:
        return "expected a Doc with the record's text, found another text in it"
    return doc


def _entities(doc: Doc) -> Iterator[Entity]:
    scores = _scores(doc)
    for ent in doc.ents:
        score = scores.get((ent.start, ent.end, ent.label))
        if score is not None:
            score = round(score, DIGITS)
        yield Entity(ent.start_char, ent.end_char, ent.label_, score)


def _scores(doc: Doc) -> dict[tuple[int, int, int], float]:
    """Scores by start token, end token and label, from the groups of spans that have some, as
    `bio_ner` and spaCy's `spancat` write them."""
    found: dict[tuple[int, int, int], float] = {}
    for group in doc.spans.values():
        span: Span
        for span, score in zip(group, group.attrs.get("scores", ()), strict=False):
            found.setdefault((span.start, span.end, span.label), float(score))
    return found
