"""The report: complete and escaped as text, and usable in a browser."""

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.metrics import Document, analyze
from spacy_bio_crf.metrics.chance import Chance
from spacy_bio_crf.metrics.mistakes import confusion, find_mistakes
from spacy_bio_crf.report import render_report
from spacy_bio_crf.report.page import Fragment, cut_text
from tests.support.chromium import Page, browse, find_chromium
from tests.support.evaluation_tools import document, random_documents
from tests.support.pipelines import make_examples

NASTY = '</script><img src=x onerror="alert(1)">&amp;'
HOSTILE = "\"><b>L&P's</b>"  # a label
VOID = {"meta", "input", "img", "br", "link"}


def examples_of(nlp) -> list[Example]:
    """Errors of every kind, in texts and labels that would be mark-up if nobody escaped them."""
    words = ["Ana", "met", NASTY, "in", "New", "York", "and", "Rome", "today", "<i>"]
    # Each with its gold and its predicted entities, and the confidence of the latter.
    sides = [
        ([(0, 1, "PER")], [], []),
        ([], [(2, 3, "ORG")], [0.9]),
        ([(7, 8, "LOC")], [(7, 8, "PER")], [0.7]),
        ([(4, 6, "LOC")], [(4, 5, "LOC")], [0.6]),
        ([(4, 6, HOSTILE)], [(5, 7, "LOC")], [0.8]),
        ([(0, 1, "PER")], [(0, 1, "PER"), (9, 10, "ORG")], [0.95, 0.3]),
        ([(2, 3, HOSTILE)], [(2, 3, HOSTILE)], [0.5]),
    ]
    examples = []
    for gold, predicted, scores in sides:
        docs = [Doc(nlp.vocab, words=words) for _ in range(2)]
        for doc, ents in zip(docs, (predicted, gold), strict=True):
            doc.set_ents([Span(doc, s, e, label=x) for s, e, x in ents])
        if predicted:
            docs[0].spans["bio_ner"] = list(docs[0].ents)
            docs[0].spans["bio_ner"].attrs["scores"] = scores
        examples.append(Example(*docs))
    return examples


LOG = [
    {"step": s, "loss_per_step": {"bio_ner": 2.0 / (s + 1)}, "scores": {"ents_f": s / 100}}
    for s in range(0, 60, 10)
]


@pytest.fixture(scope="module")
def page_text(make_nlp) -> str:
    from spacy_bio_crf.metrics import read_documents

    examples = examples_of(make_nlp())
    metrics = {"model": f"m{NASTY}", "corpus": "c.spacy", **analyze(examples, chance=Chance(200))}
    return render_report(metrics, read_documents(examples), log=LOG, all_documents=True)


