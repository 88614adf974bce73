"""Help for commands: pipelines, their `bio_ner`, plots, and options in messages."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from wasabi import msg
from wasabi import table as wasabi_table

from ..errors import BioError, Plain, SettingsError, describe

if TYPE_CHECKING:
    from spacy.language import Language

    from ..metrics.tables import Table
    from ..pipes.bio_ner import BioNer
    from ..pipes.bio_tagger import TokenTagger
    from ..pipes.labeller import SequenceLabeller

PLOTS_REMEDY = 'pip install "spacy_bio_crf[report]"'


def load_pipeline(model: Path, gpu_id: int = -1) -> "Language":
    """Load a folder or an installed package, or end the command with a message."""
    import spacy

    claim_gpu(gpu_id)
    try:
        return spacy.load(model if model.exists() else str(model))
    except (OSError, ValueError, ImportError) as error:
        msg.fail(f"{model}: expected a pipeline: {error}", exits=1)
        raise


def claim_gpu(gpu_id: int) -> None:
    """Let spaCy use the GPU of `--gpu-id`, or end the command with a message."""
    from ..cores import use_gpu

    try:
        use_gpu(gpu_id)
    except BioError as error:
        msg.fail(str(error).replace("gpu_id", "--gpu-id", 1), exits=1)


def choose_component(nlp: "Language", name: str | None) -> "BioNer":
    """The pipeline's `bio_ner` of this name, or end the command with a message."""
    from ..pipes.bio_ner import find_component

    try:
        return find_component(nlp, name)[1]
    except SettingsError as error:
        msg.fail(f"--{error}", exits=1)
        raise


def choose_labeller(nlp: "Language", name: str | None) -> "SequenceLabeller":
    """The pipeline's `bio_ner` or `bio_tagger` of this name, or end the command with a message."""
    from ..pipes.labeller import SequenceLabeller, find_labeller

    try:
        return find_labeller(nlp, name, kind=SequenceLabeller, noun="bio_ner or bio_tagger")[1]
    except SettingsError as error:
        msg.fail(f"--{error}", exits=1)
        raise


def find_taggers(nlp: "Language") -> "dict[str, TokenTagger]":
    """Each `bio_tagger` of a pipeline by its name. A pipeline without one needs no import of it."""
    found: dict[str, Any] = dict(nlp.pipeline)
    return {n: p for n, p in found.items() if nlp.get_pipe_meta(n).factory == "bio_tagger"}


def find_overlapping(nlp: "Language") -> dict[str, Any] | None:
    """Find the options by which the entities of a pipeline may overlap.

    RETURNS (dict[str, Any] | None): `groups`, `spans_key` and `gold_spans_key` of its first
        `bio_ner` with groups or with gold in `doc.spans`; None without one.
    """
    names = ("groups", "spans_key", "gold_spans_key")
    pipes: dict[str, Any] = dict(nlp.pipeline)
    for name, pipe in pipes.items():
        if nlp.get_pipe_meta(name).factory == "bio_ner":
            own = {option: getattr(pipe, option) for option in names}
            if own["groups"] is not None or own["gold_spans_key"] is not None:
                return own
    return None


def check_new(output: Path, force: bool, option: str = "OUT") -> None:
    """End the command with a message if its output exists.

    output (Path): The value of the argument or option.
    force (bool): Write over it.
    option (str): Its name.
    """
    if output.exists() and not force:
        got, remedy = Plain(f"{output}, which exists"), "--force writes over it"
        msg.fail(describe(option, expected="a new file or folder", got=got, remedy=remedy), exits=1)


def check_apart(outputs: Mapping[str, Path | None], inputs: Sequence[Path]) -> None:
    """End the command with a message if it would write over what it reads.

    outputs (Mapping[str, Path | None]): The values of options, by their names.
    inputs (Sequence[Path]): Files and folders that it reads.
    """
    read = {path.resolve() for path in inputs}
    for option, output in outputs.items():
        if output is not None and output.resolve() in read:
            expected = "another file than what is read"
            msg.fail(describe(option, expected=expected, got=Plain(output)), exits=1)


