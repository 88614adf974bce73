"""Command lines of Python, run within the process of the tests.

A process of its own would take seconds to import its libraries, each time. That the same command
lines work in processes of their own is what `tests/project/test_entry_points.py` is about.
"""

import contextlib
import io
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from spacy.cli._util import app
from spacy.util import registry
from typer.testing import CliRunner


def run_here(arguments: Sequence[str]) -> str:
    """Run what `python ARGUMENTS` runs: `-m spacy COMMAND …`, or a script.

    RETURNS (str): What it prints, warnings and errors too. Fails the test, with what was printed,
        where the process would end with an error.
    """
    if tuple(arguments[:2]) == ("-m", "spacy"):
        # As spaCy's own start does: the commands of other packages register themselves.
        registry.cli.get_all()
        done = CliRunner().invoke(app, list(arguments[2:]))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output
    return _run_script(*arguments)


def _run_script(path: str, *arguments: str) -> str:
    before, sys.argv = sys.argv, [path, *arguments]
    sys.path.insert(0, str(Path(path).resolve().parent))
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert not end.code, f"{end.code}\n{printed.getvalue()}"
    finally:
        sys.argv = before
        sys.path.pop(0)
    return printed.getvalue()
