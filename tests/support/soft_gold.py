"""Every analysis of an annotation with probabilities, one by one."""

from collections.abc import Iterator

from spacy_bio_crf.tags.spans import Span


def analyses(
    spans: list[Span], chances: list[float], n: int, at: int = 0
) -> Iterator[tuple[list[Span], float]]:
    """Sets of spans without overlap, each with its probability, by going from left to right: where
    no span goes on, a span begins with its probability given that none goes on.

    The probabilities over one token are at most 1 together.
    """
    if at == n:
        yield [], 1.0
        return
    free = 1.0 - sum(p for (s, e, _), p in zip(spans, chances, strict=True) if s < at < e)
    rest = free - sum(p for (s, _, _), p in zip(spans, chances, strict=True) if s == at)
    if rest > 1e-12:
        for found, p in analyses(spans, chances, n, at + 1):
            yield found, p * rest / free
    for span, chance in zip(spans, chances, strict=True):
        if span[0] == at:
            for found, p in analyses(spans, chances, n, span[1]):
                yield [span, *found], p * chance / free
