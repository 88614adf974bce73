"""Confusion by hand."""

from spacy_bio_crf.metrics.confusion import confusion
from tests.support.evaluation_tools import document, of_tags


def test_confusion_by_hand():
    doc = of_tags(
        "B-A I-A O B-B O B-A O O",
        "B-A O   O B-A O O   O B-B",
    )
    matrix = confusion([doc])
    assert matrix.names == ["A", "B", "O"]
    # Rows are gold: A as A (another boundary), A missed; B as A; a spurious B.
    assert matrix.entities.tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert matrix.tokens.tolist() == [[1, 0, 2], [1, 0, 0], [0, 1, 3]]


def test_unannotated_tokens_confuse_nobody():
    doc = document([(0, 1, "A")], [(0, 1, "A")], n=4, missing=(2, 3))
    assert confusion([doc]).tokens.tolist() == [[1, 0], [0, 1]]
