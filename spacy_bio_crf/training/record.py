"""The record of a training: its steps, losses and scores, as a checkpoint keeps them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Record:
    """What a training has done.

    step, epoch (int): Of the last step; -1 before the first.
    words (int): Words trained on.
    seconds (float): Time it took, without interruptions.
    losses (dict[str, float]): Sums by component since the last evaluation.
    results (list[tuple[float, int]]): Score and step of each evaluation.
    log (list[dict]): What the logger was told of each evaluation.
    """

    step: int = -1
    epoch: int = 0
    words: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    results: list[tuple[float, int]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """RETURNS (dict): The record, for a checkpoint."""
        log = [{k: v for k, v in info.items() if k != "checkpoints"} for info in self.log]
        return {**self.__dict__, "log": log}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Record":
        """Read the result of `data`."""
        results = [(score, step) for score, step in data["results"]]
        log = [
            {**info, "checkpoints": [r for r in results if r[1] <= info["step"]]}
            for info in data["log"]
        ]
        return cls(**{**data, "results": results, "log": log})

    def is_over(self, *, patience: int, max_steps: int) -> bool:
        """Whether a limit on steps is reached, or scores have not improved for long."""
        if not self.results:
            return False
        # Of equal scores the earliest counts.
        _, best = max((score, -step) for score, step in self.results)
        return bool(
            (patience and self.step + best >= patience) or (max_steps and self.step >= max_steps)
        )