class Reader(HTMLParser):
    """Elements with their attributes, and whether each is closed where it should be."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_page_is_well_formed_and_needs_nothing_else(page_text):
    reader = Reader(page_text)
    assert reader.open == []
    names = {name for name, _ in reader.elements}
    assert not names & {"img", "link", "iframe", "object"}
    for name, attributes in reader.elements:
        assert not any(key.startswith("on") for key in attributes), name
        for key in ("href", "xlink:href"):
            assert (attributes.get(key) or "#").startswith("#")
        assert "src" not in attributes
    # Only the big numbers at the top are bold: the label's mark-up is text.
    assert sum(name == "b" for name, _ in reader.elements) == 6
    assert sum(name == "script" for name, _ in reader.elements) == 1
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    text = "".join(reader.texts)
    assert NASTY in text and HOSTILE in text


def test_page_lists_every_error(page_text):
    errors = [a for n, a in Reader(page_text).elements if n == "li" and a.get("class") == "error"]
    found = [
        (e["data-kind"], e["data-gold"], e["data-predicted"], e["data-confidence"]) for e in errors
    ]
    assert found == [
        ("missed", "PER", "O", ""),
        ("spurious", "O", "ORG", "0.900000"),
        ("spurious", "O", "ORG", "0.300000"),
        ("label", "LOC", "PER", "0.700000"),
        ("boundary", "LOC", "LOC", "0.600000"),
        ("both", HOSTILE, "LOC", "0.800000"),
    ]
    for drawing in ("confusion", "reliability", "threshold", "learning"):
        assert f'id="{drawing}-t"' in page_text


def metrics_of(documents: list[Document], nlp) -> dict:
    """Figures of an empty corpus: the list of errors is made of the documents alone."""
    return {"model": "m", "corpus": "c", **analyze([])} | {"documents": len(documents)}


def test_a_label_called_as_no_entity(make_nlp):
    docs = [document([(0, 1, "O")], [(2, 3, "A")], confidence=[0.5], n=4)]
    page = render_report({**metrics_of(docs, make_nlp()), "confusion": confusion(docs)}, docs)
    elements = Reader(page).elements
    errors = {(a["data-gold"], a["data-predicted"]) for n, a in elements if "data-gold" in a}
    assert errors == {("O", "(O)"), ("(O)", "A")}
    values = [a["value"] for n, a in elements if n == "option"]
    assert values.count("O") == 3 and values.count("(O)") == 2
    links = {a["xlink:href"] for n, a in elements if n == "a" and "xlink:href" in a}
    assert links == {"#gold=O&predicted=%28O%29", "#gold=%28O%29&predicted=A"}


def test_most_errors_of_a_kind(make_nlp):
    docs = [document([], [(0, 1, "A")], confidence=[score]) for score in (0.2, 0.8, 0.1, 0.9, 0.3)]
    page = render_report(metrics_of(docs, make_nlp()), docs, max_errors=2)
    shown = re.findall(r'data-confidence="([\d.]+)"', page)
    assert shown == ["0.800000", "0.900000"]
    assert '<span class="count">5</span>' in page
    assert "2 of them are shown: those of the highest confidence." in " ".join(page.split())
    page = render_report(metrics_of(docs, make_nlp()), docs, max_errors=0)
    assert page.count('class="error"') == 5


def test_long_documents_are_shown_around_the_error(make_nlp):
    words = [f"w{i}" for i in range(300)]
    docs = [document([(150, 152, "A"), (100, 130, "B")], [], words=words)]
    page = render_report(metrics_of(docs, make_nlp()), docs)
    text = "".join(Reader(page).texts)
    assert "w126" in text and "w175" in text
    assert "w75 " not in text and "w176 " not in text and "… " in text
    # An entity that reaches into the view is marked as far as it does.
    assert re.search(r'<mark class="entity l1">w126 w127 w128 w129<span class="label">B', page)


class Watched(list):
    """A list that counts how often somebody goes through it."""

    count = 0

    def __iter__(self):
        self.count += 1
        return super().__iter__()


def test_entities_that_end_where_an_excerpt_begins_are_not_in_it():
    words = ["a ", "b ", "c ", "d ", "e "]
    spans = [(0, 2, "X"), (2, 3, "Y"), (3, 5, "Z")]
    shown = [fragment for fragment in cut_text(words, spans, [], 2, 3) if any(fragment[:2])]
    assert shown == [Fragment("… "), Fragment("c", "Y"), Fragment(" "), Fragment(" …")]


def test_work_is_in_proportion_to_the_document(make_nlp):
    """One long document with many errors: its entities are looked up, not gone through."""
    spans = Watched((i, i + 1, "A") for i in range(0, 2000, 5))
    doc = replace(document([], [], n=2000), gold=spans)
    page = render_report(metrics_of([doc], make_nlp()), [doc], max_errors=0)
    assert page.count('class="error"') == 400
    assert spans.count < 20


def test_all_documents_are_shown_with_their_differences(make_nlp):
    docs = [
        document([(0, 1, "A"), (2, 4, "B")], [(0, 1, "A"), (2, 3, "B")], n=5),
        document([(1, 2, "A")], [(1, 2, "A")], n=3),
        # Two predictions inside one gold token, of which one is right.
        document([(0, 1, "A")], [(0, 1, "A"), (0, 1, "B")], n=1),
    ]
    page = render_report(metrics_of(docs, make_nlp()), docs, all_documents=True)
    shown = page.split('<section id="documents">')[1]
    assert "2 of 3 documents differ" in shown
    assert re.findall(r'class="(document.*?)"', shown) == ["document", "document same", "document"]
    marks = re.findall(r'class="entity (l\d(?: own)?)">(.*?)<span', shown)
    assert marks == [
        *[("l0", "w0"), ("l1 own", "w2 w3")],
        *[("l0", "w0"), ("l1 own", "w2")],
        *[("l0", "w1"), ("l0", "w1")],
        # Of predictions in one place, the one that differs is shown.
        *[("l0", "w0"), ("l1 own", "w0")],
    ]
    assert 'id="documents"' not in render_report(metrics_of(docs, make_nlp()), docs)


def test_no_error_at_all(make_nlp):
    nlp = make_nlp()
    examples = [Example(eg.reference, eg.reference) for eg in make_examples(nlp)]
    from spacy_bio_crf.metrics import read_documents

    metrics = {"model": "m", "corpus": "c", **analyze(examples)}
    page = render_report(metrics, read_documents(examples))
    assert "<p>None.</p>" in page and 'id="filters"' not in page
    assert 'id="reliability-t"' not in page and 'id="learning-t"' not in page


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium on the path")
    with browse(program, tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture(scope="module")
def report(page_text, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page_text, encoding="utf-8")
    return path


VISIBLE = "[...document.querySelectorAll('.error')].filter((e) => e.checkVisibility())"
SHOWN = f"{VISIBLE}.map((e) => [e.dataset.kind, e.dataset.confidence])"


def counted(page: Page) -> str:
    return page.run("document.getElementById('shown').textContent")


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const c = document.forms.filters.elements['{name}']; c.value = '{value}';"
        " c.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def test_browser_shows_everything_and_asks_for_nothing(browser, report):
    browser.look(width=1280)
    browser.open(report)
    assert counted(browser) == "6 of 6 errors"
    assert browser.run("scrollY") == 0
    assert browser.run("document.querySelectorAll('svg.chart').length") == 4
    assert browser.run("document.querySelectorAll('img, b b').length") == 0
    assert browser.run(f"document.querySelector('h1').textContent.includes({NASTY!r})")
    assert browser.complaints() == []


def test_browser_filters_and_sorts(browser, report):
    browser.look(width=1280)
    browser.open(report)
    choose(browser, "kind", "spurious")
    assert browser.run(SHOWN) == [["spurious", "0.900000"], ["spurious", "0.300000"]]
    assert counted(browser) == "2 of 6 errors"
    assert browser.run("location.hash") == "#kind=spurious"
    choose(browser, "order", "unsure")
    assert browser.run(SHOWN) == [["spurious", "0.300000"], ["spurious", "0.900000"]]
    choose(browser, "order", "sure")
    choose(browser, "kind", "")
    choose(browser, "label", "LOC")
    assert [kind for kind, _ in browser.run(SHOWN)] == ["label", "boundary", "both"]
    choose(browser, "predicted", "PER")
    assert [kind for kind, _ in browser.run(SHOWN)] == ["label"]
    browser.run("document.querySelector('#filters button').click()")
    assert counted(browser) == "6 of 6 errors"
    choose(browser, "text", "NEW YORK")
    assert counted(browser) == "6 of 6 errors"
    choose(browser, "text", "nowhere")
    assert counted(browser) == "0 of 6 errors"
    assert browser.run("document.querySelectorAll('.kind:not([hidden])').length") == 0
    assert browser.complaints() == []


def test_browser_counts_by_kind(browser, report):
    browser.look(width=1280)
    browser.open(report)
    count = "document.querySelector('#kind-spurious .count').textContent"
    assert browser.run(count) == "2"
    # Only one of them has a person beside it.
    choose(browser, "text", "AnaPER")
    assert browser.run(count) == "1 of 2"
    choose(browser, "text", "")
    assert browser.run(count) == "2"


def test_browser_hides_documents_that_do_not_differ(browser, report):
    browser.look(width=1280)
    browser.open(report)
    visible = (
        "[...document.querySelectorAll('.document')].filter((d) => d.checkVisibility()).length"
    )
    assert browser.run(visible) == 7
    browser.run("document.querySelector('label[for=differing]').click()")
    assert browser.run(visible) == 6


def test_browser_opens_a_view_by_its_address(browser, report):
    browser.look(width=1280)
    browser.open(report, "#kind=spurious&order=unsure")
    assert browser.run(SHOWN) == [["spurious", "0.300000"], ["spurious", "0.900000"]]
    # A choice that there is not leaves all.
    browser.open(report, "#kind=nonsense")
    assert counted(browser) == "6 of 6 errors"


def test_browser_follows_the_cells_of_the_confusion_matrix(browser, report):
    browser.look(width=1280)
    browser.open(report)
    cells = browser.run("[...document.querySelectorAll('svg a')].map((a) => a.ariaLabel)")
    assert f"1 errors: gold {HOSTILE}, predicted LOC" in cells
    place = cells.index(f"1 errors: gold {HOSTILE}, predicted LOC")
    browser.run(f"document.querySelectorAll('svg a')[{place}].focus()")
    browser.press("Enter")
    browser.until(SHOWN, [["both", "0.800000"]])
    browser.until("document.activeElement.id", "errors")


def tab(browser) -> None:
    """Press Tab, and wait until the focus has moved: the key is handled in the page's own time."""
    browser.run("window.left = document.activeElement; 0")
    browser.press("Tab")
    for _ in range(100):
        if browser.run("document.activeElement !== window.left"):
            return
        time.sleep(0.05)
    pytest.fail("Tab has not moved the focus within five seconds")


