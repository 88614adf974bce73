"""Columns of CoNLL-U on tokens of several words, against spaCy's own converter."""

from collections import Counter

import pytest
from spacy.training.converters import conllu_to_docs

from spacy_bio_crf.corpora.readers.ud_words import (
    NOT_UNIVERSAL,
    OTHER_FEATURES,
    UdWord,
    merge_words,
    universal,
)

# Number, UPOS, XPOS, FEATS and HEAD of the words of one token, and of a verb after it
TOKENS = {
    "case and article": [
        ("1", "ADP", "prp", "_", "3"),
        ("2", "DET", "art", "Gender=Masc|Number=Sing", "3"),
    ],
    "verb and pronoun": [
        ("1", "VERB", "v", "Mood=Ind|Number=Sing", "0"),
        ("2", "PRON", "pron", "Case=Acc|Number=Plur", "1"),
    ],
    "the second is the head": [("1", "ADV", "a", "_", "2"), ("2", "NOUN", "n", "_", "3")],
}


def merged(words: list[tuple[str, str, str, str, str]], *, has_features: bool = True):
    remarks: Counter[str] = Counter()
    own = [UdWord(0, n, pos, tag, features, head) for n, pos, tag, features, head in words]
    found = merge_words(own, 1, has_features=has_features, remarks=remarks)
    return found, remarks


@pytest.mark.parametrize("name", list(TOKENS))
def test_a_token_of_two_words_is_that_of_spacy(name: str):
    words = TOKENS[name]
    lines = ["1-2\txy\t_\t_\t_\t_\t_\t_\t_\t_"]
    lines += [
        f"{n}\t{form}\t_\t{pos}\t{tag}\t{features}\t{head}\tdep\t_\t_"
        for form, (n, pos, tag, features, head) in zip("xy", words, strict=True)
    ]
    root = "0" if words[0][4] != "0" else "1"
    lines.append(f"3\tz\t_\tVERB\tv\t_\t{root}\troot\t_\t_")
    (doc,) = conllu_to_docs("\n".join(lines) + "\n\n", merge_subtokens=True, no_print=True)
    found, remarks = merged(words)
    assert [*found.values()] == [[doc[0].tag_], [doc[0].pos_], [str(doc[0].morph) or "_"]]
    assert not remarks


def test_missing_values():
    found, _ = merged([("1", "_", "_", "_", "_")])
    assert found == {"tag": [""], "pos": [""], "morph": ["_"]}
    found, _ = merged([("1", "X", "a", "_", "2"), ("2", "X", "_", "_", "0")], has_features=False)
    assert found == {"tag": [""], "pos": ["X"], "morph": [""]}
    # A range line whose words are lost
    assert merge_words([], 1, has_features=True, remarks=Counter()) == {
        **{"tag": [""], "pos": [""], "morph": [""]}
    }


def test_values_are_merged_and_sorted():
    found, _ = merged(
        [("1", "X", "a", "B=2,1|A=x", "0"), ("2", "X", "b", "B=3|C=y", "1")],
    )
    assert found["morph"] == ["A=x|B=1,2,3|C=y"]


def test_what_is_left_out_is_counted():
    found, remarks = merged([("1", "NN", "a", "Sing", "0")])
    assert found == {"tag": ["a"], "pos": [""], "morph": [""]}
    assert remarks == {NOT_UNIVERSAL: 1, OTHER_FEATURES: 1}
    assert universal("NOUN", remarks) == "NOUN" and universal("_", remarks) == ""
    assert remarks[NOT_UNIVERSAL] == 1
