"""Gold of groups of labels: several layers, overlaps in one group, other tokens, missing spans."""

import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.gold.layers import read_layers
from spacy_bio_crf.gold.notices import GoldTally, Notices
from spacy_bio_crf.tags.groups import make_groups
from spacy_bio_crf.tags.tagset import TagSet

WORDS = ["University", "of", "Porto", "and", "Ana", "Ruiz", "Costa"]
LABELS = [("ORG", "PER"), ("LOC",)]
VOCAB = spacy.blank("en").vocab


def example(
    spans: list, *, missing: list | None = None, words: list[str] | None = None, key: str = "gold"
) -> Example:
    reference = Doc(VOCAB, words=WORDS)
    reference.spans[key] = [Span(reference, s, e, label=label) for s, e, label in spans]
    if missing is not None:
        reference.spans[f"{key}_missing"] = [
            Span(reference, s, e, label=label) for s, e, label in missing
        ]
    predicted = Doc(VOCAB, words=words or WORDS)
    return Example(predicted, reference)


def test_each_group_has_a_layer():
    own = [(0, 3, "ORG"), (2, 3, "LOC"), (4, 6, "PER")]
    found = read_layers(example(own), LABELS, gold_key="gold")
    assert [layer.spans for layer in found.layers] == [[own[0], own[2]], [own[1]]]
    assert found.spans == sorted(own)
    assert found.known.all() and all(layer.known.all() for layer in found.layers)
    assert (found.given, found.misfits, found.overlaps) == (3, [], [])


def test_of_an_overlap_in_one_group_the_longer_entity_stays():
    own = [(4, 6, "PER"), (4, 7, "PER"), (5, 6, "ORG"), (2, 3, "LOC")]
    found = read_layers(example(own), LABELS, gold_key="gold")
    assert found.layers[0].spans == [(4, 7, "PER")]
    assert sorted(found.overlaps) == [(4, 6, "PER"), (5, 6, "ORG")]
    assert found.layers[0].known.all()


def test_tokens_of_the_other_entity_alone_are_unknown_in_their_group():
    own = [(0, 3, "ORG"), (2, 4, "PER")]
    found = read_layers(example(own), LABELS, gold_key="gold")
    assert found.layers[0].known.tolist() == [True] * 3 + [False] + [True] * 3
    assert found.layers[1].known.all()
    assert found.known.all()
    assert not found.knows((3, 4, "PER")) and found.knows((3, 4, "LOC"))


def test_an_entity_given_twice_counts_once():
    found = read_layers(example([(2, 3, "LOC"), (2, 3, "LOC")]), LABELS, gold_key="gold")
    assert (found.spans, found.overlaps, found.given) == ([(2, 3, "LOC")], [], 1)


def test_a_doc_without_the_group_is_not_annotated():
    found = read_layers(example([(2, 3, "LOC")], key="other"), LABELS, gold_key="gold")
    assert not found.known.any()
    assert (found.spans, found.given) == ([], 0)
    assert read_layers(example([]), LABELS, gold_key="gold").known.all()


def test_missing_spans_concern_the_group_of_their_label_or_all():
    missing = [(0, 1, "PER"), (6, 7, "")]
    found = read_layers(example([(2, 3, "LOC")], missing=missing), LABELS, gold_key="gold")
    assert np.flatnonzero(~found.layers[0].known).tolist() == [0, 6]
    assert np.flatnonzero(~found.layers[1].known).tolist() == [6]


def test_an_entity_stands_in_a_missing_stretch():
    found = read_layers(example([(0, 3, "ORG")], missing=[(0, 7, "")]), LABELS, gold_key="gold")
    assert found.layers[0].spans == [(0, 3, "ORG")]
    assert np.flatnonzero(found.layers[0].known).tolist() == [0, 1, 2]


OTHER = ["University", "of", "Por", "to", "and", "AnaRuiz", "Costa"]


def other_tokens(spans: list, missing: list | None = None) -> Example:
    reference = Doc(VOCAB, words=["University", "of", "Porto", "and", "Ana", "Ruiz", "Costa"],
                    spaces=[True, True, True, True, False, True, False])  # fmt: skip
    reference.spans["gold"] = [Span(reference, s, e, label=label) for s, e, label in spans]
    reference.spans["gold_missing"] = [Span(reference, *span) for span in missing or ()]
    predicted = Doc(VOCAB, words=OTHER, spaces=[True, True, False, True, True, True, False])
    return Example(predicted, reference)


