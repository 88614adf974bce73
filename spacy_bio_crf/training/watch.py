"""Signs that a training diverges: too high a rate, a norm that leaps or is not finite."""

import math
import warnings

from ..errors import BioError, Plain, describe

# The highest learning rate that a pre-trained transformer survives.
HIGHEST_RATE = 5e-4
# A norm so many times the greatest one so far is a leap.
LEAP = 100.0
REMEDY = "lower training.optimizer.learn_rate, or let it rise by a warm-up"


class StepWatch:
    """Looks at each step of one training, and warns of each sign once.

    name (str): The component's name, for the messages.
    """

    def __init__(self, name: str):
        self.name = name
        self._steps = 0
        self._greatest = 0.0
        self._said: set[str] = set()

    def check_rate(self, rate: float) -> None:
        """Warn of a learning rate at which a pre-trained transformer loses what it knows.

        rate (float): The transformer's rate in this step; 0 if none is trained.
        """
        if rate > HIGHEST_RATE:
            self._warn(
                "rate",
                f"The pre-trained transformer of {self.name!r} trains at a learning rate of"
                f" {rate:g}, and above {HIGHEST_RATE:g} most of them lose what they know. Set"
                " training.optimizer.learn_rate to about 2e-4 for a small encoder and 5e-5 for one"
                " of base size.",
            )

    def check_norm(self, norm: float) -> None:
        """Look at the norm of the gradient, before a step is taken with it.

        norm (float): The norm before clipping; 0 if it is not known.
        RAISES: ValueError for one that is not finite.
        """
        self._steps += 1
        if not math.isfinite(norm):
            raise BioError(
                describe(
                    f"gradient of {self.name!r} in step {self._steps}",
                    expected="finite numbers",
                    got=Plain(f"a norm of {norm}, not finite: training has diverged"),
                    remedy=REMEDY,
                )
            )
        if 0.0 < self._greatest * LEAP < norm:
            self._warn(
                "leap",
                f"The norm of the gradient of {self.name!r} has leapt to {norm:.3g} in step"
                f" {self._steps}, from {self._greatest:.3g} at the most: training may diverge."
                f" If it does, {REMEDY}.",
            )
        self._greatest = max(self._greatest, norm)

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            warnings.warn(message, stacklevel=4)
