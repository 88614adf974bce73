"""Write an HTML page of documents with their entities: gold on the left, predicted on the right.

Rows in which the two differ are marked. The page needs no network and no script.
"""

import argparse
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

import spacy
from spacy import displacy
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from spacy_bio_crf.metrics import predict

PALETTE = ("#7fb2ff", "#ffd166", "#9be0b5", "#f4a3c4", "#c9b6f2", "#ffb38a", "#b8dbe8", "#d9d9a3")

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 2rem; color: #1c1c1c; background: #fff; }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; }}
th, td {{ border-bottom: 1px solid #ccc; padding: 0.5rem; text-align: left; vertical-align: top; }}
td {{ overflow-wrap: anywhere; }}
th.number {{ width: 3rem; }}
tr.differs td:first-child {{ border-left: 0.3rem solid #c0392b; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{differing} of {total} documents differ; their rows have a red edge.</p>
<table>
<thead><tr><th class="number">#</th><th>gold</th><th>predicted</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def render_page(examples: Iterable[Example], title: str) -> str:
    """Put documents on a page.

    examples (Iterable[Example]): Predicted documents beside their references.
    title (str): The page's title, plain text.
    RETURNS (str): The HTML.
    """
    examples = list(examples)
    labels = {
        ent.label_ for eg in examples for doc in (eg.reference, eg.predicted) for ent in doc.ents
    }
    colors = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(sorted(labels))}
    differ = [_entities(eg.reference) != _entities(eg.predicted) for eg in examples]
    mark = ' class="differs"'
    rows = [
        f"<tr{mark if differs else ''}><td>{i}</td>"
        f"<td>{_markup(eg.reference, colors)}</td><td>{_markup(eg.predicted, colors)}</td></tr>"
        for i, (eg, differs) in enumerate(zip(examples, differ, strict=True), start=1)
    ]
    return PAGE.format(
        title=escape(title), differing=sum(differ), total=len(examples), rows="\n".join(rows)
    )


def _entities(doc: Doc) -> list[tuple[int, int, str]]:
    # In characters: the two documents may be tokenised differently.
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def _markup(doc: Doc, colors: dict[str, str]) -> str:
    if not doc.ents:
        # displaCy warns about every document without entities.
        return f'<div class="entities">{escape(doc.text)}</div>'
    options = {"colors": colors}
    return displacy.render(doc, style="ent", page=False, jupyter=False, options=options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="pipeline: folder or installed package")
    parser.add_argument("corpus", type=Path, help="annotated documents (.spacy)")
    parser.add_argument("output", type=Path, help="where the page goes (.html)")
    parser.add_argument("--limit", type=int, default=200, help="documents, at the most; 0: all")
    arguments = parser.parse_args()
    if not arguments.corpus.is_file():
        msg.fail(f"No file {arguments.corpus}: expected annotated documents (.spacy)")
        return 1
    examples = predict(spacy.load(arguments.model), arguments.corpus, limit=arguments.limit)
    title = f"{arguments.model} on {arguments.corpus}"
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(render_page(examples, title), encoding="utf-8")
    msg.good(f"{len(examples)} documents, gold beside predicted: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
