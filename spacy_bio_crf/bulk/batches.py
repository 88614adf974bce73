"""Cut a stream of records into batches: the same ones wherever a run begins."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .records import Bad, Mark, Record
from .sources import Source

CHARACTERS = 1_000_000  # of text in a batch, unless one document alone has more


@dataclass
class Batch:
    """Records that are annotated, written and counted together.

    records (list[Record]): The documents.
    bad (list[Bad]): Records that are none.
    after (Mark): How far the input has been read with them.
    done (int): The same in the source's unit.
    """

    records: list[Record] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    after: Mark = Mark()
    done: int = 0


def batches(source: Source, start: Mark, *, size: int, skip_bad: bool) -> Iterator[Batch]:
    """Cut a stream into batches, by number and by characters, so that memory is bounded.

    source (Source): The records.
    start (Mark): Where to begin: the `after` of a batch, or the beginning.
    size (int): Most records in a batch.
    skip_bad (bool): Go on after bad records. If not, the last batch is the first bad record alone,
        without the documents between it and the last full batch.
    YIELDS (Batch): The batches, in order, none of them empty.
    """
    batch, characters = Batch(), 0
    for record in source.records(start):
        if isinstance(record, Bad):
            if not skip_bad:
                yield Batch(bad=[record], after=source.mark(), done=source.done)
                return
            batch.bad.append(record)
        else:
            batch.records.append(record)
            characters += len(record.text)
        if len(batch.records) + len(batch.bad) >= size or characters >= CHARACTERS:
            batch.after, batch.done = source.mark(), source.done
            yield batch
            batch, characters = Batch(), 0
    if batch.records or batch.bad:
        batch.after, batch.done = source.mark(), source.done
        yield batch
