"""The page of a review: escaped as text, and usable in a browser."""

import json
from pathlib import Path

import pytest

from spacy_bio_crf.metrics.tables import Table
from spacy_bio_crf.report.review_page import Entry, Wording, render_review
from tests.report.test_page import HOSTILE, NASTY, Reader
from tests.support.chromium import browse, find_chromium

WORDING = Wording(
    title=f"Suspects of {NASTY}",
    summary="3 documents.",
    heading="Suspects",
    listing="First ones first",
    explanation="A list.",
    noun="suspects",
    sides=("annotated", "suggested"),
    orders={"text": "as ranked", "sure": "surest first", "unsure": "least sure first"},
)
WORDS = [f"{word} " for word in ["Ana", "met", NASTY, "in", "New", "York", *["again"] * 40]]


def entry(kind: str, own: tuple, number: int, score: float | None) -> Entry:
    rest = [(8, 9, "ORG")]
    return Entry(
        kind=kind,
        place=f"document {number}, token 1",
        words=WORDS,
        sides=([*own[0], *rest], [*own[1], *rest]),
        own=own,
        correction={"document": number, "add": [list(span) for span in own[1]], "text": NASTY},
        notes=("a note",),
        score=score,
    )


ENTRIES = [
    entry("label", ([(0, 1, "PER")], [(0, 1, HOSTILE)]), 0, 0.5),
    entry("spurious", ([], [(4, 6, "LOC")]), 1, 0.9),
    entry("missed", ([(2, 3, HOSTILE)], []), 2, 0.1),
]
TABLES = [Table("Numbers", ("", "n"), [("all", "3")], "A note.")]


def lines_of(text: str) -> list[str]:
    reader = Reader(text)
    return [line for line in reader.texts if line.startswith('{"document"')]


def test_page_is_well_formed_and_needs_nothing_else():
    text = render_review(ENTRIES, TABLES, WORDING)
    reader = Reader(text)
    assert reader.open == []
    names = [name for name, _ in reader.elements]
    assert not {"img", "link", "iframe", "object", "i"} & set(names)
    assert names.count("script") == 2 and names.count("b") == len(ENTRIES)
    for _, attributes in reader.elements:
        assert not any(key.startswith("on") for key in attributes) and "src" not in attributes
    assert NASTY in "".join(reader.texts)
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [json.loads(line) for line in lines_of(text)] == [e.correction for e in ENTRIES]
    errors = [a for n, a in reader.elements if n == "li" and a.get("class") == "error"]
    assert [(e["data-gold"], e["data-predicted"]) for e in errors] == [
        ("PER", HOSTILE),
        ("O", "LOC"),
        (HOSTILE, "O"),
    ]


def test_a_label_called_as_no_entity():
    text = render_review([entry("missed", ([(2, 3, "O")], []), 2, 0.1)], [], WORDING)
    errors = [a for n, a in Reader(text).elements if a.get("class") == "error"]
    assert [(e["data-gold"], e["data-predicted"]) for e in errors] == [("O", "(O)")]


def test_a_list_without_entries():
    text = render_review([], TABLES, WORDING)
    assert "<p>None.</p>" in text and 'id="filters"' not in text and "Numbers" in text


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium on the path")
    folder = tmp_path_factory.mktemp("review")
    (folder / "page.html").write_text(render_review(ENTRIES, TABLES, WORDING), "utf-8")
    with browse(program, folder / "profile") as page:
        page.path = folder / "page.html"
        yield page


SHOWN = "[...document.querySelectorAll('.error:not([hidden]) .place')].map((x) => x.textContent)"
# What is copied, whichever way the browser allows.
CATCH = """
navigator.clipboard.writeText = async (text) => { window.copied = text; }, 0
"""


def load(page, *, width: int = 1280) -> None:
    page.look(width=width)
    page.open(Path(page.path))
    page.run(CATCH)


def tab_to(page, wanted: str) -> None:
    for _ in range(60):
        page.press("Tab")
        if page.run(f"document.activeElement.matches({json.dumps(wanted)})"):
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def test_the_keyboard_copies_corrections(page):
    load(page)
    tab_to(page, ".correction button")
    page.press("Enter")
    page.until("document.getElementById('copied').textContent", "Copied.")
    first = page.run("window.copied")
    assert [json.loads(line) for line in first.splitlines()] == [ENTRIES[0].correction]
    assert page.run("document.activeElement.closest('.error').classList.contains('taken')")
    page.press("Tab")
    assert page.run("document.activeElement.tagName") == "SUMMARY"
    page.press("Enter")
    assert page.run("document.activeElement.parentElement.open")
    assert page.complaints() == []


def test_all_that_are_shown_are_copied_in_their_order(page):
    load(page)
    page.run("document.querySelector('[name=order]').value = 'sure'")
    page.run("document.querySelector('[name=label]').value = 'LOC'")
    page.run("document.getElementById('filters').dispatchEvent(new Event('input'))")
    page.until("document.getElementById('shown').textContent", "1 of 3 suspects")
    assert page.run(SHOWN) == ["document 1, token 1"]
    page.run("document.querySelector('[data-all]').click()")
    page.until("document.getElementById('copied').textContent", "Copied.")
    copied = [json.loads(line)["document"] for line in page.run("window.copied").splitlines()]
    assert copied == [1]
    page.run("document.querySelector('#filters button').click()")
    page.run("document.querySelector('[name=order]').value = 'unsure'")
    page.run("document.getElementById('filters').dispatchEvent(new Event('input'))")
    page.run("document.querySelector('[data-all]').click()")
    page.until("document.getElementById('copied').textContent", "Copied 3 corrections.")
    copied = [json.loads(line)["document"] for line in page.run("window.copied").splitlines()]
    assert copied == [2, 0, 1]


def test_without_a_clipboard_the_text_is_copied_all_the_same(page):
    load(page)
    page.run("navigator.clipboard.writeText = async () => { throw new Error('no'); }, 0")
    page.run(
        "document.execCommand = (name) => {"
        " window.copied = [name, document.activeElement.value]; return true; }, 0"
    )
    page.run("document.querySelector('.correction button').click()")
    page.until("document.getElementById('copied').textContent", "Copied.")
    name, text = page.run("window.copied")
    assert name == "copy" and json.loads(text) == ENTRIES[0].correction
    assert page.run("document.querySelectorAll('textarea').length") == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(page, width):
    load(page, width=width)
    page.run("for (const x of document.querySelectorAll('details')) x.open = true")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(
        "[...document.querySelectorAll('button:not([hidden])')].every((x) => x.offsetHeight >= 38)"
    )
    assert page.complaints() == []
