"""The folder of parts: the plan of a run, and the parts that are done.

    part-0000007-1000-25310-812-0.jsonl   a part: its number, documents, words, entities and bad
                                          records. It is written aside and renamed.
    .part-0000007-9f86d081.tmp            a part on which a worker of an engine is working: a byte
                                          for each that has begun it
    _run                                  the name of the run to which such workers belong
    _manifest.json                        settings, input files, and input parts with hashes
    _joined                               the parts in one file, before it moves to its place
    _lock                                 locked by a run

Readers of data sets pass over names that begin with an underscore.
"""

import errno
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import AnnotateError
from ..io import replacing, sync, write_text
from .inputs import Input, InputPart
from .outputs import Output, output_schema
from .records import Counts

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

PART_NAME = re.compile(r"part-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)\.")
RESTART = "`restart` begins anew"


@dataclass
class Manifest:
    """The plan of a run."""

    settings: dict[str, Any]  # names and values that must not change
    files: list[list[Any]]  # name, size and time of change of the files of the input
    parts: list[InputPart]
    schema: str | None = None  # the columns of a Parquet output
    joined: Counts | None = None  # the account of all parts, once they are in one file

    def content(self, number: int) -> InputPart | None:
        """RETURNS (InputPart | None): A part wherever it begins, for comparisons."""
        return self.parts[number]._replace(start=0) if number < len(self.parts) else None


class PartsFolder:
    """The folder of parts of an output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest, self._joined = path / "_manifest.json", path / "_joined"
        self._run = path / "_run"
        self._name, self._tries = "", ""

    def part(self, number: int, counts: Counts, suffix: str) -> Path:
        """RETURNS (Path): The file of a part, from its number, its account and its format."""
        return self.path / f"part-{number:07}-{'-'.join(map(str, counts))}.{suffix}"

    def finished(self) -> dict[int, tuple[Path, Counts]]:
        """Files and accounts of the finished parts by their numbers, in order."""
        found = {}
        for path in sorted(self.path.glob("part-*")):
            if match := PART_NAME.match(path.name):
                number, *counts = map(int, match.groups())
                found[number] = path, Counts(*counts)
        return found

    def begin_run(self) -> None:
        """Name the run, so that workers of an earlier one that are still alive write no part.

        Shards share the name.
        """
        if not self._run.exists():
            write_text(self._run, secrets.token_hex(8))
        self._name, self._tries = self._run.read_text(), secrets.token_hex(4)

    def check_run(self) -> None:
        """RAISES: AnnotateError if the folder is another run's by now."""
        if self._name and not (self._run.exists() and self._run.read_text() == self._name):
            raise AnnotateError(f"{self.path}: expected the run {self._name}, got a later one")

    def begin_part(self, number: int) -> int:
        """Note that a worker begins a part. RETURNS (int): How many have begun it in this run."""
        with self._begun(number).open("ab") as file:
            file.write(b"x")
            return file.tell()

    def end_part(self, number: int) -> None:
        """Forget that workers have begun a part."""
        self._begun(number).unlink(missing_ok=True)

    def _begun(self, number: int) -> Path:
        return self.path / f".part-{number:07}-{self._tries}.tmp"

    def has_plan(self) -> bool:
        """RETURNS (bool): Whether there is a plan, which may be broken."""
        return self._manifest.exists()

    def load(self) -> Manifest | None:
        """RETURNS (Manifest | None): The plan, if there is one."""
        if not self.has_plan():
            return None
        try:
            found = Manifest(**json.loads(self._manifest.read_bytes()))
            found.parts = [InputPart(*part) for part in found.parts]
            found.joined = found.joined and Counts(*found.joined)
        except (ValueError, TypeError) as err:
            raise AnnotateError(
                f"{self._manifest}: expected the manifest of a run, got {err!r}; {RESTART}"
            ) from None
        return found

    def save(self, manifest: Manifest) -> None:
        write_text(self._manifest, json.dumps(asdict(manifest)))

    def plan(self, source: Input, settings: dict[str, Any], *, is_shard: bool) -> Manifest:
        """Make the plan of a run, or check that the one of an earlier run still holds.

        source (Input): The input.
        settings (dict[str, Any]): Names and values that must not change.
        is_shard (bool): Other runs may follow the same plan.
        RAISES: AnnotateError if a setting or the input of a finished part has changed.
        """
        old, files = self.load(), source.stamps()
        if old is not None:
            for name, value in settings.items():
                before = old.settings.get(name)
                if before != value:
                    wanted = f"the {name} of an earlier run, {before!r}"
                    raise AnnotateError(f"{self.path}: expected {wanted}, got {value!r}; {RESTART}")
            if old.files == files:
                return old
        parts = list(source.parts(settings["number of documents in a part"]))
        is_parquet = settings["format of the output"] == "parquet"
        schema = output_schema(source, parts) if is_parquet else None
        new = Manifest(settings, files, parts, schema)
        if old is not None:
            # What is not done may change, but not for one of several runs.
            numbers = range(max(len(old.parts), len(parts))) if is_shard else self.finished()
            for number in numbers:
                if old.content(number) != new.content(number):
                    place = (old if number < len(old.parts) else new).parts[number]
                    wanted = "the content of an earlier run"
                    raise AnnotateError(f"{place}: expected {wanted}, got another; {RESTART}")
            if old.schema != schema:
                wanted = "the columns of an earlier run"
                raise AnnotateError(f"{source.root}: expected {wanted}, got others; {RESTART}")
        self.save(new)
        return new

    def join(self, manifest: Manifest, output: Output) -> None:
        """Join the parts to one file, which `deliver` moves, and keep the account in the plan."""
        finished = self.finished().values()
        with replacing(self._joined) as aside:
            output.join([path for path, _ in finished], aside)
        manifest.joined = Counts().plus(*(counts for _, counts in finished))
        self.save(manifest)

    def is_joined(self, manifest: Manifest, target: Path) -> bool:
        """RETURNS (bool): Whether all that is left to do is `deliver`."""
        return manifest.joined is not None and (self._joined.exists() or target.is_file())

    def deliver(self, target: Path) -> None:
        """Move the joined file to its place and remove the folder. After an interruption this is
        called again."""
        if self._joined.exists():
            if target.is_dir():
                shutil.rmtree(target)
            self._joined.replace(target)
        # Not even a power cut may take the parts before the file has come.
        sync(target.parent)
        _remove(path for path, _ in self.finished().values())
        # The plan goes in one step, because a folder without it can't be taken up again.
        gone = self.path.with_name(f".{self.path.name}")
        shutil.rmtree(gone, ignore_errors=True)
        self.path.replace(gone)
        shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove what runs have written, the plan after the parts that it explains."""
        parts = [path for path, _ in self.finished().values()]
        _remove([*parts, self._joined, self._manifest])

    @contextmanager
    def locked(self, *, is_shared: bool) -> Iterator[None]:
        """Keep other runs out of the folder until this one ends, in any way.

        is_shared (bool): Let those in that share it too.
        RAISES: AnnotateError if a run is working there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "_lock").open("ab+") as file:
            try:
                if fcntl is not None:
                    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
                    fcntl.lockf(file, kind | fcntl.LOCK_NB)
            except OSError as err:
                # Any other error: the file system has no locks.
                if err.errno in (errno.EACCES, errno.EAGAIN):
                    raise AnnotateError(f"{self.path}: another run is writing there") from None
            if not is_shared:
                self._run.unlink(missing_ok=True)
                # What processes that were killed had begun to write.
                _remove(self.path.glob(".*.tmp"))
            yield


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
