import errno
import json
import sys
from pathlib import Path

import pytest

from spacy_bio_crf.errors import AnnotateError, ConvertError
from spacy_bio_crf.io import (
    import_pyarrow,
    numbered_lines,
    open_parquet,
    read_text,
    replacing,
    write_json,
    write_text,
)


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
    assert str(caught.value) == f"{path}, line 3: expected UTF-8, got byte 0xe9"


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
