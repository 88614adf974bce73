"""Targets of token labels: the attribute of a token that has the label.

    tag       token.tag_, such as "NNP"
    pos       token.pos_, one of the universal parts of speech
    morph     token.morph, all features as one label: "Gender=Fem|Number=Sing"; "_" has none
    _.name    token._.name, an extension attribute with strings

A token whose attribute is not set is not annotated, as for spaCy's `tagger` and `morphologizer`.
"""

from typing import Any

from spacy.morphology import Morphology
from spacy.parts_of_speech import IDS
from spacy.tokens import Doc, Token

from ..errors import BioError, describe

NO_FEATURES = "_"  # the label of a token that is annotated as without features
BUILT_IN = ("tag", "pos", "morph")
# Names in spaCy's scores, such as token_acc.
_TAKEN = (*BUILT_IN, "token", "lemma")
_MARK = "_."
UNIVERSAL = tuple(sorted(name for name in IDS if name))  # parts of speech
# Labels of white space, as in spaCy's trained pipelines.
_OF_SPACE = {"tag": "_SP", "pos": "SPACE", "morph": NO_FEATURES}


def extension_name(target: str) -> str | None:
    """RETURNS (str | None): The name of the extension attribute; None for a built-in target."""
    return target.removeprefix(_MARK) if target.startswith(_MARK) else None


def check_target(target: Any) -> None:
    """RAISES: ValueError if a target is none of the four kinds."""
    name = extension_name(target) if isinstance(target, str) else None
    if target not in BUILT_IN and (name is None or not name.isidentifier()):
        expected = f"one of {', '.join(map(repr, BUILT_IN))} or '{_MARK}' and a name"
        raise ValueError(describe("target", expected=expected, got=target))
    if name in _TAKEN:
        expected = f"an extension whose score is not spaCy's {name}_acc"
        raise ValueError(describe("target", expected=expected, got=target))


def score_name(target: str) -> str:
    """RETURNS (str): The key of the target's accuracy: "tag_acc", and "name_acc" for "_.name"."""
    return f"{extension_name(target) or target}_acc"


def space_label(target: str) -> str | None:
    """RETURNS (str | None): The label of white space, which has no sub-word; None without one."""
    return _OF_SPACE.get(target)


def normal_label(target: str, label: str) -> str:
    """Check a label and write it as tokens have it.

    RETURNS (str): The label; of morphological features, with their names in order.
    RAISES: ValueError for a part of speech that is none of the universal ones.
    """
    if target == "pos" and label not in UNIVERSAL:
        raise ValueError(describe("label", expected=f"one of {', '.join(UNIVERSAL)}", got=label))
    if target == "morph":
        return Morphology.dict_to_feats(Morphology.feats_to_dict(label)) or NO_FEATURES
    return label


def read_label(token: Token, target: str) -> str | None:
    """Read a token's label.

    RETURNS (str | None): The label; None if the token is not annotated.
    RAISES: ValueError for the value of an extension that is no string.
    """
    if target == "tag":
        return token.tag_ or None
    if target == "pos":
        return token.pos_ or None
    if target == "morph":
        return (str(token.morph) or NO_FEATURES) if token.has_morph() else None
    name = target.removeprefix(_MARK)
    value: Any = getattr(token._, name)
    if value is not None and not isinstance(value, str):
        place = f"token._.{name} of {token.text!r}"
        raise BioError(describe(place, expected="a string or None", got=value))
    return value or None


def read_labels(doc: Doc, target: str) -> list[str | None]:
    """RETURNS (list[str | None]): The label of each token, as `read_label` reads it."""
    return [read_label(token, target) for token in doc]


def has_own_label(token: Token, target: str) -> bool:
    """RETURNS (bool): The label was set, and is not merely the default of its extension."""
    name = extension_name(target)
    if name is not None and Token.get_extension(name)[2] is None:
        stored: dict[Any, Any] = token.doc.user_data
        return stored.get(("._.", name, token.idx, None)) not in (None, "")
    return read_label(token, target) is not None


def set_label(token: Token, target: str, label: str) -> None:
    """Write a token's label."""
    if target == "tag":
        token.tag_ = label
    elif target == "pos":
        token.pos_ = label
    elif target == "morph":
        token.set_morph(label)  # type: ignore[attr-defined]
    else:
        token._.set(target.removeprefix(_MARK), label)
