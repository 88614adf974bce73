"""Precision, recall and F1, per entity and per token: two views of the same predictions.

Per entity: a predicted entity is right when a gold entity has the same first token, the same last
token and the same label. Per token, over the tokens whose gold tag is known:

    accuracy    share of all tokens whose tag is right
    precision   share of the tokens predicted inside an entity whose tag is right
    recall      share of the tokens inside a gold entity whose tag is right

A tag is right when prefix and label are. For example (`tests/test_scoring.py` works it out):

    gold        O  B-ORG  O  O  O  B-PROD  O  B-LOC
    predicted   O  B-ORG  O  O  O  I-PROD  O  B-LOC

    per entity: precision 2/2, recall 2/3; per token: precision 2/3, recall 2/3, accuracy 7/8

The stray I-PROD is a token predicted inside an entity, but in strict BIO it is no entity.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.scorer import PRFScore, get_ner_prf
from spacy.training import Example

from ..tags.schemes import MISSING, OUTSIDE, split_tag
from ..tags.spans import Span

Scores = dict[str, Any]

# Values of token.ent_iob: https://spacy.io/api/token#attributes
_ENT_IOB_OUTSIDE = 2
_ENT_IOB_BEGIN = 3


def make_bio_ner_scorer() -> Callable[..., Scores]:
    """Build the scorer that `bio_ner` uses, registered as spacy-bio-crf.bio_ner_scorer.v1.

    RETURNS (Callable[[Iterable[Example]], dict]): `score_examples`.
    """
    return score_examples


def score_examples(examples: Iterable[Example], **kwargs: Any) -> Scores:
    """Score predicted documents against their references, per entity and per token.

    examples (Iterable[Example]): Predicted and reference documents.
    kwargs (Any): What spaCy passes to every scorer; this one needs none of it.
    RETURNS (dict): `ents_p`, `ents_r`, `ents_f` and `ents_per_type` exactly as spaCy's `ner` has
        them, and the keys of `token_scores`. Those tokens of the predicted document
        count that the reference annotates, save with an entity that does not fit them.
    """
    examples = list(examples)
    tokens = token_scores(
        [_gold_tags(example) for example in examples],
        [_bio_tags(_spans(example.predicted.ents), len(example.predicted)) for example in examples],
    )
    return {**get_ner_prf(examples), **tokens}


def token_scores(
    gold: Sequence[Sequence[str | None]], predicted: Sequence[Sequence[str]]
) -> Scores:
    """Compare tags token by token.

    gold (Sequence[Sequence[str | None]]): One sequence of tags per document. None or "-" says that
        nothing is known; such a token counts nowhere.
    predicted (Sequence[Sequence[str]]): As many tags for each document, in the same scheme.
    RETURNS (dict): `ner_token_acc`, `ner_token_p`, `ner_token_r`, `ner_token_f` (floats from 0 to
        1, None where there was nothing to count) and `ner_token_per_type`: for every label p (of
        the tokens predicted with it), r (of the gold tokens with it) and f; None without any label.
    RAISES: ValueError if the numbers of documents or of a document's tags differ, or a tag is not
        one that `split_tag` knows.
    """
    _check_lengths(gold, predicted)
    n_known = n_right = 0
    per_type: defaultdict[str, PRFScore] = defaultdict(PRFScore)
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        for gold_tag, predicted_tag in zip(gold_tags, predicted_tags, strict=True):
            if gold_tag is None or gold_tag == MISSING:
                continue
            right = gold_tag == predicted_tag
            n_known += 1
            n_right += right
            if right:
                if gold_tag != OUTSIDE:
                    per_type[split_tag(gold_tag)[1]].tp += 1
                continue
            # A wrong tag is a false positive of its own label and a false negative of the gold one,
            # which may be the same label with another prefix.
            if predicted_tag != OUTSIDE:
                per_type[split_tag(predicted_tag)[1]].fp += 1
            if gold_tag != OUTSIDE:
                per_type[split_tag(gold_tag)[1]].fn += 1
    scores = _prf(per_type, "ner_token")
    return {"ner_token_acc": n_right / n_known if n_known else None, **scores}


def entity_scores(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> Scores:
    """Compare entities: same start, same end, same label, or wrong.

    gold (Sequence[Iterable[tuple[int, int, str]]]): For every document the start, exclusive end and
        label of its entities.
    predicted (Sequence[Iterable[tuple[int, int, str]]]): The same of the predictions.
    RETURNS (dict): `ents_p`, `ents_r`, `ents_f` and `ents_per_type`, as spaCy's `ner` has them.
    RAISES: ValueError if the numbers of documents differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(
            f"expected as many documents, got {len(gold)} gold and {len(predicted)} predicted"
        )
    per_type: defaultdict[str, PRFScore] = defaultdict(PRFScore)
    for gold_spans, predicted_spans in zip(gold, predicted, strict=True):
        gold_set, predicted_set = set(gold_spans), set(predicted_spans)
        for label in {span[2] for span in gold_set | predicted_set}:
            per_type[label].score_set(
                {span for span in predicted_set if span[2] == label},
                {span for span in gold_set if span[2] == label},
            )
    return _prf(per_type, "ents")


