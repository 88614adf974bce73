"""What is known of a document's tags, against all tag sequences written out one by one."""

import itertools
import math

import numpy as np
import pytest
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.gold import annotation as gold
from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.heads.emitter import Head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.loss import lattice_loss
from spacy_bio_crf.tags.schemes import spans_of_tags
from spacy_bio_crf.tags.spans import spans_of_rows
from spacy_bio_crf.tags.tagset import TagSet

VOCAB = Vocab()


def make_doc(words, ents=(), *, missing=(), blocked=(), default="outside") -> Doc:
    doc = Doc(VOCAB, words=words, spaces=[False] * len(words))
    doc.set_ents(
        [Span(doc, start, end, label=label) for start, end, label in ents],
        missing=[doc[i : i + 1] for i in missing],
        blocked=[doc[i : i + 1] for i in blocked],
        default=default,
    )
    return doc


def read(predicted: list[str], reference: Doc) -> tuple[list, list[bool]]:
    doc = Doc(VOCAB, words=predicted, spaces=[False] * len(predicted))
    annotation = gold.read_example(Example(doc, reference))
    assert annotation.known.dtype == bool
    return annotation.spans, annotation.known.tolist()


# -- reading an example ---------------------------------------------------------------------------


def test_same_tokens():
    reference = make_doc(list("abcdef"), [(0, 2, "X"), (2, 3, "X"), (4, 6, "Y")])
    assert read(list("abcdef"), reference) == ([(0, 2, "X"), (2, 3, "X"), (4, 6, "Y")], [True] * 6)


def test_missing_tokens_are_unknown_and_blocked_tokens_outside():
    reference = make_doc(list("abcdef"), [(0, 2, "X")], missing=[2, 5], blocked=[3])
    spans, known = read(list("abcdef"), reference)
    assert spans == [(0, 2, "X")]
    assert known == [True, True, False, True, True, False]


def test_a_document_without_annotation_is_unknown():
    words = list("abc")
    assert read(words, Doc(VOCAB, words=words)) == ([], [False] * 3)
    assert read(["ab", "c"], Doc(VOCAB, words=words, spaces=[False] * 3)) == ([], [False] * 2)


def test_empty_documents():
    assert read([], Doc(VOCAB, words=[])) == ([], [])


JUNE = {
    4: make_doc(["Mon.", "-", "June", "16"], [(2, 3, "DATE")]),
    5: make_doc(["Mon.", "-", "June", "1", "6"], [(2, 3, "DATE")]),
    "parts": make_doc(["Mon.", "-", "J", "une", "16"], [(2, 4, "DATE")]),
    "last": make_doc(["Mon.", "-", "June", "16"], [(2, 4, "DATE")]),
    "two": make_doc(["Mon.", "-", "June", "16"], [(0, 1, "DAY"), (2, 3, "DATE")]),
}
T, F = True, False


@pytest.mark.parametrize(
    ("reference", "predicted", "spans", "known"),
    [
        # The reference's other tokens are cut up: the entity stands where its text is.
        (4, ["Mon", ".", "-", "June", "16"], [(3, 4, "DATE")], [T, T, T, T, T]),
        (5, ["Mon", ".", "-", "June", "16"], [(3, 4, "DATE")], [T, T, T, T, T]),
        # The entity itself is cut up, or put together.
        (4, ["Mon.", "-", "J", "une", "16"], [(2, 4, "DATE")], [T, T, T, T, T]),
        ("parts", ["Mon.-", "June", "16"], [(1, 2, "DATE")], [T, T, T]),
        ("last", ["Mon.", "-", "June16"], [(2, 3, "DATE")], [T, T, T]),
        # A token reaches over the entity's edge: what it touches is unknown, never outside.
        (4, ["Mon.", "-J", "un", "e16"], [], [T, F, F, F]),
        (4, ["Mon.-June", "16"], [], [F, T]),
        (4, ["Mon.-", "June16"], [], [T, F]),
        ("last", ["Mon.", "-June", "16"], [], [T, F, F]),
        # One entity fits and the other does not.
        ("two", ["Mon", ".-", "June", "16"], [(2, 3, "DATE")], [F, F, T, T]),
    ],
)
def test_mismatched_tokens(reference, predicted, spans, known):
    assert read(predicted, JUNE[reference]) == (spans, known)


