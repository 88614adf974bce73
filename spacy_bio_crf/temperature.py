"""Temperature scaling: fit a component's confidence to held-out data."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from spacy import util
from spacy.training import Example

from .errors import Plain, describe
from .heads.lattice import Lattice
from .metrics.calibration import Outcomes, log_loss
from .pipes.labeller import SequenceLabeller

# The range of the search, and its precision; both apply to the logarithm of the temperature.
COLDEST, HOTTEST, PRECISION = 0.05, 20.0, 1e-3
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Sample:
    """Annotated documents with their lattices, computed once for all temperatures."""

    component: SequenceLabeller
    batches: list[tuple[list[Example], Lattice]]


def take_sample(
    component: SequenceLabeller, examples: Iterable[Example], *, batch_size: int = 256
) -> Sample:
    """Run the network over annotated documents.

    component (SequenceLabeller): A trained component.
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
    """Confidence and correctness of every predicted entity or label of a token.

    Those on tokens without gold annotation are left out.

    temperature (float): Scales the confidence; the predictions do not depend on it.
    RETURNS (Outcomes): One entry for each prediction.
    """
    component = sample.component
    reading = component.reading(temperature=temperature)
    rated: list[tuple[float, bool]] = []
    for examples, lattice in sample.batches:
        presets = component.presets([eg.predicted for eg in examples])
        rated += component.task.rate(examples, component.labels, lattice, presets, reading)
    confidence = [score for score, _ in rated]
    correct = [right for _, right in rated]
    return Outcomes(np.array(confidence, dtype=np.float64), np.array(correct, dtype=bool))


def fit_temperature(sample: Sample) -> float:
    """Find the temperature whose confidence has the lowest log-loss.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, maximize the
    likelihood of the classes. Here the calibrated event is the one that users see: a predicted
    entity, or the label of a token, is right. The search is a golden-section search over the
    logarithm of the temperature.

    sample (Sample): Held-out documents.
    RETURNS (float): The temperature.
    RAISES: ValueError if nothing annotated is predicted in the sample.
    """
    if not len(outcomes(sample, 1.0).confidence):
        expected = f"predicted {sample.component.task.noun} in the held-out documents"
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
