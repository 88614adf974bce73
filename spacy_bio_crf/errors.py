"""Error types, the one form of an error message: `{place}: expected {x}, got {y}`, and nouns."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


class BioError(ValueError):
    """Something the caller can put right: the base of this package's own errors."""


class ConvertError(BioError):
    """A corpus that can't be read, or an option that does not fit it."""


class AnnotateError(BioError):
    """Input, output or options of a bulk annotation that can't be used."""


class SettingsError(BioError):
    """A configuration or pipeline whose settings can't be read."""


class TrainingError(BioError):
    """A training that can't begin or go on as asked."""


def describe(place: str, *, expected: str, got: Any, remedy: str | None = None) -> str:
    """Write an error message.

    place (str): A file with its line, a document or an option.
    expected (str): What would be right.
    got (Any): What is there; shown by its `repr`, a `Plain` as it is.
    remedy (str | None): What to do, if that is known.
    RETURNS (str): `{place}: expected {expected}, got {got}[; {remedy}]`.
    """
    shown = got if isinstance(got, Plain) else repr(got)
    return f"{place}: expected {expected}, got {shown}" + (f"; {remedy}" if remedy else "")


class Plain(str):
    """Text for `describe` that is shown without quotes."""


def check_choice(
    option: str, value: Any, choices: Iterable[Any], *, error: type[ValueError] = ValueError
) -> None:
    """Check the value of an option that has a fixed set of values.

    RAISES: ValueError, or another type `error`, for any other value.
    """
    known = list(choices)
    if value not in known:
        listed = ", ".join(map(repr, known))
        raise error(describe(option, expected=f"one of {listed}", got=value))


def check_count(option: str, value: Any, *, least: int) -> None:
    """RAISES: ValueError if a value is no whole number, or below `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(describe(option, expected=f"a whole number, {least} or more", got=value))


def is_number(value: Any) -> bool:
    """RETURNS (bool): The value is a finite number, and not True or False."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def counted(n: int, noun: str) -> str:
    """RETURNS (str): A number with its noun: "1 entity", "2,000 entities"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"
