"""The interface of a task: the meaning of labels, where they are read and written."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from spacy.tokens import Doc
from spacy.training import Example

from ..gold.annotation import Annotation
from ..heads.decode import Presets, Reading
from ..heads.lattice import Lattice


class Task(Protocol):
    """A task of a `SequenceLabeller`, a dataclass: entities, or one tag for each token."""

    @property
    def misaligned(self) -> str:
        """The rule for labels that do not fit the tokens: one of `misfits.POLICIES`."""

    @property
    def noun(self) -> str:
        """The name of what has labels, in the plural, for warnings."""

    def labels_of(self, doc: Doc) -> Iterable[str]:
        """RETURNS (Iterable[str]): The labels of an annotated document; may repeat."""

    def gold(self, example: Example, labels: Sequence[str]) -> Annotation:
        """Read the gold annotation.

        example (Example): Predicted and reference Doc.
        labels (Sequence[str]): The labels of the component.
        RETURNS (Annotation): The annotation of the predicted tokens, of any subclass: the loss asks
            for `allowed` and `count_taught`, the warnings for `spans` and `misfits`.
        RAISES: ValueError for a label that the component lacks.
        """

    def presets(self, doc: Doc) -> Annotation | None:
        """RETURNS (Annotation | None): The annotation of earlier components that this one keeps."""

    def find(self, lattice: Lattice, presets: Presets, reading: Reading) -> list[Any]:
        """RETURNS (list[Any]): The best analysis of each document, with scores; for `write`."""

    def find_alternatives(
        self, lattice: Lattice, presets: Presets, reading: Reading, *, k: int
    ) -> list[list[Any]]:
        """RETURNS (list[list[Any]]): The k best analyses of each document, the best first."""

    def rate(
        self,
        examples: Sequence[Example],
        labels: Sequence[str],
        lattice: Lattice,
        presets: Presets,
        reading: Reading,
    ) -> list[tuple[float, bool]]:
        """RETURNS (list[tuple[float, bool]]): The confidence of each prediction whose gold is
        known, and whether it is right."""

    def write(self, doc: Doc, found: Any) -> None:
        """Write an analysis from `find` to its document."""


class TaskOption:
    """An option of the task as an attribute of the component; a new value is checked at once."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, pipe: Any, owner: type | None = None) -> Any:
        return self if pipe is None else getattr(pipe.task, self.name)

    def __set__(self, pipe: Any, value: Any) -> None:
        pipe.task = replace(pipe.task, **{self.name: value})
