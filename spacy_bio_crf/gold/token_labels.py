"""Gold labels of tokens, on the tokens of a predicted Doc, and the tags that they allow."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..tags.spans import Span, annotated_labels
from ..tags.tagset import TagSet
from ..tags.targets import has_own_label, read_label, read_labels
from .annotation import Annotation, have_same_tokens


@dataclass(frozen=True)
class TokenLabels(Annotation):
    """The labels of a document's tokens. Tokens that are not `known` may have any.

    labels (Sequence[str | None]): The label of each token; None without one.
    outside (np.ndarray | None): Tokens that have none of the `annotated` labels; bool [n_tokens].
        None without `annotated`.
    """

    labels: Sequence[str | None] = ()
    outside: np.ndarray | None = None

    def count_taught(self, labels: Collection[str]) -> int:
        """RETURNS (int): The tokens that teach a component with these labels: those that have one,
        and those that have none of the annotated ones, if there are others."""
        open_labels = set(labels) - (self.annotated or set())
        if self.outside is None or not 0 < len(open_labels) < len(labels):
            return super().count_taught(labels)
        return int((self.known | self.outside).sum())

    def allowed(self, tagset: TagSet, tokens: np.ndarray, *, continued: bool) -> np.ndarray:
        """Find the tags that each row of a document's sequence may have.

        The arguments are those of `Annotation.allowed`; `continued` has no meaning here. A label
        outside the tag set allows every tag.

        RETURNS (np.ndarray): One tag for a known token, those that are not `annotated` for one
            `outside` of them, and all for others; bool [n, K].
        """
        ids = np.array(
            [tagset.ids.get(label, -1) if label is not None else -1 for label in self.labels],
            dtype=np.int64,
        )
        # shape: [n], the tag of each row, -1 for any
        tags = np.where(self.known, ids, -1)[tokens]
        allowed = (tags[:, None] == np.arange(len(tagset.tags))) | (tags < 0)[:, None]
        others = ~tagset.has_label(self.annotated or ())
        # Where all labels are annotated, a token without one says nothing.
        if self.outside is not None and others.any():
            allowed[self.outside[tokens]] = others
        return allowed


def read_example_labels(example: Example, target: str) -> TokenLabels:
    """Read the gold labels of an example, on the tokens of its predicted Doc.

    A token takes the label that all reference tokens have that it shares characters with, as in
    spaCy's `Example.get_aligned`; without such a label it is unknown. So is white space. A token
    is `outside` only if none of these reference tokens has a label.

    example (Example): Predicted and reference Doc.
    target (str): The attribute with the labels, as `check_target` knows it.
    RETURNS (TokenLabels): Labels; reference tokens whose label no token takes are `misfits`.
    """
    predicted, reference = example.predicted, example.reference
    theirs = read_labels(reference, target)
    given = [i for i, token in enumerate(reference) if theirs[i] and not token.is_space]
    misfits: list[Span] = []
    # Tokens that a label was given for, whether they take it or not.
    touched = [label is not None for label in theirs]
    if have_same_tokens(predicted, reference):
        labels = theirs
    else:
        align = example.alignment.x2y
        owners = [align[i].ravel().tolist() for i in range(len(predicted))]
        found = [{theirs[j] for j in own} for own in owners]
        labels = [next(iter(one)) if len(one) == 1 else None for one in found]
        taken = {j for own, x in zip(owners, labels, strict=True) if x is not None for j in own}
        misfits = [(j, j + 1, str(theirs[j])) for j in given if j not in taken]
        labeled = set(given)
        touched = [not labeled.isdisjoint(own) for own in owners]
    solid = np.array([not token.is_space for token in predicted], dtype=bool)
    known = np.array([label is not None for label in labels], dtype=bool) & solid
    annotated = annotated_labels(reference)
    outside = solid & ~known & ~np.array(touched, dtype=bool)
    return TokenLabels(
        [],
        known,
        misfits=misfits,
        given=len(given),
        annotated=annotated,
        labels=labels,
        outside=None if annotated is None else outside,
    )


def read_preset_labels(doc: Doc, target: str) -> TokenLabels | None:
    """Read the labels that an earlier component has set.

    RETURNS (TokenLabels | None): The labels; None if none is set. Mere defaults of an extension
        attribute do not count.
    """
    known = np.array([has_own_label(token, target) for token in doc], dtype=bool)
    if not known.any():
        return None
    labels = [
        read_label(token, target) if own else None for token, own in zip(doc, known, strict=True)
    ]
    return TokenLabels([], known, labels=labels, given=int(known.sum()))
