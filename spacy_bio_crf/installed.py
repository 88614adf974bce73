"""Packages installed beside this one that keep spaCy itself from working."""

import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .errors import Plain, describe


def find_clash(version_of: Callable[[str], str] = version) -> str | None:
    """Find a spacy-transformers that can't be imported beside the installed transformers.

    spaCy imports spacy-transformers for every pipeline, through its entry points. Its releases 1.x
    import a name that transformers 5 has no longer.

    version_of (Callable[[str], str]): The version of a package; raises PackageNotFoundError.
    RETURNS (str | None): What is wrong and how to mend it; None if nothing is.
    """
    try:
        bridge, library = version_of("spacy-transformers"), version_of("transformers")
    except PackageNotFoundError:
        return None
    if int(bridge.split(".")[0]) >= 2 or int(library.split(".")[0]) < 5:
        return None
    return describe(
        "transformers",
        expected=f"a version below 4.53.3 beside spacy-transformers {bridge}",
        got=Plain(library),
        remedy="spaCy can't make any pipeline until you run pip uninstall spacy-transformers, or"
        " pip install 'transformers<4.53.3'",
    )


@cache
def warn_of_clash() -> None:
    """Warn once of what `find_clash` finds, before spaCy fails with another package's traceback."""
    if clash := find_clash():
        warnings.warn(clash, stacklevel=2)
