"""`bio-ner debug`: checks of a corpus before training."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from .loading import name_options, printable, writing
from .reader_options import parse_options, takes_reader_options

if TYPE_CHECKING:
    from ..debug import Finding, Occurrence, Report

FAIL_ON = ("warning", "error", "never")


@takes_reader_options
def debug_cli(
    arguments: list[str] = typer.Argument(  # noqa: B008
        ...,
        metavar="CORPUS…",
        help="Training data: .spacy, or any format that convert reads. Values of a config may "
        "follow as --section.key value",
    ),
    dev: list[Path] = typer.Option(  # noqa: B008
        [], "--dev", "-d", help="Held-out data, for leaks and labels; may be given several times"
    ),
    model: Path | None = typer.Option(  # noqa: B008
        None,
        "--model",
        "-m",
        help="A config or a trained pipeline, for its tokenizer, sub-words, window and scheme",
    ),
    component: str | None = typer.Option(
        None,
        "--component",
        "-c",
        help="Name of the component; else the only bio_ner, or bio_tagger",
    ),
    lang: str | None = typer.Option(
        None, "--lang", "-l", help="Language of texts without tokens; the model's if not given"
    ),
    least: int = typer.Option(
        10, "--least", min=1, help="Labels with fewer entities, or tokens, are rare"
    ),
    n_examples: int = typer.Option(
        3, "--examples", "-n", min=0, help="Most examples of each finding"
    ),
    json_path: str | None = typer.Option(
        None, "--json", metavar="FILE", help="Write the report as JSON; - is the standard output"
    ),
    fail_on: str = typer.Option(
        "warning",
        "--fail-on",
        help="Least severity for an exit code other than 0 (3 for warnings, 4 for errors): "
        "warning, error or never",
    ),
    **options: Any,
) -> None:
    """Find what a corpus loses on its way into training.

    Exit code: 0 if there is nothing worse
    than information, 3 with warnings, 4 with errors, 1 if the command can't run."""
    paths, overrides = _split(arguments)
    from ..debug import diagnose, read_part, read_settings
    from ..errors import BioError, Plain, describe

    try:
        if fail_on not in FAIL_ON:
            raise BioError(
                describe("fail_on", expected=f"one of {', '.join(FAIL_ON)}", got=fail_on)
            )
        settings = None
        if model is not None:
            settings = read_settings(model, component=component, overrides=overrides)
        elif overrides or component:
            given = [f"--{key}" for key in overrides] + ["--component"] * bool(component)
            got = Plain(f"none for {', '.join(given)}")
            raise BioError(describe("model", expected="a config or a pipeline", got=got))
        language = lang or str(settings.nlp.lang if settings is not None else "en")
        files = {"train": paths, "dev": dev}
        chosen_options = {**parse_options(options), "lang": language}
        parts = [
            read_part(name, chosen, **chosen_options) for name, chosen in files.items() if chosen
        ]
    except (BioError, OSError) as error:
        msg.fail(name_options(str(error), debug_cli), exits=1)
    try:
        report = diagnose(parts, settings, least=least, n_examples=n_examples)
    except ValueError as error:  # the value of an extension attribute
        msg.fail(str(error), exits=1)
    if json_path is not None:
        _write(report, json_path)
    if json_path != "-":
        _show(report)
    code = report.exit_code
    if fail_on == "never" or (fail_on == "error" and report.severity == "warning"):
        code = 0
    sys.exit(code)


def _split(arguments: list[str]) -> tuple[list[Path], dict[str, Any]]:
    """Separate the paths from the values of a config, which are given as to spaCy's commands."""
    from spacy.cli._util import parse_config_overrides

    paths: list[Path] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument.startswith("--"):
            name = argument.partition("=")[0]
            if "." not in name:
                raise typer.BadParameter(f"expected an option of this command, got {name}")
            rest.append(argument)
            if "=" not in argument:
                value = next(waiting, None)
                rest += [] if value is None else [value]
        elif argument.startswith("-"):
            raise typer.BadParameter(f"expected an option of this command, got {argument}")
        else:
            paths.append(Path(argument))
    if not paths:
        raise typer.BadParameter("CORPUS: expected files or folders, got none")
    return paths, parse_config_overrides(rest, env_var=None)


def _write(report: "Report", path: str) -> None:
    from ..io import write_json

    if path == "-":
        text = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
        is_shown = printable(text) == text
        typer.echo(text if is_shown else json.dumps(report.to_json(), indent=1))
    else:
        with writing("--json"):
            write_json(Path(path), report.to_json())
        msg.good(f"JSON: {path}")


def _show(report: "Report") -> None:
    from ..debug import SEVERITIES

    _show_figures(report)
    if not report.findings:
        msg.good("Nothing found")
        return
    findings = sorted(report.findings, key=lambda f: -SEVERITIES.index(f.severity))
    msg.divider("Findings")
    rows = [(f.severity, f.part, f.count, _what(f)) for f in findings]
    msg.table(rows, header=("", "part", "count", "what"), aligns=("l", "l", "r", "l"), divider=True)
    for finding in findings:
        _show_finding(finding)
    counts = {s: sum(f.severity == s for f in findings) for s in reversed(SEVERITIES)}
    verdict = ", ".join(f"{n} of severity {s}" for s, n in counts.items() if n)
    show: dict[str, Callable] = {"info": msg.good, "warning": msg.warn, "error": msg.fail}
    show[report.severity](f"Findings: {verdict}")


def _show_figures(report: "Report") -> None:
    msg.divider("Corpus")
    names = list(report.figures)
    rows = []
    for key, first in (report.figures[names[-1]] | report.figures[names[0]]).items():
        values = [report.figures[name].get(key, "") for name in names]
        if isinstance(first, dict):
            # One row for each of the parts' keys.
            inner = sorted({k for value in values for k in value})
            singular = key.removesuffix("s").replace("_", " ")
            rows += [(f"{singular} {k}", *(_value(v.get(k, 0)) for v in values)) for k in inner]
        else:
            rows.append((key.replace("_", " "), *map(_value, values)))
    msg.table(rows, header=("", *names), divider=True, aligns=("l", *["r"] * len(names)))
    if report.model:
        msg.divider("Model")
        msg.table([(key, _value(value)) for key, value in report.model.items()])


def _value(value: Any) -> str:
    if value is None:  # the labels that are annotated
        return "all"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _what(finding: "Finding") -> str:
    from ..debug import CHECKS

    return name_options(finding.detail, debug_cli) or CHECKS[finding.check].meaning


def _show_finding(finding: "Finding") -> None:
    from ..debug import CHECKS

    check = CHECKS[finding.check]
    show: dict[str, Callable] = {"info": msg.info, "warning": msg.warn, "error": msg.fail}
    advice = f": {check.advice}" if check.advice else ""
    show[finding.severity](f"{finding.part}: {_what(finding)} ({finding.count}){advice}")
    for example in finding.examples:
        msg.text(f"  {_example(example)}")
    more = finding.count - len(finding.examples)
    if finding.examples and more > 0:
        msg.text(f"  and {more} more")


def _example(found: "Occurrence") -> str:
    where = found.place
    if found.start is not None and found.end is not None:
        last = f" to {found.end}" if found.end - found.start > 1 else ""
        where += f", token{'s' if last else ''} {found.start}{last}"
    text = found.text if not found.place else repr(found.text)
    label = f" ({found.label})" if found.label else ""
    note = f"  {found.note}" if found.note else ""
    return f"{where}{': ' if where else ''}{text}{label}{note}"
