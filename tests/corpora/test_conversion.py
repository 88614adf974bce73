import io
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from spacy_bio_crf.corpora import ConvertError, ConvertOptions, conversion, convert, read
from tests.support.convert_tools import in_tokens, load


def test_a_folder_stands_for_its_files_sorted(folder):
    names = "b.txt", "a.txt", ".hidden", "empty.txt", "below/c.txt", ".git/d.txt", "below/.x/e.txt"
    for name in names:
        folder.write("" if name == "empty.txt" else f"{name}\tB-X\n", f"in/{name}")
    single = folder.write("last\tO\n")
    docs, summary = folder.tokens(folder.path / "in", single, folder.path / "in" / "b.txt")
    assert [words for words, _ in docs] == [["a.txt"], ["b.txt"], ["below/c.txt"], ["last"]]
    assert dict(summary.dropped) == {"file without rows": 1}


def test_links_to_folders_are_followed(folder):
    folder.write("a\tB-X\n", "in/a.txt")
    folder.write("b\tB-X\n", "other/b.txt")
    (folder.path / "in" / "link").symlink_to("../other")
    docs, _ = folder.tokens(folder.path / "in")
    assert [words for words, _ in docs] == [["a"], ["b"]]


def test_a_file_with_two_paths_is_read_once(folder, monkeypatch):
    path = folder.write("a\tO\n")
    monkeypatch.chdir(folder.path)
    docs, _ = folder.tokens("in.conll", path, folder.path)
    assert len(docs) == 1


def test_output_is_not_overwritten_without_force(folder):
    output = folder.path / "new" / "out.spacy"
    path = folder.write("a\tO\n")
    convert([path], output)
    before = output.read_bytes()
    path.write_text("b\tO\nc\tO\n")
    with pytest.raises(ConvertError, match="got an existing file; use `force` to overwrite it"):
        convert([path], output)
    assert output.read_bytes() == before
    convert([path], output, force=True)
    assert output.read_bytes() != before
    assert [p.name for p in output.parent.iterdir()] == ["out.spacy"]


@pytest.mark.parametrize("options", [{}, {"split": "50/50"}])
def test_an_output_is_not_read_as_input(folder, options):
    path = folder.write("a\tB-X\n\nb\tO\n", "in/a.conll")
    output = folder.path / "in" / "x.conll"
    convert(path.parent, output, **options)
    expected = "x(-train)?.conll: expected an output that is no input, got one of the files of a"
    with pytest.raises(ConvertError, match=expected):
        convert(path.parent, output, force=True, **options)
    for _ in range(2):
        assert convert([path], path, force=True).tokens == 2


def test_nothing_is_left_when_writing_fails(folder, monkeypatch):
    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        convert([folder.write("a\tO\n")], folder.path / "out" / "x.spacy")
    assert list((folder.path / "out").iterdir()) == []


def test_bad_paths(folder):
    path = folder.write("a\tO\n")
    (folder.path / "empty").mkdir()
    (folder.path / "folder.spacy").mkdir()
    for inputs, output, message in [
        ([path], "out.csv", "expected an output file whose name ends in .spacy, .jsonl, .conll"),
        ([path], "folder.spacy", "expected an output file whose name ends in .spacy"),
        (
            [folder.path / "no.conll"],
            "out.spacy",
            "no.conll: expected a file or folder, got nothing there",
        ),
        (
            [folder.path / "empty"],
            "out.spacy",
            "empty: expected a folder with files, got none in it",
        ),
        ([], "out.spacy", "inputs: expected a file or folder, got none"),
    ]:
        with pytest.raises(ConvertError, match=message):
            convert(inputs, folder.path / output)
    assert not (folder.path / "out.spacy").exists()


def test_existing_output_survives_an_error(folder):
    path = folder.write("a\tB-X\nb\tX\n")
    output = folder.path / "out.spacy"
    output.write_text("old")
    with pytest.raises(ConvertError):
        convert([path], output, force=True)
    assert output.read_text() == "old"
    assert len(list(folder.path.iterdir())) == 2


def test_one_path_or_several(folder):
    path = folder.write("a\tB-X\n")
    for inputs in path, str(path), [path], (str(path),), iter([path]):
        summary = convert(inputs, folder.path / "out.spacy", force=True)
        assert summary.tokens == 1
        docs, summary = read(inputs if not hasattr(inputs, "__next__") else [path])
        assert list(map(in_tokens, docs)) == [(["a"], [(0, 1, "X")])] and summary.tokens == 1


