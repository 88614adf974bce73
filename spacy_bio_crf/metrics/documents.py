"""Gold and predicted entities of a document, both in tokens of the reference."""

import warnings
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, DocBin, SpanGroup
from spacy.training import Corpus, Example

from ..doc_scores import read_scores
from ..errors import Plain, describe
from ..tags.spans import SCORES, Span, annotated_labels
from .layered import ONE_GROUP, Layers

_ENTS = Layers(None, None)  # not overlapping


@dataclass(frozen=True, eq=False)
class Document:
    """Gold and predicted entities of a document. All positions are tokens of the reference.

    words (list[str]): The tokens, each with the white space after it; together they are the text.
    known (np.ndarray): False for tokens without annotation; bool [n_tokens].
    gold (list[Span]): Start, exclusive end and label of each gold entity whose label is annotated.
    predicted (list[Span]): The same of the predictions that count, from left to right. They may
        overlap where the prediction's tokens are shorter than the reference's.
    confidence (list[float | None]): The probability of each prediction; None if it has none.
    ignored (int): Predictions that touch a token without annotation. They are neither right nor
        wrong, as in spaCy's scorer.
    unfit (int): Gold entities that do not fit the prediction's tokens. They count as missed.
    layers (Layers | None): The groups of labels, where entities of different ones may overlap.
    unknown (Mapping[str, np.ndarray]): With layers, the tokens without annotation; see
        `Layers.unknown`. `known` then holds those that any group annotates.
    """

    words: list[str]
    known: np.ndarray
    gold: list[Span]
    predicted: list[Span]
    confidence: list[float | None]
    ignored: int = 0
    unfit: int = 0
    layers: Layers | None = None
    unknown: Mapping[str, np.ndarray] = field(default_factory=dict)

    def group_of(self, label: str) -> str:
        """RETURNS (str): The group of a label; the same for all without layers."""
        return ONE_GROUP if self.layers is None else self.layers.group_of(label)

    @property
    def group_names(self) -> list[str]:
        """The groups of labels, with those of labels that occur here alone."""
        labels = [span[2] for side in (self.gold, self.predicted) for span in side]
        if self.layers is not None:
            labels += self.layers.groups or ()
        return sorted({self.group_of(label) for label in labels}) or [ONE_GROUP]

    def of_group(self, spans: Sequence[Span], group: str) -> list[Span]:
        """RETURNS (list[Span]): The spans whose labels are in a group."""
        return [span for span in spans if self.group_of(span[2]) == group]

    def side_of(self, span: Span) -> list[Span]:
        """RETURNS (list[Span]): The gold entities if the span is among them, or the predictions."""
        return self.gold if span in self.gold else self.predicted

    def known_to(self, group: str) -> np.ndarray:
        """RETURNS (np.ndarray): The tokens that a group of labels annotates; bool [n_tokens]."""
        if self.layers is None:
            return self.known
        return ~self.unknown.get(group, self.unknown[""])


def predict(nlp: Language, examples: Sequence[Example]) -> list[Example]:
    """Run a pipeline over annotated documents.

    A document that the pipeline's error handler drops counts as one without predictions: its gold
    entities are missed, not forgotten.

    nlp (Language): The pipeline.
    examples (Sequence[Example]): From `read_corpus` or `make_examples`.
    RETURNS (list[Example]): Predicted documents beside their references, in the same order.
    """
    blank = [
        Doc(nlp.vocab, words=[t.text for t in eg.x], spaces=[bool(t.whitespace_) for t in eg.x])
        for eg in examples
    ]
    stream = ((eg.predicted, i) for i, eg in enumerate(examples))
    given = list(nlp.pipe(stream, as_tuples=True))
    # A component may make new Docs, which don't know their place.
    whole = len(given) == len(examples)
    found = {i if whole else place: doc for i, (doc, place) in enumerate(given)}
    return [Example(found.get(i, blank[i]), eg.reference) for i, eg in enumerate(examples)]


def read_corpus(nlp: Language, path: Path, *, limit: int = 0) -> list[Example]:
    """Read annotated documents; those without tokens are left out, as in `spacy train`.

    nlp (Language): The pipeline whose tokenizer makes the blank documents.
    path (Path): A .spacy file, or a folder of them.
    limit (int): Read at most this many documents; 0 reads all.
    RETURNS (list[Example]): Blank documents beside their references.
    RAISES: ValueError that names the path if it is not such a file or has no documents.
    """
    expected = "annotated documents (.spacy, or a folder of such files)"
    if not path.exists():
        raise ValueError(describe(str(path), expected=expected, got=Plain("no such file")))
    if not path.is_dir() and path.suffix != ".spacy":
        remedy = "make one of other formats with `python -m spacy bio-ner convert`"
        raise ValueError(describe(str(path), expected=expected, got=path.suffix, remedy=remedy))
    try:
        with warnings.catch_warnings():
            # W090, a folder without .spacy files, is the error below.
            warnings.filterwarnings("ignore", message=r"\[W090\]")
            examples = list(islice(Corpus(path, limit=limit)(nlp), limit or None))
    except (zlib.error, ValueError, KeyError, OSError) as error:
        raise ValueError(describe(str(path), expected=expected, got=Plain(error))) from error
    if not examples:
        raise ValueError(describe(str(path), expected=expected, got=Plain("no documents")))
    return examples