def test_mismatched_tokens_keep_missing_tokens_unknown():
    reference = make_doc(["ab", "c", "d", "e"], [(0, 1, "X")], missing=[1, 3])
    assert read(["a", "b", "c", "d", "e"], reference) == ([(0, 2, "X")], [T, T, F, T, F])


def test_hyphens_in_labels_survive_mismatched_tokens():
    reference = make_doc(["ab", "c"], [(0, 1, "cell-line")])
    assert read(["a", "b", "c"], reference)[0] == [(0, 2, "cell-line")]


def test_neighbours_of_one_label_survive_mismatched_tokens():
    reference = make_doc(["ab", "c", "d"], [(0, 1, "X"), (1, 2, "X")])
    assert read(["a", "b", "c", "d"], reference) == ([(0, 2, "X"), (2, 3, "X")], [T] * 4)


def with_wrong(reference: Doc, *spans: tuple[int, int, str]) -> Doc:
    reference.spans["wrong"] = [Span(reference, s, e, label=label) for s, e, label in spans]
    return reference


@pytest.mark.parametrize(
    ("predicted", "wrong"),
    [
        (["ab", "c", "d"], [(0, 1, "X"), (0, 2, "X"), (2, 3, "Y")]),
        (["a", "b", "c", "d"], [(0, 2, "X"), (0, 3, "X"), (3, 4, "Y")]),
        # Tokens that don't fit a span say nothing of it.
        (["ab", "cd"], [(0, 1, "X")]),
    ],
)
def test_spans_known_to_be_wrong(predicted: list[str], wrong: list):
    reference = Doc(VOCAB, words=["ab", "c", "d"], spaces=[False] * 3)
    example = Example(
        Doc(VOCAB, words=predicted, spaces=[False] * len(predicted)),
        with_wrong(reference, (0, 1, "X"), (0, 2, "X"), (2, 3, "Y")),
    )
    annotation = gold.read_example(example, wrong_key="wrong")
    assert annotation.wrong == wrong
    assert annotation.spans == [] and not annotation.known.any()
    assert gold.read_example(example).wrong == []
    assert gold.read_example(example, wrong_key="other").wrong == []


def test_a_span_can_not_be_right_and_wrong():
    reference = with_wrong(make_doc(list("abc"), [(0, 2, "X")]), (0, 1, "X"), (0, 2, "Y"))
    example = Example(Doc(VOCAB, words=list("abc"), spaces=[False] * 3), reference)
    assert gold.read_example(example, wrong_key="wrong").wrong == [(0, 1, "X"), (0, 2, "Y")]
    with_wrong(reference, (0, 2, "X"))
    with pytest.raises(BioError, match=r"no entity in doc.spans\['wrong'\].*'ab' \(X, tok"):
        gold.read_example(example, wrong_key="wrong")


def test_the_policy_and_the_document_of_a_misfit():
    reference = make_doc(["ab", "c"], [(0, 1, "X")])
    example = Example(Doc(VOCAB, words=["abc"], spaces=[False]), reference)
    assert gold.read_example(example).spans == []
    assert gold.read_example(example, misaligned="expand").spans == [(0, 1, "X")]
    assert gold.read_example(example, misaligned="expand").misfits == [(0, 1, "X")]
    with pytest.raises(BioError, match=r"document 'abc': entity 'ab' \(X, .* \['abc'\]"):
        gold.read_example(example, misaligned="strict")


# -- what earlier components have set -------------------------------------------------------------


def test_presets():
    doc = make_doc(list("abcdef"), [(1, 3, "X")], blocked=[4])
    annotation = gold.read_presets(doc)
    assert annotation is not None
    assert annotation.spans == [(1, 3, "X")]
    # Outside (a, d, f) is what a component says of everything it has not found.
    assert annotation.known.tolist() == [F, T, T, F, T, F]
    assert annotation.blocked == [(4, 5)]
    assert annotation.ents == doc.ents


@pytest.mark.parametrize("default", ["outside", "missing"])
def test_no_presets(default):
    doc = make_doc(list("abc"), default=default)
    assert gold.read_presets(doc) is None


def test_no_presets_in_an_empty_document():
    assert gold.read_presets(Doc(VOCAB, words=[])) is None


