"""The annotation of equal texts, counted."""

import spacy
from spacy.tokens import Doc, Span

from spacy_bio_crf.review.surfaces import count_usage, surface_in

NLP = spacy.blank("en")


def make_doc(text: str, ents: list, *, missing: tuple[int, ...] = ()) -> Doc:
    doc = Doc(NLP.vocab, words=text.split())
    spans = [Span(doc, s, e, label=x) for s, e, x in ents]
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing])
    return doc


def test_every_place_has_one_sort():
    docs = [
        make_doc("New York met New York and new York", [(0, 2, "LOC"), (3, 5, "ORG")]),
        make_doc("in New York City New York", [(1, 4, "LOC")]),
        make_doc("New York New", [(0, 2, "LOC")]),
        make_doc("New York", [], missing=(0,)),
        make_doc("York New York", []),
    ]
    surface = surface_in(docs[0], (0, 2, "LOC"))
    assert surface == ("New", "York")
    usage = count_usage(docs, [surface, ("New",), ("Rome",)])
    own = usage[surface]
    assert dict(own.labels) == {"LOC": 2, "ORG": 1}
    assert (own.partly, own.outside) == (1, 2)
    assert str(own) == "LOC 2, ORG 1, part 1, none 2"
    # One occurrence is not annotated at all.
    assert (usage["New",].partly, usage["New",].outside) == (4, 3)
    assert str(usage["Rome",]) == ""
