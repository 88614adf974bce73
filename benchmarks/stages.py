"""Seconds that each stage of an annotation takes."""

import time
from collections.abc import Callable
from typing import Any

import torch
from spacy.tokens import Doc

from spacy_bio_crf.encoders.api import encoder_of
from spacy_bio_crf.heads.decode import find_entities

from .contestants import bio_ner, device, ready


def stages(encoder: str, train: list[Doc], test: list[Doc], repeats: int) -> list[dict[str, float]]:
    """Time each stage over all documents together, in precision "auto".

    encoder (str): A Hugging Face folder.
    train (list[Doc]): Documents to initialize the pipeline.
    test (list[Doc]): Documents whose texts are annotated.
    repeats (int): Runs that count, after one run of warm-up.
    RETURNS (list[dict[str, float]]): For each run, seconds by stage, in order.
    """
    nlp = ready(bio_ner(encoder, "CRF"), train)
    ner: Any = nlp.get_pipe("bio_ner")
    network = encoder_of(ner.model.get_ref("encoder"))
    network.precision = "auto"
    texts = [doc.text for doc in test]

    def once() -> dict[str, float]:
        seconds: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any]) -> Any:
            start = time.perf_counter()
            result = work()
            if device() == "cuda":
                torch.cuda.synchronize()
            seconds[name] = time.perf_counter() - start
            return result

        docs = timed("spaCy tokenizer", lambda: [nlp.make_doc(text) for text in texts])
        timed("sub-words", lambda: network.cut(docs))
        with network.remembering(docs):
            lattice = timed("encoder", lambda: ner.model.predict(docs))
        entities = timed(
            "head, with confidence",
            lambda: find_entities(lattice, ner.presets(docs), ner.reading(), scored=True),
        )
        timed("writing entities", lambda: ner.set_annotations(docs, entities))
        return seconds

    return [once() for _ in range(repeats + 1)][1:]
