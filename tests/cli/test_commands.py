"""The commands and options that users know."""

import re
import shlex
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.paths import ROOT

# Arguments, and options with their short forms, of version 0.1.0.
KNOWN = {
    "convert": "--format --scheme --token-column --tag-column --text-key --tags-key --tag-names "
    "--discontinuous --scenario --alt --misaligned --overlaps --lang -l --n-sents -n --group-docs "
    "--repair --split --seed --map --drop --force -F",
    "annotate": "--format --text-key --entities-key --batch-size -b --n-process -n --max-length "
    "--skip-bad --docs-per-file --force -F --restart --code -c --gpu-id -g",
    "evaluate": "--output -o --report -r --compare -c --train -t --log --resamples --seed "
    "--bins -b --max-errors --limit -l --gpu-id -g",
    "calibrate": "--output -o --component -c --bins -b --plot --json --dry-run --gpu-id -g",
    "debug": "--dev -d --model -m --component -c --lang -l --group-docs --least --examples -n "
    "--json --fail-on",
    "transitions": "--component -c --plot --json",
}


def commands() -> dict[str, Any]:
    group: Any = get_command(app)
    return group.commands


def test_all_commands_are_there():
    assert commands().keys() >= KNOWN.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_options_stay(name: str):
    own = {form for p in commands()[name].params for form in (*p.opts, *p.secondary_opts)}
    assert own >= set(KNOWN[name].split())
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    for option in KNOWN[name].split():
        assert option in result.output


@pytest.mark.parametrize("name", KNOWN)
def test_every_option_is_explained(name: str):
    unexplained = [p.name for p in commands()[name].params if not getattr(p, "help", None)]
    assert unexplained in ([], ["paths"], ["path"])
    assert commands()[name].help


@pytest.mark.parametrize("name", [*sorted(commands().keys() - {"init"}), "init config"])
def test_help_ends_with_an_example(name: str):
    printed = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
    program, given = " ".join(printed.split("Example:\n")[1].split()).split(f" bio-ner {name} ")
    assert program == "python -m spacy"
    command = commands()[name] if name in commands() else commands()["init"].commands["config"]
    assert command.make_context(name, shlex.split(given)).params


def documented() -> list[str]:
    """The commands of README and documentation, as they are to be typed."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages).replace("\\\n", " ")
    found = re.findall(r"^ *python -m spacy bio-ner ([^#\n]+)", text, re.MULTILINE)
    return [line for line in found if not re.search(r"\[|…|\$\(", line)]


def test_commands_of_the_documentation_have_options_that_exist():
    lines = documented()
    assert len(lines) >= 15
    for line in lines:
        name, *given = shlex.split(line)
        command = commands()[name]
        if name == "init":
            command, given = command.commands[given[0]], given[1:]
        assert command.make_context(name, given).params


def test_no_summary_is_cut():
    _, _, summaries = (
        CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output.partition("Commands:")
    )
    assert summaries.count("\n") > len(KNOWN) and "..." not in summaries
