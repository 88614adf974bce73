import pytest

from spacy_bio_crf.corpora.readers.tag_forms import PLAIN, USUAL, detect_form


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("O -", ""),
        ("B-PER I-PER O", ""),
        ("b-per o", ""),
        ("B-PER I-PER PER", ""),  # one of them is a mistake
        ("PER-B PER-I O", "label last"),
        ("PER_B PER_I O", "label last"),
        ("B_PER I_PER", "other mark"),
        ("B:PER I:a-b O", "other mark"),
        ("B/x i.x O", "other mark"),
        ("x:B x:I", "label last"),
        ("B_PER PER O", ""),
        ("B I O", "prefixes without labels"),
        ("s O", "labels without B- and I-"),  # S alone begins no entity of several tokens
        ("PER O", "labels without B- and I-"),
        ("PER LOC", ""),  # parts of speech look so, too
        ("PER B-LOC LOC O", ""),
    ],
)
def test_forms_are_detected(tags, name):
    assert detect_form(dict.fromkeys(tags.split(), 1), "X").name == name


def test_values_of_no_form():
    for value in "PER", "B-", "-PER", "", "B_PER":
        assert not USUAL.fits(value)
        with pytest.raises(ValueError, match="tag: expected 'O' or a prefix"):
            USUAL.usual(value)
    assert not PLAIN.fits("") and PLAIN.usual("o") == "O" and PLAIN.usual("-") == "-"