def test_a_blocked_token_alone_is_a_preset():
    annotation = gold.read_presets(make_doc(list("ab"), blocked=[1]))
    assert annotation is not None
    assert (annotation.spans, annotation.known.tolist()) == ([], [F, T])
    assert annotation.blocked == [(1, 2)]


# -- the tags each row may have -------------------------------------------------------------------

BIO = TagSet(("X", "Y"), "BIO")
BILUO = TagSet(("X", "Y"), "BILUO")
ONE = {"BIO": TagSet(("X",), "BIO"), "BILUO": TagSet(("X",), "BILUO")}


def names(tagset: TagSet, allowed: np.ndarray) -> list[str]:
    """Readable form of one row after another: its tags, or * if it may have any."""
    return ["*" if row.all() else " ".join(np.array(tagset.tags)[row]) for row in allowed]


def allowed_names(tagset, spans, known, tokens, *, continued=False) -> list[str]:
    annotation = Annotation(spans, np.array(known, dtype=bool))
    rows = np.array(tokens, dtype=np.int64)
    allowed = annotation.allowed(tagset, rows, continued=continued)
    assert allowed.shape == (len(tokens), len(tagset.tags))
    return names(tagset, allowed)


def test_one_tag_where_all_is_known():
    spans = [(0, 3, "X"), (3, 4, "Y"), (5, 6, "X")]
    for tagset, tags in [
        (BIO, ["B-X", "I-X", "I-X", "B-Y", "O", "B-X"]),
        (BILUO, ["B-X", "I-X", "L-X", "U-Y", "O", "U-X"]),
    ]:
        assert allowed_names(tagset, spans, [T] * 6, range(6)) == tags


def test_every_tag_where_nothing_is_known():
    assert allowed_names(BIO, [], [F, F], [0, 1]) == ["*", "*"]


def test_an_entity_ends_where_its_span_ends():
    # O and B- of either label, but no I-: the annotated entity would be longer.
    assert allowed_names(BIO, [(0, 1, "X")], [T, F, F], range(3)) == ["B-X", "O B-X B-Y", "*"]


def test_tokens_without_a_row_leave_first_and_last_tags_in_place():
    # Tokens 0 and 3 of the entity have no sub-word.
    spans = [(0, 4, "X")]
    assert allowed_names(BIO, spans, [T] * 5, [1, 2, 4]) == ["B-X", "I-X", "O"]
    assert allowed_names(BILUO, spans, [T] * 5, [1, 2, 4]) == ["B-X", "L-X", "O"]
    # A hole in the middle does not end it, and an entity of one row is a whole one.
    assert allowed_names(BILUO, spans, [T] * 5, [0, 3, 4]) == ["B-X", "L-X", "O"]
    assert allowed_names(BILUO, spans, [T] * 5, [2, 4]) == ["U-X", "O"]
    # None of its tokens has a row.
    assert allowed_names(BIO, spans, [T] * 5, [4]) == ["O"]


def test_a_label_nobody_knows_is_outside():
    assert allowed_names(BIO, [(0, 2, "Z")], [T, T, F], range(3)) == ["O", "O", "*"]


def test_later_subwords_repeat_the_tag_or_continue_it():
    spans, known, tokens = [(0, 2, "X")], [T, T, T, F], [0, 0, 0, 1, 1, 2, 2, 3, 3]
    repeated = ["B-X", "B-X", "B-X", "I-X", "I-X", "O", "O", "*", "*"]
    continued = ["B-X", "I-X", "I-X", "I-X", "I-X", "O", "O", "*", "*"]
    assert allowed_names(BIO, spans, known, tokens) == repeated
    assert allowed_names(BIO, spans, known, tokens, continued=True) == continued


def test_a_new_entity_may_have_later_subwords_right_after_a_known_one():
    rows = allowed_names(BIO, [(0, 1, "X")], [T, F], [0, 1, 1], continued=True)
    assert rows == ["B-X", "O B-X B-Y", "*"]


def test_no_rows():
    assert allowed_names(BIO, [], [T], []) == []


