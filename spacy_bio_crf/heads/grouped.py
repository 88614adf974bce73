"""Decoding and losses of several groups of labels, each a lattice in columns of the same emissions.

The groups are independent given the text: the probability of an analysis is the product of theirs.
Without groups there is one lattice, and nothing is added to it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import nlargest
from itertools import product

import numpy as np
import torch

from ..gold.annotation import Annotation, Preset
from ..gold.layers import LayeredAnnotation
from ..tags.groups import TagGroups
from .decode import (
    Alternative,
    Entities,
    Presets,
    Reading,
    close_paths,
    find_alternatives,
    find_entities,
    tag_marginals,
)
from .emitter import Head
from .lattice import Lattice
from .soft_loss import gold_loss


def find_all_entities(
    lattice: Lattice,
    presets: Presets,
    reading: Reading,
    *,
    scored: bool,
    repair: str = "begin",
    threshold: float = 0.0,
) -> list[Entities]:
    """Find the best analysis of each document, the entities of all groups together.

    The arguments are those of `find_entities`.

    RETURNS (list[Entities]): One for each document. Those of different groups may overlap.
    """
    parts = [
        find_entities(*part, scored=scored, repair=repair, threshold=threshold)
        for part in parts_of_groups(lattice, presets, reading)
    ]
    if reading.groups is None:
        return parts[0]
    by_document = zip(presets, zip(*parts, strict=True), strict=True)
    return [_joined(preset, own, reading.groups) for preset, own in by_document]


def find_all_alternatives(
    lattice: Lattice, presets: Presets, reading: Reading, *, k: int, repair: str = "begin"
) -> list[list[Alternative]]:
    """Find the k most probable analyses of each document, each of one sequence for every group.

    The arguments are those of `find_alternatives`.

    RETURNS (list[list[Alternative]]): For each document, the most probable first.
    """
    parts = [
        find_alternatives(*part, k=k, repair=repair)
        for part in parts_of_groups(lattice, presets, reading)
    ]
    if reading.groups is None:
        return parts[0]
    found = []
    for preset, lists in zip(presets, zip(*parts, strict=True), strict=True):
        best = [Alternative([], 1.0)]
        for own in lists:
            # The k best of all are among the k best of those before with the k best of this group.
            pairs = [
                Alternative([*a.spans, *b.spans], a.probability * b.probability)
                for a, b in product(best, own)
            ]
            best = nlargest(k, pairs, key=lambda a: a.probability)
        kept = [] if preset is None else preset.spans
        found.append([replace(a, spans=sorted({*a.spans, *kept})) for a in best])
    return found


def all_tag_marginals(
    lattice: Lattice, presets: Presets, reading: Reading, *, sizes: Sequence[int]
) -> list[np.ndarray]:
    """Compute the probability of each tag at each token, group by group.

    The arguments are those of `tag_marginals`.

    RETURNS (list[np.ndarray]): For each document float32 [n_tokens, K]; the tags of each group add
        up to 1.
    """
    parts = [
        tag_marginals(*part, sizes=sizes) for part in parts_of_groups(lattice, presets, reading)
    ]
    if reading.groups is None:
        return parts[0]
    return [np.concatenate(own, axis=1) for own in zip(*parts, strict=True)]


def loss_of_groups(
    annotations: Sequence[LayeredAnnotation],
    lattice: Lattice,
    *,
    head: Head,
    groups: TagGroups,
    continued: bool,
    size: int,
) -> tuple[float, Lattice]:
    """Add up the losses of all groups; see `gold_loss`.

    annotations (Sequence[LayeredAnnotation]): The gold, a layer for each group.
    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    """
    emissions, start, transitions, end = map(torch.zeros_like, lattice.scores)
    gradient = Lattice(emissions, start, transitions, end, lattice.tokens)
    total = 0.0
    for i, columns in enumerate(groups.columns):
        loss, part = gold_loss(
            [annotation.layers[i] for annotation in annotations],
            lattice.part(columns),
            head=head,
            tagset=groups.tagsets[i],
            continued=continued,
            size=size,
        )
        total += loss
        for whole, own in zip(gradient.part(columns).scores, part.scores, strict=True):
            whole.copy_(own)
    return total, gradient


def close_all_paths(lattice: Lattice, presets: Presets, reading: Reading) -> Lattice:
    """Close the paths that presets and the scheme forbid, in the columns of each group.

    RETURNS (Lattice): The scores of all groups, as they are decoded. Those from one group's tags to
        another's have no meaning.
    """
    if reading.groups is None:
        return close_paths(lattice, presets, reading)
    emissions, start, transitions, end = (scores.clone() for scores in lattice.scores)
    closed = Lattice(emissions, start, transitions, end, lattice.tokens)
    for columns, part in zip(
        reading.groups.columns, parts_of_groups(lattice, presets, reading), strict=True
    ):
        for kept, own in zip(closed.part(columns).scores, close_paths(*part).scores, strict=True):
            kept.copy_(own)
    return closed


def parts_of_groups(
    lattice: Lattice, presets: Presets, reading: Reading
) -> Iterator[tuple[Lattice, Presets, Reading]]:
    """The arguments for each group; without groups those given."""
    if reading.groups is None:
        yield lattice, presets, reading
        return
    groups = reading.groups
    for tagset, columns in zip(groups.tagsets, groups.columns, strict=True):
        own = [_preset_of(preset, tagset.labels) for preset in presets]
        yield lattice.part(columns), own, replace(reading, tagset=tagset, groups=None)


def _preset_of(preset: Annotation | None, labels: Sequence[str]) -> Annotation | None:
    """What a preset says about a group: its entities of the group's labels, and blocked tokens.

    Entities of other labels may overlap those of the group.
    """
    if preset is None:
        return None
    spans = [span for span in preset.spans if span[2] in labels]
    known = np.zeros_like(preset.known)
    blocked = preset.blocked if isinstance(preset, Preset) else []
    for start, end in (*(span[:2] for span in spans), *blocked):
        known[start:end] = True
    return Annotation(spans, known) if known.any() else None


def _joined(preset: Annotation | None, parts: Sequence[Entities], groups: TagGroups) -> Entities:
    found = [span for part in parts for span in part.found]
    if any(part.scores is None for part in parts):
        return Entities(preset, sorted(found), None, groups)
    scores = [score for part in parts for score in part.scores or ()]
    pairs = sorted(zip(found, scores, strict=True))
    return Entities(preset, [span for span, _ in pairs], [score for _, score in pairs], groups)