def test_options_as_an_object_or_as_keywords(folder):
    path = folder.write("a\tB-X\n\nb\tO\n\nc\tO\n")
    options = ConvertOptions(n_sents=2, rename={"X": "Y"})
    for given, changes, n_docs, label in (
        (options, {}, 2, "Y"),
        (options, {"n_sents": 3}, 1, "Y"),
        (options, {"rename": None}, 2, "X"),
        (ConvertOptions(), {"group_docs": True}, 1, "X"),
    ):
        output = folder.path / "out.spacy"
        summary = convert(path, output, given, force=True, **changes)
        docs, _ = read(path, given, **changes)
        assert summary.documents == len(docs) == len(load(output)) == n_docs
        assert [e.label_ for doc in docs for e in doc.ents] == [label] == [*summary.entities]
    with pytest.raises(TypeError, match="n_sent"):
        convert(path, folder.path / "x.spacy", n_sent=2)


@pytest.mark.parametrize("changes", [{"split": "1/1"}, {"seed": 3}, {"force": True}])
def test_reading_has_no_options_for_the_output(folder, changes):
    (name, value), path = *changes.items(), folder.write("a\tO\n")
    with pytest.raises(ConvertError) as caught:
        read(path, **changes)
    assert str(caught.value) == (
        f"{name}: expected no value where nothing is written, got {value!r}"
    )


@pytest.mark.parametrize("lang", ["qq", "th"])
def test_languages_that_spacy_does_not_have(folder, lang, monkeypatch):
    """The tokenizer of Thai needs a package, which matters for texts only."""
    monkeypatch.setitem(sys.modules, "pythainlp", None)
    monkeypatch.setitem(sys.modules, "pythainlp.tokenize", None)
    text = folder.write([{"text": "a", "spans": []}], "a.jsonl")
    expected = {
        "qq": "lang: expected a language that spaCy has, got 'qq': ",
        "th": "lang: expected a language whose tokenizer is installed, got 'th': ",
    }
    assert folder.error(text, lang=lang).startswith(expected[lang])
    columns = folder.write("a\tO\n")
    if lang == "qq":
        assert folder.error(columns, lang=lang).startswith(expected[lang])
    else:
        assert load_lang(folder, columns, lang) == lang


def load_lang(folder, path, lang):
    docs, _ = read(path, lang=lang)
    return docs[0].lang_


class Terminal(io.StringIO):
    def isatty(self):
        return True


BAR_CONTENTS = {
    "a.conll": "a\tB-X\n\n" * 50,
    "a.jsonl": '{"text": "a", "spans": []}\n' * 50,
    "a.json": "[" + ", ".join(['{"text": "a", "spans": []}'] * 50) + "]\n",
    "a.conllu": "1\ta\t_\t_\t_\t_\t_\t_\t_\tNER=B-X\n\n" * 50,
    "a.xml": '<EM CATEG="X">a</EM> ' * 50,
}


@pytest.mark.parametrize("name", BAR_CONTENTS)
def test_a_bar_is_shown_on_a_terminal_only(folder, monkeypatch, name):
    path = folder.write(BAR_CONTENTS[name], name)
    monkeypatch.setattr(conversion, "_DELAY", 0.0)
    for stream, shown in (Terminal(), True), (io.StringIO(), False):
        monkeypatch.setattr(sys, "stderr", stream)
        convert([path], folder.path / "out.spacy", force=True, progress=True)
        assert ("%" in stream.getvalue()) == shown
    monkeypatch.setattr(sys, "stderr", Terminal())
    convert([path], folder.path / "out.spacy", force=True)
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("name", BAR_CONTENTS)
def test_all_bytes_are_counted_once(folder, monkeypatch, name):
    """Detecting format and scheme reads the file more often, which is not counted."""
    path = folder.write(BAR_CONTENTS[name], name)
    updates = []

    class Bar(tqdm):
        def update(self, n=1):
            updates.append(n)
            self.n += n  # a disabled bar does not count

    monkeypatch.setattr(conversion, "tqdm", Bar)
    summary = convert([path], folder.path / "out.spacy", progress=True)
    assert sum(updates) == summary.bytes_read
    assert summary.bytes_read == path.stat().st_size + (len("<_></_>") if name == "a.xml" else 0)
    if name in ("a.conll", "a.jsonl", "a.json"):
        assert len([n for n in updates if n]) >= 50
