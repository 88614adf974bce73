"""Command `bio-ner distill`: train a pipeline on the predictions of another one."""

from pathlib import Path

import typer

from .train import train_cli


def distill_cli(
    ctx: typer.Context,
    teacher: str = typer.Argument(
        ..., metavar="TEACHER", help="A trained pipeline with a bio_ner, or any that finds entities"
    ),
    config_path: Path = typer.Argument(  # noqa: B008
        ..., metavar="CONFIG", help="A config for spacy train, of the pipeline that learns"
    ),
    output: Path | None = typer.Option(  # noqa: B008
        None, "--output", "--output-path", "-o", help="Folder for models and checkpoints"
    ),
    texts: Path | None = typer.Option(  # noqa: B008
        None, "--texts", help="More texts, without annotation: .txt, .jsonl, .parquet or .spacy"
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
    """Train a pipeline on gold and on what another one predicts.

    It is bio-ner train with the block [distillation] in the config. Values of the config may follow
    as --section.key value: --distillation.weight 0.8 --distillation.temperature 2.
    """
    ctx.args += ["--distillation.teacher", teacher]
    if texts is not None:
        ctx.args += ["--distillation.texts", str(texts)]
    train_cli(
        ctx, config_path, output=output, resume=resume, code=code, verbose=verbose, gpu_id=gpu_id
    )
