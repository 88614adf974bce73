"""Components, their weights and gradients."""

import torch
from spacy.language import Language

from spacy_bio_crf.model import torch_shims
from spacy_bio_crf.pipes.bio_ner import BioNer
from tests.support.pipelines import make_examples


def component(nlp: Language, name: str = "bio_ner") -> BioNer:
    found = nlp.get_pipe(name)
    assert isinstance(found, BioNer)
    return found


def initialized(nlp: Language) -> BioNer:
    torch.manual_seed(0)
    nlp.initialize(lambda: make_examples(nlp))
    return component(nlp)


def gradients(ner: BioNer) -> dict[str, torch.Tensor]:
    """A copy of every parameter's gradient; zeros where it has none."""
    return {
        f"{i}.{name}": torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for i, shim in enumerate(torch_shims(ner.model))
        for name, p in shim.network.named_parameters()
    }


def weights(ner: BioNer) -> dict[str, torch.Tensor]:
    return {
        f"{i}.{name}": p.detach().clone()
        for i, shim in enumerate(torch_shims(ner.model))
        for name, p in shim.network.named_parameters()
    }


def clear(ner: BioNer) -> None:
    for shim in torch_shims(ner.model):
        shim.network.zero_grad()
