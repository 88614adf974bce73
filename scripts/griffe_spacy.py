"""An extension of griffe that reads docstrings in spaCy's form.

The API reference of the documentation is made by mkdocstrings, which knows Google's form. This
rewrites, for each docstring,

    name (type): meaning        as an entry under "Args:" ("Attributes:" in a class)
    RETURNS (type): meaning     as "Returns:", and YIELDS likewise
    RAISES: meaning             as a paragraph
"""

import inspect
import re
from typing import Any

import griffe

# An entry begins in the first column; its further lines are indented.
ENTRY = re.compile(
    r"^(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*) ?(?:\((?P<type>[^\n]*?)\))?: "
    r"(?P<text>.*(?:\n +\S.*)*)",
    re.MULTILINE,
)
RESULTS = {"RETURNS": "Returns", "YIELDS": "Yields"}


def to_google(text: str, heading: str) -> str:
    """Rewrite a docstring.

    text (str): The docstring, as in the source.
    heading (str): "Args" or "Attributes".
    RETURNS (str): The docstring in Google's form.
    """
    text = inspect.cleandoc(text)
    arguments: list[str] = []
    results: list[str] = []
    raises: list[str] = []

    def take(found: re.Match[str]) -> str:
        names, kind, meaning = found["names"], found["type"], found["text"]
        meaning = re.sub(r"\s*\n\s*", " ", meaning)
        if names in RESULTS:
            results.append(f"{RESULTS[names]}:\n    {kind}: {meaning}" if kind else meaning)
        elif names == "RAISES":
            raises.append(f"**Raises** {meaning}")
        elif names.isupper() or (kind is None and heading == "Args"):
            return found[0]
        else:
            arguments.extend(
                f"    {name} ({kind}): {meaning}" if kind else f"    {name}: {meaning}"
                for name in names.split(", ")
            )
        return ""

    prose = ENTRY.sub(take, text).strip()
    sections = [prose, *raises]
    if arguments:
        sections.append("\n".join([f"{heading}:", *arguments]))
    return "\n\n".join(section for section in [*sections, *results] if section)


class SpacyDocstrings(griffe.Extension):
    """Rewrites the docstrings of functions and classes as soon as they are read."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        _rewrite(func, "Args")

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        _rewrite(cls, "Attributes")


def _rewrite(item: griffe.Object, heading: str) -> None:
    if item.docstring:
        item.docstring.value = to_google(item.docstring.value, heading)
