"""Losses and gradients against the definition: sums over all paths, one by one."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_bio_crf import crf
from spacy_bio_crf.gold.annotation import Annotation
from spacy_bio_crf.heads.emitter import Head, build_crf_head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice, restrict
from spacy_bio_crf.heads.loss import (
    annotated_tokens,
    batch_loss,
    expected_counts,
    lattice_loss,
    posterior_loss,
)
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.lattices import (
    RAGGED,
    TAGSETS,
    all_allowed,
    every_path,
    log_sum,
    make_lattice,
    path_scores,
    probabilities,
    random_allowed,
    scheme,
    split,
)


def loss_by_hand(head: Head, tagset: TagSet, lattice: Lattice, allowed: np.ndarray) -> float:
    names = ["O" if tag == "O" else tag.partition("-")[2] for tag in tagset.tags]
    weight_of = [dict(head.class_weights).get(name, 1.0) for name in names]
    total = 0.0
    documents = zip(split(lattice, lattice.emissions), split(lattice, allowed), strict=True)
    for emissions, ok in documents:
        n = len(emissions)
        weights = [weight_of[row.argmax()] if row.sum() == 1 else 1.0 for row in ok]
        if not head.crf and not head.constrained_loss:
            for t in range(n):
                p = np.exp(emissions[t].double().numpy())
                total -= weights[t] * math.log(p[ok[t]].sum() / p.sum())
            continue
        paths = every_path(tagset.scheme, n, legal=head.constrained_loss)
        scores = path_scores(emissions, lattice, paths)
        # shape: [P, n]
        right = ok[np.arange(n), paths]
        costs = np.where(right, 0.0, np.log(np.array(weights).reshape(1, n))).sum(axis=1)
        total += log_sum(scores + costs) - log_sum(scores[right.all(axis=1)])
    return total


WEIGHTS = {"PER": 3.0, "O": 0.5}
HEADS = {
    "softmax": build_softmax_head(),
    "softmax, constrained": build_softmax_head(constrained_loss=True),
    "softmax, weighted": build_softmax_head(class_weights=WEIGHTS),
    "softmax, both": build_softmax_head(constrained_loss=True, class_weights=WEIGHTS),
    "crf": build_crf_head(),
    "crf, constrained": build_crf_head(constrained_loss=True),
    "crf, weighted": build_crf_head(class_weights=WEIGHTS),
    "crf, both": build_crf_head(constrained_loss=True, class_weights=WEIGHTS),
}
every_head = pytest.mark.parametrize("head", list(HEADS.values()), ids=list(HEADS))
every_gold = pytest.mark.parametrize("kind", ["full", "partial", "negative"])


@scheme
@every_head
@every_gold
def test_loss_is_that_of_the_definition(scheme: str, head: Head, kind: str):
    tagset = TAGSETS[scheme]
    for lengths in ([0], [1], [2], [3], [4], RAGGED):
        lattice = make_lattice(tagset, lengths, crf=head.crf)
        allowed = np.concatenate(
            [random_allowed(tagset, n, kind, i) for i, n in enumerate(lengths)]
        )
        expected = loss_by_hand(head, tagset, lattice, allowed)
        found, _ = lattice_loss(head, tagset, lattice, allowed, size=7)
        assert found == pytest.approx(expected / 7, abs=1e-5)
        assert found >= -1e-6 or head.class_weights


@scheme
@every_head
def test_nothing_known_is_no_loss_and_no_gradient(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, RAGGED, crf=head.crf)
    found, gradient = lattice_loss(
        head, tagset, lattice, np.ones(lattice.emissions.shape, dtype=bool), size=1
    )
    assert found == pytest.approx(0.0, abs=1e-5)
    assert all(g.abs().max() < 1e-5 for g in gradient.scores)


@scheme
@every_head
@every_gold
def test_gradient_is_the_slope_of_the_loss(scheme: str, head: Head, kind: str):
    """In float64, by central differences in random directions, in all four tensors."""
    tagset = TAGSETS[scheme]
    lengths = [2, 0, 3, 1]
    lattice = make_lattice(tagset, lengths, crf=True, dtype=torch.float64)
    allowed = all_allowed(tagset, lengths, kind)
    barred = [(2, 0, 2, "PER"), (3, 0, 1, "PER")]

    def loss(*scores: Tensor) -> float:
        return lattice_loss(
            head, tagset, Lattice(*scores, lattice.tokens), allowed, size=3, barred=barred
        )[0]  # fmt: skip

    _, gradient = lattice_loss(head, tagset, lattice, allowed, size=3, barred=barred)
    assert gradient.lengths == lengths
    rng = torch.Generator().manual_seed(1)
    for which, slopes in enumerate(gradient.scores):
        assert slopes.dtype == torch.float64
        for _ in range(2):
            way = torch.randn(slopes.shape, generator=rng, dtype=torch.float64)
            around = []
            for step in (-1e-5, 1e-5):
                moved = list(lattice.scores)
                moved[which] = moved[which] + step * way
                around.append(loss(*moved))
            slope = (around[1] - around[0]) / 2e-5
            assert float((slopes * way).sum()) == pytest.approx(slope, abs=1e-7)


@scheme
@pytest.mark.parametrize("head", [HEADS["softmax"], HEADS["crf"], HEADS["crf, constrained"]])
def test_loss_of_a_batch_is_the_sum_of_its_documents(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, RAGGED, crf=head.crf)
    allowed = np.concatenate([random_allowed(tagset, n, "partial", n) for n in RAGGED])
    found, gradient = lattice_loss(head, tagset, lattice, allowed, size=5)
    total, parts, chain = 0.0, [], [torch.zeros_like(s) for s in lattice.scores[1:]]
    for emissions, ok, tokens in zip(
        split(lattice, lattice.emissions), split(lattice, allowed), lattice.tokens, strict=True
    ):
        alone = Lattice(emissions, *lattice.scores[1:], tokens=[tokens])
        loss, d = lattice_loss(head, tagset, alone, ok, size=5)
        total += loss
        parts.append(d.emissions)
        chain = [a + b for a, b in zip(chain, d.scores[1:], strict=True)]
    assert found == pytest.approx(total, abs=1e-5)
    torch.testing.assert_close(gradient.emissions, torch.cat(parts))
    for a, b in zip(gradient.scores[1:], chain, strict=True):
        torch.testing.assert_close(a, b)


@scheme
@pytest.mark.parametrize("head", [HEADS["softmax"], HEADS["crf"], HEADS["crf, constrained"]])
def test_a_barred_span_costs_its_probability(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, RAGGED, crf=head.crf, seed=3)
    nothing = np.ones(lattice.emissions.shape, dtype=bool)
    # document, first row, exclusive end, label: at a start, at an end, inside, whole
    barred = [
        (1, 0, 1, "PER"),
        (2, 2, 4, "PER"),
        (2, 1, 2, "PER"),
        (5, 0, 3, "PER"),
        (6, 0, 1, "PER"),
    ]
    expected = 0.0
    for document, start, end, label in barred:
        emissions = split(lattice, lattice.emissions)[document]
        paths = every_path(scheme, len(emissions), legal=head.constrained_loss)
        exact = [tagset.ids[f"B-{label}"], *[tagset.ids[f"I-{label}"]] * (end - start - 1)]
        if scheme == "BILUO":
            exact[-1] = tagset.ids[f"U-{label}" if end - start == 1 else f"L-{label}"]
        having = (paths[:, start:end] == exact).all(axis=1)
        if end < len(emissions):
            goes_on = [tagset.ids.get(f"{prefix}-{label}", -1) for prefix in "IL"]
            having &= ~np.isin(paths[:, end], goes_on)
        scores = path_scores(emissions, lattice, paths)
        p = math.exp(log_sum(scores[having]) - log_sum(scores))
        assert 0.0 < p < 1.0
        expected -= math.log(1.0 - p)
    found, _ = lattice_loss(head, tagset, lattice, nothing, size=2, barred=barred)
    assert found == pytest.approx(expected / 2, abs=1e-5)


def test_extreme_scores_have_finite_losses_and_gradients():
    tagset = TAGSETS["BIO"]
    for head in HEADS.values():
        lattice = make_lattice(tagset, RAGGED, crf=head.crf)
        steep = Lattice(*(1e4 * s for s in lattice.scores), tokens=lattice.tokens)
        allowed = np.concatenate([random_allowed(tagset, n, "full", n) for n in RAGGED])
        found, gradient = lattice_loss(head, tagset, steep, allowed, size=1)
        assert math.isfinite(found)
        assert all(g.isfinite().all() for g in gradient.scores)


def test_a_row_that_allows_nothing():
    tagset = TAGSETS["BIO"]
    allowed = np.ones((3, 5), dtype=bool)
    allowed[1] = False
    with pytest.raises(
        ValueError, match="allowed: expected at least one of .*, got none in row 1 of 3"
    ):
        lattice_loss(build_crf_head(), tagset, make_lattice(tagset, [3], crf=True), allowed, size=1)


def test_the_loss_leaves_the_lattice_alone():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, RAGGED, crf=True)
    before = [s.clone() for s in lattice.scores]
    allowed = np.concatenate([random_allowed(tagset, n, "full") for n in RAGGED])
    lattice_loss(HEADS["crf, both"], tagset, lattice, allowed, size=1)
    assert all(torch.equal(a, b) for a, b in zip(before, lattice.scores, strict=True))
    assert not any(s.requires_grad for s in lattice.scores)


def test_two_path_scores_of_a_worked_example():
    tagset = TagSet(("PER",), "BIO")
    order = [tagset.ids[tag] for tag in ("B-PER", "I-PER", "O")]
    rows = [(0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7)]
    between = [(0.5, 1.0, -2.0), (-1.0, 0.8, -0.5), (-0.5, -1.0, 0.9)]
    emissions, transitions = torch.zeros(3, 3), torch.zeros(3, 3)
    emissions[:, order] = torch.tensor(rows).log()
    transitions[np.ix_(order, order)] = torch.tensor(between)
    none = torch.zeros(3)
    lattice = Lattice(emissions, none, transitions, none, [np.arange(3)])
    scores, nlls = {}, {}
    for path in ("B-PER I-PER O", "B-PER B-PER O"):
        ids = [tagset.ids[tag] for tag in path.split()]
        scores[path] = float(
            crf.path_score(emissions, torch.tensor(ids), [3], none, transitions, none)
        )
        nlls[path], _ = lattice_loss(
            build_crf_head(), tagset, lattice, np.eye(3, dtype=bool)[ids], size=1
        )
    assert [round(s, 2) for s in scores.values()] == [-0.44, -3.69]
    difference = nlls["B-PER B-PER O"] - nlls["B-PER I-PER O"]
    assert difference == pytest.approx(scores["B-PER I-PER O"] - scores["B-PER B-PER O"], abs=1e-5)
    assert difference == pytest.approx(3.2527, abs=1e-4)


@pytest.mark.parametrize("crf", [True, False])
def test_weights_of_one_change_nothing(crf: bool):
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [4], crf=crf)
    plain, weighted = Head(crf=crf), Head(crf=crf, class_weights=(("PER", 1.0), ("O", 1.0)))
    allowed = np.eye(5, dtype=bool)[[0, 1, 2, 0]]
    a, da = lattice_loss(plain, tagset, lattice, allowed, size=1)
    b, db = lattice_loss(weighted, tagset, lattice, allowed, size=1)
    assert a == pytest.approx(b, rel=1e-6)
    for x, y in zip(da.scores, db.scores, strict=True):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-5)


# From posteriors ---------------------------------------------------------------------------------


def legal_only(head: Head, tagset: TagSet, lattice: Lattice) -> Lattice:
    if not head.constrained_loss:
        return lattice
    return restrict(build_crf_head(constrained=True), tagset, lattice)


plain_heads = pytest.mark.parametrize(
    "head", [HEADS[name] for name in HEADS if "weighted" not in name and "both" not in name]
)


@scheme
@plain_heads
def test_cross_entropy_is_that_of_the_definition(scheme: str, head: Head):
    """-Σ p(y) log q(y) over all paths, the probabilities of which are listed."""
    tagset = TAGSETS[scheme]
    for lengths in ([0], [1], [3], RAGGED):
        teacher = make_lattice(tagset, lengths, crf=head.crf, seed=1)
        lattice = make_lattice(tagset, lengths, crf=head.crf, seed=2)
        expected = 0.0
        for i, n in enumerate(lengths):
            paths = every_path(scheme, n, legal=head.constrained_loss)
            p, q = probabilities(teacher, i, paths), probabilities(lattice, i, paths)
            expected -= float((p * np.log(q)).sum())
        posterior = expected_counts(legal_only(head, tagset, teacher))
        found, _ = posterior_loss(head, tagset, lattice, posterior, size=3)
        assert found == pytest.approx(expected / 3, abs=1e-5)


def test_expected_counts_are_sums_over_paths():
    tagset, lengths = TAGSETS["BIO"], [2, 0, 3]
    lattice = make_lattice(tagset, lengths, crf=True, seed=4)
    rows, start, end = np.zeros((5, 5)), np.zeros(5), np.zeros(5)
    pairs, base = np.zeros((5, 5)), 0
    for i, n in enumerate(lengths):
        paths = every_path("BIO", n)
        for path, p in zip(paths, probabilities(lattice, i, paths), strict=True):
            for t, tag in enumerate(path):
                rows[base + t, tag] += p
                if t:
                    pairs[path[t - 1], tag] += p
            if n:
                start[path[0]] += p
                end[path[-1]] += p
        base += n
    found = expected_counts(lattice)
    for own, by_hand in zip(found.scores, (rows, start, pairs, end), strict=True):
        np.testing.assert_allclose(own.numpy(), by_hand, atol=1e-6)


@scheme
@plain_heads
def test_gradient_of_the_cross_entropy_is_its_slope(scheme: str, head: Head):
    """In float64, by central differences, in each of the numbers of all four tensors."""
    tagset, lengths = TAGSETS[scheme], [2, 0, 3, 1]
    teacher = make_lattice(tagset, lengths, crf=True, seed=5, dtype=torch.float64)
    lattice = make_lattice(tagset, lengths, crf=True, seed=6, dtype=torch.float64)
    posterior = expected_counts(legal_only(head, tagset, teacher))

    def loss(*scores: Tensor) -> float:
        moved = Lattice(*scores, lattice.tokens)
        return posterior_loss(head, tagset, moved, posterior, size=2)[0]

    _, gradient = posterior_loss(head, tagset, lattice, posterior, size=2)
    assert gradient.lengths == lengths
    for which, slopes in enumerate(gradient.scores):
        for place in np.ndindex(*slopes.shape):
            around = []
            for step in (-1e-5, 1e-5):
                moved = [s.clone() for s in lattice.scores]
                moved[which][place] += step
                around.append(loss(*moved))
            assert float(slopes[place]) == pytest.approx((around[1] - around[0]) / 2e-5, abs=1e-7)


@scheme
@plain_heads
def test_a_lattice_has_nothing_to_learn_from_itself(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, RAGGED, crf=head.crf)
    posterior = expected_counts(legal_only(head, tagset, lattice))
    _, gradient = posterior_loss(head, tagset, lattice, posterior, size=1)
    assert all(g.abs().max() < 1e-5 for g in gradient.scores)


def test_posteriors_are_those_of_first_subwords():
    tagset, head = TAGSETS["BIO"], Head(crf=True)
    lattice = make_lattice(tagset, [4], crf=True)
    lattice = Lattice(*lattice.scores, tokens=[np.array([0, 0, 1, 1])])
    words = Lattice(lattice.emissions[[0, 2]], *lattice.scores[1:], tokens=[np.arange(2)])
    posterior = expected_counts(make_lattice(tagset, [2], crf=True, seed=1))
    loss, d = posterior_loss(head, tagset, lattice, posterior, size=1)
    alone, d_alone = posterior_loss(head, tagset, words, posterior, size=1)
    assert loss == pytest.approx(alone)
    torch.testing.assert_close(d.emissions[[0, 2]], d_alone.emissions)
    assert not d.emissions[[1, 3]].any()
    with pytest.raises(ValueError, match=r"posterior: expected probabilities \(2, 5\), got \(3"):
        posterior_loss(head, tagset, lattice, make_lattice(tagset, [3], crf=True), size=1)


# From gold annotation -----------------------------------------------------------------------------


def test_later_subwords_train_emissions_and_no_transition():
    """Two words of two sub-words each: the chain has two rows, the others count as in softmax."""
    tagset, head = TAGSETS["BIO"], Head(crf=True)
    lattice = make_lattice(tagset, [4], crf=True)
    lattice = Lattice(*lattice.scores, tokens=[np.array([0, 0, 1, 1])])
    annotation = Annotation([(0, 1, "PER")], np.ones(2, dtype=bool))
    loss, d = batch_loss([annotation], lattice, head=head, tagset=tagset, continued=True, size=1)
    e = lattice.emissions
    paths = every_path("BIO", 2)
    scores = path_scores(e[[0, 2]], lattice, paths)
    gold = (paths == [tagset.ids["B-PER"], 0]).all(axis=1)
    expected = log_sum(scores) - float(scores[gold][0])
    for row, tag in ((1, tagset.ids["I-PER"]), (3, 0)):
        expected -= float(e[row, tag] - e[row].logsumexp(0))
    assert loss == pytest.approx(expected, rel=1e-5)
    assert bool(d.emissions.abs().sum(dim=1).gt(0).all())


def test_wrong_spans_of_a_document_are_barred():
    """Counted in tokens, of which the first has no sub-word."""
    tagset, head = TAGSETS["BIO"], Head(crf=True)
    lattice = make_lattice(tagset, [2, 3], crf=True)
    lattice = Lattice(*lattice.scores, tokens=[np.array([1, 2]), np.array([1, 2, 4])])
    nothing = np.zeros(5, dtype=bool)
    gold = [Annotation([], nothing), Annotation([], nothing, wrong=[(2, 5, "PER"), (0, 1, "PER")])]
    found, _ = batch_loss(gold, lattice, head=head, tagset=tagset, continued=False, size=2)
    free = np.ones((5, 5), dtype=bool)
    barred = [(1, 1, 3, "PER")]
    expected, _ = lattice_loss(head, tagset, lattice, free, size=2, barred=barred)
    assert found == expected > 0.0


def test_size_counts_annotated_tokens():
    some = Annotation([], np.array([True, False, True]))
    assert annotated_tokens([some, some], ["X"]) == 4
    assert annotated_tokens([Annotation([], np.zeros(3, dtype=bool))], ["X"]) == 1
