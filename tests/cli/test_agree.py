"""`bio-ner agree`: what it prints and writes."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.corpora import read
from spacy_bio_crf.corpora.corrections import correct, read_corrections
from tests.support.pipelines import SENTENCES

NLP = spacy.blank("en")


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["agree", *map(str, arguments)])
    assert done.exit_code == code, (done.output, done.exception)
    return " ".join(done.output.split())


def write(path: Path, changes: dict[int, list], *, n: int = len(SENTENCES)) -> Path:
    docs = []
    for i, (words, ents) in enumerate(SENTENCES[:n]):
        doc = Doc(NLP.vocab, words=words)
        doc.set_ents([Span(doc, s, e, label=x) for s, e, x in changes.get(i, ents)])
        docs.append(doc)
    DocBin(docs=docs).to_disk(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    changes = {0: [(0, 2, "PER"), (3, 4, "LOC")], 5: [(2, 5, "LOC")]}
    return [write(tmp_path / "anna.spacy", {}), write(tmp_path / "bruno.spacy", changes)]


def test_figures_and_page(files: list[Path], tmp_path: Path):
    output, report = tmp_path / "f.json", tmp_path / "page.html"
    printed = run(*files, "--output", output, "--report", report)
    figures = json.loads(output.read_text("utf-8"))
    (pair,) = figures["pairs"]
    f = f"{100 * pair['entity']['all']['f']:.2f}"
    for part in (
        "anna and bruno",
        f,
        f"{pair['cohen']:.3f}",
        "6 documents",
        "each annotator draws",
    ):
        assert part in printed
    assert f"{figures['krippendorff']['all']:.3f}" in printed
    assert pair["disagreements"] == 4
    text = report.read_text("utf-8")
    assert text.count('class="error"') == 4 and "bruno against anna, document 6, token 3" in text
    run(*files, "--report", report, "--max-shown", 1)
    assert report.read_text("utf-8").count('class="error"') == 1


def test_corrections_of_the_page_make_the_first_the_second(files: list[Path], tmp_path: Path):
    assert corrected(files, tmp_path) == 3  # two disagreements have one correction


@pytest.mark.parametrize("only", [(0, 2, "LOC"), (4, 5, "LOC")])
def test_corrections_leave_what_the_other_entity_only_touches(only: tuple, tmp_path: Path):
    between = (2, 4, "LOC")
    sides = {"anna": [between], "bruno": sorted([between, only])}
    files = [write(tmp_path / f"{name}.spacy", {5: ents}) for name, ents in sides.items()]
    assert corrected(files, tmp_path) == 1


@pytest.mark.parametrize(
    ("of_anna", "of_bruno"),
    [
        ([(0, 2, "LOC")], [(0, 1, "LOC"), (1, 2, "LOC")]),
        ([(0, 2, "LOC"), (2, 4, "PER")], [(1, 3, "LOC"), (3, 5, "PER")]),
        ([(0, 1, "LOC"), (1, 2, "LOC"), (4, 5, "PER")], [(0, 2, "PER"), (4, 5, "LOC")]),
    ],
)
def test_corrections_of_entities_in_a_chain_go_together(of_anna, of_bruno, tmp_path: Path):
    sides = {"anna": of_anna, "bruno": of_bruno}
    corrected(
        [write(tmp_path / f"{name}.spacy", {5: own}) for name, own in sides.items()], tmp_path
    )


def test_a_correction_removes_what_the_second_one_has_annotated_in_part(tmp_path: Path):
    docs = {name: Doc(NLP.vocab, words=["Rio", "de", "Janeiro"]) for name in ("anna", "bruno")}
    docs["anna"].set_ents([Span(docs["anna"], 0, 3, label="LOC")])
    own = docs["bruno"]
    own.set_ents([Span(own, 0, 2, label="LOC")], missing=[own[2:3]])
    files = [tmp_path / f"{name}.spacy" for name in docs]
    for file, doc in zip(files, docs.values(), strict=True):
        DocBin(docs=[doc]).to_disk(file)
    assert corrected(files, tmp_path) == 1


@pytest.mark.parametrize(
    ("of_b", "of_c", "corrected"),
    [
        ([], [(11, 19, "PER")], [("Ana Ruiz", "PER")]),
        ([(0, 10, "ORG")], [(0, 4, "LOC")], [("well-known", "LOC")]),
        ([(0, 10, "ORG"), (11, 14, "PER")], [(0, 10, "ORG")], [("well-known", "ORG")]),
    ],
)
def test_corrections_of_a_document_with_other_tokens(
    of_b: list, of_c: list, corrected: list, tmp_path: Path
):
    text = "well-known Ana Ruiz ran"
    tokens = [{"start": s, "end": e} for s, e in [(0, 10), (11, 14), (15, 19), (20, 23)]]
    files = []
    for name, more in {
        "a": {"spans": []},
        "b": {"spans": of_b, "tokens": tokens},
        "c": {"spans": of_c},
    }.items():
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text(json.dumps({"text": text, **more}), "utf-8")
    lines = corrections_of([*files, "--lang", "en"], tmp_path, place="c against b,")
    assert [json.loads(line)["lang"] for line in lines] == ["en"] * len(lines)
    path = tmp_path / "decisions.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    docs, _ = read(files[1])
    changed, _ = correct(docs, read_corrections(path))
    assert changed == 1
    assert [(ent.text, ent.label_) for ent in docs[0].ents] == corrected


def corrections_of(arguments: list, folder: Path, *, place: str = "") -> list[str]:
    """The corrections of the page's entries that are at a place."""
    report = folder / "page.html"
    run(*arguments, "--report", report)
    entries = report.read_text("utf-8").split('<span class="place">')[1:]
    return [
        entry.partition('<code class="line">')[2].partition("</code>")[0].replace("&#34;", '"')
        for entry in entries
        if entry.startswith(place)
    ]


