"""The work at a part: read it, annotate it, write it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from spacy.language import Language

from ..errors import AnnotateError
from ..io import replacing
from .inputs import Input, InputPart, PartRows, to_rows
from .outputs import Output
from .parts_folder import PartsFolder
from .records import BadRecord, Counts, annotate_rows


class PartResult(NamedTuple):
    """The account of a part that is done."""

    size: int  # of the part
    counts: Counts
    bad: list[BadRecord]  # the records that were left out


@dataclass(frozen=True)
class Work:
    """All that a worker needs besides the pipeline. It can be pickled."""

    source: Input
    folder: PartsFolder
    output: Output
    batch_size: int | None
    skip_bad: bool

    def __call__(self, nlp: Language, part: InputPart) -> PartResult:
        return self.annotate(nlp, part, self.source.read(part))

    def annotate(self, nlp: Language, part: InputPart, found: PartRows) -> PartResult:
        """Annotate and write the records of a part.

        RAISES: AnnotateError for the first bad record, unless they are left out, and if the part
            can't be written.
        """
        if found.bad and not self.skip_bad:
            raise found.bad[0].error()
        is_table = not isinstance(found.rows, list)
        annotated = annotate_rows(
            nlp,
            to_rows(found.rows) if is_table and self.output.format != "parquet" else found.rows,
            text_key=self.source.text_key,
            entities_key=self.source.entities_key,
            batch_size=self.batch_size,
            skip_bad=self.skip_bad,
            places=found.places,
            with_docs=self.output.format == "spacy",
        )
        bad = [*found.bad, *annotated.bad]
        n_entities = sum(map(len, annotated.entities))
        counts = Counts(len(annotated.kept), annotated.words, n_entities, len(bad))
        target = self.folder.part(part.number, counts, self.output.format)
        try:
            with replacing(target) as aside:
                self.output.write(aside, found, annotated)
                self.folder.check_run()
        # The system's own message has no path when a disk is full.
        except OSError as err:
            raise AnnotateError(f"{target}: the part can't be written: {err}") from err
        return PartResult(part.size, counts, bad)


class Engine(Protocol):
    """Workers beyond this machine."""

    def run(
        self, work: Work, load: Callable[[], Language], parts: Sequence[InputPart]
    ) -> Generator[PartResult, None, None]:
        """Do parts, in any order.

        work (Work): The work.
        load (Callable[[], Language]): Loads the pipeline in a worker.
        parts (Sequence[InputPart]): The parts.
        YIELDS (PartResult): The account of each part.
        RAISES: AnnotateError for a bad record, a part at which workers die again and again, and
            workers that can't load the pipeline.
        """
