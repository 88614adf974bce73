"""Hugging Face token classifiers as pipelines with `bio_ner` or `bio_tagger`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import spacy
import torch
from spacy.language import Language
from torch import Tensor, nn

from ..corpora.options import IO
from ..encoders.transformer.classifier import Classifier, not_linear, read_classifier
from ..encoders.transformer.layer import transformer_shim
from ..errors import BioError, Plain, check_choice, describe
from ..heads.emitter import Emitter
from ..model import emitter_shim
from ..pipes.labeller import SequenceLabeller, find_labeller
from ..tags.targets import check_target
from .label_rows import LabelRows, read_label_rows, read_target_rows

_HEADS = {"softmax": "spacy-bio-crf.SoftmaxHead.v1", "crf": "spacy-bio-crf.CRFHead.v1"}
# Beside the weights of a checkpoint that `export_pipeline` wrote.
TRANSITIONS = "crf.safetensors"
SAME = 1e-4  # greatest difference of two computations of a logit


def import_checkpoint(
    name: str,
    *,
    lang: str,
    head: str = "softmax",
    constrained: bool | None = None,
    labels: Sequence[str] | None = None,
    scheme: str | None = None,
    target: str | None = None,
    revision: str | None = None,
) -> tuple[Language, LabelRows]:
    """Make a pipeline of a token classifier. Its emissions are the classifier's logits.

    name (str): A Hugging Face folder, or a name on the hub.
    lang (str): The pipeline's language, whose tokenizer cuts texts into words.
    head (str): "softmax", or "crf" with the transition scores in the folder's `TRANSITIONS`, or
        else of zero, to train on.
    constrained (bool | None): Decode legal tag sequences only. None does so for a CRF of which the
        labels allow it.
    labels (Sequence[str] | None): The name of each row of the classifier, "-" for one to leave out;
        None takes those of its config.
    scheme (str | None): The scheme of the labels, as `read_label_rows` knows it; None finds out.
    target (str | None): Make a `bio_tagger`, which writes the labels of single tokens to this
        attribute: "tag", "pos", "morph" or "_.name". None makes a `bio_ner`.
    revision (str | None): A branch, tag or commit on the hub.
    RETURNS (tuple[Language, LabelRows]): The pipeline, and the meaning of the classifier's rows.
    RAISES: OSError if there is no such checkpoint; BioError if it can't be imported.
    """
    check_choice("head", head, _HEADS, error=BioError)
    if target is not None:
        _check_tagger(target, scheme=scheme, constrained=constrained)
    try:
        nlp = spacy.blank(lang)
    except ImportError as error:
        # Some languages need packages of their own, and spaCy says which.
        expected = "the code of a language of spaCy, such as en or xx"
        remedy = f"the reason given: {error}"
        raise BioError(describe("lang", expected=expected, got=lang, remedy=remedy)) from error
    classifier, sample = read_classifier(name, revision=revision)
    names = classifier.names if labels is None else tuple(labels)
    if len(names) != len(classifier.names):
        expected = f"{len(classifier.names)} labels, one for each row of the classifier"
        raise BioError(describe("labels", expected=expected, got=len(names)))
    rows = read_label_rows(names, scheme) if target is None else read_target_rows(names, target)
    # In these an I- begins an entity, so a sequence that starts with one is no mistake.
    loose = rows.scheme in ("IOB1", IO)
    if constrained and loose:
        expected = f"false for labels in {rows.scheme}, where no tag has to begin an entity"
        raise BioError(describe("constrained", expected=expected, got=Plain("true")))
    model: dict[str, Any] = {
        "@architectures": "spacy-bio-crf.BioTagger.v1",
        "encoder": {
            "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
            "name": name,
            "revision": revision,
        },
        "head": {"@architectures": _HEADS[head]},
    }
    if target is None:
        constrained = head == "crf" and not loose if constrained is None else constrained
        model["head"]["constrained"] = constrained
        nlp.add_pipe("bio_ner", config={"scheme": rows.tagset.scheme, "model": model})
    else:
        nlp.add_pipe("bio_tagger", config={"target": target, "model": model})
    pipe = find_labeller(nlp, kind=SequenceLabeller, noun="component")[1]
    for label in rows.tagset.labels:
        pipe.add_label(label)
    # The names come with the encoder's config, so that `export_pipeline` finds them.
    classifier.pretrained.network.config.id2label = dict(enumerate(names))
    transformer_shim(pipe.model.get_ref("encoder")).set_pretrained(classifier.pretrained)
    emitter = _make_emitter(classifier, rows, crf=pipe.head.crf)
    if emitter.crf is not None:
        _set_transitions(emitter.crf, Path(name) / TRANSITIONS, rows)
    if not _has_logits(emitter, rows, *sample):
        raise not_linear(f"checkpoint {name!r}", "other logits than those of its last layer")
    pipe.model.set_dim("nO", len(rows.sources))
    pipe.model.initialize()
    emitter_shim(pipe.model.get_ref("emitter")).set_network(emitter)
    made = "Named entities" if target is None else "Labels of tokens"
    nlp.meta["description"] = f"{made}, from the checkpoint {name}"
    return nlp, rows


def _check_tagger(target: str, *, scheme: str | None, constrained: bool | None) -> None:
    """RAISES: BioError for a target that is none, or an option of entities."""
    try:
        check_target(target)
    except ValueError as error:
        raise BioError(str(error)) from error
    given: tuple[tuple[str, Any], ...] = (("scheme", scheme), ("constrained", constrained))
    for option, value in given:
        if value is not None:
            expected = "none beside `target`, whose labels are those of single tokens"
            raise BioError(describe(option, expected=expected, got=value))


def _make_emitter(classifier: Classifier, rows: LabelRows, *, crf: bool) -> Emitter:
    weight, bias = rows.gather(classifier.weight, classifier.bias)
    transform = bool(classifier.transform)
    emitter = Emitter(weight.shape[1], len(bias), crf=crf, transform=transform)
    emitter.dense.load_state_dict({"weight": weight, "bias": bias})
    if emitter.transform is not None:
        # One that computes something else is found by its logits.
        emitter.transform.load_state_dict(classifier.transform, strict=False)
    return emitter


def _set_transitions(crf: nn.Module, path: Path, rows: LabelRows) -> None:
    order = list(rows.sources)
    found = safetensors.torch.load_file(path) if path.is_file() else {}
    for name, scores in crf.named_parameters():
        own = found.get(name)
        if own is None:
            nn.init.zeros_(scores)
        elif set(own.shape) == {len(order) - len(rows.added) + len(rows.unused)}:
            scores.data.copy_(own[order] if own.ndim == 1 else own[order][:, order])
        else:
            expected = f"scores of the classifier's {len(order)} tags"
            raise BioError(describe(f"{path}, {name}", expected=expected, got=tuple(own.shape)))


def _has_logits(emitter: Emitter, rows: LabelRows, vectors: Tensor, logits: Tensor) -> bool:
    """Whether the emissions of a sample are the checkpoint's own logits."""
    own = [i for i in range(len(rows.sources)) if i not in rows.added]
    with torch.no_grad():
        emissions = emitter.eval()(vectors)[:, own]
    return torch.allclose(
        emissions, logits[:, [rows.sources[i] for i in own]], atol=SAME, rtol=SAME
    )
