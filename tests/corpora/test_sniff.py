import pytest

from spacy_bio_crf.corpora import INPUT_FORMATS, ConvertOptions, Format, Sentence
from spacy_bio_crf.corpora.sniff import choose_format, detect_format, listed
from tests.support.convert_tools import plain


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


CONTENTS = {
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
