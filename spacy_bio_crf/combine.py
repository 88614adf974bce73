"""Several trained pipelines as one: ensembles, and averages of weights."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from spacy.language import Language
from torch import Tensor

from .averaging import ENSEMBLE, members_of
from .encoders.transformer.layer import TransformerEncoder
from .encoders.transformer.pretrained import Pretrained
from .encoders.transformer.shim import TransformerShim
from .errors import Plain, SettingsError, describe
from .model import EmitterShim, emitter_shim
from .pipes.bio_ner import BioNer, find_component

# Least cosine of the encoders' weights in a soup. Fine-tuning moves weights by little; encoders
# that were pre-trained apart have next to nothing in common.
LEAST_COSINE = 0.9

# By the name that messages call them.
Pipelines = Mapping[str, Language]


@dataclass(frozen=True)
class Source:
    """One of the pipelines to combine.

    place (str): The name that messages call it.
    nlp (Language): The pipeline.
    name (str): The name of its component.
    pipe (BioNer): The component.
    """

    place: str
    nlp: Language
    name: str
    pipe: BioNer

    @property
    def emitter(self) -> EmitterShim:
        """The shim of its emitter."""
        return emitter_shim(self.pipe.model.get_ref("emitter"))

    def order_for(self, tags: Sequence[tuple[str, str]]) -> list[int]:
        """RETURNS (list[int]): The place in its own order of each of these tags."""
        own = self.pipe.tag_names
        return [own.index(tag) for tag in tags]


def make_ensemble(pipelines: Pipelines, *, component: str | None = None) -> Language:
    """Combine pipelines into one that predicts the mean of their scores.

    The rest of the pipeline, the settings of the component and the order of labels are those of the
    first one. The temperature of the confidence is 1, until the ensemble is calibrated.

    pipelines (Mapping[str, Language]): Trained pipelines, by the name that messages call them. The
        first one is changed, and is the result.
    component (str | None): The name of the `bio_ner` in each, needed where there are several.
    RETURNS (Language): The pipeline, whose component has the network spacy-bio-crf.Ensemble.v1.
    RAISES: SettingsError for fewer than two pipelines, or two that can't be combined.
    """
    sources = _read_sources(pipelines, component)
    first = sources[0]
    blocks = {f"model_{i}": _settings_of(source) for i, source in enumerate(sources, start=1)}
    settings = first.nlp.config.interpolate()["components"][first.name]
    settings = {key: value for key, value in settings.items() if key != "factory"}
    settings["model"] = {"@architectures": ENSEMBLE, "members": blocks}
    first.nlp.replace_pipe(first.name, "bio_ner", config=settings)
    _, made = find_component(first.nlp, first.name)
    for member, source in zip(members_of(made.model), sources, strict=True):
        member.from_bytes(source.pipe.model.to_bytes())
        emitter_shim(member.get_ref("emitter")).network.reorder(
            source.order_for(first.pipe.tag_names)
        )
    made.model.set_dim("nO", len(first.pipe.tag_names))
    made.cfg["labels"] = list(first.pipe.labels)
    made.cfg["untrained"] = _untrained_in_all(sources)
    return first.nlp


def make_soup(pipelines: Pipelines, *, component: str | None = None) -> Language:
    """Average the weights of pipelines that were trained from one start.

    Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves
    accuracy without increasing inference time", the uniform soup. All else is that of the first
    pipeline; the temperature is 1.

    pipelines (Mapping[str, Language]): Trained pipelines, by the name that messages call them. The
        first one is changed, and is the result.
    component (str | None): The name of the `bio_ner` in each, needed where there are several.
    RETURNS (Language): The pipeline, of the size and speed of one.
    RAISES: SettingsError as `make_ensemble`, for networks or tokenizers that differ, and for
        encoders with too little in common.
    """
    sources = _read_sources(pipelines, component)
    first = sources[0]
    shims = [_own_transformer(source) for source in sources]
    pretrained = [shim.pretrained for shim in shims]
    rules = [_rules_of(own.tokenizer) for own in pretrained]
    for source in sources:
        source.emitter.network.reorder(source.order_for(first.pipe.tag_names))
    encoders = [own.network.state_dict() for own in pretrained]
    emitters = [source.emitter.network.state_dict() for source in sources]
    for i, source in enumerate(sources[1:], start=1):
        place = f"{source.place}, encoder"
        if rules[i] != rules[0]:
            raise _refusal(place, f"the tokenizer of {first.place}", Plain("another one"))
        for one, other in ((encoders[0], encoders[i]), (emitters[0], emitters[i])):
            _check_shapes(f"{source.place}, weights", first.place, one, other)
        cosine = _cosine(encoders[0], encoders[i])
        if cosine < LEAST_COSINE:
            expected = f"weights trained from the same start as those of {first.place}"
            remedy = "combine them as an ensemble"
            raise _refusal(place, expected, Plain(f"a cosine of {cosine:.2f}"), remedy)
    # A copy: with adapters, other components may hold the same base.
    network = deepcopy(pretrained[0].network)
    network.load_state_dict(_mean(encoders))
    shims[0].set_pretrained(Pretrained(network, pretrained[0].tokenizer))
    emitter = first.emitter.network
    emitter.load_state_dict(_mean(emitters))
    first.emitter.set_network(emitter)
    first.pipe.temperature = 1.0
    first.pipe.cfg["untrained"] = _untrained_in_all(sources)
    return first.nlp


def _read_sources(pipelines: Pipelines, component: str | None) -> list[Source]:
    """RAISES: SettingsError for pipelines that can't be combined, with what differs."""
    if len(pipelines) < 2:
        raise _refusal("models", "two trained pipelines or more", list(pipelines))
    sources = []
    for place, nlp in pipelines.items():
        try:
            sources.append(Source(place, nlp, *find_component(nlp, component)))
        except SettingsError as error:
            raise SettingsError(f"{place}, {error}") from None
        _check_own(sources[-1])
    first = _comparable(sources[0])
    for source in sources[1:]:
        for what, value in _comparable(source).items():
            if value != first[what]:
                expected = f"the same as in {sources[0].place}"
                got = f"{value}, not {first[what]}"
                got = "others" if isinstance(value, bytes) else got
                raise _refusal(f"{source.place}, {what}", expected, Plain(got))
    return sources


