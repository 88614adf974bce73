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

        Documents come back as those of `nlp.pipe` with several processes do, as bytes.

        examples (Iterable[Example]): The examples, the same for all processes. Others than the
            first one hold those of their share alone.
        RETURNS (dict[str, Any]): The scores of `nlp.evaluate`.
        """
        nlp, rank, count = self._nlp, self._processes.rank, self._processes.count
        kept = [eg for i, eg in enumerate(examples) if rank == 0 or i % count == rank]
        validate_examples(kept, "Language.evaluate")
        kept = [Example(eg.predicted.copy(), eg.reference) for eg in kept]
        began = time.perf_counter()
        docs = list(nlp.pipe(eg.predicted for eg in (kept[::count] if rank == 0 else kept)))
        found = self._processes.collect([] if rank == 0 else [doc.to_bytes() for doc in docs])
        results: dict[str, Any] = {}
        if rank == 0:
            for i, example in enumerate(kept):
                owner, place = i % count, i // count
                example.predicted = (
                    Doc(nlp.vocab).from_bytes(found[owner][place]) if owner else docs[place]
                )
            seconds = time.perf_counter() - began
            results = Scorer(nlp=nlp).score(kept)
            results["speed"] = sum(len(eg.predicted) for eg in kept) / seconds
        # As spaCy does, so that the scores can be written as JSON.
        results = convert_recursive(lambda v: isinstance(v, np.floating), float, results)
        return self._processes.tell(results)
