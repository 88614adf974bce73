"""Evaluation whose documents several processes annotate."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from thinc.util import convert_recursive

from .processes import Processes


class SharedEvaluation:
    """Stands for a pipeline where its method `evaluate` is called, in all processes.

    nlp (Language): The pipeline.
    processes (Processes): The processes.
    """

    def __init__(self, nlp: Language, processes: Processes):
        self._nlp = nlp
        self._processes = processes

    @property
    def pipe_names(self) -> list[str]:
        """The names of the components."""
        return self._nlp.pipe_names

    def evaluate(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Annotate a share of some examples in each process, and score them all in the first one.

        Documents come back as those of `nlp.pipe` with several processes do, as bytes. One that
        the pipeline's error handler drops counts as one without predictions.

        examples (Iterable[Example]): The examples, the same for all processes. Others than the
            first one hold those of their share alone.
        RETURNS (dict[str, Any]): The scores of `nlp.evaluate`.
        """
        nlp, rank, count = self._nlp, self._processes.rank, self._processes.count
        kept = [eg for i, eg in enumerate(examples) if rank == 0 or i % count == rank]
        validate_examples(kept, "Language.evaluate")
        kept = [Example(eg.predicted, eg.reference) for eg in kept]
        began = time.perf_counter()
        share = kept[::count] if rank == 0 else kept
        stream = ((eg.predicted.copy(), place) for place, eg in enumerate(share))
        given = list(nlp.pipe(stream, as_tuples=True))
        # A component may make new Docs, which don't know their place.
        whole = len(given) == len(share)
        docs = {i if whole else place: doc for i, (doc, place) in enumerate(given)}
        told = {} if rank == 0 else {place: doc.to_bytes() for place, doc in docs.items()}
        found = self._processes.collect(told)
        results: dict[str, Any] = {}
        if rank == 0:
            for i, example in enumerate(kept):
                owner, place = i % count, i // count
                if owner == 0:
                    example.predicted = docs.get(place, example.predicted)
                elif place in found[owner]:
                    example.predicted = Doc(nlp.vocab).from_bytes(found[owner][place])
            seconds = time.perf_counter() - began
            results = Scorer(nlp=nlp).score(kept)
            results["speed"] = sum(len(eg.predicted) for eg in kept) / seconds
        # As spaCy does, so that the scores can be written as JSON.
        results = convert_recursive(lambda v: isinstance(v, np.floating), float, results)
        return self._processes.tell(results)
