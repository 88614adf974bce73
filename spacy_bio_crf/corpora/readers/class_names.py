"""The names of classes, in the descriptions that Hugging Face's `datasets` library writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..passages import ConvertError

INFO_FILES = ("dataset_info.json", "dataset_infos.json")


def names_in_features(features: Any, key: str) -> Sequence[str] | None:
    """Find a column's class names in a description of features.

    features (Any): An object with a feature under each column's name, or a list of objects with
        "name" and "type".
    key (str): The column.
    RETURNS (Sequence[str] | None): The names in the order of their ids; None if there are none.
    """
    if isinstance(features, list):
        features = {f.get("name"): f.get("type") for f in features if isinstance(f, dict)}
    return _names(features.get(key)) if isinstance(features, dict) else None


def names_beside(path: Path, key: str) -> Sequence[str] | None:
    """Find a column's class names in a "dataset_info.json" or "dataset_infos.json" in the file's
    folder.

    path (Path): The file of data.
    key (str): The column.
    RETURNS (Sequence[str] | None): The names in the order of their ids; None if there are none.
    RAISES: ConvertError if there is such a file that is no JSON.
    """
    for info_name in INFO_FILES:
        info_path = path.with_name(info_name)
        if not info_path.is_file():
            continue
        try:
            info = json.loads(info_path.read_text(encoding="utf-8"))
        except ValueError as err:
            raise ConvertError(f"{info_path}: expected JSON: {err}") from None
        # "dataset_infos.json" has a description for each configuration.
        infos = [info, *info.values()] if isinstance(info, dict) else []
        for one in infos:
            names = names_in_features(one.get("features") if isinstance(one, dict) else None, key)
            if names is not None:
                return names
    return None


def _names(feature: Any) -> Sequence[str] | None:
    """The names in a feature: of a class, or of a sequence of classes however deep."""
    if isinstance(feature, list):
        return next((n for n in map(_names, feature) if n is not None), None)
    if not isinstance(feature, dict):
        return None
    names = feature.get("names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    return _names(feature.get("feature"))
