"""Where the time of an annotation goes."""

import time
from collections.abc import Callable
from typing import Any

import torch
from spacy.tokens import Doc

from spacy_bio_crf.heads.decode import find_entities
from spacy_bio_crf.heads.emitter import Lattice
from spacy_bio_crf.model import emitter_shim
from spacy_bio_crf.subwords.tokenizer import pick_rows

from .contestants import bio_ner, device, ready


def stages(encoder: str, train: list[Doc], test: list[Doc]) -> dict[str, float]:
    """Seconds of each stage over all documents together, after one run of warm-up, in "auto".

    encoder (str): A Hugging Face folder.
    train (list[Doc]): Initialises the pipeline.
    test (list[Doc]): Their texts are annotated.
    RETURNS (dict[str, float]): By stage, in order.
    """
    nlp = ready(bio_ner(encoder, "CRF"), train)
    ner: Any = nlp.get_pipe("bio_ner")
    ner.precision = "auto"
    shim: Any = ner.model.get_ref("encoder").shims[0]
    network = emitter_shim(ner.model.get_ref("emitter")).network.eval()
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
        pieces = timed("sub-words", lambda: shim.tokenize(docs))
        picked = [pick_rows(p.lengths, every=False) for p in pieces]
        wanted = [p.rows[rows] for p, (rows, _) in zip(pieces, picked, strict=True)]
        emissions, _ = timed(
            "encoder", lambda: shim.run(pieces, wanted, train=False, project=network)
        )
        start, transitions, end = (s.detach() for s in network.scores())
        tokens = [tokens for _, tokens in picked]
        lattice = Lattice(emissions, start, transitions, end, tokens)
        entities = timed(
            "head, with confidence",
            lambda: find_entities(docs, lattice, ner.reading(), scored=True),
        )
        timed("writing entities", lambda: ner.set_annotations(docs, entities))
        return seconds

    once()
    return once()
