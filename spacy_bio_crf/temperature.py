"""Temperature scaling: fit a component's confidence to held-out data."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from spacy import util
from spacy.training import Example

from .errors import Plain, describe
from .heads.grouped import find_all_entities
from .heads.lattice import Lattice
from .metrics.calibration import Outcomes, log_loss
from .pipes.bio_ner import BioNer

# The range of the search, and its precision; both apply to the logarithm of the temperature.
COLDEST, HOTTEST, PRECISION = 0.05, 20.0, 1e-3
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Sample:
    """Annotated documents with their lattices, computed once for all temperatures."""

    component: BioNer
    batches: list[tuple[list[Example], Lattice]]


def take_sample(component: BioNer, examples: Iterable[Example], *, batch_size: int = 256) -> Sample:
    """Run the network over annotated documents.

    component (BioNer): A trained component.
    examples (Iterable[Example]): Held-out documents. On its training data, a model is right more
        often than elsewhere.
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

    Entities that touch a token without gold annotation are left out.

    temperature (float): Scales the confidence; the entities do not depend on it.
    RETURNS (Outcomes): One entry for each entity.
    """
    confidence: list[float] = []
    correct: list[bool] = []
    reading = sample.component.reading(temperature=temperature)
    # Neither spans known to be wrong nor the policy of training count here.
    task = replace(sample.component.task, incorrect_spans_key=None, misaligned="missing")
    labels = sample.component.labels
    for examples, lattice in sample.batches:
        docs = [eg.predicted for eg in examples]
        presets = sample.component.presets(docs)
        repair = sample.component.repair
        found = find_all_entities(lattice, presets, reading, scored=True, repair=repair)
        for eg, entities in zip(examples, found, strict=True):
            annotation = task.read(eg, labels)
            gold_spans = set(annotation.spans)
            for span, score in zip(entities.found, entities.scores or (), strict=True):
                if annotation.knows(span):
                    confidence.append(score)
                    correct.append(span in gold_spans)
    return Outcomes(np.array(confidence, dtype=np.float64), np.array(correct, dtype=bool))


def fit_temperature(sample: Sample) -> float:
    """Find the temperature whose confidence has the lowest log-loss.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, maximize the
    likelihood of the classes. Here the calibrated event is the one that users see: a predicted
    entity is right. The search is a golden-section search over the logarithm of the temperature.

    sample (Sample): Held-out documents.
    RETURNS (float): The temperature.
    RAISES: ValueError if no entity is predicted in the sample.
    """
    if not len(outcomes(sample, 1.0).confidence):
        expected = "a predicted entity in the held-out documents"
        raise ValueError(
            describe(repr(sample.component.name), expected=expected, got=Plain("none"))
        )
    low, high = np.log(COLDEST), np.log(HOTTEST)
    colder, hotter = high - GOLDEN * (high - low), low + GOLDEN * (high - low)

    @cache
    def loss(log_temperature: float) -> float:
        return log_loss(outcomes(sample, float(np.exp(log_temperature))))

    while high - low > PRECISION:
        if loss(colder) <= loss(hotter):
            high, hotter = hotter, colder
            colder = high - GOLDEN * (high - low)
        else:
            low, colder = colder, hotter
            hotter = low + GOLDEN * (high - low)
    return float(np.exp((low + high) / 2))
