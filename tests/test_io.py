import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spacy_bio_crf import io
from spacy_bio_crf.errors import AnnotateError, BioError, ConvertError
from spacy_bio_crf.io import (
    checksum,
    files_below,
    import_pyarrow,
    numbered_lines,
    open_parquet,
    read_text,
    remove_folder,
    remove_left,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)
from tests.support.paths import PROJECT_PATH


def test_lines_end_at_lf_and_cr_lf_alone(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes("\ufeffa\r\nb\u2028c\x0bd\x85\n\n\ufeffe\rf".encode())
    read: list[int] = []
    lines = list(numbered_lines(path, ConvertError, read.append))
    assert lines == [(1, "a"), (2, "b\u2028c\x0bd\x85"), (3, ""), (4, "\ufeffe\rf")]
    assert sum(read) == path.stat().st_size and len(read) == 4
    assert list(numbered_lines(path, ConvertError)) == lines


def test_a_text_is_read_as_it_stands(tmp_path: Path):
    (tmp_path / "a").write_bytes("\ufeffa\r\nb\r".encode())
    assert read_text(tmp_path / "a", ConvertError) == "\ufeffa\r\nb\r"


@pytest.mark.parametrize("read", [lambda *args: list(numbered_lines(*args)), read_text])
@pytest.mark.parametrize("error", [ConvertError, AnnotateError])
def test_bytes_that_are_not_utf8(tmp_path: Path, read, error):
    path = tmp_path / "a"
    path.write_bytes(b"a\n\nb\xe9c\n\xff")
    with pytest.raises(error) as caught:
        read(path, error)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3: expected UTF-8, got byte 0xe9")
    assert ("`encoding`" in message) == (error is ConvertError)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path):
    path = tmp_path / "new" / "a"
    with replacing(path) as aside:
        assert aside.parent == path.parent
        aside.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(KeyError), replacing(path) as aside:
        aside.write_text("second")
        raise KeyError
    with pytest.raises(FileNotFoundError), replacing(path):
        pass  # nothing was written
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_texts_and_json(tmp_path: Path):
    write_text(tmp_path / "a", "\u00e9\n\r\n")
    assert (tmp_path / "a").read_bytes() == "\u00e9\n\r\n".encode()
    write_json(tmp_path / "b", {"\u00e9": [1]})
    text = (tmp_path / "b").read_text(encoding="utf-8")
    assert json.loads(text) == {"\u00e9": [1]} and "\u00e9" in text and text.endswith("}\n")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b", float("nan"))
    assert (tmp_path / "b").read_text(encoding="utf-8") == text


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a"
    parquet.write_table(pyarrow.table({"x": [1, 2]}), path)
    with open_parquet(path, ConvertError) as file:
        assert file.metadata.num_rows == 2
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(ConvertError, match=f"^{path}: expected a Parquet file"):
        open_parquet(path, ConvertError)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    with pytest.raises(AnnotateError, match="^Parquet needs pyarrow, which is not installed"):
        import_pyarrow(AnnotateError)


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch, step: str):
    """Python's own error has no path where writing fails, and not opening."""

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "sync":
        monkeypatch.setattr("os.fsync", full)
    path = tmp_path / "a.json"
    with pytest.raises(OSError, match="No space left on device: .*a.json") as caught:  # noqa: SIM117
        with replacing(path) as aside:
            aside.write_text("x")
            if step == "write":
                full()
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


# -- folders --------------------------------------------------------------------------------------


def fill(path: Path, **files: str) -> None:
    for name, text in files.items():
        (path / name).parent.mkdir(exist_ok=True, parents=True)
        (path / name).write_text(text)


def content(path: Path) -> dict[str, str]:
    return {str(f.relative_to(path)): f.read_text() for f in path.rglob("*") if f.is_file()}


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch, exchanges: bool):
    if not exchanges:
        monkeypatch.setattr(io, "_exchange", lambda one, two: False)
    path = tmp_path / "new" / "a"
    with replacing_folder(path) as aside:
        assert aside.parent == path.parent
        fill(aside, **{"x": "1", "deep/y": "2"})
        assert not path.exists()
    assert content(path) == {"x": "1", "deep/y": "2"}
    with pytest.raises(KeyError), replacing_folder(path) as aside:
        fill(aside, x="3")
        raise KeyError
    assert content(path) == {"x": "1", "deep/y": "2"}
    with replacing_folder(path) as aside:
        fill(aside, **{"x": "3", "deep/z": "4", "w": "5"})
    assert content(path) == {"x": "3", "deep/z": "4", "w": "5"}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_else_is_in_a_folder_stays(tmp_path: Path, monkeypatch, exchanges: bool):
    if not exchanges:
        monkeypatch.setattr(io, "_exchange", lambda one, two: False)
    path = tmp_path / "a"
    fill(path, **{"README": "mine", "x": "1", "deep/y": "2", "was_folder/f": "", "was_file": ""})
    with replacing_folder(path) as aside:
        fill(aside, **{"x": "3", "deep/z": "4", "was_folder": "5", "was_file/f": "6"})
    assert content(path) == {
        **{"README": "mine", "x": "3", "deep/z": "4", "was_folder": "5", "was_file/f": "6"}
    }
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path):
    (tmp_path / "figures.json").write_text("mine")
    with (
        pytest.raises(NotADirectoryError, match="Not a directory: .*figures.json"),
        replacing_folder(tmp_path / "figures.json", whole=True) as aside,
    ):
        fill(aside, x="1")
    assert content(tmp_path) == {"figures.json": "mine"}


