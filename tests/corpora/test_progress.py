import io
import sys

import pytest

import spacy_bio_crf.corpora.progress as progress
from spacy_bio_crf.corpora import convert
from tests.support.convert_tools import folder  # noqa: F401

# ruff: noqa: F811


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["a.conll", "a.jsonl", "a.conllu", "a.xml"])
def test_a_bar_on_a_terminal_counts_all_bytes(folder, monkeypatch, name):
    contents = {
        "a.conll": "a\tB-X\n\n" * 50,
        "a.jsonl": '{"text": "a", "spans": []}\n' * 50,
        "a.conllu": "1\ta\t_\t_\t_\t_\t_\t_\t_\tNER=B-X\n\n" * 50,
        "a.xml": '<EM CATEG="X">a</EM> ' * 50,
    }
    path = folder.write(contents[name], name)
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "STEP", 1)
    for stream, shown in (Terminal(), True), (io.StringIO(), False):
        monkeypatch.setattr(sys, "stderr", stream)
        convert([path], folder.path / "out.spacy", force=True, progress=True)
        assert ("%" in stream.getvalue()) == shown
    monkeypatch.setattr(sys, "stderr", Terminal())
    convert([path], folder.path / "out.spacy", force=True)
    assert sys.stderr.getvalue() == ""


def test_all_bytes_are_counted_once(folder, monkeypatch):
    """Finding out the scheme reads the file once more, which is not counted."""
    path = folder.write("a\tB-X\n\n" * 50, "a.conll")
    counts = []

    class Bar:
        def __init__(self, *, total, **options):
            counts.append(total)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, n):
            counts.append(n)

    monkeypatch.setattr("tqdm.tqdm", Bar)
    monkeypatch.setattr(progress, "STEP", 1)
    convert([path], folder.path / "out.spacy", progress=True)
    assert counts[0] == path.stat().st_size == sum(counts[1:])
