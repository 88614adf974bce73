"""Gold and predicted entities of a document, on the same tokens: those of the gold."""

import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus, Example

from ..doc_scores import SCORES
from ..tags.spans import EntIob, Span


@dataclass(frozen=True, eq=False)
class Document:
    """What is compared. All positions are tokens of the reference document.

    words (list[str]): The tokens, each with the white space after it; together they are the text.
    known (np.ndarray): False for tokens nobody has annotated; bool [n_tokens].
    gold (list[Span]): Start, exclusive end and label of every gold entity.
    predicted (list[Span]): The same of the predictions that count, from left to right. They may
        overlap where the prediction's tokens are shorter than the gold's.
    confidence (list[float | None]): The probability of each prediction; None if it has none.
    ignored (int): Predictions that touch tokens without annotation, and so are neither right nor
        wrong, as in spaCy's scorer.
    """

    words: list[str]
    known: np.ndarray
    gold: list[Span]
    predicted: list[Span]
    confidence: list[float | None]
    ignored: int = 0


def predict(nlp: Language, path: Path, *, limit: int = 0) -> list[Example]:
    """Run a pipeline over annotated documents, tokenised as they are for `spacy train`.

    A document that an error handler of the pipeline drops counts as one without any prediction, so
    that its gold entities are missed and not forgotten.

    nlp (Language): The pipeline.
    path (Path): A .spacy file, or a folder of them.
    limit (int): How many documents to read at the most; 0 reads all.
    RETURNS (list[Example]): Predicted documents beside their references, in the file's order.
    RAISES: As `read_corpus`.
    """
    examples = read_corpus(nlp, path, limit=limit)
    blank = [
        Doc(nlp.vocab, words=[t.text for t in eg.x], spaces=[bool(t.whitespace_) for t in eg.x])
        for eg in examples
    ]
    stream = ((eg.predicted, i) for i, eg in enumerate(examples))
    found = {i: doc for doc, i in nlp.pipe(stream, as_tuples=True)}
    return [Example(found.get(i, blank[i]), eg.reference) for i, eg in enumerate(examples)]


def read_corpus(nlp: Language, path: Path, *, limit: int = 0) -> list[Example]:
    """Read annotated documents; those without a token are left out, as in `spacy train`.

    nlp (Language): The pipeline whose tokenizer makes the documents that are to be predicted.
    path (Path): A .spacy file, or a folder of them.
    limit (int): How many documents to read at the most; 0 reads all.
    RETURNS (list[Example]): Blank documents beside their references.
    RAISES: ValueError that names the path if it is no such file, or holds no document.
    """
    if not path.is_dir() and path.suffix != ".spacy":
        raise ValueError(
            f"{path}: expected annotated documents in a .spacy file or a folder of them"
        )
    try:
        with warnings.catch_warnings():
            # A folder without .spacy files: said below.
            warnings.filterwarnings("ignore", message=r"\[W090\]")
            examples = list(islice(Corpus(path, limit=limit)(nlp), limit or None))
    except (zlib.error, ValueError, KeyError, OSError) as error:
        raise ValueError(f"{path}: expected annotated documents (.spacy), got {error}") from error
    if not examples:
        raise ValueError(f"{path} holds no documents: there is nothing to evaluate")
    return examples


def read_documents(examples: Iterable[Example]) -> list[Document]:
    """Put predictions on the tokens of their references.

    examples (Iterable[Example]): Predicted documents beside their references.
    RETURNS (list[Document]): One for each. `ents_p`, `ents_r` and `ents_f` of spaCy's scorer follow
        from their spans.
    """
    return [read_document(example) for example in examples]


def read_document(example: Example) -> Document:
    """Put the predictions of one document on the tokens of its reference.

    A prediction covers every gold token that shares a character with it.

    example (Example): Predicted document beside its reference.
    RETURNS (Document): Both.
    """
    reference = example.reference
    known = np.array([token.ent_iob != EntIob.MISSING for token in reference], dtype=bool)
    confidence_of = _read_confidence(example.predicted)
    predicted: list[Span] = []
    confidence: list[float | None] = []
    ignored = 0
    for ent in example.predicted.ents:
        tokens = example.alignment.x2y[ent.start : ent.end]
        if not len(tokens):
            ignored += 1
            continue
        start, end = int(tokens[0]), int(tokens[-1]) + 1
        if not known[start:end].all():
            ignored += 1
            continue
        predicted.append((start, end, ent.label_))
        confidence.append(confidence_of.get((ent.start, ent.end, ent.label_)))
    return Document(
        words=[token.text_with_ws for token in reference],
        known=known,
        gold=[(ent.start, ent.end, ent.label_) for ent in reference.ents],
        predicted=predicted,
        confidence=confidence,
        ignored=ignored,
    )


def labels_of(documents: Sequence[Document]) -> list[str]:
    """Every label that is gold or predicted somewhere, sorted.

    documents (Sequence[Document]): The documents.
    RETURNS (list[str]): The labels.
    """
    return sorted({s[2] for doc in documents for s in (*doc.gold, *doc.predicted)})


def _read_confidence(doc: Doc) -> dict[Span, float]:
    """The scores of all span groups that have some, as `ent._.confidence` reads them."""
    scores: dict[Span, float] = {}
    for group in doc.spans.values():
        for span, score in zip(group, group.attrs.get(SCORES, ()), strict=False):
            scores.setdefault((span.start, span.end, span.label_), float(score))
    return scores