def test_layers_on_other_tokens():
    own = [(0, 3, "ORG"), (2, 3, "LOC"), (4, 5, "PER")]
    found = read_layers(other_tokens(own, [(6, 7, "LOC")]), LABELS, gold_key="gold")
    assert found.layers[0].spans == [(0, 4, "ORG")]
    assert found.layers[1].spans == [(2, 4, "LOC")]
    # "Ana" is a part of a token: unknown in its group alone.
    assert found.misfits == [(4, 5, "PER")]
    assert np.flatnonzero(~found.layers[0].known).tolist() == [5]
    assert np.flatnonzero(~found.layers[1].known).tolist() == [6]


@pytest.mark.parametrize(
    ("policy", "spans"), [("expand", [(5, 6, "PER")]), ("contract", []), ("missing", [])]
)
def test_policies(policy: str, spans: list):
    found = read_layers(other_tokens([(4, 5, "PER")]), LABELS, gold_key="gold", misaligned=policy)
    assert found.spans == spans
    assert found.misfits == [(4, 5, "PER")]
    with pytest.raises(BioError, match="document 'University of Porto.*borders of tokens"):
        read_layers(other_tokens([(4, 5, "PER")]), LABELS, gold_key="gold", misaligned="strict")


@pytest.mark.parametrize("make", [example, other_tokens])
def test_spans_known_to_be_wrong_go_to_their_group(make):
    given = make([(0, 3, "ORG")])
    reference = given.reference
    reference.spans["bad"] = [Span(reference, 2, 3, "LOC"), Span(reference, 6, 7, "PER")]
    found = read_layers(given, LABELS, gold_key="gold", wrong_key="bad")
    assert [label for _, _, label in found.layers[0].wrong] == ["PER"]
    assert [label for _, _, label in found.layers[1].wrong] == ["LOC"]
    reference.spans["bad"] = [Span(reference, 0, 3, "ORG")]
    with pytest.raises(BioError, match=r"no entity in doc.spans\['bad'\].* got .*ORG"):
        read_layers(given, LABELS, gold_key="gold", wrong_key="bad")


def test_gold_of_doc_ents_is_shared_out():
    given = example([])
    reference = given.reference
    reference.set_ents(
        [Span(reference, 0, 3, "ORG"), Span(reference, 4, 5, "LOC")],
        missing=[Span(reference, 6, 7)],
    )
    reference.spans["bad"] = [Span(reference, 5, 6, "LOC")]
    found = read_layers(given, LABELS, wrong_key="bad")
    assert [layer.spans for layer in found.layers] == [[(0, 3, "ORG")], [(4, 5, "LOC")]]
    assert [layer.wrong for layer in found.layers] == [[], [(5, 6, "LOC")]]
    assert all(np.flatnonzero(~layer.known).tolist() == [6] for layer in found.layers)


def test_overlaps_are_counted_and_named_once():
    labels = [t.labels for t in make_groups({"a": ["PER"], "b": ["LOC"]}, (), "BIO").tagsets]
    given = example([(4, 7, "PER"), (5, 7, "PER"), (5, 6, "LOC")])
    annotation = read_layers(given, labels, gold_key="gold")
    tally = GoldTally()
    tally.add([given], [annotation], None)
    assert (tally.entities, tally.overlaps, tally.misfits) == (3, 1, 0)
    notices = Notices("bio_ner")
    with pytest.warns(UserWarning, match="1 of 3 entities in 1 training documents share tokens "
                      "with a longer one of their group.*'Ruiz Costa' .PER., token 5"):  # fmt: skip
        notices.tell(tally, "training documents", "missing")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notices.tell(tally, "training documents", "missing")


def test_an_empty_span_is_a_misfit():
    given = example([(2, 3, "LOC"), (1, 1, "LOC")])
    found = read_layers(given, LABELS, gold_key="gold")
    assert found.misfits == [(1, 1, "LOC")]
    assert found.spans == [(2, 3, "LOC")]


@pytest.mark.parametrize("key", ["gold", None])
def test_labels_annotated_concern_each_group(key: str | None):
    reference = Doc(VOCAB, words=list("abc"))
    reference.ents = [Span(reference, 0, 1, label="A")]
    reference.spans["gold"] = list(reference.ents)
    reference.user_data["labels_annotated"] = ["A"]
    both = Example(Doc(VOCAB, words=list("abc")), reference)
    read = read_layers(both, [["A"], ["B"]], gold_key=key)
    found = [
        layer.allowed(TagSet((label,), "BIO"), np.arange(3), continued=False).tolist()
        for layer, label in zip(read.layers, "AB", strict=True)
    ]
    outside, anything = [True, False, False], [True, True, True]
    assert found == [[[False, True, False], outside, outside], [anything] * 3]
    assert read.knows((1, 2, "A")) and not read.knows((1, 2, "B"))