def _check_own(source: Source) -> None:
    """RAISES: SettingsError for a component that is no single trained model with its encoder."""
    model = source.pipe.model
    if not model.has_dim("nO"):
        raise _refusal(source.place, "a trained pipeline", Plain("one without weights"))
    if len(members_of(model)) > 1:
        raise _refusal(source.place, "a single model", Plain("an ensemble"))
    for name, other in source.nlp.pipeline:
        if source.name in getattr(other, "listening_components", ()):
            expected = "an encoder of its own"
            call = f"nlp.replace_listeners({name!r}, {source.name!r}, ['model.encoder'])"
            got = Plain(f"that of {name!r}")
            place = f"{source.place}, {source.name!r}"
            raise _refusal(place, expected, got, f"call {call} and save the pipeline")


def _comparable(source: Source) -> dict[str, Any]:
    """What has to be equal in all pipelines, by the names that messages have for it."""
    tokenizer: Any = source.nlp.tokenizer
    return {
        **source.pipe.tag_facts(),
        "head": "CRF" if source.pipe.head.crf else "softmax",
        "constrained": source.pipe.head.constrained,
        "language": source.nlp.lang,
        "tokenizer": type(tokenizer).__name__,
        "rules of the tokenizer": tokenizer.to_bytes() if hasattr(tokenizer, "to_bytes") else b"",
    }


def _settings_of(source: Source) -> dict[str, Any]:
    """The block of the network in the configuration, for a member of an ensemble."""
    block = source.nlp.config.interpolate()["components"][source.name]["model"]
    if "precision" in block["encoder"]:
        block["encoder"]["precision"] = source.pipe.precision
    if block["encoder"].get("lora") is not None:
        # Members don't train, and are in folders where no base of a pipeline is found.
        block["encoder"]["lora"]["merge"] = True
    return block


def _own_transformer(source: Source) -> TransformerShim:
    encoder = source.pipe.encoder
    if not isinstance(encoder, TransformerEncoder):
        expected = "an encoder with its own transformer, spacy-bio-crf.TransformerEncoder.v1"
        raise _refusal(f"{source.place}, encoder", expected, Plain(encoder.model.name))
    return encoder.shim


def _rules_of(tokenizer: Any) -> Any:
    """All that a sub-word tokenizer does, but for truncation and padding, which are not used."""
    if not tokenizer.is_fast:
        return tokenizer.get_vocab()
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {**rules, "truncation": None, "padding": None}


def _check_shapes(
    place: str, first: str, one: Mapping[str, Tensor], other: Mapping[str, Tensor]
) -> None:
    shapes = [{name: tuple(own.shape) for name, own in state.items()} for state in (one, other)]
    for name in sorted({*shapes[0], *shapes[1]}):
        wanted, found = (own.get(name, "none") for own in shapes)
        if wanted != found:
            expected = f"{name} of the shape in {first}, {wanted}"
            raise _refusal(place, expected, Plain(found), "combine them as an ensemble")


def _untrained_in_all(sources: Sequence[Source]) -> list[str]:
    """Labels that no model was trained on, and that no combination of them may find."""
    first, *others = (source.pipe.untrained for source in sources)
    return [label for label in first if all(label in own for own in others)]


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of tensors by name; of whole numbers, which are not trained, those of the first."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(own.dtype)
        if own.is_floating_point()
        else own
        for name, own in states[0].items()
    }


def _cosine(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The cosine of all weights of two networks, as vectors."""
    pairs = [(own.double(), other[name].double()) for name, own in one.items()]
    product = sum(float((a * b).sum()) for a, b in pairs)
    squares = [sum(float((x * x).sum()) for x in own) for own in zip(*pairs, strict=True)]
    return product / max((squares[0] * squares[1]) ** 0.5, 1e-30)


def _refusal(place: str, expected: str, got: Any, remedy: str | None = None) -> SettingsError:
    return SettingsError(describe(place, expected=expected, got=got, remedy=remedy))
