"""Checks of tokens, sub-words and windows, as training makes them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from ..encoders.transformer.text import Preprocessor
from ..gold.annotation import Annotation
from ..gold.token_labels import read_example_labels
from ..pipes.bio_tagger import TagTask
from ..subwords.tokenizer import Subwords
from ..subwords.windows import Windows, make_windows
from ..tags.spans import Span
from .findings import Occurrence, Recorder, excerpt, place_of
from .settings import ModelSettings

DOCS_AT_ONCE = 256  # bounds the sub-words in memory


def check_alignment(
    docs: Sequence[Doc], settings: ModelSettings, recorder: Recorder
) -> dict[str, Any]:
    """Check tokens and entities as training sees them.

    docs (Sequence[Doc]): The reference Docs.
    settings (ModelSettings): Tokenizer, policy, sub-words and windows.
    recorder (Recorder): Gets the findings.
    RETURNS (dict[str, Any]): Counts of sub-words and windows; empty if the encoder has no
        tokenizer.
    """
    strings = settings.nlp.vocab.strings
    labels = settings.labels or sorted({x for doc in docs for x in settings.task.labels_of(doc)})
    for doc in docs:
        for span in (*doc.ents, *(span for group in doc.spans.values() for span in group)):
            strings.add(span.label_)
    sizes: list[int] = []
    misfits = n_tokens = n_windows = 0
    for batch in minibatch(docs, size=DOCS_AT_ONCE):
        seen = []
        for reference in batch:
            example = Example(as_predicted(settings.nlp, reference), reference)
            annotation = _read(example, settings, labels, recorder)
            misfits += len(annotation.misfits)
            example.predicted.user_data["source"] = place_of(reference)
            seen.append((example.predicted, annotation))
        if settings.subwords is None:
            continue
        cut_up = settings.subwords.cut([doc for doc, _ in seen])
        for (doc, annotation), subwords in zip(seen, cut_up, strict=True):
            windows = check_document(doc, annotation, subwords, settings.subwords, recorder)
            sizes.append(len(subwords.ids))
            n_tokens += len(doc)
            n_windows += len(windows)
    if 2 * misfits > sum(len(settings.task.labels_of(doc)) for doc in docs):
        recorder.add("most_gold_lost", count=misfits)
    if settings.subwords is None:
        return {}
    return {
        "tokens_of_pipeline": n_tokens,
        "subwords": sum(sizes),
        "longest_in_subwords": max(sizes, default=0),
        "median_in_subwords": int(np.median(sizes or [0])),
        "windows": n_windows,
    }


def as_predicted(nlp: Language, reference: Doc) -> Doc:
    """Make the Doc that `spacy.Corpus.v1` makes for a reference. The pipeline's tokenizer makes its
    tokens, unless the spaces between the reference's tokens are unknown."""
    if not reference.has_unknown_spaces:
        return nlp.make_doc(reference.text)
    words = [token.text for token in reference]
    spaces = [bool(token.whitespace_) for token in reference]
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _read(
    example: Example, settings: ModelSettings, labels: Sequence[str], recorder: Recorder
) -> Annotation:
    reference = example.reference
    if isinstance(settings.task, TagTask):
        labelled = read_example_labels(example, settings.task.target)
        for start, end, label in labelled.misfits:
            recorder.tokens("retokenized_labels", reference, start, end, label=label)
        return labelled
    # Under "strict" training stops at the first misfit; a diagnosis lists all of them.
    policy = settings.task.misaligned
    task = replace(settings.task, misaligned="missing" if policy == "strict" else policy)
    try:
        annotation = task.read(example, labels)
    except ValueError as error:
        recorder.document("contradictions", reference, note=str(error))
        annotation = replace(task, incorrect_spans_key=None).read(example, labels)
    for start, end, label in annotation.misfits:
        note = f"misaligned = {policy}"
        recorder.tokens("retokenized_entities", reference, start, end, label=label, note=note)
    for start, end, label in annotation.overlaps:
        recorder.tokens("overlaps_in_group", reference, start, end, label=label)
    return annotation


def check_document(
    doc: Doc,
    annotation: Annotation,
    subwords: Subwords,
    settings: Preprocessor,
    recorder: Recorder,
) -> Windows:
    """Check the sub-words and windows of one document.

    doc (Doc): The tokens that training sees.
    annotation (Annotation): The gold on them.
    subwords (Subwords): Its sub-words.
    settings (Preprocessor): The window, and the unknown sub-word.
    recorder (Recorder): Gets the findings.
    RETURNS (Windows): The windows.
    """
    windows = make_windows(
        len(subwords.ids),
        size=settings.window,
        overlap=settings.overlap,
        boundaries=subwords.word_starts,
    )
    # The rows of token i are subwords.rows[edges[i] : edges[i + 1]]. shape: [n_tokens + 1]
    edges = np.concatenate([[0], np.cumsum(subwords.lengths)])
    for i in np.flatnonzero(subwords.lengths == 0):
        if not doc[int(i)].text.isspace():
            recorder.tokens("tokens_without_subwords", doc, int(i), int(i) + 1)
    unknown = subwords.ids[subwords.rows] == (-1 if settings.unknown is None else settings.unknown)
    for i in np.unique(np.searchsorted(edges, np.flatnonzero(unknown), side="right") - 1):
        recorder.tokens("unknown_subwords", doc, int(i), int(i) + 1)
    if len(windows) > 1:
        note = f"{len(subwords.ids)} sub-words, {len(windows)} windows"
        recorder.document("long_documents", doc, note=note)
        inner = np.concatenate([windows.starts[1:], windows.ends[:-1]])
        for at in inner[~subwords.word_starts[inner]]:
            token = _token_of(subwords, edges, int(at))
            spot = Occurrence(place_of(doc), excerpt(doc[token].text), token, token + 1)
            recorder.add("words_cut", spot)
    for start, end, label in annotation.spans:
        rows = slice(edges[start], edges[end])
        _check_entity(doc, (start, end, label), subwords, unknown[rows], windows, rows, recorder)
    return windows


def _check_entity(
    doc: Doc,
    span: Span,
    subwords: Subwords,
    unknown: np.ndarray,
    windows: Windows,
    rows: slice,
    recorder: Recorder,
) -> None:
    start, end, label = span

    def add(check: str) -> None:
        recorder.tokens(check, doc, start, end, label=label)

    own = subwords.rows[rows]
    if not len(own):
        add("entities_without_subwords")
        return
    edges = [i for i in (start, end - 1) if not subwords.lengths[i] and not doc[i].text.isspace()]
    if edges:
        add("entity_edges_without_subwords")
    if unknown.all():
        add("entities_with_unknown_subwords")
    low, high = int(own.min()), int(own.max())
    if not ((windows.starts <= low) & (high < windows.ends)).any():
        add("entities_cut")
    else:
        first, last = np.searchsorted(windows.core_ends, [low, high], side="right")
        if first != last:
            add("entities_across_cores")


def _token_of(subwords: Subwords, edges: np.ndarray, index: int) -> int:
    """The token of a sub-word, or else the last token before it."""
    (found,) = np.nonzero(subwords.rows <= index)
    row = int(found[-1]) if len(found) else 0
    return int(np.searchsorted(edges, row, side="right")) - 1
