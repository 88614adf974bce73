import os
import subprocess
import sys

import pytest

from spacy_bio_crf.corpora import INPUT_FORMATS, ConvertOptions, Format, Sentence
from spacy_bio_crf.corpora.sniff import choose_format, detect_format, listed
from tests.support.convert_tools import plain
from tests.support.paths import PROJECT_PATH


def test_a_format_is_one_entry(folder, monkeypatch):
    def read(paths, options, summary):
        for path in paths:
            words = path.read_text().split()
            yield Sentence(words, [(0, 1, options.repair)], [], None, path, 1, True)

    monkeypatch.setitem(INPUT_FORMATS, "words", Format(read, (".words",)))
    words, columns = folder.write("Ana ran", "x.words"), folder.write("a\tO\n", "a.conll")
    assert folder.tokens(words)[0] == [(["Ana", "ran"], [(0, 1, "begin")])]
    assert folder.error(words, columns) == (
        "inputs: expected files of one format, got x.words (words), a.conll (columns); "
        "convert them one format at a time"
    )


PLUGIN = """
from spacy_bio_crf.corpora import Format, Sentence

def read(paths, options, summary):
    for path in paths:
        words = path.read_text().split()[1:]
        yield Sentence(words, [(0, 1, options.label)], [], None, path, 1, True)

WORDS = Format(read, detects=lambda text: text.startswith("%words"))
"""


def run_with_plugin(folder, value, *arguments):
    """Convert a file where another package has a reader."""
    folder.write(PLUGIN, "site/words_reader.py")
    folder.write(
        "Metadata-Version: 2.1\nName: words\nVersion: 1\n", "site/words-1.dist-info/METADATA"
    )
    folder.write(f"[spacy_bio_crf_readers]\n{value}\n", "site/words-1.dist-info/entry_points.txt")
    path = folder.write("%words Ana ran", "a.txt")
    code = f"from spacy_bio_crf.corpora import read; docs, _ = read({str(path)!r}, {{}})"
    code += "; print([(e.text, e.label_) for e in docs[0].ents], len(docs[0]))"
    environment = {**os.environ, "PYTHONPATH": f"{folder.path / 'site'}:{PROJECT_PATH}"}
    run = [sys.executable, "-c", code.format(", ".join(arguments))]
    return subprocess.run(run, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("arguments", [(), ("format='words'",)])
def test_readers_of_other_packages(folder, arguments):
    done = run_with_plugin(folder, "words = words_reader:WORDS", "label='P'", *arguments)
    assert done.stdout.strip() == "[('Ana', 'P')] 2", done.stderr


@pytest.mark.parametrize("value", ["words = words_reader:read", "jsonl = words_reader:WORDS"])
def test_readers_that_are_no_format(folder, value):
    done = run_with_plugin(folder, value)
    assert "spacy_bio_crf_readers, words_reader:" in done.stderr
    assert "expected a Format whose name no other format has, got" in done.stderr


CONTENTS = {
    "csv": "word,tag\nAna,B-X\n",
    "conll2012": "d 0 0 Ana NN * - - - s (X) -\n",
    "webanno": "#FORMAT=WebAnno TSV 3.2\n#T_SP=x.Entity|value\n\n#Text=Ana\n1-1\t0-3\tAna\tX\t\n",
    "pubtator": "1|t|Ana\n1|a|\n1\t0\t3\tAna\tX\n",
    "columns": "Ana\tB-X\n",
    "conllu": "1\tAna\t_\t_\t_\t_\t_\t_\t_\tNER=B-X\n",
    "datasets": '{"tokens": ["Ana"], "ner_tags": ["B-X"]}\n',
    "jsonl": '{"text": "Ana", "spans": [[0, 3, "X"]]}\n',
    "label-studio": '[{"data": {"text": "Ana"}, "annotations": [{"result": []}]}]',
    "xml": '<?xml version="1.0"?><EM CATEG="X">Ana</EM>',
}


@pytest.mark.parametrize("name", CONTENTS)
def test_formats_are_detected_by_content(folder, name):
    path = folder.write(CONTENTS[name], "a.txt")
    assert detect_format(path) == name
    assert choose_format([path], ConvertOptions()) == (name, [path])
    assert detect_format(folder.write("\ufeff" + CONTENTS[name], "b.txt")) == name


def test_formats_are_detected_by_name_and_magic_bytes(folder):
    for name in INPUT_FORMATS:
        for suffix in INPUT_FORMATS[name].suffixes:
            assert detect_format(folder.write("", f"a{suffix}")) == name
    assert detect_format(folder.write(b"\x78\x9c", "b")) == "spacy"
    assert detect_format(folder.write("x", "a.txt")) == "brat"  # beside a.ann
    assert detect_format(folder.write(" \n", "b")) is None


def test_files_beside_the_input_are_no_input(folder):
    paths = [folder.write(CONTENTS["datasets"], "a.jsonl"), folder.write("x", "README.md")]
    assert choose_format(paths, ConvertOptions()) == ("datasets", paths[:1])
    # Alone, such a file is input.
    assert choose_format(paths[1:], ConvertOptions(format="datasets")) == ("datasets", paths[1:])


def test_json_of_no_known_kind(folder):
    message = folder.error(folder.write('{"a": 1, "b": 2}', "a.json"))
    assert message.startswith(
        "a.json, line 1: expected JSON with a text (text, data, content, sentence"
    )
    assert message.endswith(
        "entities, or Label Studio's tasks, got the keys 'a', 'b'; name the format with `format`, "
        "or keys with `text_key`, `spans_key`, `tags_key`"
    )


def test_inputs_without_anything_in_them(folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"tokens": [["a"]], "ner_tags": [["O"]]})
    parquet.write_table(table.slice(0, 0), folder.path / "a.parquet")
    for path in folder.write("[\n]\n", "a.json"), folder.path / "a.parquet":
        assert detect_format(path) is None
        message = folder.error(path)
        assert message == f"{path.name}: expected a sentence with a token, got none"
    task = {"data": {"text": "Ana"}, "annotations": [{"result": []}]}
    paths = folder.path / "a.json", folder.write([task], "b.json")
    docs, _ = folder.convert(*paths)
    assert [plain(doc) for doc in docs] == [("Ana", [])]