def make_examples(nlp: Language, docs: Sequence[Doc]) -> list[Example]:
    """Tokenize annotated documents that were read in another way, as `read_corpus` does.

    nlp (Language): The pipeline whose tokenizer makes the blank documents.
    docs (Sequence[Doc]): The documents, with any vocabulary.
    RETURNS (list[Example]): Blank documents beside their references, without empty ones.
    """
    own = DocBin(docs=docs, store_user_data=True).get_docs(nlp.vocab)
    return list(Corpus("").make_examples(nlp, own))


def read_documents(examples: Iterable[Example], layers: Layers | None = None) -> list[Document]:
    """Put predictions on the tokens of their references that share a character with them.

    examples (Iterable[Example]): Predicted documents beside their references.
    layers (Layers | None): Where entities are that may overlap; None reads `doc.ents`.
    RETURNS (list[Document]): One for each. Their spans give the `ents_p`, `ents_r` and `ents_f` of
        spaCy's scorer, with layers the scores of its `score_spans`.
    """
    examples = list(examples)
    if layers is not None and layers.groups:
        # Labels that neither the groups nor the gold has are those of another task.
        gold = {span.label_ for eg in examples for span in layers.gold(eg.reference)}
        layers = replace(layers, labels=gold | layers.groups.keys())
    return [_read_document(example, layers) for example in examples]


def of_annotated_labels(example: Example) -> Example:
    """Leave out what can't be scored: entities of labels that are not annotated.

    example (Example): Predicted and reference document, which stay as they are.
    RETURNS (Example): The same one where all labels are annotated; otherwise one with copies, in
        `doc.ents` and `doc.spans` of which only annotated labels occur.
    """
    labels = annotated_labels(example.reference)
    if labels is None:
        return example
    return Example(*(_with_labels(doc, labels) for doc in (example.predicted, example.reference)))


def _with_labels(doc: Doc, labels: Collection[str]) -> Doc:
    doc = doc.copy()
    outside = [ent for ent in doc.ents if ent.label_ not in labels]
    doc.set_ents([], outside=outside, default="unmodified")
    for key, group in list(doc.spans.items()):
        scores = group.attrs.get(SCORES, ())
        chosen = [i for i, span in enumerate(group) if span.label_ in labels or not span.label]
        attrs = dict(group.attrs)
        if scores:
            attrs[SCORES] = [scores[i] for i in chosen]
        doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=[group[i] for i in chosen])
    return doc


def _read_document(example: Example, layers: Layers | None) -> Document:
    example = of_annotated_labels(example)
    reference = example.reference
    where = layers or _ENTS
    unknown = where.unknown(reference)
    known = ~np.logical_and.reduce(list(unknown.values()))
    gold = where.gold(reference)
    scores = read_scores(example.predicted)
    # spaCy compares all tokens each time the alignment is asked for.
    to_reference = example.alignment.x2y
    starts = {token.idx for token in example.predicted}
    ends = {token.idx + len(token) for token in example.predicted}
    predicted: list[Span] = []
    confidence: list[float | None] = []
    ignored = 0
    for ent in where.predicted(example.predicted):
        tokens = to_reference[ent.start : ent.end]
        if not len(tokens):
            ignored += 1
            continue
        start, end = int(tokens[0]), int(tokens[-1]) + 1
        if unknown.get(where.group_of(ent.label_), unknown[""])[start:end].any():
            ignored += 1
            continue
        predicted.append((start, end, ent.label_))
        confidence.append(scores.get((ent.start, ent.end, ent.label_)))
    return Document(
        words=[token.text_with_ws for token in reference],
        known=known,
        gold=[(ent.start, ent.end, ent.label_) for ent in gold],
        predicted=predicted,
        confidence=confidence,
        ignored=ignored,
        unfit=sum(e.start_char not in starts or e.end_char not in ends for e in gold),
        layers=layers,
        unknown={} if layers is None else unknown,
    )


def labels_of(documents: Sequence[Document]) -> list[str]:
    """RETURNS (list[str]): All gold and predicted labels, sorted."""
    return sorted({s[2] for doc in documents for s in (*doc.gold, *doc.predicted)})