def all_annotations(n: int):
    """Every set of spans of label X on n tokens, with every way of knowing the other tokens."""
    for tags in itertools.product("OBI", repeat=n):
        if "OI" in "".join(["O", *tags]):
            continue
        written = ["O" if tag == "O" else f"{tag}-X" for tag in tags]
        spans, _ = spans_of_tags(written, scheme="BIO")
        outside = [i for i, tag in enumerate(tags) if tag == "O"]
        for flags in itertools.product([T, F], repeat=len(outside)):
            known = np.ones(n, dtype=bool)
            known[[i for i, flag in zip(outside, flags, strict=True) if not flag]] = False
            yield Annotation(spans, known)


def means_the_same(annotation: Annotation, entities: list, rows: list[int]) -> bool:
    """Whether a document's entities agree with what is known of it.

    Every annotated entity is there with exactly its extent, and no other one touches a token of
    which something is known. Entities are compared by their rows: a token without one can't show
    whether it belongs to an entity at whose edge it stands.
    """

    def visible(span) -> list[int]:
        return [i for i in rows if span[0] <= i < span[1]]

    wanted = [visible(span) for span in annotation.spans if visible(span)]
    found = [visible(span) for span in entities]
    others = [span for span in entities if visible(span) not in wanted]
    touched = any(annotation.known[start:end].any() for start, end, _ in others)
    return all(span in found for span in wanted) and not touched


@pytest.mark.parametrize("scheme", ["BIO", "BILUO"])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [0, 2, 3], [1, 3], [0, 3], [2]])
def test_allowed_sequences_are_those_that_mean_the_same(scheme, rows):
    """Of all legal tag sequences, exactly those are allowed whose entities fit the annotation."""
    tagset = ONE[scheme]
    legal = []
    for path in itertools.product(range(len(tagset.tags)), repeat=len(rows)):
        tags = [tagset.tags[i] for i in path]
        spans, repairs = spans_of_tags(tags, scheme=scheme)
        if not repairs:
            legal.append((path, spans_of_rows(spans, np.array(rows))))
    n_seen = 0
    for annotation in all_annotations(4):
        allowed = annotation.allowed(tagset, np.array(rows), continued=False)
        for path, entities in legal:
            in_set = all(allowed[row, tag] for row, tag in enumerate(path))
            assert in_set == means_the_same(annotation, entities, rows), (annotation, path)
            n_seen += in_set
    assert n_seen > 50


@pytest.mark.parametrize("tagset", [BIO, BILUO], ids=["BIO", "BILUO"])
@pytest.mark.parametrize("rows", [[0, 1, 2], [0, 2], [1, 2]])
def test_labels_that_are_not_annotated_may_be_anywhere_else(tagset: TagSet, rows: list[int]):
    """X is annotated and Y is not: of all legal sequences those are allowed that have just the
    annotated X, and Y wherever they leave room."""
    legal = []
    for path in itertools.product(range(len(tagset.tags)), repeat=len(rows)):
        tags = [tagset.tags[i] for i in path]
        spans, repairs = spans_of_tags(tags, scheme=tagset.scheme)
        if not repairs:
            legal.append((path, spans_of_rows(spans, np.array(rows))))

    def visible(span) -> tuple:
        return (*(i for i in rows if span[0] <= i < span[1]), span[2])

    n_seen = 0
    for annotation in all_annotations(3):
        annotation = Annotation(annotation.spans, annotation.known, annotated=frozenset({"X", "Z"}))
        allowed = annotation.allowed(tagset, np.array(rows), continued=False)
        wanted = {visible(span) for span in annotation.spans if len(visible(span)) > 1}
        inside = [i for start, end, _ in annotation.spans for i in range(start, end)]
        for path, entities in legal:
            found = {visible(span) for span in entities}
            others = [span for span in entities if visible(span) not in wanted]
            fits = wanted <= found and not any(
                annotation.known[s:e].any()
                if label == "X"
                else not set(inside).isdisjoint(range(s, e))
                for s, e, label in others
            )
            assert fits == all(allowed[row, tag] for row, tag in enumerate(path))
            n_seen += fits
    assert n_seen > 50


