"""Components as bytes and as folders."""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import srsly
from spacy import util
from spacy.pipeline.trainable_pipe import TrainablePipe

from ..encoders.api import Encoder, encoder_of
from ..errors import Plain, SettingsError, check_choice, describe, is_number
from ..io import replacing_folder
from ..tags.tagset import SCHEMES, TagSet, count_tags
from .checksums import (
    CHECKSUMS,
    find_changed_settings,
    find_damage,
    find_other_labels,
    has_checksums,
    write_checksums,
)

_SHOWN = 5  # files that an error names

Stored = TypeVar("Stored", bound="StoredPipe")


class StoredPipe(TrainablePipe):
    """A trainable component whose encoder is saved as a Hugging Face folder.

    schemes (tuple[str, ...]): The schemes that it may have.
    """

    schemes: tuple[str, ...] = SCHEMES
    cfg: dict[str, Any]

    @property
    def encoder(self) -> Encoder:
        """The interface of the model's encoder."""
        return encoder_of(self.model.get_ref("encoder"))

    def from_bytes(self: Stored, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Stored:
        """Read the result of `to_bytes`.

        bytes_data (bytes): The component.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (StoredPipe): This component.
        RAISES: SettingsError for labels, a scheme or a temperature that do not fit the network.
        """
        if "model" not in exclude:
            self._prepare_model()
        super().from_bytes(bytes_data, exclude=exclude)
        self._check_cfg("cfg", exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component, and its encoder as a Hugging Face folder called `encoder`.

        They are written aside and put in place in one step: the folder is whole at any time.

        path (str | Path): The component's folder.
        exclude (Iterable[str]): Names of fields to leave out.
        """
        serialize: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "model": self.model.to_disk,
            "encoder": self.encoder.save,
        }
        with replacing_folder(Path(path)) as folder, self.encoder.weights_apart():
            util.to_disk(folder, serialize, exclude)
            write_checksums(folder, Path(path))

    def from_disk(self: Stored, path: str | Path, *, exclude: Iterable[str] = ()) -> Stored:
        """Read the result of `to_disk`, without a connection to a hub.

        path (str | Path): The component's folder.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (StoredPipe): This component.
        RAISES: OSError for files that are missing, damaged or of another pipeline; SettingsError
            for labels, a scheme or a temperature that do not fit the network.
        """
        folder = Path(path)
        if not folder.is_dir():
            got, remedy = Plain("no such folder"), "save the pipeline again, to the end"
            raise OSError(describe(str(path), expected="a component", got=got, remedy=remedy))
        read = folder.stat().st_ino
        damage = find_damage(folder, exclude)
        deserialize: dict[str, Callable[[Path], Any]] = {
            # Not by srsly, which refuses a NaN without a word of where it is.
            "cfg": lambda p: self.cfg.update({**self._former_cfg, **json.loads(p.read_bytes())}),
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": self._read_model,
        }
        try:
            util.from_disk(folder, deserialize, exclude)
        except SettingsError:
            raise
        except Exception as error:
            # Of JSON, msgpack, thinc or torch: none of them names the file.
            raise _refusal(folder, damage or [f"{type(error).__name__}: {error}"]) from error
        # First the sentence that says most.
        self._check_cfg(str(folder / "cfg"), exclude)
        if has_checksums(folder) and (labels := find_other_labels(folder, self.labels)):
            damage.append(labels)
        if damage:
            raise _refusal(folder, damage)
        util.from_disk(folder, {"encoder": self.encoder.load}, exclude)
        if not folder.is_dir() or folder.stat().st_ino != read:
            got, remedy = Plain("another one, saved in the meantime"), "load it again"
            raise OSError(describe(str(path), expected="one component", got=got, remedy=remedy))
        if changed := find_changed_settings(folder):
            but = ", but for the scheme" if "scheme" in changed else ""
            warnings.warn(
                describe(
                    str(folder.parent / "config.cfg"),
                    expected=f"the settings that {self.name!r} was saved with",
                    got=Plain(f"another {', '.join(changed)}, which counts{but}"),
                    remedy="save the pipeline once if you have changed them; if not, the last"
                    " attempt to save it was cut short",
                ),
                stacklevel=2,
            )
        return self

    @property
    def _former_cfg(self) -> dict[str, Any]:
        """What a component of an earlier version was saved without."""
        return {}

    def _prepare_model(self) -> None:
        """Make ready for the model of another component, which may have other labels."""

    def _read_model(self, path: Path) -> None:
        self._prepare_model()
        self.model.from_disk(path)

    def _count_tags(self, n_labels: int) -> int:
        """The number of tags, K, that so many labels have."""
        return count_tags(n_labels, self.cfg["scheme"])

    def _check_groups(self) -> None:
        """Raise a ValueError if the stored groups of labels are not the component's."""

    def _check_cfg(self, place: str, exclude: Iterable[str]) -> None:
        """Compare labels and scheme with the network, once they are read from `place`."""
        labels, scheme = self.cfg["labels"], self.cfg["scheme"]
        if not isinstance(labels, list):
            raise SettingsError(f"{place}, {describe('labels', expected='a list', got=labels)}")
        try:
            check_choice("scheme", scheme, self.schemes)
            check_temperature(self.cfg["temperature"])
            n_tags = self._count_tags(len(labels))
            has = self.model.get_dim("nO") if self.model.has_dim("nO") else n_tags
            if has != n_tags and not {"cfg", "model"} & set(exclude):
                expected = f"labels for the {has} tags of the trained head"
                got = Plain(f"{len(labels)} labels, which have {n_tags} tags in {scheme}")
                raise ValueError(describe("labels", expected=expected, got=got))
            TagSet(tuple(labels), scheme)
            self._check_groups()
        except ValueError as error:
            raise SettingsError(f"{place}, {error}") from None


def _refusal(folder: Path, faults: Sequence[str]) -> OSError:
    remedy = "save or copy the pipeline again"
    if has_checksums(folder):
        remedy += f", or delete {CHECKSUMS} to load it as it is"
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    got = Plain(", ".join(faults[:_SHOWN]) + more)
    return OSError(describe(str(folder), expected="its files as saved", got=got, remedy=remedy))


def check_temperature(value: Any) -> None:
    """RAISES: ValueError if a temperature is not a number above 0 and finite."""
    if not is_number(value) or not value > 0:
        raise ValueError(describe("temperature", expected="a number above 0", got=value))
