"""Command `bio-ner train`: `spacy train` with checkpoints."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..errors import Plain, describe

if TYPE_CHECKING:
    from thinc.api import Config

_BLOCK = "checkpoint"


def train_cli(
    ctx: typer.Context,
    config_path: Path = typer.Argument(  # noqa: B008
        ..., metavar="CONFIG", help="A config for spacy train; - is the standard input"
    ),
    output: Path | None = typer.Option(  # noqa: B008
        None, "--output", "--output-path", "-o", help="Folder for models and checkpoints"
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Go on from the last whole checkpoint; begin if there is none"
    ),
    code: Path | None = typer.Option(  # noqa: B008
        None, "--code", "-c", help="Python file with registered functions"
    ),
    verbose: bool = typer.Option(False, "--verbose", "-V", "-VV", help="Show more of spaCy's log"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
) -> None:
    """Train a pipeline, with checkpoints to go on from.

    The result is that of spacy train. Values of the config may follow as --section.key value. The
    block [checkpoint] of the config tells when to write checkpoints: --checkpoint.minutes 10.
    """
    from spacy import util
    from spacy.cli._util import import_code, setup_gpu, show_validation_error
    from spacy.training.initialize import init_nlp

    from ..errors import BioError
    from ..training.checkpoint import read_schedule
    from ..training.loop import Training
    from .progress import RowStream, StepBar

    if verbose:
        util.logger.setLevel(logging.DEBUG)
    if str(config_path) != "-" and not config_path.is_file():
        got = Plain("no such file")
        msg.fail(describe(str(config_path), expected="a config", got=got), exits=1)
    if resume and output is None:
        expected = "--output, the folder with its checkpoints"
        msg.fail(describe("--resume", expected=expected, got=Plain("no --output")), exits=1)
    import_code(code)
    setup_gpu(gpu_id)
    with show_validation_error(config_path):
        config = _load_config(config_path, ctx.args)
    rows: Any = RowStream(sys.stdout)
    say = {"info": msg.info, "warn": msg.warn, "good": msg.good}
    try:
        schedule = read_schedule(config.interpolate().get(_BLOCK))
        if output is None:
            msg.info("No output directory provided")
        else:
            output.mkdir(parents=True, exist_ok=True)
            msg.info(f"Saving to output directory: {output}")
        msg.divider("Initializing pipeline")
        with show_validation_error(config_path, hint_fill=False):
            nlp = init_nlp(config, use_gpu=gpu_id)
        msg.good("Initialized pipeline")
        msg.divider("Training pipeline")
        training = Training(
            nlp,
            output,
            use_gpu=gpu_id,
            schedule=schedule,
            resume=resume,
            say=lambda kind, message: say[kind](message),
        )
        settings = nlp.config["training"]
        bar = StepBar(max_steps=settings["max_steps"], max_epochs=settings["max_epochs"])
        # A logger may have a bar of its own.
        own = settings["logger"].get("progress_bar")
        try:
            training.run(rows, sys.stderr, watch=(lambda info: None) if own else bar.watch)
        finally:
            bar.close()
    except (BioError, OSError) as error:
        msg.fail(str(error), exits=1)


def _load_config(path: Path, given: list[str]) -> "Config":
    """Read a config with values of the command line, those of a missing [checkpoint] too."""
    from spacy import util
    from spacy.cli._util import parse_config_overrides

    overrides = parse_config_overrides(given)
    own = {k: overrides.pop(k) for k in list(overrides) if k.startswith(f"{_BLOCK}.")}
    config = util.load_config(path, overrides=overrides, interpolate=False)
    if own:
        block = config.setdefault(_BLOCK, {})
        block.update({key.removeprefix(f"{_BLOCK}."): value for key, value in own.items()})
    return config
