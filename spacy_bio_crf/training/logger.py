"""Training logs: reading the JSON lines of spaCy's ConsoleLogger, and the old CurveLogger."""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from spacy import registry
from spacy.language import Language

from ..errors import Plain, describe

# A logger of spaCy: set up with the pipeline, it gives a function that is called after each step
# (with None if there was no evaluation) and one for the end.
LogStep = Callable[[dict[str, Any] | None], None]
Logger = Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]


def build_curve_logger(path: str | None = None, logger: Logger | None = None) -> Logger:
    """Build spaCy's console logger, with a file of JSON lines that is written anew.

    Registered as spacy-bio-crf.CurveLogger.v1, for the configurations of version 0.1. Use
    spacy.ConsoleLogger.v3 with `output_file` instead.

    path (str | None): The file; null writes none.
    logger (Logger | None): The logger that prints; null takes spacy.ConsoleLogger.v3.
    RETURNS (Logger): The logger.
    """
    warnings.warn(
        "spacy-bio-crf.CurveLogger.v1 will be removed: use spacy.ConsoleLogger.v3, whose"
        " output_file has the same JSON lines.",
        FutureWarning,
        stacklevel=2,
    )
    build = registry.get("loggers", "spacy.ConsoleLogger.v3")
    inner = build() if logger is None else logger

    def set_up(nlp: Language, stdout: IO, stderr: IO) -> tuple[LogStep, Callable[[], None]]:
        if path is None:
            return inner(nlp, stdout, stderr)
        # spaCy writes no log over another one.
        Path(path).unlink(missing_ok=True)
        keep = build(console_output=False, output_file=path)
        write_step, write_end = keep(nlp, stdout, stderr)
        print_step, print_end = inner(nlp, stdout, stderr)

        def step(info: dict[str, Any] | None) -> None:
            print_step(info)
            write_step(info)

        def end() -> None:
            print_end()
            write_end()

        return step, end

    return set_up


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the `output_file` of spacy.ConsoleLogger.v3, or a log of version 0.1.

    path (Path): The JSON lines.
    RETURNS (list[dict]): For each evaluation `epoch`, `step`, `score`, `loss_per_step` by component
        and `scores` by name, from 0 to 1 except `speed`.
    RAISES: ValueError that names file and line if there is something else, or nothing.
    """
    rows: list[dict[str, Any]] = []
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            if "loss_per_step" not in row:
                row = _from_spacy(row, rows[-1]["step"] if rows else -1)
            rows.append({**row, "step": int(row["step"]), "scores": dict(row["scores"])})
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            expected = "a line of a training log, an object with epoch, step, losses and scores"
            raise ValueError(describe(f"{path}:{i}", expected=expected, got=line[:60])) from error
    if not rows:
        raise ValueError(
            describe(str(path), expected="a line for each evaluation", got=Plain("an empty file"))
        )
    return rows


def _from_spacy(row: Mapping[str, Any], before: int) -> dict[str, Any]:
    """Convert a line of spaCy's log, which sums losses and has scores in per cent."""
    steps = row["step"] - before
    return {
        **row,
        "loss_per_step": {name: loss / steps for name, loss in row["losses"].items()},
        "scores": {n: v if n == "speed" else v / 100 for n, v in row["scores"].items()},
    }
