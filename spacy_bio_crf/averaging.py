"""The network of an ensemble: several networks of `bio_ner`, and the mean of their lattices."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from spacy.tokens import Doc
from thinc.api import Model

from .encoders.api import Encoder, encoder_of
from .errors import Plain, SettingsError, describe
from .heads.lattice import Lattice, mean_lattice

ENSEMBLE = "spacy-bio-crf.Ensemble.v1"


# Any: confection does not resolve networks within a mapping before it compares types.
def build_ensemble(members: dict[str, Any]) -> Model[list[Doc], Lattice]:
    """Build a network that predicts the mean of the scores of several.

    Registered as spacy-bio-crf.Ensemble.v1. The mean of lattices is the lattice of the normalized
    product of their distributions (Hinton 2002, "Training Products of Experts by Minimizing
    Contrastive Divergence", with the exponent 1 / n), so everything that reads a lattice works.

    members (dict[str, Model[list[Doc], Lattice]]): Networks by name, each a
        spacy-bio-crf.BioTagger.v1; two or more, trained on the same tags in the same order.
    RETURNS (Model[list[Doc], Lattice]): The network, for prediction only.
    RAISES: ValueError for fewer than two, or anything but single networks.
    """
    if len(members) < 2:
        expected = "two networks or more"
        raise ValueError(describe("members", expected=expected, got=list(members)))
    for name, member in members.items():
        kind = getattr(member, "name", None)
        if kind != "bio_tagger":
            expected, got = "a spacy-bio-crf.BioTagger.v1", Plain(kind)
            raise ValueError(describe(f"members, {name!r}", expected=expected, got=got))
    networks = list(members.values())
    encoders: Model = Model(
        "encoders_of_ensemble",
        _refuse_call,
        layers=[network.layers[0] for network in networks],
        attrs={"encoder": JointEncoder},
    )
    return Model(
        "ensemble",
        _forward,
        init=_refuse_training,
        layers=[encoders, *networks],
        dims={"nO": None},
        # The settings of the head are those of the first network.
        refs={"encoder": encoders, "emitter": networks[0].layers[1]},
    )


def members_of(model: Model[list[Doc], Lattice]) -> list[Model[list[Doc], Lattice]]:
    """RETURNS (list[Model]): The networks of an ensemble; any other network by itself."""
    return list(model.layers[1:]) if model.name == "ensemble" else [model]


def _forward(
    model: Model[list[Doc], Lattice], docs: list[Doc], is_train: bool
) -> tuple[Lattice, Callable]:
    if is_train:
        _refuse_training(model)
    lattices = [network.predict(docs) for network in model.layers[1:]]
    return mean_lattice(lattices), lambda d_lattice: docs


def _refuse_training(model: Model, X: Any = None, Y: Any = None) -> NoReturn:
    expected, got = "a single network for training", Plain("an ensemble")
    remedy = (
        "train its models by themselves and combine them again with bio-ner ensemble, or train one"
        " on its predictions with bio-ner distill"
    )
    raise SettingsError(describe("model", expected=expected, got=got, remedy=remedy))


def _refuse_call(model: Model, docs: list[Doc], is_train: bool) -> NoReturn:
    expected, got = "a call of each network by itself", Plain("one of all encoders")
    raise ValueError(describe(ENSEMBLE, expected=expected, got=got))


class JointEncoder(Encoder):
    """The interface of the encoders of an ensemble, each in a folder of its number."""

    def __init__(self, model: Model):
        super().__init__(model)
        self.members = [encoder_of(layer) for layer in model.layers]

    @property
    def precision(self) -> str:
        """The precision of all; several with commas between them where they differ."""
        return ", ".join(dict.fromkeys(member.precision for member in self.members))

    @precision.setter
    def precision(self, precision: str) -> None:
        for member in self.members:
            member.precision = precision

    @property
    def budget(self) -> int:
        return min(member.budget for member in self.members)

    @contextlib.contextmanager
    def weights_apart(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.weights_apart())
            yield

    def save(self, folder: Path) -> None:
        for i, member in enumerate(self.members):
            member.save(folder / str(i))

    def load(self, folder: Path) -> None:
        for i, member in enumerate(self.members):
            member.load(folder / str(i))
