"""The project's corpus: what the column files hold, and the script that builds them.

The properties are read from the column files by the few lines here, not by the code of the script.
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ASSETS = ROOT / "assets"
SCRIPTS = ASSETS / "make"
SPLITS = ("train", "dev", "test")
LABELS = {"PER", "ORG", "LOC", "GPE", "PROD"}

Row = tuple[str, str]
Sentence = list[Row]


def read_columns(path: Path) -> list[Sentence]:
    """The sentences of a column file, document marks left out."""
    sentences: list[Sentence] = [[]]
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            sentences.append([])
        elif not line.startswith("-DOCSTART-\t"):
            token, tag = line.split("\t")
            sentences[-1].append((token, tag))
    return [sentence for sentence in sentences if sentence]


def entities(sentence: Sentence) -> list[tuple[int, int, str]]:
    """(start, end, label) of strict IOB2; fails on an I- that continues nothing."""
    found: list[tuple[int, int, str]] = []
    for i, (_, tag) in enumerate(sentence):
        kind, _, label = tag.partition("-")
        if kind == "B":
            found.append((i, i + 1, label))
        elif kind == "I":
            assert found and found[-1][1:] == (i, label), f"orphan {tag} at {i} in {sentence}"
            found[-1] = (found[-1][0], i + 1, label)
        else:
            assert tag == "O"
    return found


def squeeze(text: str) -> str:
    """What a surface is apart from case and from how a tokenizer spaced it."""
    return re.sub(r"\s+", "", text).casefold()


def squeezed_surfaces(sentences: list[Sentence]) -> set[str]:
    return {
        squeeze("".join(token for token, _ in sentence[start:end]))
        for sentence in sentences
        for start, end, _ in entities(sentence)
    }


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[Sentence]]:
    return {split: read_columns(ASSETS / f"{split}.conll") for split in SPLITS}


@pytest.fixture
def scripts(monkeypatch):
    """The scripts' folder as it is on the path when one of them runs."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


# What the committed files hold


def test_committed_files_are_what_the_script_builds(tmp_path):
    command = [sys.executable, SCRIPTS / "build_corpus.py", "--source", ASSETS / "source"]
    run = subprocess.run(
        [*command, "--out", tmp_path], capture_output=True, check=True, encoding="utf-8"
    )
    for split in SPLITS:
        name = f"{split}.conll"
        same = (tmp_path / name).read_bytes() == (ASSETS / name).read_bytes()
        assert same, f"assets/{name} is not what assets/make/build_corpus.py builds: run it again"
    # The README quotes the report in full.
    assert run.stdout.strip() in (ASSETS / "README.md").read_text(encoding="utf-8")


def test_sizes(corpus):
    sizes = {split: len(sentences) for split, sentences in corpus.items()}
    assert sizes["train"] >= 700 and sizes["dev"] >= 150 and sizes["test"] >= 200, sizes


@pytest.mark.parametrize("split", SPLITS)
def test_every_label_in_every_split(corpus, split):
    labels = {label for sentence in corpus[split] for _, _, label in entities(sentence)}
    assert labels == LABELS


@pytest.mark.parametrize("split", SPLITS)
def test_files_are_well_formed(split):
    lines = (ASSETS / f"{split}.conll").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "-DOCSTART-\tO"
    assert lines[-2:] == ["", ""]
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        assert re.fullmatch(r"(\S+\t(O|[BI]-(PER|ORG|LOC|GPE|PROD)))?", line), line
        if line.startswith("-DOCSTART-"):
            assert before == after == ""


def test_no_test_surface_in_train(corpus):
    assert not squeezed_surfaces(corpus["test"]) & squeezed_surfaces(corpus["train"])


@pytest.mark.parametrize("split", ["dev", "test"])
def test_held_out_sentences_are_not_in_train(corpus, split):
    def texts(name: str) -> set[str]:
        return {squeeze("".join(token for token, _ in sentence)) for sentence in corpus[name]}

    assert not texts(split) & texts("train")


