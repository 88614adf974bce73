import math

import numpy as np
import pytest

from spacy_bio_crf import errors
from spacy_bio_crf.errors import (
    BioError,
    ConvertError,
    Plain,
    check_choice,
    check_count,
    counted,
    describe,
    is_number,
)


def test_every_error_is_one_of_the_package_and_a_value_error():
    types = [t for t in vars(errors).values() if isinstance(t, type) and t.__name__ != "Plain"]
    assert len([t for t in types if issubclass(t, BioError)]) >= 4
    assert issubclass(BioError, ValueError)


def test_the_form_of_a_message():
    assert describe("n", expected="1 or more", got=0) == "n: expected 1 or more, got 0"
    assert describe("n", expected="a name", got="x") == "n: expected a name, got 'x'"
    assert (
        describe("n", expected="a name", got=Plain("no name")) == "n: expected a name, got no name"
    )
    message = describe("n", expected="1", got=None, remedy="leave it out")
    assert message == "n: expected 1, got None; leave it out"


def test_choices():
    check_choice("rule", "a", ("a", "b"))
    for choices in ("a", "b"), {"a": 1, "b": 2}:
        with pytest.raises(ValueError) as caught:
            check_choice("rule", "c", choices)
        assert str(caught.value) == "rule: expected one of 'a', 'b', got 'c'"
        assert not isinstance(caught.value, BioError)
    with pytest.raises(ConvertError):
        check_choice("rule", "c", ("a",), error=ConvertError)


def test_numbers_and_counts():
    assert all(map(is_number, (0, -1.5, np.float32(2), np.int64(3))))
    assert not any(map(is_number, (True, "1", None, math.nan, math.inf)))
    check_count("k", np.int64(2), least=2)
    for value in (1, 2.0, "2", True, None):
        with pytest.raises(ValueError, match="^k: expected a whole number, 2 or more, got "):
            check_count("k", value, least=2)


def test_numbers_and_nouns():
    assert counted(1, "entity") == "1 entity"
    assert [counted(n, "word") for n in (0, 1, 2)] == ["0 words", "1 word", "2 words"]
    assert counted(2000, "entity") == "2,000 entities"
