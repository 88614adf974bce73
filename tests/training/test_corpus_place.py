"""The place in a corpus: batches drawn again are those of the first drawing."""

import random
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.training.corpus_place import CorpusPlace, Digest
from spacy_bio_crf.training.random_states import read_cpu_states, set_random_states

NLP = spacy.blank("en")


def batches(*, lazy: bool) -> Iterator[tuple[int, list]]:
    """Epochs of numbers; lazily, each draw uses random numbers, or some draws do."""
    items = list(range(12))
    for epoch in range(4):
        random.shuffle(items)
        for i in range(0, 12, 3):
            noise = np.random.random() if lazy and i % 2 == 0 else 0.0
            yield epoch, [items[i : i + 3], noise]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("trains_at_random", [False, True])
def test_drawn_again(lazy: bool, trains_at_random: bool):
    def step() -> None:
        if trains_at_random:
            random.random()
            np.random.random()

    random.seed(0)
    np.random.seed(0)
    random.random()
    first = CorpusPlace(batches(lazy=lazy))
    for _ in range(10):
        next(first)
        step()
    states = read_cpu_states()
    expected = []
    for _ in range(6):
        expected.append(next(first))
        step()
    assert [epoch for epoch, _ in expected] == [2, 2, 3, 3, 3, 3]

    # Another process, whose random states are others.
    random.seed(1)
    np.random.seed(1)
    again = CorpusPlace(batches(lazy=lazy))
    kept = {n: s for n, s in first.states.items() if n < 10}
    assert again.draw_again(10, kept) == 10
    set_random_states(states)
    found = []
    for _ in range(6):
        found.append(next(again))
        step()
    assert found == expected
    assert again.states == first.states
    assert all(n < 10 for n in kept)  # those that were given stay as they were
    if not trains_at_random:
        assert list(first.states) == [0] or lazy


def test_states_are_kept_where_they_count():
    random.seed(0)
    place = CorpusPlace(batches(lazy=False))
    for _ in place:
        random.random()
    # Shuffling is the first draw of an epoch; nothing draws from NumPy.
    assert {n: sorted(states) for n, states in place.states.items()} == {
        0: ["python"],
        4: ["python"],
        8: ["python"],
        12: ["python"],
    }


def test_training_moves_on_before_a_draw_without_random_numbers():
    random.seed(0)
    first = CorpusPlace(batches(lazy=False))
    drawn = []
    for i in range(8):
        drawn.append(next(first))
        if i == 1:
            random.random()
    # The second epoch is shuffled in draw 4, and nothing happens between draws 2 and 4.
    assert sorted(first.states) == [0, 4]
    random.seed(1)
    again = CorpusPlace(batches(lazy=False))
    assert again.draw_again(7, first.states) == 7
    assert next(again) == drawn[7]


def test_a_corpus_that_has_become_shorter():
    place = CorpusPlace(batches(lazy=False))
    assert place.draw_again(100, {}) == 16


def digest(change=lambda doc: None, *, words=("Bo", "met", "Ana")) -> str:
    doc = Doc(NLP.vocab, words=list(words))
    doc.ents = [Span(doc, 0, 1, label="PER")]
    doc.spans["more"] = [Span(doc, 2, 3, label="PER")]
    doc.cats = {"yes": 1.0}
    change(doc)
    reader = Digest(lambda nlp: iter([Example(Doc(NLP.vocab, words=list(words)), doc)]))
    assert len(list(reader(NLP))) == 1
    return reader.value


def set_tag(doc: Doc) -> None:
    doc[1].tag_ = "VERB"


def set_head(doc: Doc) -> None:
    doc[0].head = doc[1]


def set_entity(doc: Doc) -> None:
    doc.ents = [Span(doc, 0, 1, label="LOC")]


def set_spans(doc: Doc) -> None:
    doc.spans["more"] = []


def set_cats(doc: Doc) -> None:
    doc.cats = {"yes": 0.0}


def set_scores(doc: Doc) -> None:
    doc.spans["more"].attrs["scores"] = np.array([0.25], dtype=np.float32)


def set_weight(doc: Doc) -> None:
    doc.user_data["bio_ner_weight"] = 0.5


def set_annotated(doc: Doc) -> None:
    doc.user_data["labels_annotated"] = ["PER"]


def set_extension(doc: Doc) -> None:
    doc.user_data["._.", "sort", 3, None] = "VERB"


@pytest.mark.parametrize(
    "change",
    [
        *(set_tag, set_head, set_entity, set_spans, set_cats),
        *(set_scores, set_weight, set_annotated, set_extension),
    ],
)
def test_digests_differ_with_the_annotation(change):
    assert digest() == digest()
    assert digest(change) != digest()


def test_digests_do_not_differ_with_other_data_or_with_its_order():
    def keep(doc: Doc) -> None:
        # Other objects may look different in each process.
        doc.user_data.update({"source": "line 3", 7: 1, ("._.", "parser", None, None): object()})

    def add(doc: Doc, *, step: int = 1) -> None:
        doc.user_data["labels_annotated"] = ["PER", "LOC"][::step]
        for i in range(3)[::step]:
            doc.user_data["._.", "sort", i, None] = "X"

    assert digest(keep) == digest()
    assert digest(partial(add, step=-1)) == digest(add) != digest()


def test_the_first_half_of_a_digest_is_that_of_old_checkpoints():
    for change in (set_scores, set_weight, set_annotated, set_extension):
        assert digest(change).partition("-")[0] == digest().partition("-")[0]
    assert digest(set_tag).partition("-")[0] != digest().partition("-")[0]


def test_digests_differ_with_the_text():
    assert digest(words=("Bo", "met", "Eve")) != digest()


def test_each_reading_has_the_same_digest():
    reader = Digest(lambda nlp: [Example(nlp.make_doc(t), nlp.make_doc(t)) for t in ("a b", "c")])
    values = []
    for _ in range(2):
        list(reader(NLP))
        values.append(reader.value)
    next(reader(NLP))
    assert values[0] == values[1] != reader.value
