"""`bio-ner select`: the texts to annotate next."""

from functools import partial
from pathlib import Path

import typer
from wasabi import msg

from ..errors import AnnotateError, SettingsError, counted
from .annotate import bulk_reporter, loads_apart
from .loading import name_options


def select_cli(
    model: Path = typer.Argument(  # noqa: B008
        ..., help="A pipeline with a bio_ner: folder or installed package"
    ),
    path: Path = typer.Argument(  # noqa: B008
        ..., metavar="IN", help="The texts: a file or a folder, as for annotate"
    ),
    output: Path = typer.Argument(..., metavar="OUT", help="The file to write"),  # noqa: B008
    n: int = typer.Option(100, "--number", "-n", min=1, help="Number of texts to choose"),
    strategy: str = typer.Option(
        "entropy",
        "--strategy",
        "-s",
        help="entropy (of all analyses), least-confidence (in the best one), margin (between the "
        "best two), rare (expected entities of --labels), random, or confident (the most probable "
        "best analysis, of texts with an entity alone: for self-training)",
    ),
    min_probability: float = typer.Option(
        0.0,
        "--min-probability",
        min=0.0,
        max=1.0,
        help="Least probability of the best analysis of a text, with --strategy confident",
    ),
    per_token: bool = typer.Option(
        False, "--per-token", help="Score by the token, so that long texts have no advantage"
    ),
    labels: str = typer.Option("", "--labels", metavar="A,B", help="The labels of --strategy rare"),
    diverse: bool = typer.Option(
        False, "--diverse", help="Choose texts that differ, by the encoder's vectors"
    ),
    pool: int | None = typer.Option(
        None, "--pool", min=1, help="Texts with high scores among which --diverse chooses (10 n)"
    ),
    exclude: list[Path] = typer.Option(  # noqa: B008
        [],
        "--exclude",
        "-x",
        help="A file of texts that are annotated, in any format of convert, or an earlier output; "
        "may be repeated",
    ),
    form: str = typer.Option(
        "jsonl", "--to", help="Form of OUT: jsonl, prodigy, label-studio, doccano or argilla"
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of --strategy random"),
    component: str | None = typer.Option(
        None, "--component", help="The bio_ner, if the pipeline has several"
    ),
    scores: Path | None = typer.Option(  # noqa: B008
        None,
        "--scores",
        help="Folder for the scores of all texts, which stays for other choices; ends in .jsonl",
    ),
    format: str = typer.Option(
        "auto", "--format", help="Format of the input: auto (by suffix), text, jsonl or parquet"
    ),
    text_key: str = typer.Option("text", "--text-key", help="Key or column of the text"),
    entities_key: str = typer.Option(
        "entities", "--entities-key", help="Key that the predicted entities get"
    ),
    batch_size: int | None = typer.Option(
        None, "--batch-size", "-b", min=1, help="Most documents in a batch; else the pipeline's"
    ),
    n_process: int = typer.Option(1, "--n-process", min=1, help="Number of processes"),
    max_length: int | None = typer.Option(
        None, "--max-length", min=1, help="Most characters in a document; else the pipeline's"
    ),
    skip_bad: bool = typer.Option(
        False, "--skip-bad", help="Leave out and report records that are bad"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing output"),
    restart: bool = typer.Option(
        False, "--restart", help="Begin anew where an earlier run could go on"
    ),
    code: Path | None = typer.Option(  # noqa: B008
        None, "--code", "-c", help="Python file with functions that the pipeline needs"
    ),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
) -> None:
    """Choose the texts to annotate next, or to learn from.

    They are written with the entities that the model predicts. A run that ended early goes on when
    the command is given again.
    """
    from ..bulk.fingerprint import load_model
    from ..selection import Strategy, select

    apart = loads_apart(n_process, gpu_id)
    try:
        names = tuple(filter(None, labels.split(",")))
        chosen = Strategy(strategy, per_token, names, seed, min_probability)
        nlp = load_model(model, code, -1 if apart else gpu_id, max_length)
        with bulk_reporter(with_bar=True) as report:
            done = select(
                nlp,
                path,
                output,
                n=n,
                strategy=chosen,
                component=component,
                diverse=diverse,
                pool=pool,
                exclude=exclude,
                form=form,
                scores=scores,
                text_key=text_key,
                entities_key=entities_key,
                force=force,
                load=partial(load_model, model, code, gpu_id, max_length) if apart else None,
                format=format,
                batch_size=batch_size,
                n_process=n_process,
                skip_bad=skip_bad,
                restart=restart,
                code=code,
                report=report,
            )
    except (AnnotateError, SettingsError, OSError, ValueError) as err:
        msg.fail(name_options(str(err), select_cli), exits=1)
    except KeyboardInterrupt:
        msg.fail("Interrupted: the same command goes on from here")
        raise typer.Exit(130) from None
    if done.scored.skipped:
        msg.warn(f"Skipped: {counted(done.scored.skipped, 'record')}")
    excluded = f", {done.excluded} of them annotated already" if done.excluded else ""
    texts = counted(done.scored.documents, "text")
    msg.good(f"{output}: {done.chosen} of {texts}{excluded}")
