"""Doubt about whole analyses: their entropy, the best two, and the entities to be expected.

Without groups of labels there is one lattice. Groups are independent given the text: entropies and
log-probabilities add up, and the second best analysis differs from the best one in one group.
"""

from dataclasses import dataclass

import numpy as np

from .. import crf
from .decode import Presets, Reading, close_paths, temper
from .grouped import parts_of_groups
from .lattice import Lattice


@dataclass(frozen=True)
class Doubt:
    """The doubt of a model about one document.

    tokens (int): Tokens that have a row in the lattice.
    entropy (float): Of the distribution over all tag sequences, in nats.
    best (float): The log-probability of the best tag sequence.
    second (float | None): That of the second best one; None if there is one alone.
    expected (dict[str, float]): For each label the expected number of its entities.
    """

    tokens: int
    entropy: float
    best: float
    second: float | None
    expected: dict[str, float]


def measure_doubt(lattice: Lattice, presets: Presets, reading: Reading) -> list[Doubt]:
    """Measure the doubt about each document, exactly, by forward-backward and the two best paths.

    The expected number of a label's entities is the sum of the probabilities that one begins, over
    all tokens. Entities that an earlier component has set are counted too.

    lattice (Lattice): The scores of the network.
    presets (Presets): The annotation to keep.
    reading (Reading): The settings of decoding.
    RETURNS (list[Doubt]): One for each document.
    """
    sizes = lattice.lengths
    entropy, best = np.zeros(len(sizes)), np.zeros(len(sizes))
    # The least that a second path loses, in whatever group. shape: (B,)
    loss = np.full(len(sizes), np.inf)
    expected: list[dict[str, float]] = [{} for _ in sizes]
    for part, own, settings in parts_of_groups(lattice, presets, reading):
        chain = temper(close_paths(part, own, settings), settings.temperature)
        entropy += crf.entropy(*chain.arguments).double().cpu().numpy()
        for i, paths in enumerate(crf.kbest(*chain.arguments, k=2)):
            best[i] += paths[0].log_probability
            if len(paths) > 1:
                loss[i] = min(loss[i], paths[0].score - paths[1].score)
        tagset = settings.tagset
        marginals = crf.marginals(*chain.arguments).double().cpu().numpy()
        for counts, rows in zip(expected, chain.split(marginals), strict=True):
            begun = rows.sum(axis=0)
            for index, label in enumerate(tagset.labels):
                columns = tagset.begins & (tagset.label_of == index)
                counts[label] = float(begun[columns].sum())
    return [
        Doubt(n, float(h), float(p), None if np.isinf(d) else float(p - d), counts)
        for n, h, p, d, counts in zip(sizes, entropy, best, loss, expected, strict=True)
    ]
