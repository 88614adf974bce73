"""What the pipeline's tokenizer and the encoder's make of a corpus."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from ..gold import annotation as gold
from ..gold.annotation import Annotation
from ..subwords.tokenizer import Subwords
from ..subwords.windows import Windows, cut
from .findings import Recorder, Spot, place_of, shown
from .settings import Cutter, ModelSettings

BATCH = 256  # documents whose sub-words are held at once


def check_alignment(
    docs: Sequence[Doc], settings: ModelSettings, recorder: Recorder
) -> dict[str, Any]:
    """Tokens and entities as training sees them.

    docs (Sequence[Doc]): The reference Docs.
    settings (ModelSettings): Tokenizer, policy, sub-words and windows.
    recorder (Recorder): Gets the findings.
    RETURNS (dict[str, Any]): Counts of sub-words and windows; empty if the encoder has no
        tokenizer.
    """
    strings = settings.nlp.vocab.strings
    for doc in docs:
        for span in (*doc.ents, *(span for group in doc.spans.values() for span in group)):
            strings.add(span.label_)
    figures = _Figures()
    for batch in minibatch(docs, size=BATCH):
        seen = []
        for reference in batch:
            example = Example(as_predicted(settings.nlp, reference), reference)
            annotation = _read(example, settings, recorder)
            example.predicted.user_data["source"] = place_of(reference)
            seen.append((example.predicted, annotation))
        if settings.cutter is None:
            continue
        pieces = settings.cutter.cut([doc for doc, _ in seen])
        for (doc, annotation), piece in zip(seen, pieces, strict=True):
            windows = check_document(doc, annotation, piece, settings.cutter, recorder)
            figures.add(doc, piece, windows)
    return {} if settings.cutter is None else figures.summary()


def as_predicted(nlp: Language, reference: Doc) -> Doc:
    """The Doc that `spacy.Corpus.v1` makes for a reference: its tokens where nobody knows its
    spaces, else those of the pipeline's tokenizer.

    nlp (Language): The pipeline.
    reference (Doc): The reference.
    RETURNS (Doc): A Doc without annotation.
    """
    if not reference.has_unknown_spaces:
        return nlp.make_doc(reference.text)
    words = [token.text for token in reference]
    spaces = [bool(token.whitespace_) for token in reference]
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _read(example: Example, settings: ModelSettings, recorder: Recorder) -> Annotation:
    # Under "strict" training stops at the first misfit; here all of them are to be seen.
    policy = "missing" if settings.misaligned == "strict" else settings.misaligned
    reference = example.reference
    try:
        annotation = gold.read_example(example, wrong_key=settings.wrong_key, misaligned=policy)
    except ValueError as error:
        recorder.document("contradictions", reference, note=str(error))
        annotation = gold.read_example(example, misaligned=policy)
    for start, end, label in annotation.misfits:
        note = f"misaligned = {settings.misaligned}"
        recorder.tokens("retokenized_entities", reference, start, end, label=label, note=note)
    return annotation


def check_document(
    doc: Doc, annotation: Annotation, piece: Subwords, cutter: Cutter, recorder: Recorder
) -> Windows:
    """Sub-words and windows of one document.

    doc (Doc): The tokens that training sees.
    annotation (Annotation): The gold on them.
    piece (Subwords): Its sub-words.
    cutter (Cutter): The window, and the unknown sub-word.
    recorder (Recorder): Gets the findings.
    RETURNS (Windows): The windows.
    """
    windows = cut(
        len(piece.ids), size=cutter.window, overlap=cutter.overlap, boundaries=piece.word_starts
    )
    # The rows of token i are piece.rows[edges[i] : edges[i + 1]]. shape: [n_tokens + 1]
    edges = np.concatenate([[0], np.cumsum(piece.lengths)])
    for i in np.flatnonzero(piece.lengths == 0):
        if not doc[int(i)].text.isspace():
            recorder.tokens("tokens_without_subwords", doc, int(i), int(i) + 1)
    unknown = piece.ids[piece.rows] == (-1 if cutter.unknown is None else cutter.unknown)
    for i in np.unique(np.searchsorted(edges, np.flatnonzero(unknown), side="right") - 1):
        recorder.tokens("unknown_subwords", doc, int(i), int(i) + 1)
    if len(windows) > 1:
        note = f"{len(piece.ids)} sub-words, {len(windows)} windows"
        recorder.document("long_documents", doc, note=note)
        inner = np.concatenate([windows.starts[1:], windows.ends[:-1]])
        for at in inner[~piece.word_starts[inner]]:
            token = _token_of(piece, edges, int(at))
            spot = Spot(place_of(doc), shown(doc[token].text), token, token + 1)
            recorder.add("words_cut", spot)
    for start, end, label in annotation.spans:
        rows = slice(edges[start], edges[end])
        _check_entity(doc, (start, end, label), piece, unknown[rows], windows, rows, recorder)
    return windows


def _check_entity(
    doc: Doc,
    span: tuple[int, int, str],
    piece: Subwords,
    unknown: np.ndarray,
    windows: Windows,
    rows: slice,
    recorder: Recorder,
) -> None:
    start, end, label = span

    def add(check: str) -> None:
        recorder.tokens(check, doc, start, end, label=label)

    own = piece.rows[rows]
    if not len(own):
        add("entities_without_subwords")
        return
    edges = [i for i in (start, end - 1) if not piece.lengths[i] and not doc[i].text.isspace()]
    if edges:
        add("entity_edges_without_subwords")
    if unknown.all():
        add("entities_with_unknown_subwords")
    low, high = int(own.min()), int(own.max())
    if not ((windows.starts <= low) & (high < windows.ends)).any():
        add("entities_cut")
    elif _across(windows, low, high):
        add("entities_across_cores")


def _across(windows: Windows, low: int, high: int) -> bool:
    """Do the first and the last sub-word lie in the cores of different windows?"""
    first, last = np.searchsorted(windows.core_ends, [low, high], side="right")
    return bool(first != last)


def _token_of(piece: Subwords, edges: np.ndarray, subword: int) -> int:
    """The token that a sub-word belongs to, or else the last token before it."""
    (found,) = np.nonzero(piece.rows <= subword)
    row = int(found[-1]) if len(found) else 0
    return int(np.searchsorted(edges, row, side="right")) - 1


class _Figures:
    """Counts of sub-words and windows over all documents."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.windows = 0
        self.tokens = 0

    def add(self, doc: Doc, piece: Subwords, windows: Windows) -> None:
        self.sizes.append(len(piece.ids))
        self.windows += len(windows)
        self.tokens += len(doc)

    def summary(self) -> dict[str, Any]:
        sizes = np.array(self.sizes or [0], dtype=np.int64)
        return {
            "tokens_of_pipeline": self.tokens,
            "subwords": int(sizes.sum()),
            "longest_in_subwords": int(sizes.max()),
            "median_in_subwords": int(np.median(sizes)),
            "windows": self.windows,
        }
