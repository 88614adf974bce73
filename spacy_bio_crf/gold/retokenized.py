"""Gold entities on other tokens than those they were annotated on.

`spacy train` tokenises texts with the pipeline's tokenizer, so the predicted Doc may have other
tokens than the reference:

    reference   A n a   -   M a r i a   l i v e s     "Ana" is a PER
    predicted   A n a - M a r i a       l i v e s     no token ends where "Ana" ends

An entity fits if some predicted tokens stand for just its tokens. What becomes of one that does not
is said by one of the policies of `misaligned`.
"""

from collections.abc import Sequence

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..tags.spans import Span
from .misfits import POLICIES


def carry_over(
    example: Example, spans: list[Span], known: np.ndarray, *, policy: str = "missing"
) -> tuple[list[Span], np.ndarray, list[Span]]:
    """Find the entities that do not fit the predicted tokens, and apply the policy to them.

    example (Example): Predicted and reference Doc.
    spans (list[Span]): The entities that fit, in predicted tokens.
    known (np.ndarray): Whether anything is known of each predicted token; bool [n_tokens].
    policy (str): One of `misaligned.POLICIES`. Where two entities would share a token, the first
        one stays, and under "expand" and "contract" the other one counts as unannotated.
    RETURNS (tuple[list[Span], np.ndarray, list[Span]]): Entities and knowledge after the policy,
        and the entities that do not fit, in reference tokens.
    RAISES: ValueError if the policy is unknown or, under "strict", if an entity does not fit.
    """
    if policy not in POLICIES:
        raise ValueError(
            f"unknown policy {policy!r} for misaligned entities: expected one of "
            f"{', '.join(POLICIES)}"
        )
    predicted, reference = example.predicted, example.reference
    to_predicted, to_reference = example.alignment.y2x, example.alignment.x2y
    fitting = set(spans)
    misfits: list[Span] = []
    result, known = list(spans), known.copy()
    taken = np.zeros(len(predicted), dtype=bool)
    for start, end, _ in spans:
        taken[start:end] = True
    for ent in reference.ents:
        # The predicted tokens that share a character with the entity, in order.
        touched = sorted({int(i) for i in to_predicted[ent.start : ent.end]})
        if touched and (touched[0], touched[-1] + 1, ent.label_) in fitting:
            continue
        misfits.append((ent.start, ent.end, ent.label_))
        if policy == "strict":
            raise ValueError(
                f"the entity {ent.text!r} ({ent.label_}, tokens {ent.start} to {ent.end} of the"
                f" document {reference.text[:40]!r}) does not fit the tokens"
                f" {[predicted[i].text for i in touched]} of the pipeline's tokenizer"
            )
        if policy == "contract":
            inside = range(ent.start, ent.end)
            touched = [i for i in touched if all(int(j) in inside for j in to_reference[i])]
        touched = list(_trimmed(predicted, touched))
        if policy == "missing" or not touched:
            continue
        start, end = touched[0], touched[-1] + 1
        if not taken[start:end].any():
            taken[start:end] = known[start:end] = True
            result.append((start, end, ent.label_))
    return sorted(result), known, misfits


def _trimmed(doc: Doc, tokens: Sequence[int]) -> Sequence[int]:
    """Tokens without the white space at their edges."""
    solid = [k for k, i in enumerate(tokens) if not doc[i].text.isspace()]
    return tokens[solid[0] : solid[-1] + 1] if solid else []
