"""The progress of `spacy train` as files: JSON lines while it runs, a table at the end."""

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.training.loggers import console_logger

# What a logger of spaCy's is: set up with the pipeline, it gives a function that is called after
# every step (with None where there was no evaluation) and one for the end.
LogStep = Callable[[dict[str, Any] | None], None]
Logger = Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]


def build_curve_logger(path: str | None = None, logger: Logger | None = None) -> Logger:
    """A logger that leaves another one as it is and keeps what that is told.

    Registered as spacy-bio-crf.CurveLogger.v1. After each evaluation a line goes into `path`; at
    the end, a break-off included, a table (.csv) goes beside it.

    path (str | None): A file whose name ends in .jsonl, made anew; null keeps nothing.
    logger (Logger | None): The logger to leave as it is; null takes spacy.ConsoleLogger.v1 without
        a progress bar.
    RETURNS (Logger): The logger.
    RAISES: ValueError if the path has another suffix.
    """
    if path is not None and Path(path).suffix != ".jsonl":
        raise ValueError(f"Option 'path' of the logger is {path!r}; expected a file name in .jsonl")
    inner = console_logger() if logger is None else logger
    target = None if path is None else Path(path)

    def set_up(
        nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        inner_step, inner_end = inner(nlp, stdout, stderr)
        if target is None:
            return inner_step, inner_end
        rows: list[dict[str, Any]] = []
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("", encoding="utf-8")

        def step(info: dict[str, Any] | None) -> None:
            inner_step(info)
            if info is not None:
                rows.append(_row(info, rows[-1]["step"] if rows else -1))
                with target.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(json.dumps(rows[-1], ensure_ascii=False) + "\n")

        def end() -> None:
            inner_end()
            if rows:
                target.with_suffix(".csv").write_text(as_csv(rows), encoding="utf-8", newline="")

        return step, end

    return set_up


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log: what the logger above writes, or the `output_file` of spaCy's ConsoleLogger.

    path (Path): The JSON lines.
    RETURNS (list[dict]): For each evaluation `epoch`, `step`, `score`, `loss_per_step` by component
        and `scores` by name, from 0 to 1 but for those that are no shares.
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
            raise ValueError(
                f"{path}:{i}: expected a line of a training log, an object with epoch, step, losses"
                f" and scores; got {line[:60]!r}"
            ) from error
    if not rows:
        raise ValueError(f"{path}: expected a line for each evaluation, got an empty file")
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A log as a table.

    rows (Sequence[Mapping[str, Any]]): From `read_log`.
    RETURNS (str): CSV with a column for the loss of each component, `loss_…`, and for each score.
    """
    losses = list(dict.fromkeys(key for row in rows for key in row["loss_per_step"]))
    scores = list(dict.fromkeys(key for row in rows for key in row["scores"]))
    plain = [key for key in ("epoch", "step", "words", "seconds", "score") if key in rows[0]]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*plain, *(f"loss_{key}" for key in losses), *scores])
    for row in rows:
        writer.writerow(
            [
                *(row.get(key) for key in plain),
                *(row["loss_per_step"].get(key) for key in losses),
                *(row["scores"].get(key) for key in scores),
            ]
        )
    return file.getvalue()


def _row(info: Mapping[str, Any], before: int) -> dict[str, Any]:
    """A line of the log. spaCy adds up losses from one evaluation to the next."""
    steps = info["step"] - before
    losses = {name: _number(loss) for name, loss in info["losses"].items()}
    return {
        "epoch": info["epoch"],
        "step": info["step"],
        "words": info["words"],
        "seconds": info["seconds"],
        "score": _number(info["score"]),
        "losses": losses,
        "loss_per_step": {n: None if v is None else v / steps for n, v in losses.items()},
        "scores": {
            name: _number(score)
            for name, score in info["other_scores"].items()
            if score is None or isinstance(score, Real)
        },
    }


def _from_spacy(row: Mapping[str, Any], before: int) -> dict[str, Any]:
    """A line of spaCy's own log, which has scores in per cent but for `speed`."""
    steps = row["step"] - before
    return {
        **row,
        "loss_per_step": {name: loss / steps for name, loss in row["losses"].items()},
        "scores": {n: v if n == "speed" else v / 100 for n, v in row["scores"].items()},
    }


def _number(value: Any) -> float | None:
    """A float that JSON has: a loss may be NaN, and a score None."""
    value = None if value is None else float(value)
    return value if value is not None and abs(value) < float("inf") else None
