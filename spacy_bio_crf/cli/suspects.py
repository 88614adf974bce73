"""Command `bio-ner suspects`: find annotation that is probably wrong, and apply corrections."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..errors import Plain, SettingsError, counted, describe
from .loading import (
    blank_pipeline,
    check_apart,
    check_new,
    check_values,
    load_pipeline,
    name_options,
    show_table,
    writing,
)
from .reader_options import read_annotated, takes_reader_options

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..corpora.corrections import Correction
    from ..metrics.tables import Table
    from ..review.surfaces import Surface, Usage
    from ..review.suspicion import Review, Suspect

DIFF = ".diff"  # suffix of the changes beside a corrected corpus
# The kinds of `evaluate`, from the side of the annotation.
MEANINGS = {
    "missed": "an entity where the model finds none",
    "spurious": "none where the model finds one",
    "label": "another label",
    "boundary": "other boundaries",
    "both": "another label and boundaries",
}


# The ways of the command in which parameters have an effect, where that is not all of them.
OPTIONS_OF = {
    ("--config",): ("folds", "seed", "folder", "jobs", "code"),
    ("--config", "--model"): ("report", "least", "max_shown", "component", "gpu_id"),
    ("--apply",): ("force",),
}


@takes_reader_options
def suspects_cli(
    ctx: typer.Context,
    corpus: Path = typer.Argument(  # noqa: B008
        ..., help="Annotated documents: .spacy, any format that convert reads, or a folder"
    ),
    config: Path | None = typer.Option(  # noqa: B008
        None, "--config", "-c", help="A config for spacy train, to train a model for each fold"
    ),
    model: Path | None = typer.Option(  # noqa: B008
        None, "--model", "-m", help="A pipeline trained on other documents, in place of folds"
    ),
    apply: Path | None = typer.Option(  # noqa: B008
        None, "--apply", metavar="DECISIONS", help="Apply corrections (.jsonl) to the corpus"
    ),
    output: Path = typer.Option(  # noqa: B008
        ..., "--output", "-o", help="The suspects (.jsonl); with --apply, the corrected corpus"
    ),
    report: Path | None = typer.Option(  # noqa: B008
        None, "--report", "-r", help="Write a page with the suspects in their texts (.html)"
    ),
    folds: int = typer.Option(5, "--folds", "-k", min=2, help="Parts of the corpus"),
    seed: int = typer.Option(0, "--seed", help="Deals the documents out to folds"),
    folder: Path | None = typer.Option(  # noqa: B008
        None, "--folder", help="Folder of the folds' models; OUTPUT with the suffix .folds"
    ),
    jobs: int = typer.Option(1, "--jobs", "-j", min=1, help="Trainings at once"),
    least: float = typer.Option(
        0.5, "--least", min=0.0, max=1.0, help="Least probability of an error; 0 lists all entities"
    ),
    max_shown: int = typer.Option(
        300, "--max-shown", min=0, help="Suspects in the report, at the most; 0: all"
    ),
    component: str | None = typer.Option(
        None, "--component", help="Name of the component, where there are several bio_ner"
    ),
    code: Path | None = typer.Option(  # noqa: B008
        None, "--code", help="Python file with registered functions, for --config"
    ),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
    force: bool = typer.Option(
        False, "--force", "-F", help="Write over an existing corpus, with --apply"
    ),
    lang: str | None = typer.Option(
        None,
        "--lang",
        help="Language of texts without tokens; else that of the config, model or corrections",
    ),
    **options: Any,
) -> None:
    """Find annotation that is probably wrong.

    Models that have not seen a document judge its entities. Values of the config may follow as
    --section.key value.
    """
    from ..corpora.corrections import read_corrections
    from ..corpora.write import check_output
    from ..io import write_text
    from ..review.surfaces import count_usage
    from ..review.suspicion import rank, surfaces_of

    given = {"--config": config, "--model": model, "--apply": apply}
    chosen = [name for name, path in given.items() if path is not None]
    if len(chosen) != 1:
        got, expected = Plain(", ".join(chosen) or "none"), f"one of {', '.join(given)}"
        msg.fail(describe("suspects", expected=expected, got=got), exits=1)
    check_values(ctx.args)
    if ctx.args and config is None:
        got = Plain(" ".join(ctx.args))
        msg.fail(describe("suspects", expected="values of a --config", got=got), exits=1)
    _check_options(ctx, chosen[0])
    if apply is None:
        check_apart({"--output": output, "--report": report}, [corpus])
    if apply is None and output.suffix != ".jsonl":
        expected = "a file name that ends in .jsonl"
        remedy = "--apply writes a corrected corpus"
        got = Plain(output)
        msg.fail(describe("--output", expected=expected, got=got, remedy=remedy), exits=1)
    for path in (corpus, config, apply):
        if path is not None and not path.exists():
            msg.fail(describe(str(path), expected="a file", got=Plain("no such file")), exits=1)
    try:
        if apply is not None:
            check_output(output, force=force)
            check_new(output.with_suffix(DIFF), force, "--output")
        decisions = [] if apply is None else list(read_corrections(apply))
        nlp = load_pipeline(model, gpu_id) if model is not None else None
        own = blank_pipeline(lang or _lang_of(config, nlp, decisions, ctx.args))
        options["lang"] = lang
        docs = [eg.reference for eg in read_annotated(own, corpus, options, suspects_cli)]
        if apply is not None:
            _apply(docs, decisions, output)
            return
        if nlp is not None:
            reviews = [_review(nlp, docs, range(len(docs)), component)]
        else:
            place = folder or output.with_suffix(".folds")
            training = (config, list(ctx.args), code, gpu_id)
            reviews = list(_review_folds(docs, place, training, folds, seed, jobs, component))
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), suspects_cli), exits=1)
    suspects = [suspect for review in reviews for suspect in review.suspects]
    usage = count_usage(docs, surfaces_of(suspects, docs))
    found = rank(suspects, docs, usage)
    listed = [suspect for suspect in found if suspect.error >= least]
    with writing("--output"):
        write_text(output, "".join(_lines(listed, docs, usage)))
    _summarize(found, listed, sum(review.unknown for review in reviews))
    msg.good(f"Suspects: {output}")
    if report is not None:
        with writing("--report"):
            shown = listed[: max_shown or None]
            text = _page(shown, _table(found, listed), docs, usage, f"Suspects of {corpus}")
            write_text(report, text)
        msg.good(f"Report: {report}")


def _check_options(ctx: typer.Context, chosen: str) -> None:
    """End the command with a message if an option is given that has no effect beside --config,
    --model or --apply, whichever is chosen."""
    for way, names in OPTIONS_OF.items():
        for name in names:
            source = ctx.get_parameter_source(name)
            if chosen not in way and source is not None and source.name == "COMMANDLINE":
                expected = f"{' or '.join(way)} beside it"
                message = describe(f"`{name}`", expected=expected, got=Plain(chosen))
                msg.fail(name_options(message, suspects_cli), exits=1)


def _lang_of(
    config: Path | None,
    nlp: "Language | None",
    decisions: "Sequence[Correction]",
    values: Sequence[str],
) -> str:
    from spacy.cli._util import parse_config_overrides
    from spacy.util import load_config

    if nlp is not None:
        return nlp.lang or "xx"
    if config is not None:
        given = parse_config_overrides(list(values), env_var=None)
        lang = load_config(config, overrides=given, interpolate=True).get("nlp", {}).get("lang")
        if not isinstance(lang, str):
            expected = "the code of a language"
            raise SettingsError(describe(f"{config}, nlp.lang", expected=expected, got=lang))
        return lang
    # Those of one review have one language; the digest of any other is refused.
    return next((one.lang for one in decisions if one.lang), "xx")


def _apply(docs: "list[Doc]", decisions: "Sequence[Correction]", output: Path) -> None:
    """Write the corrected corpus, and beside it a diff."""
    from ..corpora.corrections import correct
    from ..corpora.passages import Summary
    from ..corpora.write import write_outputs
    from ..errors import ConvertError
    from ..io import write_text

    changed, diff = correct(docs, decisions)
    diff_path = output.with_suffix(DIFF)
    write_outputs({output: docs}, Summary(), lambda: ConvertError(f"{output}: no documents"))
    write_text(diff_path, diff)
    msg.good(f"Corrections that changed something: {changed}")
    msg.good(f"Corrected corpus: {output}, changes: {diff_path}")


def _review(
    nlp: "Language", docs: "Sequence[Doc]", held_out: Sequence[int], component: str | None
) -> "Review":
    from ..review.suspicion import review_by

    return review_by(nlp, docs, held_out, name=component)


def _review_folds(
    docs: "list[Doc]",
    folder: Path,
    training: tuple[Any, ...],
    n_folds: int,
    seed: int,
    jobs: int,
    component: str | None,
) -> "Iterator[Review]":
    from spacy.cli._util import import_code

    from ..review.folds import FoldTraining, prepare_folds, train_folds

    settings = FoldTraining(*training)
    import_code(settings.code)
    folds = prepare_folds(docs, folder, settings, n_folds=n_folds, seed=seed)
    train_folds(folds, settings, jobs=jobs, say=msg.info)
    for fold in folds:
        nlp = load_pipeline(fold.model, settings.gpu_id)
        yield _review(nlp, docs, fold.held_out, component)


def _lines(
    suspects: "Sequence[Suspect]", docs: "Sequence[Doc]", usage: "Mapping[Surface, Usage]"
) -> Iterator[str]:
    import json

    from ..review.suspicion import suspect_data

    for suspect in suspects:
        data = suspect_data(suspect, docs[suspect.document], usage)
        yield json.dumps(data, ensure_ascii=False) + "\n"


def _summarize(found: "Sequence[Suspect]", listed: "Sequence[Suspect]", unknown: int) -> None:
    show_table(_table(found, listed))
    if unknown:
        msg.warn(
            f"Not judged, with a label or tokens that no model has: {counted(unknown, 'entity')}"
        )


def _table(found: "Sequence[Suspect]", listed: "Sequence[Suspect]") -> "Table":
    from ..metrics.tables import Table

    number = Counter(s.kind for s in listed)
    expected = dict.fromkeys(MEANINGS, 0.0)
    for s in found:
        expected[s.kind] += s.error
    rows = [
        (f"{kind}: {meaning}", f"{number[kind]:,}", f"{expected[kind]:,.1f}")
        for kind, meaning in MEANINGS.items()
    ]
    rows.append(("all", f"{len(listed):,}", f"{sum(s.error for s in found):,.1f}"))
    judged = sum(s.gold is not None for s in found)
    note = (
        f"Judged: {counted(judged, 'entity')}, and {counted(len(found) - judged, 'place')} without"
        " one. Expected: the sum of the probabilities that the annotation is wrong, by the model."
    )
    return Table("Suspects", ("", "listed", "expected"), rows, note)


def _page(
    shown: "Sequence[Suspect]",
    table: "Table",
    docs: "Sequence[Doc]",
    usage: "Mapping[Surface, Usage]",
    title: str,
) -> str:
    from ..corpora.corrections import correction_data
    from ..report.review_page import Entry, Wording, render_review
    from ..review.surfaces import surface_in

    entries = []
    for s in shown:
        doc = docs[s.document]
        gold = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        first = [] if s.gold is None else [s.gold]
        others = [span for span in s.remove if span != s.gold]
        better = sorted([*(span for span in gold if span not in s.remove), *s.add])
        entries.append(
            Entry(
                kind=s.kind,
                place=f"document {s.document + 1}, token {s.span[0] + 1}",
                words=[token.text_with_ws for token in doc],
                sides=(gold, better),
                own=([*first, *others], s.alternative),
                correction=correction_data(s.document, doc, s.remove, s.add),
                notes=(
                    f"probability: annotated {1.0 - s.error:.3f},"
                    f" suggested {s.alternative_posterior:.3f}",
                    f"same text: {usage[surface_in(doc, s.span)]}",
                ),
                score=s.alternative_posterior,
            )
        )
    wording = Wording(
        title=title,
        summary=f"{counted(len(docs), 'document')}, {counted(sum(map(len, docs)), 'token')}.",
        heading="Suspects",
        listing="The most doubtful first",
        explanation=(
            "Each is annotation that a model finds improbable, with the most probable analysis in"
            " its place. Copy the corrections that you agree with into a file, and apply them with"
            " bio-ner suspects --apply. What the model suggests may be wrong as well."
        ),
        noun="suspects",
        sides=("annotated", "suggested"),
        orders={
            "text": "as ranked",
            "sure": "surest suggestion first",
            "unsure": "least sure first",
        },
    )
    return render_review(entries, [table], wording)
