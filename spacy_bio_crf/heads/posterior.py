"""The posterior of given annotation, and of the most probable analysis in its place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .. import crf
from ..tags.spans import Span
from ..tags.tagset import TagSet
from .decode import Presets, Reading, close_paths, temper
from .lattice import Lattice

FIRST_MARGIN = 2  # rows on each side of a claim in which an alternative is looked for first

# First token, exclusive end and label: exactly this entity. Without a label: no entity on them.
Claim = tuple[int, int, str | None]


@dataclass(frozen=True)
class Judgment:
    """The probability of a claim about a stretch of text, and the best alternative to it.

    claim (Claim): The claim, in tokens.
    log_posterior (float): Log of the probability that an analysis contains exactly this entity or,
        without a label, no entity on any of these tokens; in nats.
    spans (list[Span] | None): The entities of the alternative that touch the claim, in tokens; none
        if there is no entity. None if nothing else is possible.
    alternative_log_posterior (float): Log of the probability that an analysis has exactly these
        entities there, and no others on the tokens of the claim.
    contradiction (float): The greatest difference, over the tokens of the claim and of the
        alternative, of the probability of another tag and that of the claimed one; -1 to 1.
    """

    claim: Claim
    log_posterior: float
    spans: list[Span] | None
    alternative_log_posterior: float
    contradiction: float


def judge_claims(
    lattice: Lattice, presets: Presets, reading: Reading, claims: Sequence[Sequence[Claim]]
) -> list[list[Judgment]]:
    """Compute the posteriors of claims and of their alternatives, exactly, by forward-backward.

    Illegal sequences count for nothing, whether or not the head decodes them. The alternative is
    the most probable tagging of the rows around a claim in which the claim is not true, all else
    summed out; the rows are as many as its entities need.

    lattice (Lattice): The scores of the network.
    presets (Presets): Annotation of earlier components, which is certain.
    reading (Reading): The settings, of one group of labels.
    claims (Sequence[Sequence[Claim]]): The claims about each document, with labels of the tag set.
        Tokens without a claim are claimed to be outside, where an alternative needs them.
    RETURNS (list[list[Judgment]]): Those of each document, without claims about tokens of which
        none has a sub-word.
    """
    legal = replace(reading, head=replace(reading.head, constrained=True))
    lattice = temper(close_paths(lattice, presets, legal), reading.temperature)
    stretches = list(_stretches(lattice, reading.tagset, claims))
    judged: list[list[Judgment]] = [[] for _ in claims]
    if not stretches:
        return judged
    posteriors = _log_posteriors(lattice, reading.tagset, stretches)
    others = _find_others(lattice, reading.tagset, stretches)
    hulls = [_hull(s, *other) for s, other in zip(stretches, others, strict=True) if other]
    rivals = iter(_log_posteriors(lattice, reading.tagset, hulls) if hulls else ())
    margins = _margins(lattice, stretches)
    for stretch, log_p, other in zip(stretches, posteriors, others, strict=True):
        tokens = lattice.tokens[stretch.document]
        spans = None
        if other is not None:
            rows = [(s - stretch.first, e - stretch.first, x) for s, e, x in other[0]]
            spans = [(int(tokens[s]), int(tokens[e - 1]) + 1, x) for s, e, x in rows]
        rival = -np.inf if other is None else next(rivals)
        hull = stretch if other is None else _hull(stretch, *other)
        contradiction = float(margins[hull.start : hull.end].max())
        judgment = Judgment(stretch.claim, log_p, spans, rival, contradiction)
        judged[stretch.document].append(judgment)
    return judged


@dataclass(frozen=True)
class _Stretch:
    """Tags of some rows; all rows are those of the batch.

    first, stop (int): The rows of the document.
    start, end (int): The rows that have the tags.
    tags (np.ndarray): Tag ids, int64 [end - start].
    """

    claim: Claim
    document: int
    first: int
    stop: int
    start: int
    end: int
    tags: np.ndarray


def _stretches(
    lattice: Lattice, tagset: TagSet, claims: Sequence[Sequence[Claim]]
) -> Iterator[_Stretch]:
    first = 0
    for document, (tokens, own) in enumerate(zip(lattice.tokens, claims, strict=True)):
        stop = first + len(tokens)
        for claim in own:
            begin, end = (int(x) for x in np.searchsorted(tokens, claim[:2]))
            if begin < end:
                size, label = end - begin, claim[2]
                tags = tagset.encode([] if label is None else [(0, size, label)], size)
                yield _Stretch(claim, document, first, stop, first + begin, first + end, tags)
        first = stop


def _arguments(tagset: TagSet, stretches: Sequence[_Stretch]) -> dict[str, torch.Tensor]:
    labels = np.array([tagset.label_of[s.tags[-1]] for s in stretches])
    # What an entity ends with, its label continues; behind O nothing does.
    goes_on = ~tagset.legal_start & (tagset.label_of == labels[:, None])
    return {
        "starts": torch.tensor([s.start for s in stretches]),
        "ends": torch.tensor([s.end for s in stretches]),
        "tags": torch.from_numpy(np.concatenate([s.tags for s in stretches])),
        "followers": torch.from_numpy(~goes_on),
    }


def _log_posteriors(lattice: Lattice, tagset: TagSet, stretches: Sequence[_Stretch]) -> list[float]:
    arguments = _arguments(tagset, stretches)
    log_p = crf.segment_log_posteriors(*lattice.arguments, **arguments)
    # Rounding may carry what is certain a little over 0.
    return log_p.double().clamp(max=0.0).cpu().tolist()


def _margins(lattice: Lattice, stretches: Sequence[_Stretch]) -> np.ndarray:
    """The probability of the best other tag of each row less that of the claimed one; [N]."""
    claimed = np.zeros(len(lattice.emissions), dtype=np.int64)
    for stretch in stretches:
        claimed[stretch.start : stretch.end] = np.maximum(
            claimed[stretch.start : stretch.end], stretch.tags
        )
    marginals = crf.marginals(*lattice.arguments).cpu().numpy()
    rows = np.arange(len(claimed))
    own = marginals[rows, claimed]
    marginals[rows, claimed] = -1.0
    return marginals.max(axis=1) - own


_Other = tuple[list[Span], np.ndarray, int]  # entities, in rows; tags of a window, its first row


def _find_others(
    lattice: Lattice, tagset: TagSet, stretches: Sequence[_Stretch]
) -> list[_Other | None]:
    """Find the best other tagging of each stretch, in windows that grow as its entities need it."""
    found: list[_Other | None] = [None] * len(stretches)
    left, margin = list(range(len(stretches))), FIRST_MARGIN
    while left:
        own = [stretches[i] for i in left]
        lefts = [max(s.first, s.start - margin) for s in own]
        rights = [min(s.stop, s.end + margin) for s in own]
        tags, exists = crf.best_differing(
            *lattice.arguments,
            **_arguments(tagset, own),
            lefts=torch.tensor(lefts),
            rights=torch.tensor(rights),
        )
        windows = np.split(tags.cpu().numpy(), np.cumsum(np.subtract(rights, lefts))[:-1])
        cut = []
        for i, low, high, window, there in zip(
            left, lefts, rights, windows, exists.tolist(), strict=True
        ):
            s = stretches[i]
            spans = [(low + b, low + e, x) for b, e, x in tagset.decode(window, repair="begin")]
            touching = [span for span in spans if span[0] < s.end and span[1] > s.start]
            if not there:
                continue
            goes_left = low > s.first and not tagset.legal_start[window[0]]
            goes_right = high < s.stop and not tagset.closes[window[-1]]
            if any((b == low and goes_left) or (e == high and goes_right) for b, e, _ in touching):
                cut.append(i)
            found[i] = touching, window, low
        left, margin = cut, 2 * margin
    return found


def _hull(stretch: _Stretch, spans: list[Span], window: np.ndarray, low: int) -> _Stretch:
    """The rows of a stretch with those of the entities that touch it, and their other tags."""
    start = min([stretch.start, *(span[0] for span in spans)])
    end = max([stretch.end, *(span[1] for span in spans)])
    return replace(stretch, start=start, end=end, tags=window[start - low : end - low])
