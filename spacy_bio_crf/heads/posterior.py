"""Probabilities of entities: the posterior of exactly one span and label."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from .. import crf
from ..tags.spans import Span
from ..tags.tagset import TagSet
from .lattice import Lattice


def temper(lattice: Lattice, temperature: float) -> Lattice:
    """Divide all scores by a temperature, which changes probabilities and not the best path.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, with paths for
    classes.

    lattice (Lattice): The scores of the network.
    temperature (float): Above 1 for less confidence, below 1 for more.
    RETURNS (Lattice): The same paths with other probabilities.
    """
    if temperature == 1.0:
        return lattice
    emissions, start, transitions, end = (scores / temperature for scores in lattice.scores)
    return replace(lattice, emissions=emissions, start=start, transitions=transitions, end=end)


def entity_probabilities(
    tagset: TagSet, lattice: Lattice, tags: np.ndarray, spans: Sequence[Sequence[Span]]
) -> list[np.ndarray]:
    """Compute the posterior probability of each entity in the decoded sequences.

    The probability of all paths that have exactly these tags on the entity's rows, and do not
    continue its label after them. It is computed by forward-backward (Rabiner 1989, section III.A;
    Culotta & McCallum 2004, "Confidence Estimation for Information Extraction", section 3).

    tagset (TagSet): The tags.
    lattice (Lattice): Restricted to the paths that decoding may take.
    tags (np.ndarray): The decoded tag ids; int64 [N].
    spans (Sequence[Sequence[Span]]): The entities of each document, in rows.
    RETURNS (list[np.ndarray]): For each document one probability per entity; float64 [n].
    """
    starts, ends, labels = [], [], []
    base = 0
    for length, document in zip(lattice.lengths, spans, strict=True):
        for start, end, label in document:
            starts.append(base + start)
            ends.append(base + end)
            labels.append(tagset.labels.index(label))
        base += length
    if not starts:
        return [np.zeros(0) for _ in spans]
    goes_on = ~tagset.legal_start & (tagset.label_of == np.array(labels)[:, None])
    log_p = crf.segment_log_posteriors(
        *lattice.arguments,
        starts=torch.tensor(starts),
        ends=torch.tensor(ends),
        tags=torch.from_numpy(
            np.concatenate([tags[s:e] for s, e in zip(starts, ends, strict=True)])
        ),
        followers=torch.from_numpy(~goes_on),
    )
    # Rounding may carry a certain entity a little over 1.
    probabilities = np.minimum(log_p.double().exp().cpu().numpy(), 1.0)
    return np.split(
        probabilities, np.cumsum([len(document) for document in spans], dtype=np.int64)
    )[:-1]
