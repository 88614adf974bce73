"""What a run has done so far, on disk: a folder beside the output, from which it goes on after an
interruption.

    corpus.jsonl.part/
        rows         the output's rows, batch after batch
        state.json   how far the input was read, and how many bytes of `rows` belong to that
        lock         held by the run that writes here

`state.json` is replaced as a whole, after `rows` is on disk. What `rows` has beyond the bytes that
it names is of a batch whose input counts as unread: it is cut off.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from .records import AnnotateError, Counts, Mark

INTERVAL = 1.0  # seconds between two states on disk
VERSION = 1


@dataclass
class State:
    """How far a run has got.

    settings (dict[str, Any]): What must be the same for the run to go on.
    mark (Mark): How far the input has been read.
    size (int): The bytes of `rows` that belong to that.
    counts (Counts): What was done.
    """

    settings: dict[str, Any]
    mark: Mark = field(default_factory=Mark)
    size: int = 0
    counts: Counts = field(default_factory=Counts)


class Part:
    """The folder, opened for one run.

    output (Path): The output.
    settings (dict[str, Any]): What must be the same for an interrupted run to go on: names and
        values that JSON holds.
    restart (bool): Forget an interrupted run.
    RAISES: AnnotateError if another run is writing, or the one before had other settings, or what
        it has left is not whole.
    """

    def __init__(self, output: Path, settings: dict[str, Any], *, restart: bool = False) -> None:
        self.output = output
        self.folder = part_folder(output)
        self.rows = self.folder / "rows"
        self._state = self.folder / "state.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder / "lock")
        self._saved = time.monotonic()
        try:
            if restart:
                self._state.unlink(missing_ok=True)
            self.state = self._read(settings)
            self._file: IO[bytes] = self.rows.open("r+b" if self.rows.exists() else "w+b")
            self._file.truncate(self.state.size)
            self._file.seek(self.state.size)
        except BaseException:
            self._lock.close()
            raise

    def _read(self, settings: dict[str, Any]) -> State:
        # As JSON gives them back.
        settings = json.loads(json.dumps({"version": VERSION, **settings}))
        if not self._state.exists():
            return State(settings)
        try:
            found = json.loads(self._state.read_bytes())
            state = State(
                found["settings"], Mark(**found["mark"]), found["size"], Counts(**found["counts"])
            )
        except (ValueError, KeyError, TypeError) as err:
            raise AnnotateError(
                f"{self._state}: expected the state of an interrupted run: {err!r}; --restart "
                "begins anew"
            ) from err
        for name in settings:
            before = state.settings.get(name)
            if before != settings[name]:
                raise AnnotateError(
                    f"{self.folder}: the interrupted run had another {name}: {before!r}, now "
                    f"{settings[name]!r}; --restart begins anew"
                )
        size = self.rows.stat().st_size if self.rows.exists() else 0
        if size < state.size:
            raise AnnotateError(
                f"{self.rows}: expected the {state.size} bytes that the interrupted run has "
                f"written, found {size}; --restart begins anew"
            )
        return state

    def add(self, rows: bytes, mark: Mark, counts: Counts) -> None:
        """Append the rows of a batch.

        rows (bytes): The rows.
        mark (Mark): How far the input has been read with them.
        counts (Counts): What has been done with them.
        """
        self._file.write(rows)
        self.state.size += len(rows)
        self.state.mark, self.state.counts = mark, counts
        if time.monotonic() - self._saved >= INTERVAL:
            self.save()

    def save(self) -> None:
        """Bring rows and state to disk, in this order."""
        self._file.flush()
        os.fsync(self._file.fileno())
        aside = self._state.with_suffix(".tmp")
        with aside.open("wb") as file:
            file.write(json.dumps(asdict(self.state)).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._state)
        self._saved = time.monotonic()

    def close(self) -> None:
        """Save, and leave the folder to another run; nothing is to be done once it is finished."""
        if self._file.closed:
            return
        try:
            self.save()
        finally:
            self._file.close()
            self._lock.close()

    def finish(self, make: Callable[[Path, Path], Path]) -> None:
        """Make the output, move it to its place and remove the folder.

        make (Callable[[Path, Path], Path]): From rows and a folder to work in to the output.
        """
        self.save()
        made = make(self.rows, self.folder)
        if made.is_dir() or self.output.is_dir():
            # A folder takes no other's place in one step.
            old = self.folder / "replaced"
            if self.output.exists():
                self.output.replace(old)
        made.replace(self.output)
        self._file.close()
        self._lock.close()
        shutil.rmtree(self.folder)


def part_folder(output: Path) -> Path:
    """RETURNS (Path): The folder that belongs to an output."""
    return output.with_name(f"{output.name}.part")


def _locked(path: Path) -> IO[bytes]:
    """A file whose lock goes when its process does, however that ends; forked processes do not
    inherit it."""
    file = path.open("ab")
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return file
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        file.close()
        raise AnnotateError(f"{path.parent}: another run is writing there ({err})") from None
    return file
