"""Confidence that can be believed: a temperature fitted on held-out data, and how far off it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from spacy import util
from spacy.training import Example

from .gold import annotation as gold
from .heads.decode import find_entities
from .heads.emitter import Lattice
from .pipes.bio_ner import BioNer

# The range of temperatures looked at, and how close to the best one the search comes.
COLDEST, HOTTEST, PRECISION = 0.05, 20.0, 1e-3
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Outcomes:
    """What became of predicted entities.

    confidence (np.ndarray): The probability each was given; float64 [n].
    correct (np.ndarray): Whether the gold has exactly this span with this label; bool [n].
    """

    confidence: np.ndarray
    correct: np.ndarray


@dataclass(frozen=True)
class Bin:
    """Entities of similar confidence.

    low (float): Least confidence of the bin, inclusive.
    high (float): Greatest, exclusive but for 1.0.
    count (int): Entities in it.
    confidence (float): Their mean confidence; NaN for an empty bin.
    precision (float): The share of them that is correct; NaN for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float
    precision: float


@dataclass(frozen=True)
class Sample:
    """Lattices of annotated documents, read once so that temperatures can be tried.

    component (BioNer): The component.
    batches (list[tuple[list[Example], Lattice]]): Examples and what the network says of them.
    """

    component: BioNer
    batches: list[tuple[list[Example], Lattice]]


def take_sample(component: BioNer, examples: Iterable[Example], *, batch_size: int = 256) -> Sample:
    """Run the network over annotated documents.

    component (BioNer): A trained component.
    examples (Iterable[Example]): Held-out data: training data would make it look too sure.
    batch_size (int): Documents at once.
    RETURNS (Sample): Examples and lattices.
    """
    batches = [
        (batch, component.lattice([eg.predicted for eg in batch]))
        for batch in util.minibatch(examples, batch_size)
    ]
    return Sample(component, batches)


def outcomes(sample: Sample, temperature: float) -> Outcomes:
    """Confidence and correctness of every predicted entity.

    Entities on tokens without gold annotation are left out: nobody knows whether they are right.

    sample (Sample): Annotated documents.
    temperature (float): Moves the confidence; the entities stay the same.
    RETURNS (Outcomes): One entry for each entity.
    """
    confidence: list[float] = []
    correct: list[bool] = []
    reading = sample.component.reading(temperature=temperature)
    for examples, lattice in sample.batches:
        docs = [eg.predicted for eg in examples]
        found = find_entities(docs, lattice, reading, scored=True)
        for eg, entities in zip(examples, found, strict=True):
            annotation = gold.read_example(eg)
            for span, score in zip(entities.found, entities.scores or (), strict=True):
                if annotation.known[span[0] : span[1]].all():
                    confidence.append(score)
                    correct.append(span in annotation.spans)
    return Outcomes(np.array(confidence, dtype=np.float64), np.array(correct, dtype=bool))


def fit_temperature(sample: Sample) -> float:
    """The temperature at which confidence predicts correctness best, by log-loss.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, fit it by the
    likelihood of the classes; here the event that is calibrated is the one users see, that a
    predicted entity is right. Golden-section search over the logarithm of the temperature.

    sample (Sample): Held-out documents.
    RETURNS (float): The temperature.
    RAISES: ValueError if no entity is predicted in the sample.
    """
    if not len(outcomes(sample, 1.0).confidence):
        raise ValueError(
            f"{sample.component.name!r} predicts no entity in the documents given to calibrate it;"
            " expected held-out documents with entities of its labels."
        )
    low, high = np.log(COLDEST), np.log(HOTTEST)
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    losses = [log_loss(outcomes(sample, float(np.exp(x)))) for x in inner]
    while high - low > PRECISION:
        if losses[0] <= losses[1]:
            high, inner[1], losses[1] = inner[1], inner[0], losses[0]
            inner[0] = high - GOLDEN * (high - low)
            losses[0] = log_loss(outcomes(sample, float(np.exp(inner[0]))))
        else:
            low, inner[0], losses[0] = inner[0], inner[1], losses[1]
            inner[1] = low + GOLDEN * (high - low)
            losses[1] = log_loss(outcomes(sample, float(np.exp(inner[1]))))
    return float(np.exp((low + high) / 2))


def log_loss(results: Outcomes) -> float:
    """Mean negative log-likelihood of being right or wrong, under the confidence.

    results (Outcomes): Predicted entities.
    RETURNS (float): In nats per entity.
    """
    p = np.clip(results.confidence, 1e-12, 1 - 1e-12)
    return float(-np.where(results.correct, np.log(p), np.log1p(-p)).mean())


def reliability(results: Outcomes, *, bins: int = 10) -> list[Bin]:
    """Confidence against precision, in bins of equal width: the reliability diagram.

    results (Outcomes): Predicted entities.
    bins (int): How many.
    RETURNS (list[Bin]): From the lowest confidence to the highest.
    """
    # A confidence of exactly 1.0 belongs to the last bin.
    place = np.minimum((results.confidence * bins).astype(int), bins - 1)
    diagram = []
    for i in range(bins):
        inside = place == i
        count = int(inside.sum())
        diagram.append(
            Bin(
                low=i / bins,
                high=(i + 1) / bins,
                count=count,
                confidence=float(results.confidence[inside].mean()) if count else float("nan"),
                precision=float(results.correct[inside].mean()) if count else float("nan"),
            )
        )
    return diagram


def expected_calibration_error(diagram: Sequence[Bin]) -> float:
    """The mean gap between confidence and precision, weighted by the entities of a bin.

    Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", section 3.

    diagram (Sequence[Bin]): From `reliability`.
    RETURNS (float): From 0, as good as its word, to 1; 0.0 without any entity.
    """
    total = sum(b.count for b in diagram)
    gaps = (b.count * abs(b.confidence - b.precision) for b in diagram if b.count)
    return sum(gaps) / total if total else 0.0
