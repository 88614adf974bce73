"""Files: lines of text, written aside and renamed, JSON, and Parquet through pyarrow."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from .errors import BioError, ConvertError, Plain, describe

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

UTF8 = "utf-8"
Tick = Callable[[int], None]  # called with the number of bytes dealt with since the last call


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file aside and rename it: readers find the old file or the whole new one.

    path (Path): The file; its folder is made if missing.
    YIELDS (Path): The file to write, in the same folder. It is synced and renamed at the end, and
        removed if an error leaves the block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        with _naming(path):
            yield aside
            sync(aside)
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(
    path: Path, *, whole: bool = False, former: Sequence[str] = ()
) -> Iterator[Path]:
    """Write a folder aside and exchange it with another: readers find the old one or the new one.

    If the old folder has entries that the new one lacks, they stay, and the others are replaced one
    by one. What killed processes have left of their folders is removed.

    path (Path): The folder; its parent is made if missing.
    whole (bool): Replace the old folder with all that is in it.
    former (Sequence[str]): Patterns of names. Such files of the old folder go, in any case.
    YIELDS (Path): The folder to fill, beside the other one. It is synced and put in place at the
        end, and removed if an error leaves the block.
    RAISES: NotADirectoryError if a file is there.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path.parent, re.escape(path.name))
    aside = _aside(path)
    try:
        with _naming(path), contextlib.ExitStack() as lock:
            aside.mkdir()
            lock.enter_context(_locking(aside))
            yield aside
            for entry in (*aside.rglob("*"), aside):
                sync(entry)
            new = {entry.name for entry in aside.iterdir()}
            old = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
            files = (entry for pattern in former for entry in path.glob(pattern))
            gone = {entry.name for entry in files if not entry.is_dir()} - new
            if whole or not path.is_dir() or old <= new | gone:
                _put(aside, path)
            else:
                for name in sorted(new):
                    _put(aside / name, path / name)
                for name in gone:
                    (path / name).unlink()
            sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_left(folder: Path, names: str) -> None:
    """Remove what killed processes have left of folders that they wrote aside.

    folder (Path): Where those folders were.
    names (str): A regular expression of their names.
    """
    for left in folder.iterdir():
        if re.fullmatch(_ASIDE.format(names), left.name) and left.is_dir():
            # What belongs to another user stays.
            with contextlib.suppress(OSError), _locking(left) as is_free:
                if is_free:
                    shutil.rmtree(left)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there: readers find all of it or nothing."""
    if path.parent.is_dir():
        remove_left(path.parent, re.escape(path.name))
    if path.is_dir():
        aside = _aside(path)
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Find all files below a folder, those behind links to folders too, without hidden ones.

    Links that lead nowhere are among them: who reads one gets an error.

    folder (Path): The folder.
    YIELDS (Path): The files, in no order.
    RAISES: OSError for a folder that can't be read.
    """
    yield from _files_below(folder, frozenset())


def _files_below(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    # `Path.rglob` passes over links to folders, and over folders that can't be read.
    above |= {os.path.realpath(folder)}
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name[0] != "."]
    for entry in found:
        path = folder / entry.name
        if entry.is_dir():
            # A link may lead to a folder that it is in.
            if not entry.is_symlink() or os.path.realpath(path) not in above:
                yield from _files_below(path, above)
        elif entry.is_file() or not path.exists():
            yield path


def checksum(path: Path) -> tuple[int, str]:
    """RETURNS (tuple[int, str]): Size and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


_BLOCK = 1 << 20
_ASIDE = r"\.{}\.[0-9]+-[0-9a-f]{{8}}\.tmp"


def _aside(path: Path) -> Path:
    # Processes in containers may have one number and one folder.
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


@contextlib.contextmanager
def _locking(folder: Path) -> Iterator[bool]:
    """Lock a folder, where the system can; yields False if another process has locked it."""
    if fcntl is None:
        yield True
        return
    number, is_free = os.open(folder, os.O_RDONLY), True
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_free = False
        except OSError:  # a file system without locks
            pass
        yield is_free
    finally:
        os.close(number)


def lock_file(file: IO) -> bool:
    """Lock a file, where the system can, until it and what child processes have of it is closed.

    RETURNS (bool): False if it is locked already.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the path in errors without one: Python's own of a full disk, and those of Rust."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        code = re.search(r"(?:\(os error |Os \{ code: )(\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    is_folder = path.is_dir()
    try:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError:
        # Windows and some network file systems can't sync a folder.
        if not is_folder:
            raise


