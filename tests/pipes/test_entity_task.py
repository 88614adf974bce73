"""The task of entities: its options, gold with and without groups, entities on documents."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.gold.layers import LayeredAnnotation
from spacy_bio_crf.heads.decode import Entities
from spacy_bio_crf.pipes.entity_task import EntityTask
from spacy_bio_crf.tags.groups import make_groups
from tests.support.layered import GROUPS, KEY, layered_example, layers_of

NLP = spacy.blank("en")
WORDS = ["Bo", "left", "New", "York", "City", "."]
SPANS = [(0, 1, "PER"), (2, 4, "LOC"), (2, 5, "ORG")]
TAGS = make_groups(GROUPS, (), "BIO")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": "all"}, "groups: expected 'per_label', or a list of labels"),
        ({"groups": {"a": ["X"], "b": ["X"]}}, "groups: expected each label in one group"),
        ({"groups": GROUPS, "spans_key": None}, "spans_key: expected a name of a group in doc"),
        ({"ents": "outermost"}, "ents: expected null without `groups`, got 'outermost'"),
        ({"ents": "longest", "groups": GROUPS}, "ents: expected 'most_probable', 'outermost'"),
        ({"ents": "group:x", "groups": GROUPS}, "ents: expected a group of 'outer', 'inner'"),
        ({"gold_spans_key": ""}, "gold_spans_key: expected a name of a group or none, got ''"),
    ],
)
def test_options_out_of_order(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        EntityTask(**options)


def test_gold_of_groups_is_layered():
    example = layered_example(NLP, WORDS, SPANS)
    task = EntityTask(groups=GROUPS, gold_spans_key=KEY)
    gold = task.gold(example, TAGS.labels)
    assert isinstance(gold, LayeredAnnotation)
    assert [layer.spans for layer in gold.layers] == [[SPANS[0], SPANS[2]], [SPANS[1]]]
    assert sorted(task.labels_of(example.reference)) == ["LOC", "ORG", "PER"]
    per_label = EntityTask(groups="per_label", gold_spans_key=KEY)
    assert len(per_label.gold(example, TAGS.labels).layers) == 3


def test_gold_of_a_span_group_without_groups_is_flat():
    gold = EntityTask(gold_spans_key=KEY).gold(layered_example(NLP, WORDS, SPANS), TAGS.labels)
    assert not isinstance(gold, LayeredAnnotation)
    assert gold.spans == [SPANS[0], SPANS[2]]
    assert (gold.overlaps, gold.given) == ([SPANS[1]], 3)


@pytest.mark.parametrize("groups", [None, GROUPS, "per_label"])
@pytest.mark.parametrize("key", [KEY, None])
def test_a_label_of_nobody_is_an_error(groups: object, key: str | None):
    example = layered_example(NLP, WORDS, [(0, 1, "GPE")])
    example.reference.ents = [Span(example.reference, 0, 1, "GPE")]
    task = EntityTask(groups=groups, gold_spans_key=key)
    with pytest.raises(ValueError, match="entity 'Bo': expected a label of .*got 'GPE'"):
        task.gold(example, TAGS.labels)


def found_in(doc: Doc, scores: list[float], preset: object = None) -> Entities:
    return Entities(preset, sorted(SPANS), scores, TAGS)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (None, ["PER", "LOC"]),
        ("most_probable", ["PER", "LOC"]),
        ("outermost", ["PER", "ORG"]),
        ("group:inner", ["LOC"]),
        ("group:outer", ["PER", "ORG"]),
    ],
)
def test_all_entities_are_spans_and_some_are_ents(rule: str | None, expected: list):
    doc = Doc(NLP.vocab, words=WORDS)
    EntityTask(groups=GROUPS, ents=rule).write(doc, found_in(doc, [0.9, 0.8, 0.7]))
    assert layers_of(doc) == sorted(SPANS)
    assert doc.spans["bio_ner"].attrs["scores"] == [0.9, 0.8, 0.7]
    assert [ent.label_ for ent in doc.ents] == expected
    assert doc.spans["bio_ner"][2]._.confidence == 0.7
    assert doc.ents[-1]._.confidence in (0.8, 0.7)


def test_preset_entities_stay_in_doc_ents_and_others_overlap_them_in_the_spans():
    doc = Doc(NLP.vocab, words=WORDS)
    doc.set_ents([Span(doc, 3, 5, "FAC")], blocked=[Span(doc, 0, 1)])
    task = EntityTask(groups=GROUPS)
    task.write(doc, found_in(doc, [0.9, 0.8, 0.7], task.presets(doc)))
    assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == [(3, 5, "FAC")]
    assert len(doc.spans["bio_ner"]) == 3
    task = EntityTask(groups=GROUPS, overwrite=True)
    task.write(doc, found_in(doc, [0.9, 0.8, 0.7], task.presets(doc)))
    assert [ent.label_ for ent in doc.ents] == ["PER", "LOC"]


def test_a_second_run_replaces_own_spans_and_keeps_those_of_others():
    doc = Doc(NLP.vocab, words=WORDS)
    EntityTask(groups={"a": ["GPE"], "b": ["FAC"]}, ents="group:a").write(
        doc,
        Entities(
            None, [(2, 5, "FAC")], [0.5], make_groups({"a": ["GPE"], "b": ["FAC"]}, (), "BIO")
        ),
    )
    task = EntityTask(groups=GROUPS, ents="group:inner")
    for scores in ([0.9, 0.8, 0.7], [0.5, 0.4, 0.3]):
        task.write(doc, found_in(doc, scores))
    assert layers_of(doc) == sorted([*SPANS, (2, 5, "FAC")])
    rest = Entities(None, [(0, 1, "PER")], [0.6], TAGS)
    task.write(doc, rest)
    assert layers_of(doc) == [(0, 1, "PER"), (2, 5, "FAC")]


def test_flat_entities_are_written_as_ever():
    doc = Doc(NLP.vocab, words=WORDS)
    EntityTask().write(doc, Entities(None, [(0, 1, "PER")], [0.5]))
    assert [ent.label_ for ent in doc.ents] == ["PER"]
    assert np.array_equal(doc.to_array("ENT_IOB"), [3, 2, 2, 2, 2, 2])
    reference = Example(doc, doc)
    assert EntityTask().gold(reference, ["PER"]).spans == [(0, 1, "PER")]
