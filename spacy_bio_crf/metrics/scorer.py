"""The scorer of `bio_ner`: precision, recall and F1 per entity and per token.

Per entity, a prediction is right if a gold entity has the same first token, the same last token and
the same label. Per token, over the tokens whose gold tag is known:

    accuracy    share of all tokens with the right tag
    precision   share of the tokens predicted inside an entity with the right tag
    recall      share of the tokens inside a gold entity with the right tag

A tag is right if its prefix and its label are. For example (worked out in the tests):

    gold        O  B-ORG  O  O  O  B-PROD  O  B-LOC
    predicted   O  B-ORG  O  O  O  I-PROD  O  B-LOC

    per entity: precision 2/2, recall 2/3; per token: precision 2/3, recall 2/3, accuracy 7/8

The stray I-PROD is a token predicted inside an entity, but not an entity in strict BIO.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from spacy.scorer import PRFScore, get_ner_prf
from spacy.training import Example

from ..tags.schemes import OUTSIDE, split_tag
from ..tags.spans import EntIob, Span
from .documents import Document, of_annotated_labels, read_documents
from .layered import make_layers

Scores = dict[str, Any]


def make_bio_ner_scorer() -> Callable[..., Scores]:
    """Build the scorer that `bio_ner` uses, registered as spacy-bio-crf.bio_ner_scorer.v1.

    RETURNS (Callable[[Iterable[Example]], dict]): `score_examples`.
    """
    return score_examples


def score_examples(
    examples: Iterable[Example],
    *,
    groups: Mapping[str, Sequence[str]] | str | None = None,
    spans_key: str | None = None,
    gold_spans_key: str | None = None,
    **kwargs: Any,
) -> Scores:
    """Score predicted documents against their references, per entity and per token.

    examples (Iterable[Example]): Predicted and reference documents.
    groups, spans_key, gold_spans_key: Options of the component.
    kwargs (Any): Arguments that spaCy passes to every scorer; unused.
    RETURNS (dict): `ents_p`, `ents_r`, `ents_f` and `ents_per_type`, equal to those of spaCy's
        `ner`, and the keys of `token_scores`. Only the tokens count that the reference annotates,
        and of these not the ones of an entity that does not fit the predicted tokens. Of a document
        with `labels_annotated` only these labels count. Where
        entities may overlap, or the gold ones are in `doc.spans`, also `spans_{key}_p` and so on,
        equal to those of spaCy's `spancat`, with the key of the predictions.
    """
    examples = [of_annotated_labels(example) for example in examples]
    layers = make_layers(groups, spans_key=spans_key, gold_spans_key=gold_spans_key)
    if layers is not None:
        key = layers.spans_key or layers.gold_key or "ents"
        documents = read_documents(examples, layers)
        return {
            **get_ner_prf(examples),
            **score_spans(documents, f"spans_{key}"),
            **score_layers(documents),
        }
    tokens = token_scores(
        [_gold_tags(example) for example in examples],
        [_bio_tags(_spans(example.predicted.ents), len(example.predicted)) for example in examples],
    )
    return {**get_ner_prf(examples), **tokens}


def token_scores(
    gold: Sequence[Sequence[str | None]], predicted: Sequence[Sequence[str]]
) -> Scores:
    """Compare tags token by token.

    gold (Sequence[Sequence[str | None]]): The tags of each document; None for an unknown tag, which
        does not count.
    predicted (Sequence[Sequence[str]]): As many tags for each document, in the same scheme.
    RETURNS (dict): `ner_token_acc`, `ner_token_p`, `ner_token_r`, `ner_token_f` (floats from 0 to
        1, None where there was nothing to count) and `ner_token_per_type`: for each label p (of
        the tokens predicted with it), r (of the gold tokens with it) and f; None without any label.
    RAISES: ValueError if a tag is not one that `split_tag` knows.
    """
    n_known = n_right = 0
    per_type: defaultdict[str, PRFScore] = defaultdict(PRFScore)
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        for gold_tag, predicted_tag in zip(gold_tags, predicted_tags, strict=True):
            if gold_tag is None:
                continue
            right = gold_tag == predicted_tag
            n_known += 1
            n_right += right
            if right:
                if gold_tag != OUTSIDE:
                    per_type[split_tag(gold_tag)[1]].tp += 1
                continue
            # A wrong tag is a false positive of its label and a false negative of the gold label.
            # Both may be the same label, if only the prefix is wrong.
            if predicted_tag != OUTSIDE:
                per_type[split_tag(predicted_tag)[1]].fp += 1
            if gold_tag != OUTSIDE:
                per_type[split_tag(gold_tag)[1]].fn += 1
    total = sum(per_type.values(), PRFScore())
    counted = len(total) > 0
    rows = {label: per_type[label].to_dict() for label in sorted(per_type)}
    return {
        "ner_token_acc": n_right / n_known if n_known else None,
        "ner_token_p": total.precision if counted else None,
        "ner_token_r": total.recall if counted else None,
        "ner_token_f": total.fscore if counted else None,
        "ner_token_per_type": rows if counted else None,
    }


def score_spans(documents: Sequence[Document], name: str) -> Scores:
    """Score entities that may overlap, as spaCy's `Scorer.score_spans` does.

    documents (Sequence[Document]): Gold and predictions.
    name (str): The beginning of the keys.
    RETURNS (dict): `name` with `_p`, `_r`, `_f` and `_per_type`, which hold what `ents_p` and so on
        hold of `doc.ents`; None where there is nothing to count.
    """
    total, per_type = PRFScore(), defaultdict[str, PRFScore](PRFScore)
    for document in documents:
        sides = set(document.predicted), set(document.gold)
        total.score_set(*sides)
        for label in {span[2] for side in sides for span in side}:
            per_type[label].score_set(*({s for s in side if s[2] == label} for side in sides))
    counted = len(total) > 0
    return {
        f"{name}_p": total.precision if counted else None,
        f"{name}_r": total.recall if counted else None,
        f"{name}_f": total.fscore if counted else None,
        f"{name}_per_type": {x: per_type[x].to_dict() for x in sorted(per_type)} or None,
    }


def score_layers(documents: Sequence[Document]) -> Scores:
    """RETURNS (dict): `token_scores` of all groups of labels, on the tokens of the references."""
    gold: list[list[str | None]] = []
    predicted: list[list[str]] = []
    for document in documents:
        n = len(document.words)
        for group in document.group_names:
            known = document.known_to(group).tolist()
            tags = _bio_tags(document.of_group(document.gold, group), n)
            gold.append(
                [tag if is_known else None for tag, is_known in zip(tags, known, strict=True)]
            )
            predicted.append(_bio_tags(document.of_group(document.predicted, group), n))
    return token_scores(gold, predicted)


def _gold_tags(example: Example) -> list[str | None]:
    """The gold BIO tag of each token of the predicted document.

    None where the reference is not annotated, or has an entity or a token that does not fit the
    predicted tokens. A blocked token is outside.
    """
    predicted = example.predicted
    if len(predicted) == 0:
        return []
    tags: list[str | None] = [
        OUTSIDE if iob == EntIob.OUTSIDE or (iob == EntIob.BEGIN and label == 0) else None
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