def test_a_third_of_train_is_written_by_hand():
    lines = 0
    for lang in ("en", "pt"):
        text = (ASSETS / "source" / f"train.{lang}.txt").read_text(encoding="utf-8")
        lines += sum(bool(line.strip()) and not line.startswith("# ") for line in text.split("\n"))
    assert lines >= 450
    assert lines * 3 >= len(read_columns(ASSETS / "train.conll"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_hard_cases_occur(corpus, split):
    cases = dict.fromkeys(
        ("adjacent", "six tokens", "digit", "punctuation", "emoji", "no entity", "shouted"), 0
    )
    for sentence in corpus[split]:
        found = entities(sentence)
        tokens = [token for token, _ in sentence]
        ends = {end for _, end, _ in found}
        cases["adjacent"] += any(start in ends for start, _, _ in found)
        cases["no entity"] += not found
        cases["emoji"] += any("\U0001f300" <= char <= "\U0001faff" for char in "".join(tokens))
        cases["shouted"] += len(tokens) > 4 and "".join(tokens).isupper()
        for start, end, _ in found:
            inside = tokens[start:end]
            cases["six tokens"] += len(inside) >= 6
            cases["digit"] += any(char.isdigit() for char in "".join(inside))
            cases["punctuation"] += any(not re.search(r"\w", token) for token in inside)
    missing = [case for case, count in cases.items() if count < 2]
    assert not missing, cases


def test_test_set_has_a_long_document_line(corpus):
    assert max(len(sentence) for sentence in corpus["test"]) > 480


# The script, on sources of its own


@pytest.fixture
def source(tmp_path) -> Path:
    """A small corpus: each file says one thing."""
    folder = tmp_path / "source"
    folder.mkdir()
    sentences = {
        "train.en": "[Ada](PER) slept.\nWe met [ada  LOVELACE](PER) there.\nNothing.",
        "train.pt": "O [Rui](PER) dorme.",
        "dev.en": "[Bob](PER)'s cat.",
        "dev.pt": "Choveu em [Faro](GPE).",
        "test.en": "[Ada Lovelace](PER) left [Rome](GPE).",
        "test.pt": "A [Galp](ORG) fechou.",
    }
    for name, text in sentences.items():
        (folder / f"{name}.txt").write_text(f"# doc: news one\n{text}\n", encoding="utf-8")
    names = {
        "per": "# lang: en pt\nZoe\nYan",
        "org": "# lang: en\nAcme Inc.\n# lang: pt\na | Sony",
        "loc": "# lang: en\nthe | Thames\nK2\n# lang: pt\no | Tejo",
        "gpe": "# lang: en pt\no | Chile\na | China\nos | Emirados\nas | Filipinas\nAngola",
        "prod": "# lang: en pt\nGizmo 3",
    }
    for name, text in names.items():
        (folder / f"names.{name}.txt").write_text(text + "\n", encoding="utf-8")
    (folder / "templates.txt").write_text("# lang: en\nBye {PER}.\n", encoding="utf-8")
    return folder


def test_columns_of_a_small_corpus(source, tmp_path, scripts):
    report = scripts("build_corpus").build(source, tmp_path, seed=0, fillings=1)
    columns = {split: (tmp_path / f"{split}.conll").read_text("utf-8") for split in SPLITS}
    assert columns["dev"] == (
        "-DOCSTART-\tO\n\nBob\tB-PER\n's\tO\ncat\tO\n.\tO\n\n"
        "-DOCSTART-\tO\n\nChoveu\tO\nem\tO\nFaro\tB-GPE\n.\tO\n\n"
    )
    # "ada  LOVELACE" is in the test set but for case and space; "Ada" alone is not.
    assert [" ".join(t for t, _ in s) for s in read_columns(tmp_path / "train.conll")][:3] == [
        "Ada slept .",
        "Nothing .",
        "O Rui dorme .",
    ]
    assert "1 sentences written by hand, 0 fillings" in report
    assert "| sentences | 4 | 2 | 2 |" in report


def test_fillings_with_a_test_surface_are_left_out(source, tmp_path, scripts):
    with (source / "test.en.txt").open("a") as file:
        file.write("[ZOE](PER) laughed.\n")
    report = scripts("build_corpus").build(source, tmp_path, seed=0, fillings=4)
    text = (tmp_path / "train.conll").read_text("utf-8").casefold()
    assert text.count("yan\tb-per") == 2
    assert "zoe" not in text
    assert "2 fillings of templates" in report


def test_fillings_that_share_a_token_are_left_out(source, tmp_path, scripts):
    (source / "names.prod.txt").write_text("# lang: en pt\nModel S\n")
    (source / "templates.txt").write_text("# lang: en\nWe drove a {PROD}.\nThe {PROD} broke.\n")
    report = scripts("build_corpus").build(source, tmp_path, seed=0, fillings=1)
    text = (tmp_path / "train.conll").read_text("utf-8").casefold()
    assert "neighbor: 1 fillings" in report
    assert "broke" in text and "drove" not in text


def test_seed_decides_and_same_seed_gives_same_bytes(source, tmp_path, scripts):
    build = scripts("build_corpus").build
    outputs = []
    for run, seed in enumerate((0, 0, 1)):
        (source / "templates.txt").write_text("# lang: en\n{PER} left {GPE} for {GPE}.\n")
        build(source, tmp_path / str(run), seed=seed, fillings=9)
        outputs.append((tmp_path / str(run) / "train.conll").read_bytes())
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize(
    ("template", "surface", "article", "expected"),
    [
        ("vive {em GPE}", "Chile", "o", "vive no [Chile](GPE)"),
        ("vive {em GPE}", "China", "a", "vive na [China](GPE)"),
        ("vive {em GPE}", "Angola", "", "vive em [Angola](GPE)"),
        ("vem {de GPE}", "Emirados", "os", "vem dos [Emirados](GPE)"),
        ("vai {a GPE}", "China", "a", "vai à [China](GPE)"),
        ("vai {a GPE}", "Chile", "o", "vai ao [Chile](GPE)"),
        ("dito {por GPE}", "Filipinas", "as", "dito pelas [Filipinas](GPE)"),
        ("{O GPE} quer", "China", "a", "A [China](GPE) quer"),
        ("{O GPE} quer", "Angola", "", "[Angola](GPE) quer"),
        ("{Em GPE} há", "Filipinas", "as", "Nas [Filipinas](GPE) há"),
        ("{GPE} 2", "China", "a", "[China](GPE) 2"),
        ("near {the GPE}", "Hague", "the", "near the [Hague](GPE)"),
        ("near {the GPE}", "K2", "", "near [K2](GPE)"),
        ("by {GPE}. So", "U.S.", "the", "by [U.S.](GPE) So"),
    ],
)
def test_slots(scripts, template, surface, article, expected):
    templates = scripts("corpus_templates")
    deck = templates.Deck([templates.Name(surface, article)], templates.random.Random(0))
    assert templates.fill(template, {"GPE": deck}) == expected


def test_a_deck_deals_every_name_before_it_repeats_one(scripts):
    templates = scripts("corpus_templates")
    names = [templates.Name(letter, "") for letter in "abcde"]
    deck = templates.Deck(names, templates.random.Random(0))
    dealt = [deck.draw([]).surface for _ in range(10)]
    assert sorted(dealt[:5]) == sorted(dealt[5:]) == list("abcde")
    assert {deck.draw(["a", "b", "c", "d"]).surface for _ in range(3)} == {"e"}


def test_recasing_keeps_spans(scripts):
    templates, source = scripts("corpus_templates"), scripts("corpus_source")
    place = {"lang": "en", "genre": "template", "document": "d", "where": "w"}
    sentence = source.parse_line("Off to [Łódź](GPE)!", **place)
    assert templates.recase(sentence, 0.0).text == "OFF TO ŁÓDŹ!"
    assert templates.recase(sentence, 0.0).surfaces == ["ŁÓDŹ"]
    assert templates.recase(sentence, 0.1).text == "off to łódź!"
    assert templates.recase(sentence, 0.9) == sentence
    # The capital of "ß" has two letters, which would move the spans.
    longer = source.parse_line("Straße in [Ulm](GPE)", **place)
    assert templates.recase(longer, 0.0) == longer


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dev.en", "# doc: a b\n\n[Bob](MISC) ran.", r"dev.en.txt:3: label 'MISC' of 'Bob': .*PER"),
        ("dev.en", "# doc: a b\n[ Bob](PER)", r"dev.en.txt:2: entity ' Bob': expected no space"),
        ("dev.en", "# doc: a b\nBob](PER)", r"dev.en.txt:2: stray markup in 'Bob\]\('"),
        ("dev.en", "# doc: a b\n[Bob] (PER)", r"dev.en.txt:2: stray markup"),
        ("dev.en", "# doc: a b\n[Bob (PER)", r"dev.en.txt:2: stray markup"),
        ("dev.en", "# doc: a b\n[[Bob](PER)](PER)", r"dev.en.txt:2: stray markup"),
        ("dev.en", "Bob ran.", r"dev.en.txt:1: 'Bob ran.': expected '# doc: <genre> <name>'"),
        ("dev.en", "# doc: news\nBob", r"dev.en.txt:1: '# doc: news': expected"),
        ("dev.en", "# doc: a b\n", r"dev.en.txt: no sentence: expected at least one"),
        ("test.pt", "# doc: a b\nFoo-[Bar](PER)x", r"test.pt.txt:2: entity 'Bar' begins or ends"),
        ("names.per", "Zoe", r"names.per.txt:1: 'Zoe': expected a heading"),
        ("names.per", "# lang: fr\nZoe", r"names.per.txt:1: '# lang: fr': expected '# lang: en'"),
        ("names.per", "# lang: en\nZoe\nzoe", r"names.per.txt:3: 'zoe' is also at names.per.txt:2"),
        ("names.per", "# lang: en\nles | Zoe", r"names.per.txt:2: article 'les': expected one of"),
        ("templates", "# lang: en\nA {DRUG}.", r"templates.txt:2: slot '{DRUG}': expected a label"),
        ("templates", "# lang: en\n{em GPE}", r"templates.txt:2: slot '{em GPE}': .*\['the'\]"),
        ("templates", "# lang: pt\n{the GPE}", r"templates.txt:2: slot '{the GPE}': .*'por'"),
        ("templates", "# lang: en\n{PER saw", r"templates.txt:2: a stray bracket in '{PER saw'"),
        ("templates", "# lang: en\n{PROD} {PROD}", r"2 PROD slots, 1 PROD names in 'en'"),
    ],
)
def test_errors_name_the_line_and_what_was_expected(
    source, tmp_path, scripts, file, content, message
):
    (source / f"{file}.txt").write_text(content, encoding="utf-8")
    error = scripts("corpus_source").SourceError
    with pytest.raises(error, match=message):
        scripts("build_corpus").build(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_and_undecodable_sources(source, tmp_path, scripts, capsys, monkeypatch):
    build, error = scripts("build_corpus"), scripts("corpus_source").SourceError
    (source / "test.en.txt").write_bytes(b"# doc: a b\n\xff\n")
    with pytest.raises(error, match=r"test.en.txt: .*: expected UTF-8"):
        build.build(source, tmp_path / "out")
    (source / "test.en.txt").unlink()
    monkeypatch.setattr(sys, "argv", ["build_corpus.py", "--source", str(source)])
    monkeypatch.chdir(tmp_path)
    assert build.main() == 1
    assert "test.en.txt: no such file: expected a source" in capsys.readouterr().err


def test_literal_brackets_and_hashtags_are_text(scripts):
    place = {"lang": "en", "genre": "chat", "document": "d", "where": "w"}
    sentence = scripts("corpus_source").parse_line("[10:32]  #now (see [Bob](PER))", **place)
    assert sentence.text == "[10:32] #now (see Bob)"
    assert sentence.entities == ((18, 21, "PER"),)