def test_browser_needs_no_mouse(browser, report):
    browser.look(width=1280)
    browser.open(report)
    tab(browser)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter")
    browser.until("location.hash", "#errors")
    tab(browser)
    assert browser.run("document.activeElement.name") == "kind"
    # The second kind of the list.
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    assert {kind for kind, _ in browser.run(SHOWN)} == {"spurious"}
    outline = browser.run("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    # Each field is reached, and what scrolls is reached as well.
    reached = []
    for _ in range(6):
        tab(browser)
        reached.append(browser.run("document.activeElement.name || document.activeElement.type"))
    assert reached == ["label", "gold", "predicted", "order", "text", "button"]
    browser.press("Enter")
    assert counted(browser) == "6 of 6 errors"


CONTRAST = """(() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const c = parse(getComputedStyle(n).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const worst = [99, ""];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, script, select")) continue;
    const pair = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < worst[0]) worst.splice(0, 2, ratio, node.outerHTML.slice(0, 80));
  }
  return worst;
})()"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_browser_is_legible(browser, report, width, dark, tmp_path):
    browser.look(width=width, dark=dark)
    browser.open(report)
    # Nothing sticks out to the side, and letters stand out from their ground (WCAG 2, AA).
    assert browser.run("document.documentElement.scrollWidth") <= width
    ratio, where = browser.run(CONTRAST)
    assert ratio >= 4.5, where
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    columns = browser.run("getComputedStyle(document.querySelector('.pair')).gridTemplateColumns")
    assert len(columns.split()) == (2 if width > 1000 else 1)
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_browser_copes_with_many_errors(browser, tmp_path, make_nlp):
    docs = random_documents(7, 700)
    path = tmp_path / "many.html"
    path.write_text(render_report(metrics_of(docs, make_nlp()), docs, max_errors=0), "utf-8")
    browser.look(width=1280)
    browser.open(path)
    n = len(find_mistakes(docs))
    assert n > 1000
    assert counted(browser) == f"{n:,} of {n:,} errors"
