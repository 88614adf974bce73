"""Breakdowns by hand, and against the totals."""

import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.metrics.averages import count_entities, strict_table
from spacy_bio_crf.metrics.breakdowns import breakdowns, read_surfaces
from tests.support.evaluation_tools import document, of_tags, random_documents


def test_breakdowns_by_hand():
    documents = [
        of_tags("B-A I-A O B-B O", "B-A I-A O O B-B"),
        document([(0, 7, "A")], [(0, 6, "A")], n=40),
        document([], [(0, 1, "A")], n=17),
    ]
    found = breakdowns(documents, None)
    rows = {r["sort"]: (r["gold"], r["predicted"], r["f"]) for r in found["entity_length"]}
    assert rows == {
        "1 token": (1, 2, 0.0),
        "2 tokens": (1, 1, 1.0),
        "5 tokens or more": (1, 1, 0.0),
    }
    rows = {row["sort"]: (row["gold"], row["predicted"]) for row in found["document_length"]}
    assert rows == {"1 to 16 tokens": (2, 2), "17 to 32 tokens": (0, 1), "33 to 64 tokens": (1, 1)}


def test_surfaces_by_hand():
    doc = document(
        [(0, 2, "LOC"), (3, 4, "PER"), (5, 6, "PER")],
        [(0, 2, "LOC"), (3, 4, "PER"), (4, 5, "LOC")],
        words=["NEW", "york", "met", "Paris", "Oslo", "Bo"],
    )
    train = Doc(Vocab(), words=["New\n", "York", "PARIS"], ents=["B-LOC", "I-LOC", "B-LOC"])
    known = read_surfaces([train])
    assert known == {"new york": {"LOC"}, "paris": {"LOC"}}
    rows = {
        r["sort"]: (r["gold"], r["predicted"], r["f"]) for r in breakdowns([doc], known)["surface"]
    }
    assert rows == {"seen": (1, 1, 1.0), "seen, other label": (1, 1, 1.0), "unseen": (1, 1, 0.0)}


@pytest.mark.parametrize("breakdown", ["entity_length", "document_length"])
def test_breakdowns_add_up(breakdown):
    documents = random_documents(6, 100)
    rows = breakdowns(documents, None)[breakdown]
    total = strict_table(count_entities(documents))["all"]
    for key in ("gold", "predicted"):
        assert sum(row[key] for row in rows) == total[key]
    rights = sum(round(row["p"] * row["predicted"]) for row in rows)
    assert rights == round(total["p"] * total["predicted"])