def check_folder(output: Path, option: str = "OUT") -> None:
    """End the command with a message if a file is where its output folder goes.

    output (Path): The value of the argument or option.
    option (str): Its name.
    """
    if output.exists() and not output.is_dir():
        got = Plain(f"{output}, a file")
        msg.fail(describe(option, expected="a folder", got=got), exits=1)


def check_pipeline_folder(output: Path, option: str = "OUT") -> None:
    """End the command with a message if its output, a pipeline, would take the place of a file or
    be put among other files.

    output (Path): The value of the argument or option.
    option (str): Its name.
    """
    check_folder(output, option)
    if output.is_dir() and any(output.iterdir()) and not (output / "meta.json").is_file():
        got = Plain(f"{output}, which has other files")
        expected = "a folder that is new, empty or a pipeline's"
        msg.fail(describe(option, expected=expected, got=got), exits=1)


def check_values(given: Sequence[str]) -> None:
    """End the command with a message for an argument that is neither an option nor a value of a
    config.

    given (Sequence[str]): The arguments that the command does not know, as "--section.key value".
    """
    for argument in given:
        name = argument.partition("=")[0]
        if name.startswith("--") and "." not in name:
            expected = "an option of this command or --section.key"
            raise typer.BadParameter(f"expected {expected}, got {name}")


def blank_pipeline(lang: str) -> "Language":
    """Make a pipeline without components, or end the command with a message."""
    import spacy

    try:
        return spacy.blank(lang)
    except ImportError as error:
        # Some languages need packages of their own, and spaCy says which.
        expected = "the code of a language of spaCy, such as en or xx"
        remedy = f"the reason given: {error}"
        msg.fail(describe("--lang", expected=expected, got=lang, remedy=remedy), exits=1)


def import_plots(plot: Path) -> Any:
    """Import the module of plots for the value of `--plot`, or end the command with a message.

    Commands call this before their work, so that no work is lost.
    """
    try:
        from ..report import plots
    except ImportError as error:
        got = Plain(f"{type(error).__name__}: {error}")
        msg.fail(describe("--plot", expected="matplotlib", got=got, remedy=PLOTS_REMEDY), exits=1)
    if plot.suffix[1:] not in plots.PLOT_FORMATS:
        expected = f"a file name that ends in one of {', '.join(plots.PLOT_FORMATS)}"
        msg.fail(describe("--plot", expected=expected, got=str(plot)), exits=1)
    return plots


def save_plot(drawn: Any, plot: Path) -> None:
    """Write a `report.plots.Plot` to a file, or end the command with a message."""
    with writing("--plot"):
        drawn.save(plot)
    msg.good(f"Plot: {plot}")


@contextmanager
def writing(option: str) -> Iterator[None]:
    """End the command with a message if what an option names can't be written."""
    try:
        yield
    except OSError as error:
        expected = "a file that can be written"
        msg.fail(describe(option, expected=expected, got=Plain(error)), exits=1)


def show_table(table: "Table") -> None:
    """Print a table, with its title above and its note below."""
    aligns: list[Literal["l", "r"]] = ["l"]
    aligns += ["r"] * (len(table.header) - 1)
    body = wasabi_table(table.rows, header=table.header, aligns=aligns, divider=True, max_col=60)
    typer.echo(printable(f"\n{table.title}{body}" + (f"{table.note}\n" if table.note else "")))


def printable(text: str) -> str:
    """RETURNS (str): Text with a question mark for each character that the output can't show."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def name_options(message: str, command: Callable) -> str:
    """Replace parameters in a message by the command's options: "n_process: expected …" becomes
    "--n-process: expected …", and "`force`" anywhere "--force".

    message (str): An error message of a Python function, which has a parameter's name at its start
        or names in backquotes.
    command (Callable): The command, whose parameters are named as those of the function.
    RETURNS (str): The message of the command.
    """
    parameters = inspect.signature(command).parameters

    def option(found: re.Match[str]) -> str:
        parameter = parameters.get(found[1] or found[2])
        options = getattr(parameter.default, "param_decls", None) if parameter else None
        return options[0].split("/")[0] if options else found[0]

    return re.sub(r"^(\w+)(?=: )|`(\w+)`", option, message)