def corrected(files: list[Path], folder: Path) -> int:
    """Apply the corrections of the page to the first file, which are to make it the second one."""
    path = folder / "decisions.jsonl"
    path.write_text("\n".join(corrections_of(files, folder)), "utf-8")
    first, second = (list(DocBin().from_disk(file).get_docs(NLP.vocab)) for file in files)
    changed, _ = correct(first, read_corrections(path))
    for doc, other in zip(first, second, strict=True):
        assert [(e.start, e.end, e.label_) for e in doc.ents] == [
            (e.start, e.end, e.label_) for e in other.ents
        ]
    return changed


def test_other_formats_and_equal_names(tmp_path: Path):
    paths = []
    for name in ("anna", "bruno"):
        path = tmp_path / name / "dev.conll"
        path.parent.mkdir()
        path.write_text("Ana\tB-PER\nmet\tO\nBo\tB-PER\n", "utf-8")
        paths.append(path)
    printed = run(*paths)
    assert "100.00" in printed and f"{paths[0]} and {paths[1]}"[:40] in printed


def test_what_is_refused(files: list[Path], tmp_path: Path):
    assert "agree: expected two annotators or more, got 1" in run(files[0], code=1)
    missing = tmp_path / "no.spacy"
    assert "expected annotated documents, got no such file" in run(files[0], missing, code=1)
    short = write(tmp_path / "short.spacy", {}, n=3)
    assert "short: expected 6 documents as in anna, got 3" in run(files[0], short, code=1)


def test_one_file_is_not_two_annotators(files: list[Path]):
    printed = run(files[0], files[1], files[0], code=1)
    assert f"agree: expected each corpus once, got {files[0]} twice" in printed


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_no_corpus_is_written_over(files, option):
    before = files[1].read_bytes()
    printed = run(*files, option, files[0].parent / "x" / ".." / files[1].name, code=1)
    assert f"{option}: expected another file than what is read, got" in printed
    assert files[1].read_bytes() == before