def _prf(per_type: dict[str, PRFScore], prefix: str) -> Scores:
    """Micro-averaged and per-label scores under spaCy's names; None where nothing was counted."""
    total = sum(per_type.values(), PRFScore())
    counted = len(total) > 0
    return {
        f"{prefix}_p": total.precision if counted else None,
        f"{prefix}_r": total.recall if counted else None,
        f"{prefix}_f": total.fscore if counted else None,
        f"{prefix}_per_type": (
            {label: per_type[label].to_dict() for label in sorted(per_type)} if counted else None
        ),
    }


def _check_lengths(
    gold: Sequence[Sequence[str | None]], predicted: Sequence[Sequence[str]]
) -> None:
    if len(gold) != len(predicted):
        raise ValueError(
            f"expected as many documents, got {len(gold)} gold and {len(predicted)} predicted"
        )
    for i, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=True)):
        for tags in (gold_tags, predicted_tags):
            if isinstance(tags, str):
                raise ValueError(f"document {i}: expected a sequence of tags, got the str {tags!r}")
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(
                f"document {i}: expected as many tags, got {len(gold_tags)} gold and "
                f"{len(predicted_tags)} predicted"
            )


def _gold_tags(example: Example) -> list[str | None]:
    """What the reference says about each token of the predicted document.

    RETURNS (list[str | None]): BIO tags; None where the reference is not annotated, or has an
        entity or a token that does not fit the predicted tokens. A blocked token is outside.
    """
    predicted = example.predicted
    if len(predicted) == 0:
        return []
    tags: list[str | None] = [
        OUTSIDE if iob == _ENT_IOB_OUTSIDE or (iob == _ENT_IOB_BEGIN and label == 0) else None
        for iob, label in zip(
            example.get_aligned("ENT_IOB"), example.get_aligned("ENT_TYPE"), strict=True
        )
    ]
    spans = _spans(example.get_aligned_spans_y2x(example.reference.ents))
    inside = _bio_tags(spans, len(predicted))
    return [tag if tag != OUTSIDE else other for tag, other in zip(inside, tags, strict=True)]


def _spans(ents: Iterable[Any]) -> list[Span]:
    return [(ent.start, ent.end, ent.label_) for ent in ents]


def _bio_tags(spans: Iterable[Span], n: int) -> list[str]:
    """Write spans that do not overlap as n BIO tags."""
    tags = [OUTSIDE] * n
    for start, end, label in spans:
        tags[start] = f"B-{label}"
        tags[start + 1 : end] = [f"I-{label}"] * (end - start - 1)
    return tags
