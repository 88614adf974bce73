"""The annotation of equal texts: entities of which labels, a part of entities, or none."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spacy.tokens import Doc

from ..tags.spans import Span

Surface = tuple[str, ...]  # the texts of tokens


@dataclass
class Usage:
    """The annotation of one text in a corpus.

    labels (Counter[str]): How often it is an entity of each label.
    partly (int): How often it shares tokens with another entity.
    outside (int): How often it is outside of all entities, and annotated.
    """

    labels: Counter[str] = field(default_factory=Counter)
    partly: int = 0
    outside: int = 0

    def __str__(self) -> str:
        counts = {**dict(self.labels.most_common()), "part": self.partly, "none": self.outside}
        return ", ".join(f"{name} {n}" for name, n in counts.items() if n)


def count_usage(docs: Sequence[Doc], surfaces: Iterable[Surface]) -> Mapping[Surface, Usage]:
    """Count the annotation of some texts, wherever they occur. Upper and lower case differ.

    docs (Sequence[Doc]): The annotated documents.
    surfaces (Iterable[Surface]): The texts.
    RETURNS (Mapping[Surface, Usage]): The annotation of each.
    """
    usage = {surface: Usage() for surface in surfaces}
    sizes: dict[str, set[int]] = defaultdict(set)
    for surface in usage:
        sizes[surface[0]].add(len(surface))
    for doc in docs:
        words = [token.text for token in doc]
        labels = {(ent.start, ent.end): ent.label_ for ent in doc.ents}
        # Neither tokens of entities nor those without annotation are outside.
        outside = [token.ent_iob_ == "O" for token in doc]
        inside = [bool(token.ent_type) for token in doc]
        for start, word in enumerate(words):
            for size in sizes.get(word, ()):
                end = start + size
                own = usage.get(tuple(words[start:end]))
                if own is None or end > len(words):
                    continue
                if (start, end) in labels:
                    own.labels[labels[start, end]] += 1
                elif any(inside[start:end]):
                    own.partly += 1
                elif all(outside[start:end]):
                    own.outside += 1
    return usage


def surface_in(doc: Doc, span: Span) -> Surface:
    """RETURNS (Surface): The text of a span of tokens."""
    return tuple(token.text for token in doc[span[0] : span[1]])
