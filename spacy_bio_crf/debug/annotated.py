"""Checks of the annotation itself, which need no tokenizer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..tags.tagset import TagSet
from .findings import Recorder, Spot, place_of, shown

MISSING = 0  # spaCy's value of token.ent_iob
LENGTHS = (128, 256, 400, 512)  # in tokens; how many documents are longer


def check_annotation(docs: Sequence[Doc], recorder: Recorder) -> dict[str, Any]:
    """Entities, and tokens that have no annotation.

    docs (Sequence[Doc]): The reference Docs.
    recorder (Recorder): Gets the findings.
    RETURNS (dict[str, Any]): Counts of documents, tokens and entities, and entities by label.
    """
    labels: Counter[str] = Counter()
    sizes = np.array([len(doc) for doc in docs] or [0], dtype=np.int64)
    longest = 0
    for doc in docs:
        if not len(doc):
            recorder.document("empty_documents", doc)
            continue
        iob = np.asarray(doc.to_array("ENT_IOB")).reshape(-1)
        (missing,) = np.nonzero(iob == MISSING)
        if len(missing) == len(doc):
            recorder.document("no_annotation", doc)
        elif len(missing):
            first = int(missing[0])
            spot = Spot(place_of(doc), shown(doc[first].text), first, first + 1)
            recorder.add("missing_tokens", spot, count=len(missing))
        labels.update(ent.label_ for ent in doc.ents)
        longest = max([longest, *(len(ent) for ent in doc.ents)])
        _check_entities(doc, recorder)
        _check_groups(doc, recorder)
    if docs and not labels:
        recorder.add("no_entities", count=len(docs))
    return {
        "documents": len(docs),
        "tokens": int(sizes.sum()),
        "longest_document": int(sizes.max()),
        "documents_over": {str(n): int((sizes > n).sum()) for n in LENGTHS},
        "entities": sum(labels.values()),
        "longest_entity": longest,
        "labels": dict(sorted(labels.items())),
    }


def _check_entities(doc: Doc, recorder: Recorder) -> None:
    for ent in doc.ents:
        if ent[0].text.isspace() or ent[-1].text.isspace():
            recorder.tokens("white_space_edges", doc, ent.start, ent.end, label=ent.label_)
    for first, second in pairwise(doc.ents):
        if first.end == second.start and first.label == second.label:
            recorder.tokens("neighbours", doc, first.start, second.end, label=first.label_)


def _check_groups(doc: Doc, recorder: Recorder) -> None:
    for name, group in doc.spans.items():
        last: SpacySpan | None = None
        for span in sorted(group, key=lambda span: (span.start, -span.end)):
            if last is not None and span.start < last.end:
                note = f"doc.spans[{name!r}]"
                recorder.tokens(
                    "overlapping_spans", doc, span.start, span.end, label=span.label_, note=note
                )
            if last is None or span.end > last.end:
                last = span


def check_labels(
    counts: Mapping[str, Mapping[str, int]],
    recorders: Mapping[str, Recorder],
    *,
    least: int,
    known: Sequence[str] = (),
) -> None:
    """Compare how often labels occur in the parts.

    counts (Mapping[str, Mapping[str, int]]): For each part, "train" first, entities by label.
    recorders (Mapping[str, Recorder]): Gets the findings, by part.
    least (int): Labels with fewer entities in the training data are too rare.
    known (Sequence[str]): The labels of a trained model; empty if there is none.
    """
    train = counts["train"]
    for label, count in train.items():
        if count < least:
            recorders["train"].add("rare_labels", Spot("", label, note=f"{count} entities"))
    for part, labels in counts.items():
        for label, count in labels.items():
            if known and label not in known:
                spot = Spot("", label, note=f"{count} entities")
                recorders[part].add("unknown_labels", spot, count=count)
            if label not in train and not known:
                recorders[part].add("unlearnt_labels", Spot("", label, note=f"{count} entities"))
        for label in train.keys() - labels.keys():
            recorders[part].add("absent_labels", Spot("", label, note=f"{train[label]} in train"))


def check_tags(docs: Sequence[Doc], scheme: str, recorder: Recorder) -> None:
    """Tags of the scheme that no training document has.

    docs (Sequence[Doc]): The training Docs.
    scheme (str): "BIO" or "BILUO".
    recorder (Recorder): Gets the findings.
    """
    labels = sorted({ent.label_ for doc in docs for ent in doc.ents})
    tagset = TagSet(tuple(labels), scheme)
    seen = np.zeros(len(tagset.tags), dtype=np.int64)
    for doc in docs:
        spans = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        seen += np.bincount(tagset.encode(spans, len(doc)), minlength=len(seen))
    for i in np.flatnonzero(seen == 0):
        if i:
            recorder.add("unused_tags", Spot("", tagset.tags[i]))
