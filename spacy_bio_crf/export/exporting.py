"""Pipelines as Hugging Face token classifiers, and the loss of their plain decoding."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from spacy.language import Language
from spacy.scorer import get_ner_prf

from ..encoders.shared import SharedEncoder, resolve_encoder
from ..encoders.transformer.classifier import Classifier, write_classifier
from ..encoders.transformer.layer import TransformerEncoder
from ..errors import BioError, Plain, describe
from ..io import replacing_folder, write_text
from ..metrics.documents import predict, read_corpus
from ..model import emitter_shim
from ..pipes.bio_ner import BioNer
from ..pipes.bio_tagger import TokenTagger
from ..pipes.labeller import SequenceLabeller, find_labeller
from ..tags.targets import score_name
from .importing import TRANSITIONS
from .label_rows import written_rows
from .model_card import write_card

# Weights, tokenizers and settings in a folder of transformers, whichever version has written it.
_CHECKPOINT = (
    "*.safetensors", "*.bin", "*.index.json", "adapter_config.json", "*tokenizer*", "vocab.*",
    "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


def export_pipeline(
    nlp: Language,
    folder: Path,
    *,
    component: str | None = None,
    corpus: Path | None = None,
    license: str | None = None,
) -> list[str]:
    """Write a folder that `transformers.pipeline("token-classification", …)` loads.

    A checkpoint that came in untrained goes out with the same weights and labels. The scores of a
    CRF are written to a file of their own, under the names of pytorch-crf.

    nlp (Language): A trained pipeline.
    folder (Path): Where; made if missing. A checkpoint in it is replaced, other files stay.
    component (str | None): The name of the `bio_ner` or `bio_tagger`, needed if there are several.
    corpus (Path | None): Annotated documents on which to measure the loss of plain decoding.
    license (str | None): Of the weights, for the model card; None takes that of the pipeline.
    RETURNS (list[str]): What is different in transformers, in sentences; the model card has it.
    RAISES: BioError if there is no place in a checkpoint for a part of the pipeline.
    """
    noun = "bio_ner or bio_tagger"
    name, pipe = find_labeller(nlp, component, kind=SequenceLabeller, noun=noun)
    if isinstance(pipe, BioNer) and pipe.groups is not None:
        expected = "a component without `groups`, for which a checkpoint has no place"
        raise BioError(describe(repr(name), expected=expected, got=Plain("groups of labels")))
    encoder = resolve_encoder(pipe.encoder)
    if not isinstance(encoder, TransformerEncoder) or not encoder.shim.ready:
        expected = "a trained encoder with its own transformer, spacy-bio-crf.TransformerEncoder.v1"
        raise BioError(describe(repr(name), expected=expected, got=Plain(encoder.model.name)))
    remarks = _differences(nlp, pipe)
    if corpus is not None:
        own, plain = measure_decoding(nlp, pipe, corpus)
        remarks.append(
            f"{'Entity F1' if isinstance(pipe, BioNer) else 'Accuracy'} on {corpus.name}:"
            f" {own:.2f} as decoded here, {plain:.2f} by the best tag of each word."
        )
    pretrained = encoder.shim.pretrained
    emitter = emitter_shim(pipe.model.get_ref("emitter")).network
    weight, bias = (p.detach().cpu() for p in (emitter.dense.weight, emitter.dense.bias))
    former = [str(tag) for _, tag in sorted(pretrained.network.config.id2label.items())]
    names, order = written_rows(pipe.tagset, weight, bias, former)
    transform = {} if emitter.transform is None else emitter.transform.state_dict()
    classifier = Classifier(pretrained, names, weight[order], bias[order], transform)
    with replacing_folder(folder, former=_CHECKPOINT) as aside:
        write_classifier(classifier, aside)
        if pipe.head.crf:
            start, transitions, end = map(torch.from_numpy, pipe.transition_scores())
            scores = {
                "start_transitions": start[order],
                "transitions": transitions[order][:, order].contiguous(),
                "end_transitions": end[order],
            }
            facts = {"tags": json.dumps(names), "constrained": json.dumps(pipe.head.constrained)}
            (aside / TRANSITIONS).write_bytes(safetensors.torch.save(scores, metadata=facts))
        write_text(aside / "README.md", write_card(nlp, pipe, remarks, license))
    return remarks


def measure_decoding(nlp: Language, pipe: SequenceLabeller, corpus: Path) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Entity F1 or the accuracy of labels in percent, as the
    pipeline decodes and by the best tag of each word. RAISES: ValueError if the corpus can't be
    read."""

    def score() -> float:
        examples = predict(nlp, read_corpus(nlp, corpus))
        if isinstance(pipe, TokenTagger):
            return 100.0 * (pipe.score(examples)[score_name(pipe.target)] or 0.0)
        return 100.0 * (get_ner_prf(examples)["ents_f"] or 0.0)

    own = score()
    shim, threshold = emitter_shim(pipe.model.get_ref("emitter")), getattr(pipe, "threshold", 0.0)
    head = shim.head
    shim.head = replace(head, crf=False, constrained=False)
    if isinstance(pipe, BioNer):
        pipe.threshold = 0.0
    try:
        plain = score()
    finally:
        shim.head = head
        if isinstance(pipe, BioNer):
            pipe.threshold = threshold
    return own, plain


def _differences(nlp: Language, pipe: SequenceLabeller) -> list[str]:
    remarks = []
    if pipe.head.crf:
        remarks.append(
            "transformers takes the best tag of each word. The CRF's start, transition and end"
            f" scores, which it does not use, are in {TRANSITIONS}."
        )
    elif pipe.head.constrained and isinstance(pipe, BioNer):
        remarks.append("transformers takes the best tag of each word, not the best legal sequence.")
    if pipe.tagset.scheme == "BILUO":
        remarks.append(
            "transformers does not know closing tags: it reads L-X and U-X as labels of their own."
        )
    if isinstance(pipe, BioNer) and pipe.threshold > 0.0:
        remarks.append(f"Entities below the threshold of {pipe.threshold} are not left out there.")
    if pipe.temperature != 1.0:
        remarks.append(f"Scores are not divided by the temperature of {pipe.temperature:.3f}.")
    own: list[Any] = [pipe]
    if isinstance(pipe.encoder, SharedEncoder):
        own.append(pipe.encoder.upstream.owner)
    others = [name for name, other in nlp.pipeline if not any(other is one for one in own)]
    if others:
        remarks.append(f"Other components are left out: {', '.join(others)}.")
    return remarks