def test_later_subwords_of_labels_that_are_not_annotated():
    annotation = Annotation([(0, 1, "X")], np.array([T, T, F]), annotated=frozenset({"X"}))
    rows = annotation.allowed(BIO, np.array([0, 0, 1, 1, 2]), continued=True)
    assert names(BIO, rows) == ["B-X", "I-X", "O B-Y", "O B-Y I-Y", "*"]
    # All labels are annotated after all.
    annotation = Annotation([(0, 1, "X")], np.array([T, T]), annotated=frozenset({"X", "Y"}))
    assert names(BIO, annotation.allowed(BIO, np.arange(2), continued=False)) == ["B-X", "O"]


def test_the_labels_annotated_are_those_of_the_reference():
    for words in (list("abc"), ["ab", "c"]):
        reference = make_doc(list("abc"), [(2, 3, "X")])
        reference.user_data["labels_annotated"] = ["X"]
        doc = Doc(VOCAB, words=words, spaces=[False] * len(words))
        annotation = gold.read_example(Example(doc, reference))
        assert annotation.annotated == {"X"}
        assert annotation.knows((0, 1, "X")) and not annotation.knows((0, 1, "Y"))
    reference.user_data["labels_annotated"] = "X"
    with pytest.raises(BioError, match="labels_annotated of document 'abc'.*a list of labels"):
        gold.read_example(Example(doc, reference))


# -- what it means for the loss -------------------------------------------------------------------


def random_lattice(n: int, k: int, *, seed: int = 0, crf: bool = True) -> Lattice:
    torch.manual_seed(seed)
    scale = 1.0 if crf else 0.0
    return Lattice(
        emissions=torch.randn(n, k),
        start=torch.randn(k) * scale,
        transitions=torch.randn(k, k) * scale,
        end=torch.randn(k) * scale,
        tokens=[np.arange(n)],
    )


def test_softmax_learns_nothing_from_unknown_tokens():
    annotation = Annotation([(0, 2, "X")], np.array([T, T, T, F, F, T]))
    lattice = random_lattice(6, 5, crf=False)
    allowed = annotation.allowed(BIO, lattice.tokens[0], continued=False)
    value, gradient = lattice_loss(Head(crf=False), BIO, lattice, allowed, size=4)
    log_p = lattice.emissions.double().log_softmax(dim=1)
    expected = -(log_p[0, 1] + log_p[1, 2] + log_p[2, 0] + log_p[5, 0]) / 4
    assert value == pytest.approx(float(expected), rel=1e-6)
    assert (gradient.emissions[3:5].abs() < 1e-7).all()
    assert (gradient.emissions[[0, 1, 2, 5]].abs().sum(dim=1) > 0.01).all()


@pytest.mark.parametrize("known", list(itertools.product([T, F], repeat=2)))
@pytest.mark.parametrize("entity", [[], [(1, 3, "X")], [(0, 1, "Y")], [(3, 4, "X")]])
def test_crf_loss_is_over_all_sequences_that_agree_with_the_annotation(known, entity):
    lattice = random_lattice(4, 5, seed=len(entity) + 2 * sum(known))
    flags = np.array([known[0], known[1], known[0], known[1]])
    for start, end, _ in entity:
        flags[start:end] = True
    annotation = Annotation(entity, flags)
    e, s, t, z = (scores.double().tolist() for scores in lattice.scores)

    def score(path) -> float:
        total = s[path[0]] + z[path[-1]] + sum(e[i][tag] for i, tag in enumerate(path))
        return total + sum(t[a][b] for a, b in itertools.pairwise(path))

    def agrees(path) -> bool:
        tags = [BIO.tags[i] for i in path]
        for start, end, label in entity:
            if tags[start:end] != [f"B-{label}"] + [f"I-{label}"] * (end - start - 1):
                return False
            if end < 4 and tags[end].startswith("I-"):
                return False
        inside = {i for start, end, _ in entity for i in range(start, end)}
        return all(tags[i] == "O" for i in range(4) if flags[i] and i not in inside)

    paths = list(itertools.product(range(5), repeat=4))
    every = math.log(sum(math.exp(score(path)) for path in paths))
    agreeing = math.log(sum(math.exp(score(path)) for path in paths if agrees(path)))
    allowed = annotation.allowed(BIO, lattice.tokens[0], continued=False)
    value, _ = lattice_loss(Head(crf=True), BIO, lattice, allowed, size=1)
    assert value == pytest.approx(every - agreeing, abs=1e-4)
