"""The scorer of `bio_tagger`: accuracy under spaCy's own names."""

from collections.abc import Callable, Iterable
from typing import Any

from spacy.scorer import Scorer
from spacy.tokens import Token
from spacy.training import Example

from ..tags.targets import extension_name, read_label


def make_bio_tagger_scorer() -> Callable[..., dict[str, Any]]:
    """Build the scorer of `bio_tagger`, registered as spacy-bio-crf.bio_tagger_scorer.v1.

    RETURNS (Callable[[Iterable[Example]], dict]): `score_labels`.
    """
    return score_labels


def score_labels(
    examples: Iterable[Example], *, target: str = "tag", **kwargs: Any
) -> dict[str, Any]:
    """Score the labels of tokens. Only annotated tokens count, with the tokens of the prediction.

    examples (Iterable[Example]): Predicted and reference documents.
    target (str): The attribute with the labels; `bio_tagger` names its own.
    kwargs (Any): Arguments that spaCy passes to every scorer; unused.
    RETURNS (dict): The scores of spaCy's `tagger` and `morphologizer`: `tag_acc`, `pos_acc`, or
        `morph_acc`, `morph_micro_p`, `morph_micro_r`, `morph_micro_f` and `morph_per_feat`; for an
        extension attribute `_.name`, `name_acc`. None where there was nothing to count.
    """
    examples = list(examples)
    name = extension_name(target)
    if name is not None:
        return Scorer.score_token_attr(
            examples, name, getter=lambda token, _: read_label(token, target), missing_values={None}
        )
    if target != "morph":
        return Scorer.score_token_attr(examples, target)
    return {
        **Scorer.score_token_attr(examples, "morph", getter=_morph_key),
        **Scorer.score_token_attr_per_feat(examples, "morph", getter=_morph_key),
    }


def _morph_key(token: Token, attribute: str) -> int:
    return getattr(token, attribute).key
