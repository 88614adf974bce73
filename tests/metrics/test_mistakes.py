"""Mistakes by hand, and against the figures."""

from collections import Counter
from dataclasses import replace

import numpy as np

from spacy_bio_crf.metrics.averages import count_entities
from spacy_bio_crf.metrics.layered import Layers
from spacy_bio_crf.metrics.mistakes import KINDS, confusion, find_mistakes
from tests.support.evaluation_tools import document, of_tags, random_documents


def test_errors_by_hand():
    doc = document(
        [(0, 2, "A"), (3, 4, "A"), (5, 7, "A"), (8, 9, "B"), (10, 11, "B")],
        [(0, 1, "A"), (3, 4, "B"), (6, 8, "B"), (9, 10, "A"), (10, 11, "B")],
        n=12,
        confidence=[0.9, 0.8, 0.7, 0.6, 0.5],
    )
    found = [(e.kind, e.document, e.gold, e.predicted, e.confidence) for e in find_mistakes([doc])]
    assert found == [
        ("boundary", 0, (0, 2, "A"), (0, 1, "A"), 0.9),
        ("label", 0, (3, 4, "A"), (3, 4, "B"), 0.8),
        ("both", 0, (5, 7, "A"), (6, 8, "B"), 0.7),
        ("missed", 0, (8, 9, "B"), None, None),
        ("spurious", 0, None, (9, 10, "A"), 0.6),
    ]
    assert {kind for kind, *_ in found} == set(KINDS)


def test_errors_and_figures_agree():
    documents = random_documents(4, 200)
    totals = count_entities(documents).counts.sum((0, 1))
    errors = find_mistakes(documents)
    kinds = Counter(error.kind for error in errors)
    pairs = kinds["label"] + kinds["boundary"] + kinds["both"]
    assert kinds["spurious"] + pairs == totals[1]
    assert kinds["missed"] + pairs == totals[2]
    matrix = confusion(documents)
    assert sum(matrix["entities"][-1]) == kinds["spurious"]
    assert sum(row[-1] for row in matrix["entities"]) == kinds["missed"]


def test_confusion_by_hand():
    doc = of_tags(
        "B-A I-A O B-B O B-A O O",
        "B-A O   O B-A O O   O B-B",
    )
    matrix = confusion([doc])
    assert matrix["names"] == ["A", "B", "O"]
    # Rows are gold: A as A (another boundary), A missed; B as A; a spurious B.
    assert matrix["entities"] == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert matrix["tokens"] == [[1, 0, 2], [1, 0, 0], [0, 1, 3]]


def test_a_label_called_as_no_entity():
    doc = document([(0, 1, "O"), (2, 3, "(O)")], [(2, 3, "O")], n=4)
    matrix = confusion([doc])
    assert matrix["names"] == ["(O)", "O", "((O))"]
    assert matrix["entities"] == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_unannotated_tokens_confuse_nobody():
    doc = document([(0, 1, "A")], [(0, 1, "A")], n=4, missing=(2, 3))
    assert confusion([doc])["tokens"] == [[1, 0], [0, 1]]


def test_tokens_that_one_group_alone_annotates():
    unknown = {"": np.zeros(3, dtype=bool), "b": np.array([False, True, True])}
    doc = replace(
        document([(0, 1, "A"), (0, 1, "B")], [(0, 1, "A"), (0, 1, "B")], n=3),
        layers=Layers("bio_ner", "gold", {"A": "a", "B": "b"}),
        unknown=unknown,
    )
    # Of the group b the first token alone counts.
    assert confusion([doc])["tokens"] == [[1, 0, 0], [0, 1, 0], [0, 0, 2]]