def test_a_link_to_a_folder_stays_one(tmp_path: Path):
    fill(tmp_path / "real", x="1")
    (tmp_path / "link").symlink_to("real")
    with replacing_folder(tmp_path / "link") as aside:
        fill(aside, x="2")
    assert (tmp_path / "link").is_symlink() and content(tmp_path / "real") == {"x": "2"}


def test_what_killed_processes_have_left_goes_and_what_others_write_stays(tmp_path: Path):
    for name in (".a.123-0123abcd.tmp", ".ab.123-0123abcd.tmp", ".a.b.tmp", ".a.1-x.tmp"):
        fill(tmp_path / name, x="")
    with replacing_folder(tmp_path / "a") as first:
        script = (
            "import sys; from pathlib import Path; from spacy_bio_crf.io import replacing_folder"
        )
        script += "\nwith replacing_folder(Path(sys.argv[1])) as aside: (aside / 'x').touch()"
        command = [sys.executable, "-c", script, str(tmp_path / "a")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": PROJECT_PATH})
        fill(first, x="1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".a.1-x.tmp", ".a.b.tmp", ".ab.123-0123abcd.tmp", "a")
    ]
    assert content(tmp_path / "a") == {"x": "1"}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left"),
        Exception("IoError(… (os error 28))"),
        Exception("IoError(Os { code: 28, kind: StorageFull, … })"),
    ],
)
def test_a_full_disk_is_told_with_the_folder(tmp_path: Path, error: Exception):
    with pytest.raises(OSError, match="No space left.*: '.*/a'") as caught:  # noqa: SIM117
        with replacing_folder(tmp_path / "a"):
            raise error
    assert caught.value.errno == errno.ENOSPC and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"a\rb\r", ["a", "b"]),
        (b"a\r\rb", ["a", "", "b"]),
        (b"a\rb\rc\r\n", ["a", "b", "c"]),
        (b"a\nb\rc\n", ["a", "b\rc"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"", []),
        (b"\r", [""]),
    ],
)
def test_line_ends(tmp_path, raw, lines):
    path, ticks = tmp_path / "a.txt", []
    path.write_bytes(raw)
    found = list(numbered_lines(path, ConvertError, ticks.append))
    assert found == list(enumerate(lines, start=1)) and sum(ticks) == len(raw)


def test_encodings(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\ufeffé\nb\n", encoding="utf-16")
    assert [text for _, text in numbered_lines(path, BioError, encoding="utf-16")] == ["é", "b"]
    path.write_bytes(b"a\n\xe9\n")
    assert [text for _, text in numbered_lines(path, BioError, encoding="iso8859-1")] == ["a", "é"]
    remedies = {ConvertError: "; name the file's encoding with `encoding`", BioError: ""}
    for error, remedy in remedies.items():
        with pytest.raises(error) as caught:
            list(numbered_lines(path, error))
        assert str(caught.value) == f"{path}, line 2: expected UTF-8, got byte 0xe9{remedy}"
    with pytest.raises(BioError, match="line 2: expected ascii, got byte 0xe9"):
        read_text(path, BioError, encoding="ascii")


def test_a_folder_goes_as_a_whole_with_what_was_left_of_it(tmp_path: Path):
    folder = tmp_path / "folder"
    fill(folder, one="1")
    left = tmp_path / ".folder.123-0123abcd.tmp"
    fill(left, one="1")
    fill(tmp_path / ".other.123-0123abcd.tmp", one="1")
    remove_folder(folder)
    assert [path.name for path in tmp_path.iterdir()] == [".other.123-0123abcd.tmp"]
    remove_folder(folder)
    remove_left(tmp_path, "o[a-z]+")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_with_all_that_is_in_it(tmp_path: Path):
    fill(tmp_path / "folder", one="1", two="2")
    with replacing_folder(tmp_path / "folder", whole=True) as aside:
        fill(aside, one="3")
    assert content(tmp_path / "folder") == {"one": "3"}


@pytest.mark.parametrize("other", [True, False])
def test_former_files_go_with_a_folder(tmp_path: Path, other: bool):
    path, rest = tmp_path / "folder", {"README": "mine", "d.bin/f": ""} if other else {}
    fill(path, **{"one": "1", "a.bin": "2", "b.bin": "2", **rest})
    with replacing_folder(path, former=("*.bin", "two")) as aside:
        fill(aside, **{"one": "3", "b.bin": "4"})
    assert content(path) == {"one": "3", "b.bin": "4", **rest}


def test_checksums(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum(tmp_path / "file") == (3, digest)


def test_files_below_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = "in/a.txt", "in/.hidden", "in/.git/b.txt", "in/below/c.txt", "other/below/d.txt"
    for name in names:
        write_text(tmp_path / name, "")
    folder = tmp_path / "in"
    (folder / "link").symlink_to("../other")
    (folder / "below" / "round").symlink_to(folder)
    (tmp_path / "other" / "back").symlink_to(folder)
    (folder / "lost.txt").symlink_to("nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    found = sorted(path.relative_to(folder).as_posix() for path in files_below(folder))
    assert found == ["a.txt", "below/c.txt", "link/below/d.txt", "lost.txt"]
    scandir = os.scandir

    def refused(path):
        if Path(path).name == "below":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        list(files_below(folder))
