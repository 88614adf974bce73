"""Groups of labels: their tags side by side, checks of options, entities that share no tokens."""

from itertools import combinations

import pytest

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.tags.groups import (
    PER_LABEL,
    check_flat_rule,
    check_groups,
    choose_flat,
    make_groups,
)

GROUPS = {"outer": ["PER", "ORG"], "inner": ["LOC"]}


def test_tags_of_groups_lie_side_by_side():
    groups = make_groups(GROUPS, ["LOC", "PER", "ORG"], "BIO")
    assert groups.labels == ("PER", "ORG", "LOC")
    assert groups.tags == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "O", "B-LOC", "I-LOC")
    assert [groups.tags[c] for c in groups.columns] == [t.tags for t in groups.tagsets]
    assert groups.name_of == {"PER": "outer", "ORG": "outer", "LOC": "inner"}
    assert [name for name, _ in groups] == ["outer", "inner"]
    assert groups.place("inner") == 1
    with pytest.raises(ValueError, match="group: expected a group of 'outer', 'inner', got 'x'"):
        groups.place("x")


def test_per_label_makes_a_group_of_each():
    groups = make_groups(PER_LABEL, ["LOC", "PER"], "BILUO")
    assert groups.names == ("LOC", "PER")
    assert len(groups.tags) == 2 * 5
    assert make_groups(PER_LABEL, [], "BIO").tags == ()


def test_equal_groups_are_one_object():
    assert make_groups(GROUPS, [], "BIO") is make_groups(dict(GROUPS), ["PER"], "BIO")


def test_a_label_in_no_group_is_an_error():
    with pytest.raises(BioError, match="label: expected a label of a group, of .*, got 'GPE'"):
        make_groups(GROUPS, ["PER", "GPE"], "BIO")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("by_label", "groups: expected 'per_label', or a list of labels for the name .*'by_label'"),
        ({}, r"groups: expected 'per_label', or .*, got \{\}"),
        ({"a": []}, r"groups, 'a': expected a list of labels, one at least, got \[\]"),
        ({"a": "PER"}, "groups, 'a': expected a list of labels, one at least, got 'PER'"),
        ({"": ["PER"]}, "groups: expected names of groups, not empty, got ''"),
        ({"a": ["PER", ""]}, "label: expected a string, not empty, got ''"),
        ({"a": ["PER", "PER"]}, "labels: expected each label once, got 'PER' more than once"),
        (
            {"a": ["PER"], "b": ["LOC", "PER"]},
            "groups: expected each label in one group, got 'PER' in 'a' and 'b'",
        ),
    ],
)
def test_groups_out_of_order(groups: object, message: str):
    with pytest.raises(ValueError, match=message):
        check_groups(groups)


def test_groups_in_order():
    for groups in (None, PER_LABEL, GROUPS, {"a": ("PER",)}):
        check_groups(groups)


@pytest.mark.parametrize("rule", ["best", "group:", 3, "group"])
def test_unknown_rules(rule: object):
    with pytest.raises(ValueError, match="ents: expected 'most_probable', 'outermost' or 'group:"):
        check_flat_rule(rule, GROUPS)


def test_rule_of_an_unknown_group():
    check_flat_rule("group:inner", GROUPS)
    check_flat_rule("group:anything", PER_LABEL)
    with pytest.raises(ValueError, match="ents: expected a group of 'outer', 'inner', got 'x'"):
        check_flat_rule("group:x", GROUPS)


SPANS = [(0, 4, "ORG"), (3, 4, "LOC"), (6, 7, "LOC"), (6, 7, "PER"), (7, 9, "PER")]
SCORES = [0.6, 0.9, 0.5, 0.7, 0.8]
NAME_OF = {"ORG": "outer", "PER": "outer", "LOC": "inner"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("most_probable", [(3, 4, "LOC"), (6, 7, "PER"), (7, 9, "PER")]),
        ("outermost", [(0, 4, "ORG"), (6, 7, "PER"), (7, 9, "PER")]),
        ("group:inner", [(3, 4, "LOC"), (6, 7, "LOC")]),
        ("group:outer", [(0, 4, "ORG"), (6, 7, "PER"), (7, 9, "PER")]),
    ],
)
def test_rules(rule: str, expected: list):
    kept = choose_flat(SPANS, SCORES, rule=rule, name_of=NAME_OF)
    assert kept == expected
    assert all(a[1] <= b[0] or b[1] <= a[0] for a, b in combinations(kept, 2))


def test_equals_are_settled_by_length_and_probability():
    tied = [(0, 1, "LOC"), (0, 3, "ORG")]
    assert choose_flat(tied, [0.5, 0.5], rule="most_probable", name_of=NAME_OF) == tied[1:]
    equal = [(0, 2, "LOC"), (0, 2, "ORG")]
    assert choose_flat(equal, [0.7, 0.5], rule="outermost", name_of=NAME_OF) == equal[:1]