def _put(new: Path, place: Path) -> None:
    """Put a file or folder in the place of another, which goes to `new`'s if it is a folder."""
    if not place.is_dir() and not (new.is_dir() and place.exists()):
        new.replace(place)
    elif not _exchange(new, place):
        old = new.parent / _aside(place).name
        place.rename(old)
        new.rename(place)
        old.rename(new)


def _exchange(one: Path, two: Path) -> bool:
    """Exchange two paths in one step, where the C library and the file system can."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and not rename(
        here, os.fsencode(one), here, os.fsencode(two), exchange
    )


def numbered_lines(
    path: Path, error: type[BioError], tick: Tick | None = None, *, encoding: str = UTF8
) -> Iterator[tuple[int, str]]:
    """Stream the lines of a text file. LF and CR LF end a line; CR does where most line ends are
    such, as old Macs wrote them. A file of that kind, or in another encoding, is read at once.

    path (Path): The file.
    error (type[BioError]): The type of error to raise.
    tick (Tick | None): Called with the number of bytes dealt with.
    encoding (str): The file's encoding.
    YIELDS (tuple[int, str]): The line's number, from 1, and its text without line end or BOM.
    RAISES: BioError if a line is not in that encoding.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
        lone = head.count(b"\r") - head.count(b"\r\n")
        if encoding != UTF8 or lone > head.count(b"\n"):
            text = read_text(path, error, encoding=encoding).removeprefix("\ufeff")
            if text.count("\r") - text.count("\r\n") > text.count("\n"):
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            lines = text.removesuffix("\n").split("\n") if text else []
            yield from ((number, line.removesuffix("\r")) for number, line in enumerate(lines, 1))
            if tick is not None:
                tick(path.stat().st_size)
            return
        file.seek(0)
        for number, raw in enumerate(file, start=1):
            if tick is not None:
                tick(len(raw))
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as err:
                raise _undecodable(path, number, err, error) from None
            if number == 1:
                text = text.removeprefix("\ufeff")
            yield number, text.removesuffix("\n").removesuffix("\r")


def read_text(path: Path, error: type[BioError], *, encoding: str = UTF8) -> str:
    """Read a text file as it stands, with its line ends and its BOM.

    RAISES: BioError of the type `error` if it is not in that encoding.
    """
    raw = path.read_bytes()
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        raise _undecodable(path, line, err, error) from None


def _undecodable(path: Path, line: int, err: UnicodeDecodeError, error: type[BioError]) -> BioError:
    place, byte = f"{path}, line {line}", Plain(f"byte 0x{err.object[err.start]:02x}")
    expected = "UTF-8" if err.encoding == UTF8 else err.encoding
    remedy = "name the file's encoding with `encoding`" if error is ConvertError else None
    return error(describe(place, expected=expected, got=byte, remedy=remedy))


def write_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it: UTF-8, with the line ends of `text`."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON aside and rename it.

    RAISES: ValueError for a number that JSON does not have, such as NaN.
    """
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def import_pyarrow(error: type[BioError]) -> None:
    """Check that Parquet files can be read and written.

    RAISES: BioError of the type `error` if pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as err:
        remedy = 'pip install "spacy_bio_crf[parquet]"'
        raise error(f"Parquet needs pyarrow, which is not installed ({err}); {remedy}") from None


def open_parquet(path: Path, error: type[BioError]) -> Any:
    """Open a Parquet file.

    RETURNS (pyarrow.parquet.ParquetFile): The file, a context manager.
    RAISES: BioError of the type `error` if it is no Parquet file or pyarrow is not installed.
    """
    import_pyarrow(error)
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as err:
        raise error(f"{path}: expected a Parquet file: {err}") from None