def test_entities_by_the_numbers_of_characters_beside_tokens(folder):
    """Those of the first record may be by the numbers of tokens, too."""
    record = {"text": "Ana Ruiz ran", "tokens": ["Ana", "Ruiz", "ran"]}
    spans = [[], [[0, 3, "X"]], [[4, 8, "X"]]]
    path = folder.write([{**record, "spans": own} for own in spans], "a.jsonl")
    docs, _ = folder.convert(path)
    assert [plain(doc)[1] for doc in docs] == [[], [("Ana", "X")], [("Ruiz", "X")]]
    path = folder.write([{**record, "spans": own} for own in ([], [[0, 1, "X"]])], "a.jsonl")
    docs, _ = folder.convert(path)
    assert [plain(doc)[1] for doc in docs] == [[], [("Ana Ruiz", "X")]]


def test_listed():
    assert listed("abc") == "a, b, c" and listed("abcdef", most=4) == "a, b, c, d and 2 more"


@pytest.mark.parametrize("first", ["{", "[", "{}", "[]", '"', '{"', "[{", "<"])
def test_a_bracket_may_be_a_column_files_first_token(folder, first):
    docs, summary = folder.convert(folder.write(f"{first}\tO\nAna\tB-PER\n", "a.txt"))
    assert plain(docs[0]) == (f"{first} Ana", [("Ana", "PER")])


def test_given_keys_help_to_detect_the_format(folder):
    tags = {"words": ["Ana"], "fine": ["B-X"]}
    docs, _ = folder.convert(folder.write([tags], "a.jsonl"), tags_key="fine")
    assert plain(docs[0]) == ("Ana", [("Ana", "X")])
    text = {"body": "Ana", "spans": [[0, 3, "X"]]}
    docs, _ = folder.convert(folder.write([text], "a.jsonl"), text_key="body")
    assert plain(docs[0]) == ("Ana", [("Ana", "X")])


IN_LATIN = {
    "a.conll": "João\tB-X\nvê\tO\n",
    "a.conllu": "1\tJoão\t_\t_\t_\t_\t_\t_\t_\tNER=B-X\n2\tvê\t_\t_\t_\t_\t_\t_\t_\t_\n",
    "a.jsonl": '{"text": "João vê", "spans": [[0, 4, "X"]]}\n',
    "b.jsonl": '{"tokens": ["João", "vê"], "ner_tags": ["B-X", "O"]}\n',
    "a.json": '[{"data": {"text": "João vê"}, "annotations": [{"result": [{"type": "labels", '
    '"value": {"start": 0, "end": 4, "labels": ["X"]}}]}]}]',
    "a.sgml": '<DOC><EM CATEG="X">João</EM> vê</DOC>',
}


@pytest.mark.parametrize("name", IN_LATIN)
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_other_encodings(folder, name, encoding):
    path = folder.write(IN_LATIN[name].encode(encoding), name)
    docs, _ = folder.convert(path, encoding=encoding)
    assert plain(docs[0]) == ("João vê", [("João", "X")])
    if encoding == "latin-1":
        assert folder.error(path).endswith("; name the file's encoding with `encoding`")


def test_brat_in_another_encoding(folder):
    path = folder.write("João vê".encode("latin-1"), "a.txt")
    folder.write("T1\tX 0 4\tJoão\n".encode("latin-1"), "a.ann")
    docs, _ = folder.convert(path, encoding="ISO8859-1")
    assert plain(docs[0]) == ("João vê", [("João", "X")])
    assert folder.error(path, encoding="nix").startswith("encoding: expected an encoding that Pyt")


@pytest.mark.parametrize("name", IN_LATIN)
def test_line_ends_of_old_macs(folder, name):
    text = IN_LATIN[name] if name.endswith("json") else IN_LATIN[name].replace("\n", "\r")
    docs, _ = folder.convert(folder.write(text, name))
    assert plain(docs[0]) == ("João vê", [("João", "X")])
