"""Checks of entities, labels and tags, independent of tokenizer and encoder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..errors import counted
from ..tags.spans import MISSING_SUFFIX, EntIob, entities_in
from ..tags.tagset import TagSet
from .coverage import check_coverage, check_documents, document_figures
from .findings import Occurrence, Recorder


def check_annotation(
    docs: Sequence[Doc], recorder: Recorder, gold_key: str | None = None
) -> dict[str, Any]:
    """Check entities, find tokens without annotation, and count documents, tokens and entities.

    gold_key (str | None): Group of the gold entities in `doc.spans`; None takes `doc.ents`.
    """
    labels: Counter[str] = Counter()
    longest = 0
    full, annotated = check_documents(docs, recorder)
    for doc in full:
        (missing,) = np.nonzero(_unannotated(doc, gold_key))
        check_coverage(doc, missing, len(doc), recorder)
        entities = entities_in(doc, gold_key)
        labels.update(ent.label_ for ent in entities)
        longest = max([longest, *(len(ent) for ent in entities)])
        _check_entities(doc, entities, recorder)
        _check_groups(doc, recorder, gold_key)
    if docs and not labels:
        recorder.add("no_entities", count=len(docs))
    return {
        **document_figures(docs),
        "entities": sum(labels.values()),
        "longest_entity": longest,
        "labels": dict(sorted(labels.items())),
        "labels_annotated": None if annotated is None else sorted(annotated),
    }


def _unannotated(doc: Doc, gold_key: str | None) -> np.ndarray:
    """Find the tokens that no group of labels annotates; bool [n_tokens]."""
    if gold_key is None:
        return np.asarray(doc.to_array("ENT_IOB")).reshape(-1) == EntIob.MISSING
    missing = np.full(len(doc), gold_key not in doc.spans)
    for span in doc.spans.get(gold_key + MISSING_SUFFIX, ()):
        missing[span.start : span.end] |= not span.label
    for span in entities_in(doc, gold_key):
        missing[span.start : span.end] = False
    return missing


def _check_entities(doc: Doc, entities: Sequence[SpacySpan], recorder: Recorder) -> None:
    for ent in filter(len, entities):
        if ent[0].text.isspace() or ent[-1].text.isspace():
            recorder.tokens("white_space_edges", doc, ent.start, ent.end, label=ent.label_)
    for first, second in pairwise(sorted(entities, key=lambda ent: (ent.label, ent.start))):
        if first.end == second.start and first.label == second.label:
            recorder.tokens("neighbours", doc, first.start, second.end, label=first.label_)


def _check_groups(doc: Doc, recorder: Recorder, gold_key: str | None) -> None:
    for name, group in doc.spans.items():
        if name == gold_key:
            continue
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
    annotated: Mapping[str, Sequence[str] | None] | None = None,
    noun: str = "entity",
) -> None:
    """Compare the frequencies of labels in the parts.

    counts (Mapping[str, Mapping[str, int]]): For each part, "train" first, entities or tokens by
        label.
    recorders (Mapping[str, Recorder]): Gets the findings, by part.
    least (int): Labels with fewer of them in the training data are too rare.
    known (Sequence[str]): The labels of a trained model; empty if there is none.
    annotated (Mapping[str, Sequence[str] | None] | None): For each part the labels that its
        documents annotate; None for all.
    noun (str): What is counted: "entity" or "token".
    """
    train = counts["train"]
    for label, count in train.items():
        if count < least:
            recorders["train"].add("rare_labels", Occurrence("", label, note=counted(count, noun)))
    for part, labels in counts.items():
        for label, count in labels.items():
            found = Occurrence("", label, note=counted(count, noun))
            if known and label not in known:
                recorders[part].add("unknown_labels", found, count=count)
            if label not in train and not known:
                recorders[part].add("unlearnt_labels", found)
        own = None if annotated is None else annotated[part]
        for label in train.keys() - labels.keys():
            if own is not None and label not in own:
                continue
            recorders[part].add(
                "absent_labels", Occurrence("", label, note=f"{train[label]} in train")
            )


def check_tags(
    docs: Sequence[Doc], scheme: str, recorder: Recorder, gold_key: str | None = None
) -> None:
    """Record tags of the scheme, "BIO" or "BILUO", that no training document has."""
    found = [entities_in(doc, gold_key) for doc in docs]
    labels = sorted({ent.label_ for entities in found for ent in entities})
    tagset = TagSet(tuple(labels), scheme)
    seen = np.zeros(len(tagset.tags), dtype=np.int64)
    for ent in (ent for entities in found for ent in entities if len(ent)):
        # One by one, because they may overlap.
        tags = tagset.encode([(0, len(ent), ent.label_)], len(ent))
        seen += np.bincount(tags, minlength=len(seen))
    for i in np.flatnonzero(seen == 0):
        if i:
            recorder.add("unused_tags", Occurrence("", tagset.tags[i]))
