"""Selection from an input of any size: scores in parts, then a choice."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from spacy.language import Language

from ..bulk import Counts, annotate
from ..bulk.tasks import check_form, read_rows, write_tasks
from ..corpora.texts import texts_in
from ..errors import AnnotateError, Plain, SettingsError, check_count, describe
from ..heads.doubt import Doubt
from ..pipes.bio_ner import BioNer
from .choice import Pool, Strategy, k_center, text_hash
from .measuring import FIELD, document_vectors, load_measuring, measuring

POOL = 10  # texts for each one to choose, where `diverse` chooses among them


@dataclass(frozen=True)
class Selection:
    """The account of a selection.

    scored (Counts): The account of all texts.
    excluded (int): Texts that are annotated already.
    chosen (int): Texts that are written.
    """

    scored: Counts
    excluded: int
    chosen: int


def select(
    nlp: Language,
    path: Path,
    output: Path,
    *,
    n: int,
    strategy: Strategy = Strategy(),  # noqa: B008
    component: str | None = None,
    diverse: bool = False,
    pool: int | None = None,
    exclude: Iterable[Path] = (),
    form: str = "jsonl",
    scores: Path | None = None,
    text_key: str = "text",
    entities_key: str = "entities",
    force: bool = False,
    load: Callable[[], Language] | None = None,
    **options: Any,
) -> Selection:
    """Choose texts of a file or folder by the doubt about them, and write them with predictions.

    All texts are annotated and scored in parts, as by `bulk.annotate`: after an interruption the
    same call goes on. The scores are those of all strategies, so that another choice from a folder
    of `scores` takes no more than reading it.

    nlp (Language): The pipeline.
    path (Path): The input, as for `bulk.annotate`.
    output (Path): The file to write.
    n (int): How many texts.
    strategy (Strategy): The order of texts.
    component (str | None): The name of the `bio_ner`, needed if there are several.
    diverse (bool): Choose texts that differ, by the encoder's vectors, among the first of a pool.
    pool (int | None): Texts in that pool; None takes ten times n.
    exclude (Iterable[Path]): Files of texts that are annotated or handed out, in any format that
        `corpora.read` knows. Their texts are not chosen.
    form (str): The form of the output, one of `bulk.tasks.TASK_FORMS`.
    scores (Path | None): A folder of parts that stays, whose name ends in .jsonl. None: a folder
        beside the output, which is removed at the end.
    text_key (str): Key or column of the text.
    entities_key (str): Key that the predicted entities get.
    force (bool): Write over an existing output.
    load (Callable[[], Language] | None): As for `bulk.annotate`.
    **options (Any): More options of `bulk.annotate`: format, batch_size, n_process, skip_bad,
        restart, code, report.
    RETURNS (Selection): The account.
    RAISES: AnnotateError or SettingsError if an option, the input or a file does not fit.
    """
    check_count("n", n, least=1)
    if pool is not None and (not diverse or pool < n):
        got = Plain(f"{pool}, and n = {n}" if diverse else f"{pool} without it")
        raise SettingsError(describe("pool", expected="n or more, with `diverse`", got=got))
    check_form(form)
    if output.is_dir() or (output.exists() and not force):
        expected, got = "a new file", Plain("a folder" if output.is_dir() else "an existing one")
        raise AnnotateError(describe(str(output), expected=expected, got=got, remedy="`force`"))
    if output.resolve() == path.resolve():
        raise AnnotateError(f"{output}: expected an output outside of the input {path}")
    if scores is not None and scores.suffix != ".jsonl":
        expected = "a folder whose name ends in .jsonl"
        raise AnnotateError(describe("scores", expected=expected, got=str(scores)))
    known = set(_keys_of(exclude, text_key, nlp.lang or "xx"))
    folder = output.with_name(f"{output.name}.scores.jsonl") if scores is None else scores
    with measuring(nlp, component) as ner:
        _check_labels(ner, strategy.labels)
        counts = annotate(
            nlp,
            path,
            folder,
            one_file=False,
            text_key=text_key,
            entities_key=entities_key,
            load=None if load is None else partial(load_measuring, load, component),
            settings={"component that is in doubt": ner.name},
            **options,
        )
    best, excluded = Pool((pool or POOL * n) if diverse else n), 0
    has_parts = any(folder.glob("part-*.jsonl"))  # none of an input without texts
    reading = partial(read_rows, folder, text_key=text_key, entities_key=entities_key)
    for row in reading() if has_parts else ():
        key, doubt = text_hash(row[text_key]), Doubt(**row[FIELD])
        if key in known:
            excluded += 1
        elif doubt.tokens and strategy.admits(doubt, row[entities_key]):
            best.add(strategy.score(doubt, key), key, row)
    ordered = list(best)
    if diverse and ordered:
        vectors = document_vectors(nlp, ner, [row[text_key] for _, row in ordered])
        ordered = [ordered[i] for i in k_center(vectors, n)]
    chosen = [
        row | {FIELD: {"rank": rank, "strategy": strategy.name, "score": score, **row[FIELD]}}
        for rank, (score, row) in enumerate(ordered, start=1)
    ]
    version = pipeline_version(nlp)
    write_tasks(chosen, output, form, text_key=text_key, entities_key=entities_key, version=version)
    if scores is None:
        shutil.rmtree(folder)
    return Selection(counts, excluded, len(chosen))


def pipeline_version(nlp: Language) -> str:
    """RETURNS (str): Name and version of a pipeline, for those who review its predictions."""
    return f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"


def _keys_of(paths: Iterable[Path], text_key: str, lang: str) -> Iterator[bytes]:
    for path in paths:
        yield from map(text_hash, texts_in(path, text_key=text_key, lang=lang))


def _check_labels(ner: BioNer, labels: Sequence[str]) -> None:
    for label in labels:
        if label not in ner.labels:
            expected = f"labels of {list(ner.labels)}"
            raise SettingsError(describe("labels", expected=expected, got=label))
