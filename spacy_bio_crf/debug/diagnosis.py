"""All checks over all parts of a corpus."""

from collections.abc import Sequence
from typing import Any

from ..errors import Plain, describe
from ..pipes.bio_tagger import TagTask
from ..pipes.entity_task import EntityTask
from ..training.watch import HIGHEST_RATE
from .alignment import check_alignment
from .characters import check_characters
from .entities import check_annotation, check_labels, check_tags
from .findings import Occurrence, Recorder, Report
from .leakage import Index, check_leakage, check_repetition, count_known
from .reading import CorpusPart, check_reading
from .settings import ModelSettings
from .tagging import check_token_labels

LEAST = 10  # entities, or tokens, of a label in the training data


def diagnose(
    parts: Sequence[CorpusPart],
    settings: ModelSettings | None = None,
    *,
    least: int = LEAST,
    n_examples: int = 5,
) -> Report:
    """Find what a component can't learn from a corpus, and what may surprise its owner.

    parts (Sequence[CorpusPart]): The training data first, then held-out data, if any.
    settings (ModelSettings | None): Tokenizer, window and scheme; None leaves out the checks that
        need them.
    least (int): Labels with fewer entities, or tokens, in the training data are too rare.
    n_examples (int): Most examples of each finding.
    RETURNS (Report): The findings.
    RAISES: ValueError if there are no parts or the first is not "train"; for a label of a token
        that is no string.
    """
    if not parts or parts[0].name != "train":
        got = Plain(", ".join(part.name for part in parts) or "none")
        raise ValueError(describe("parts", expected="'train' as the first one", got=got))
    recorders = {part.name: Recorder(part.name, n_examples) for part in parts}
    figures: dict[str, dict[str, Any]] = {}
    train = Index()
    task = None if settings is None else settings.task
    target = task.target if isinstance(task, TagTask) else None
    gold_key = task.gold_spans_key if isinstance(task, EntityTask) else None
    for part in parts:
        recorder = recorders[part.name]
        check_reading(part, recorder)
        if target is None:
            numbers = check_annotation(part.docs, recorder, gold_key)
        else:
            numbers = check_token_labels(part.docs, target, recorder)
        check_characters(part.docs, recorder)
        if settings is not None:
            numbers |= check_alignment(part.docs, settings, recorder)
        index = check_repetition(part.docs, recorder, target, gold_key)
        if part.name == "train":
            train = index
        else:
            check_leakage(part.docs, train, recorder)
            if target is None:
                numbers["entities_known_from_train"] = count_known(part.docs, train, gold_key)
        numbers["read_as"] = list(part.summary.notes)
        figures[part.name] = numbers
    known = settings.labels if settings is not None else ()
    counts = {name: numbers["labels"] for name, numbers in figures.items()}
    annotated = {name: numbers["labels_annotated"] for name, numbers in figures.items()}
    noun = "entity" if target is None else "token"
    check_labels(counts, recorders, least=least, known=known, annotated=annotated, noun=noun)
    if settings is not None:
        if target is None:
            check_tags(parts[0].docs, settings.scheme, recorders["train"], gold_key)
        if settings.subwords is None:
            recorders["train"].add("no_tokenizer")
        if settings.learn_rate > HIGHEST_RATE:
            rate = Occurrence("training.optimizer.learn_rate", f"{settings.learn_rate:g}")
            recorders["train"].add("high_learning_rate", rate)
    return Report(
        figures=figures,
        findings=[finding for part in parts for finding in recorders[part.name].findings()],
        model={} if settings is None else settings.summary(),
    )
