"""Corpus reader for data sets that are annotated with different labels."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.training.corpus import walk_corpus

from ..errors import Plain, describe
from ..tags.spans import LABELS_ANNOTATED

_KEYS = ("path", LABELS_ANNOTATED)


class MixedCorpus:
    """Reads data sets one after the other. Registered as spacy-bio-crf.MixedCorpus.v1.

    sets (Mapping[str, Mapping[str, Any]]): For each data set "path", a `.spacy` file or a folder of
        them, and optionally "labels_annotated": the labels that are annotated in it, if not all
        are. A token outside of its entities may have any other label.
    options (Any): Those of spaCy's `Corpus`, for all data sets.
    RAISES: ValueError for data sets in another form.
    """

    def __init__(self, sets: Mapping[str, Mapping[str, Any]], **options: Any):
        if not sets:
            raise ValueError(describe("sets", expected="one data set at least", got=Plain("none")))
        self._parts: list[tuple[Corpus, list[str] | None]] = []
        for name, settings in sets.items():
            unknown = sorted(set(settings) - set(_KEYS))
            if unknown or settings.get("path") is None:
                got = Plain(", ".join(map(repr, settings)) or "nothing")
                expected = f"'path' and, if not all labels are annotated, {LABELS_ANNOTATED!r}"
                raise ValueError(describe(f"sets, {name!r}", expected=expected, got=got))
            labels = settings.get(LABELS_ANNOTATED)
            if isinstance(labels, str) or labels is not None and not labels:
                place = f"sets, {name!r}, {LABELS_ANNOTATED}"
                raise ValueError(describe(place, expected="a list of labels", got=labels))
            corpus = Corpus(settings["path"], **options)
            self._parts.append((corpus, None if labels is None else list(labels)))

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """YIELDS (Example): The examples of all data sets, in order."""
        for corpus, labels in self._parts:
            make = corpus.make_examples
            if corpus.gold_preproc:
                make = corpus.make_examples_gold_preproc
            for doc in corpus.read_docbin(nlp.vocab, walk_corpus(corpus.path, ".spacy")):
                # Sentences of a document and augmented documents have no `user_data`.
                own = labels or doc.user_data.get(LABELS_ANNOTATED)
                for example in make(nlp, [doc]):
                    for augmented in corpus.augmenter(nlp, example):
                        if own is not None:
                            augmented.reference.user_data[LABELS_ANNOTATED] = own
                        yield augmented


def build_mixed_corpus(
    sets: dict[str, dict[str, Any]],
    *,
    gold_preproc: bool = False,
    max_length: int = 0,
    limit: int = 0,
    augmenter: Callable | None = None,
) -> MixedCorpus:
    """Build a reader of several data sets. Registered as spacy-bio-crf.MixedCorpus.v1.

    sets (dict): As for `MixedCorpus`.
    gold_preproc, max_length, limit, augmenter: As for spaCy's `spacy.Corpus.v1`; `limit` counts
        the documents of each data set.
    RETURNS (MixedCorpus): The reader.
    """
    return MixedCorpus(
        sets,
        gold_preproc=gold_preproc,
        max_length=max_length,
        limit=limit,
        augmenter=augmenter,
    )
