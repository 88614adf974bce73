"""Losses of entities with probabilities against their definition: the mean of the losses that all
analyses have as gold, one by one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.gold.soft import SoftAnnotation
from spacy_bio_crf.heads.emitter import Head, build_crf_head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.loss import batch_loss
from spacy_bio_crf.heads.soft_loss import gold_loss, soft_loss
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.lattices import TAGSETS, make_lattice, scheme
from tests.support.soft_gold import analyses

HEADS = {
    "softmax": build_softmax_head(),
    "softmax, weighted": build_softmax_head(class_weights={"PER": 3.0, "O": 0.5}),
    "softmax, constrained": build_softmax_head(constrained_loss=True),
    "crf": build_crf_head(),
    "crf, constrained": build_crf_head(constrained_loss=True),
}
every_head = pytest.mark.parametrize("head", list(HEADS.values()), ids=list(HEADS))
# Tokens with a row: all of them, some without one, and some with several.
TOKENS = [[0, 1, 2, 3, 4], [], [0], [1, 2, 4], [0, 1, 2, 3], [0, 2, 3, 5, 6, 7]]
REPEATED = [[0, 1, 1, 1, 2], [0, 0, 2, 3, 3]]
KINDS = ["apart", "overlapping", "partial", "certain"]


def document(tagset: TagSet, tokens: list[int], kind: str, seed: int) -> SoftAnnotation:
    """A random annotation; its spans begin and end at tokens with a row."""
    rng = np.random.default_rng(seed)
    n = max(tokens, default=0) + 2
    known = np.ones(n, dtype=bool)
    if kind == "partial":
        known = rng.random(n) < 0.6
    words = np.unique(tokens).astype(np.int64)
    chances: dict[Any, float] = {}
    sums = np.zeros(n)
    for _ in range(20 if kind == "partial" else 6):
        if not len(words):
            break
        start, last = sorted(rng.integers(len(words), size=2).tolist())
        span = (int(words[start]), int(words[last]) + 1, str(rng.choice(tagset.labels)))
        p = 1.0 if kind == "certain" else float(rng.uniform(0.05, 0.6))
        most = 0.0 if kind in ("apart", "certain") else 1.0 - p
        free = bool((sums[span[0] : span[1]] <= most).all())
        if free and known[span[0] : span[1]].all() and span not in chances and len(chances) < 4:
            chances[span] = p
            sums[span[0] : span[1]] += p
    wrong = [(int(words[0]), int(words[0]) + 1, "PER")] if seed % 2 and len(words) else []
    weight = (1.0, 0.25, 2.0)[seed % 3]
    spans = sorted(chances)
    return SoftAnnotation(
        spans, known, wrong, weight=weight, probabilities=tuple(chances[s] for s in spans)
    )


def in_rows(own: SoftAnnotation, words: np.ndarray) -> dict[Any, Any]:
    """From each span in rows to the span."""
    edges = {span: np.searchsorted(words, span[:2]).tolist() for span in own.spans}
    return {(*edge, span[2]): span for span, edge in edges.items()}


def expected_loss(
    own: SoftAnnotation, lattice: Lattice, **settings: Any
) -> tuple[float, list[Tensor]]:
    """The mean of the loss and of its gradient over all analyses of one document."""
    words = np.unique(lattice.tokens[0])
    spans = in_rows(own, words)
    assert len(spans) == len(own.spans)
    loss, gradient = 0.0, [torch.zeros_like(scores) for scores in lattice.scores]
    whole = 0.0
    for found, p in analyses(list(spans), list(own.probabilities), len(words)):
        hard = Annotation([spans[span] for span in found], own.known, own.wrong, weight=own.weight)
        one, slopes = batch_loss([hard], lattice, **settings)
        loss += p * one
        whole += p
        for total, part in zip(gradient, slopes.scores, strict=True):
            total += p * part
    assert whole == pytest.approx(1.0)
    return loss, gradient


def lattice_for(tagset: TagSet, tokens: list[list[int]], head: Head) -> Lattice:
    lengths = [len(own) for own in tokens]
    lattice = make_lattice(tagset, lengths, crf=head.crf, dtype=torch.float64)
    return replace(lattice, tokens=[np.array(own, dtype=np.int64) for own in tokens])


@scheme
@every_head
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [TOKENS, REPEATED], ids=["first", "all"])
def test_loss_and_gradient_are_means_over_all_analyses(
    scheme: str, head: Head, kind: str, tokens: list[list[int]]
):
    tagset = TAGSETS[scheme]
    lattice = lattice_for(tagset, tokens, head)
    own = [document(tagset, words, kind, seed) for seed, words in enumerate(tokens)]
    settings = {"head": head, "tagset": tagset, "size": 3, "continued": scheme == "BIO"}
    found, slopes = gold_loss(own, lattice, **settings)
    expected, rows = 0.0, []
    chain = [torch.zeros_like(scores) for scores in lattice.scores[1:]]
    for annotation, emissions, words in zip(
        own, lattice.emissions.split(lattice.lengths), lattice.tokens, strict=True
    ):
        alone = replace(lattice, emissions=emissions, tokens=[words])
        loss, gradient = expected_loss(annotation, alone, **settings)
        expected += loss
        rows.append(gradient[0])
        for total, part in zip(chain, gradient[1:], strict=True):
            total += part
    assert found == pytest.approx(expected, abs=1e-9) and expected > 0
    for got, wanted in zip(slopes.scores, [torch.cat(rows), *chain], strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-9, rtol=1e-7)


@scheme
@every_head
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_slope_of_the_loss(scheme: str, head: Head, kind: str):
    tagset = TAGSETS[scheme]
    lattice = lattice_for(tagset, [[0, 1, 2, 3], [0, 1, 1, 3]], head)
    own = [document(tagset, words.tolist(), kind, i) for i, words in enumerate(lattice.tokens)]
    settings = {"head": head, "tagset": tagset, "size": 2, "continued": False}

    def loss(*scores: Tensor) -> float:
        return soft_loss(own, Lattice(*scores, lattice.tokens), **settings)[0]

    _, gradient = soft_loss(own, lattice, **settings)
    rng = torch.Generator().manual_seed(1)
    for which, slopes in enumerate(gradient.scores):
        way = torch.randn(slopes.shape, generator=rng, dtype=torch.float64)
        around = []
        for step in (-1e-5, 1e-5):
            moved = list(lattice.scores)
            moved[which] = moved[which] + step * way
            around.append(loss(*moved))
        slope = (around[1] - around[0]) / 2e-5
        assert slope == pytest.approx(float((slopes * way).sum()), abs=1e-6)


@every_head
def test_documents_without_annotation_have_no_loss(head: Head):
    tagset = TAGSETS["BIO"]
    lattice = lattice_for(tagset, [[0, 1, 2], []], head)
    own = [SoftAnnotation([], np.zeros(n, dtype=bool)) for n in (3, 0)]
    found, slopes = soft_loss(own, lattice, head=head, tagset=tagset, size=1, continued=False)
    assert found == pytest.approx(0.0, abs=1e-9)
    assert all(s.abs().max() < 1e-9 for s in slopes.scores)


def test_weights_of_labels_are_refused_on_a_chain():
    tagset = TAGSETS["BIO"]
    for head in (
        build_crf_head(class_weights={"O": 0.5}),
        build_softmax_head(class_weights={"O": 0.5}, constrained_loss=True),
    ):
        lattice = lattice_for(tagset, [[0]], head)
        own = [SoftAnnotation([], np.ones(1, dtype=bool))]
        with pytest.raises(ValueError, match="class_weights: expected null with `soft_gold`"):
            soft_loss(own, lattice, head=head, tagset=tagset, size=1, continued=False)


def test_hard_annotations_take_the_usual_way():
    tagset, head = TAGSETS["BIO"], build_crf_head()
    lattice = lattice_for(tagset, [[0, 1]], head)
    own = [Annotation([(0, 1, "PER")], np.ones(2, dtype=bool))]
    settings: Any = {"head": head, "tagset": tagset, "size": 1, "continued": True}
    found, slopes = gold_loss(own, lattice, **settings)
    wanted, others = batch_loss(own, lattice, **settings)
    assert found == wanted
    assert all(map(torch.equal, slopes.scores, others.scores))
