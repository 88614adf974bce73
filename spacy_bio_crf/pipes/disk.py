"""Components as bytes and as folders."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import srsly
from spacy import util
from spacy.pipeline.trainable_pipe import TrainablePipe

from ..encoders.api import Encoder, encoder_of

Stored = TypeVar("Stored", bound="StoredPipe")


class StoredPipe(TrainablePipe):
    """A trainable component whose encoder is saved as a Hugging Face folder."""

    cfg: dict[str, Any]

    @property
    def encoder(self) -> Encoder:
        """The interface of the model's encoder."""
        return encoder_of(self.model.get_ref("encoder"))

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component, and its encoder as a Hugging Face folder called `encoder`.

        path (str | Path): The component's folder.
        exclude (Iterable[str]): Names of fields to leave out.
        """
        serialize: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "model": self.model.to_disk,
            "encoder": self.encoder.save,
        }
        with self.encoder.weights_apart():
            util.to_disk(path, serialize, exclude)

    def from_disk(self: Stored, path: str | Path, *, exclude: Iterable[str] = ()) -> Stored:
        """Read the result of `to_disk`, without a connection to a hub.

        path (str | Path): The component's folder.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (StoredPipe): This component.
        """
        deserialize: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: self.cfg.update(srsly.read_json(p)),
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": self.model.from_disk,
            "encoder": self.encoder.load,
        }
        util.from_disk(path, deserialize, exclude)
        return self
