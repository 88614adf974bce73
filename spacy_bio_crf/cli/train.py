"""Command `bio-ner train`: `spacy train` with checkpoints."""

import logging
import sys
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import Printer, msg

from ..errors import Plain, describe
from .loading import check_folder, check_values, claim_gpu
from .training_config import find_damage_of, find_slips, read_training_config

if TYPE_CHECKING:
    from spacy.language import Language
    from thinc.api import Config

_SAMPLE = 100  # examples of a stream that spaCy reads at the beginning


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
    gpu_id: int = typer.Option(
        -1, "--gpu-id", "-g", help="GPU, or -1 for the CPU; of several processes that of the first"
    ),
) -> None:
    """Train a pipeline, with checkpoints to go on from.

    The result is that of spacy train. Values of the config may follow as --section.key value. The
    block [checkpoint] of the config tells when to write checkpoints: --checkpoint.minutes 10.
    Components with a source get the labels that are new in the data, and rehearse what they know
    with --rehearsal.weight 1. The block [distillation] names a teacher, as the command distill
    does.
    Several processes: torchrun --nproc-per-node 2 -m spacy_bio_crf train CONFIG --output DIR.
    """
    from spacy import util
    from spacy.cli._util import import_code, setup_gpu, show_validation_error

    from ..errors import BioError
    from ..training.checkpoint import read_schedule
    from ..training.loop import Training
    from ..training.processes import join
    from .progress import RowStream, StepBar

    check_values(ctx.args)
    if verbose:
        util.logger.setLevel(logging.DEBUG)
    if str(config_path) != "-" and not config_path.is_file():
        got = Plain("no such file")
        msg.fail(describe(str(config_path), expected="a config", got=got), exits=1)
    if resume and output is None:
        expected = "--output, the folder with its checkpoints"
        msg.fail(describe("--resume", expected=expected, got=Plain("no --output")), exits=1)
    if output is not None:
        check_folder(output, "--output")
    try:
        processes = join(gpu_id)
    except BioError as error:
        msg.fail(str(error), exits=1)
    first, place = True, ""
    if processes is not None:
        gpu_id, first = processes.gpu, processes.rank == 0
        resume = resume or (processes.restarted and output is not None)
        place = f"process {processes.rank}: "
        if str(config_path) == "-":
            got = Plain("the standard input")
            msg.fail(describe("CONFIG", expected="a file for all processes", got=got), exits=1)
    # The first process tells what concerns all; an error of another one is told by that one.
    told = msg if first else Printer(no_print=True)
    if not first:
        warnings.simplefilter("ignore")
    import_code(code)
    claim_gpu(gpu_id)
    setup_gpu(gpu_id, silent=not first)
    rows: Any = RowStream(sys.stdout)
    say = {"info": told.info, "warn": told.warn, "good": told.good}
    try:
        with show_validation_error(config_path):
            config = read_training_config(config_path, ctx.args)
            settings = config.interpolate()
        schedule = read_schedule(settings.get("checkpoint"))
        for slip in find_slips(config):
            told.warn(slip)
        if output is None:
            told.info("No output directory provided")
        else:
            output.mkdir(parents=True, exist_ok=True)
            told.info(f"Saving to output directory: {output}")
        begin = None
        if "distillation" in settings:
            from ..pipes.distillation import plan_distillation

            begin = plan_distillation(config, settings["distillation"])
            told.info(f"Teacher: {settings['distillation']['teacher']}")
        told.divider("Initializing pipeline")
        with show_validation_error(config_path, hint_fill=False):
            nlp = _initialize(config, gpu_id)
        _resume_components(nlp, config, told)
        told.good("Initialized pipeline")
        told.divider("Training pipeline")
        training = Training(
            nlp,
            output,
            use_gpu=gpu_id,
            schedule=schedule,
            resume=resume,
            say=lambda kind, message: say[kind](message),
            around=begin and begin(nlp),
            processes=processes,
        )
        settings = nlp.config.interpolate()["training"]
        bar = StepBar(max_steps=settings["max_steps"], max_epochs=settings["max_epochs"])
        # A logger may have a bar of its own.
        own = settings["logger"].get("progress_bar") or not first
        try:
            training.run(rows, sys.stderr, watch=(lambda info: None) if own else bar.watch)
        finally:
            bar.close()
        if processes is not None:
            processes.leave()
    except (BioError, OSError) as error:
        msg.fail(f"{place}{error}", exits=1)
    except ValueError as error:
        if not (damage := find_damage_of(config, error)):
            raise
        msg.fail(f"{place}{damage}", exits=1)


def _initialize(config: "Config", gpu_id: int) -> "Language":
    """Make the pipeline, with labels of the data and pre-trained weights.

    RAISES: SettingsError for what components say of the config, the data or a missing package; a
        traceback would hide it.
    """
    from spacy.training.initialize import init_nlp
    from spacy.util import logger
    from thinc.api import ConfigValidationError

    from ..errors import SettingsError

    try:
        return init_nlp(config, use_gpu=gpu_id)
    except ConfigValidationError:
        raise
    except (ValueError, ImportError) as error:
        logger.debug("Initializing the pipeline failed", exc_info=True)
        raise SettingsError(find_damage_of(config, error) or str(error)) from error


def _resume_components(nlp: "Language", config: "Config", told: Printer) -> None:
    """Add labels of the data to components that go on from a trained pipeline, and let them
    rehearse."""
    from spacy.util import get_sourced_components, resolve_dot_names

    from ..errors import SettingsError, is_number
    from ..pipes.labeller import SequenceLabeller

    resolved = nlp.config.interpolate()
    block, settings = resolved.get("rehearsal", {}), resolved["training"]
    if set(block) - {"weight"} or not is_number(block.get("weight", 1.0)):
        expected = "a number as weight"
        raise SettingsError(describe("[rehearsal]", expected=expected, got=block))
    found = {
        name: pipe
        for name, pipe in nlp.pipeline
        if name in get_sourced_components(config)
        and name not in settings["frozen_components"]
        and isinstance(pipe, SequenceLabeller)
    }
    if not found:
        if block:
            expected = "a bio_ner or bio_tagger with a source"
            raise SettingsError(describe("[rehearsal]", expected=expected, got=Plain("none")))
        return
    [corpus] = resolve_dot_names(resolved, [settings["train_corpus"]])
    limit = _SAMPLE if settings["max_epochs"] == -1 else None
    examples = list(islice(corpus(nlp), limit))
    for name, pipe in found.items():
        try:
            labels = pipe.add_labels_of(examples)
            pipe.rehearsal = block.get("weight", 0.0)
            if not pipe.rehearsal and hasattr(pipe, "_rehearsal_model"):
                pipe._rehearsal_model = None
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
        if labels:
            told.info(f"New labels of {name}: {', '.join(labels)}")
