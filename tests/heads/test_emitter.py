"""Heads against the definition: sums and maxima over all paths, one by one."""

import math
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchcrf import CRF

from spacy_bio_crf import crf as linear_chain
from spacy_bio_crf.heads import emitter as heads
from spacy_bio_crf.heads import losses
from spacy_bio_crf.heads.emitter import Emitter, Head, Lattice, build_crf_head, build_softmax_head
from spacy_bio_crf.tags.tagset import TagSet

TAGSETS = {
    "BIO": TagSet(("PER", "cell-line"), "BIO"),  # K = 5
    "BILUO": TagSet(("PER",), "BILUO"),  # K = 5
}
RAGGED = [0, 2, 4, 1, 0, 3, 1]

scheme = pytest.mark.parametrize("scheme", list(TAGSETS))


def make_lattice(
    tagset: TagSet, lengths: list[int], *, crf: bool, seed: int = 0, dtype: Any = torch.float32
) -> Lattice:
    k = len(tagset.tags)
    rng = torch.Generator().manual_seed(seed)
    shapes = [(sum(lengths), k), (k,), (k, k), (k,)]
    emissions, start, transitions, end = (
        2.0 * torch.randn(shape, generator=rng, dtype=dtype) for shape in shapes
    )
    if not crf:
        start, transitions, end = (torch.zeros_like(s) for s in (start, transitions, end))
    return Lattice(emissions, start, transitions, end, [np.arange(n) for n in lengths])


def split(lattice: Lattice, rows: Any) -> list[Any]:
    """Rows by document."""
    ends = np.cumsum(lattice.lengths)
    return [rows[end - n : end] for n, end in zip(lattice.lengths, ends, strict=True)]


def is_legal(tagset: TagSet, path: tuple[int, ...]) -> bool:
    """From the scheme's words: I- and L- only inside an entity of their label, L- closes, and under
    BILUO nothing stays open."""
    inside = None
    for tag in (tagset.tags[i] for i in path):
        prefix, _, label = tag.partition("-")
        if prefix in "IL":
            if inside != label:
                return False
        elif inside is not None and tagset.scheme == "BILUO":
            return False
        inside = label if prefix in "BI" else None
    return inside is None or tagset.scheme == "BIO"


@cache
def every_path(scheme: str, n: int, *, legal: bool = False) -> np.ndarray:
    """All tag sequences of a length, or the legal ones; int64 [P, n]."""
    tagset = TAGSETS[scheme]
    paths = product(range(len(tagset.tags)), repeat=n)
    kept = [path for path in paths if not legal or is_legal(tagset, path)]
    return np.array(kept, dtype=np.int64).reshape(len(kept), n)


def path_scores(emissions: Tensor, lattice: Lattice, paths: np.ndarray) -> np.ndarray:
    """The score of each path, from the definition; 0 for the path of an empty document; [P]."""
    rows, start, between, end = (
        x.double().numpy() for x in (emissions, lattice.start, lattice.transitions, lattice.end)
    )
    n = paths.shape[1]
    if n == 0:
        return np.zeros(1)
    total = start[paths[:, 0]] + end[paths[:, -1]]
    total = total + sum(rows[t, paths[:, t]] for t in range(n))
    return total + sum(between[paths[:, t - 1], paths[:, t]] for t in range(1, n))


def log_sum(scores: np.ndarray) -> float:
    return float(np.log(np.exp(scores).sum()))


def random_allowed(tagset: TagSet, n: int, kind: str, seed: int = 0) -> np.ndarray:
    """Which tags gold allows: a random legal sequence, with some rows left open if "partial", with
    some sets of several tags if "negative"."""
    rng = np.random.default_rng(seed)
    paths = every_path(tagset.scheme, n, legal=True)
    path = paths[rng.integers(len(paths))]
    allowed = np.zeros((n, len(tagset.tags)), dtype=bool)
    allowed[np.arange(n), path] = True
    if kind != "full":
        allowed[rng.random(n) < 0.5] = True
    if kind == "negative":  # known not to be some tags, the right one aside
        barred = rng.random(allowed.shape) < 0.5
        allowed &= ~barred | (np.arange(len(tagset.tags)) == path[:, None])
    return allowed


def all_allowed(tagset: TagSet, lengths: list[int], kind: str, seed: int = 0) -> np.ndarray:
    rows = [random_allowed(tagset, n, kind, seed + i) for i, n in enumerate(lengths)]
    return np.concatenate(rows)


# Loss ---------------------------------------------------------------------------------------------


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
        found, _ = losses.loss(head, tagset, lattice, allowed, size=7)
        assert found == pytest.approx(expected / 7, abs=1e-5)
        assert found >= -1e-6 or head.class_weights


@scheme
@every_head
def test_nothing_known_is_no_loss_and_no_gradient(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, RAGGED, crf=head.crf)
    found, gradient = losses.loss(
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
        return losses.loss(
            head, tagset, Lattice(*scores, lattice.tokens), allowed, size=3, barred=barred
        )[0]  # fmt: skip

    _, gradient = losses.loss(head, tagset, lattice, allowed, size=3, barred=barred)
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
    found, gradient = losses.loss(head, tagset, lattice, allowed, size=5)
    total, parts, chain = 0.0, [], [torch.zeros_like(s) for s in lattice.scores[1:]]
    for emissions, ok, tokens in zip(
        split(lattice, lattice.emissions), split(lattice, allowed), lattice.tokens, strict=True
    ):
        alone = Lattice(emissions, *lattice.scores[1:], tokens=[tokens])
        loss, d = losses.loss(head, tagset, alone, ok, size=5)
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
    found, _ = losses.loss(head, tagset, lattice, nothing, size=2, barred=barred)
    assert found == pytest.approx(expected / 2, abs=1e-5)


def test_extreme_scores_have_finite_losses_and_gradients():
    tagset = TAGSETS["BIO"]
    for head in HEADS.values():
        lattice = make_lattice(tagset, RAGGED, crf=head.crf)
        steep = Lattice(*(1e4 * s for s in lattice.scores), tokens=lattice.tokens)
        allowed = np.concatenate([random_allowed(tagset, n, "full", n) for n in RAGGED])
        found, gradient = losses.loss(head, tagset, steep, allowed, size=1)
        assert math.isfinite(found)
        assert all(g.isfinite().all() for g in gradient.scores)


def test_a_row_that_allows_nothing():
    tagset = TAGSETS["BIO"]
    allowed = np.ones((3, 5), dtype=bool)
    allowed[1] = False
    with pytest.raises(ValueError, match=r"Row 1 of 3 allows none of the tags \('O', 'B-PER', "):
        losses.loss(build_crf_head(), tagset, make_lattice(tagset, [3], crf=True), allowed, size=1)


def test_the_loss_leaves_the_lattice_alone():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, RAGGED, crf=True)
    before = [s.clone() for s in lattice.scores]
    allowed = np.concatenate([random_allowed(tagset, n, "full") for n in RAGGED])
    losses.loss(HEADS["crf, both"], tagset, lattice, allowed, size=1)
    assert all(torch.equal(a, b) for a, b in zip(before, lattice.scores, strict=True))
    assert not any(s.requires_grad for s in lattice.scores)


# Decoding -----------------------------------------------------------------------------------------


@scheme
@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("kind", [None, "partial", "negative"])
def test_decode_finds_the_best_of_all_paths(
    scheme: str, crf: bool, constrained: bool, kind: str | None
):
    tagset = TAGSETS[scheme]
    head = Head(crf=crf, constrained=constrained)
    for seed, lengths in enumerate([[0], [1], [2], [3], [4], RAGGED, RAGGED[::-1]] * 3):
        lattice = make_lattice(tagset, lengths, crf=crf, seed=seed)
        allowed = None if kind is None else all_allowed(tagset, lengths, kind, seed)
        tags = heads.decode(head, heads.restrict(head, tagset, lattice, allowed))
        assert tags.dtype == np.int64 and tags.shape == (sum(lengths),)
        if allowed is None:
            allowed = np.ones(lattice.emissions.shape, dtype=bool)
        for emissions, ok, found in zip(
            split(lattice, lattice.emissions), split(lattice, allowed), split(lattice, tags),
            strict=True,
        ):  # fmt: skip
            paths = every_path(scheme, len(found), legal=constrained)
            paths = paths[ok[np.arange(len(found)), paths].all(axis=1)]
            assert found.tolist() == paths[path_scores(emissions, lattice, paths).argmax()].tolist()


@scheme
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_finite_weights_can_bring_out_an_illegal_sequence(scheme: str, data: st.DataObject):
    tagset = TAGSETS[scheme]
    k = len(tagset.tags)
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    largest = 2.0 ** data.draw(st.sampled_from([0, 13, 100]))
    scores = st.floats(-largest, largest, width=32)
    emissions, start, transitions, end = (
        torch.tensor(data.draw(st.lists(scores, min_size=n, max_size=n)), dtype=torch.float32)
        for n in (sum(lengths) * k, k, k * k, k)
    )
    lattice = Lattice(
        emissions.reshape(-1, k), start, transitions.reshape(k, k), end,
        [np.arange(n) for n in lengths],
    )  # fmt: skip
    for crf in (False, True):
        head = Head(crf=crf, constrained=True)
        tags = heads.decode(head, heads.restrict(head, tagset, lattice))
        for path in split(lattice, tags):
            assert is_legal(tagset, tuple(path))
            if len(path):
                # The scheme's own arrays say the same as the words above.
                assert tagset.legal_start[path[0]] and tagset.legal_end[path[-1]]
                assert tagset.legal[path[:-1], path[1:]].all()


def test_unconstrained_softmax_is_the_plain_argmax():
    tagset = TAGSETS["BIO"]
    lattice = make_lattice(tagset, [4], crf=False)
    lattice.emissions[:] = torch.eye(5)[[2, 2, 0, 2]]  # I-PER I-PER O I-PER
    head = build_softmax_head(constrained=False)
    tags = heads.decode(head, heads.restrict(head, tagset, lattice))
    assert [tagset.tags[i] for i in tags] == ["I-PER", "I-PER", "O", "I-PER"]
    assert tagset.decode(tags, repair="begin") == [(0, 2, "PER"), (3, 4, "PER")]
    assert tagset.decode(tags, repair="discard") == []
    head = build_softmax_head()
    tags = heads.decode(head, heads.restrict(head, tagset, lattice))
    assert is_legal(tagset, tuple(tags))


@scheme
def test_constrain_shuts_exactly_what_is_illegal(scheme: str):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(tagset, [1], crf=True)
    start, transitions, end = heads.constrain(tagset, *lattice.scores[1:])
    k = len(tagset.tags)
    paths = {tuple(p) for n in (1, 2, 3, 4) for p in every_path(scheme, n, legal=True).tolist()}
    for i in range(k):
        assert (start[i] == heads.NEVER) == (i not in {path[0] for path in paths})
        assert (end[i] == heads.NEVER) == (i not in {path[-1] for path in paths})
        for j in range(k):
            seen = any((i, j) in zip(path, path[1:], strict=False) for path in paths)
            assert (transitions[i, j] == heads.NEVER) == (not seen)
    for shut, before in zip((start, transitions, end), lattice.scores[1:], strict=True):
        assert torch.equal(shut[shut != heads.NEVER], before[shut != heads.NEVER])
        assert before.isfinite().all()


# Parameters ---------------------------------------------------------------------------------------


def test_a_trained_layer_moves_to_pytorch_crf_and_back():
    """Likelihood and decoding of both agree, and the gradients with them."""
    tagset = TAGSETS["BIO"]
    k, lengths = len(tagset.tags), [3, 1, 4, 2]  # pytorch-crf admits no empty sequence
    torch.manual_seed(0)
    ours = Emitter(4, k, crf=True)
    theirs = CRF(k, batch_first=True)
    with torch.no_grad():
        for parameter in ours.crf.parameters():
            parameter.normal_(std=2.0)
    theirs.load_state_dict(ours.crf.state_dict())
    other = Emitter(4, k, crf=True)
    other.crf.load_state_dict(theirs.state_dict())
    for a, b in zip(ours.scores(), other.scores(), strict=True):
        assert torch.equal(a, b)

    emissions = 2.0 * torch.randn(sum(lengths), k)
    allowed = np.concatenate([random_allowed(tagset, n, "full", n) for n in lengths])
    lattice = Lattice(
        emissions, *(s.detach() for s in other.scores()), tokens=[np.arange(n) for n in lengths]
    )
    padded = torch.full((4, 4, k), 99.0)
    tags = torch.zeros((4, 4), dtype=torch.long)
    mask = torch.zeros((4, 4), dtype=torch.bool)
    for i, (e, y) in enumerate(
        zip(split(lattice, emissions), split(lattice, allowed), strict=True)
    ):
        padded[i, : len(e)], tags[i, : len(e)], mask[i, : len(e)] = (
            e,
            torch.from_numpy(y.argmax(1)),
            True,
        )
    padded.requires_grad_()
    expected = -theirs(padded, tags, mask=mask, reduction="sum")
    expected.backward()
    found, gradient = losses.loss(build_crf_head(), tagset, lattice, allowed, size=1)
    assert found == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient.emissions, padded.grad[mask])
    for mine, parameter in zip(
        gradient.scores[1:],
        (theirs.start_transitions, theirs.transitions, theirs.end_transitions),
        strict=True,
    ):
        torch.testing.assert_close(mine, parameter.grad)
    free = build_crf_head(constrained=False)
    tags = heads.decode(free, heads.restrict(free, tagset, lattice))
    assert [t.tolist() for t in split(lattice, tags)] == theirs.decode(padded.detach(), mask=mask)


def test_a_softmax_emitter_has_no_transition_scores():
    emitter = Emitter(4, 5, crf=False)
    assert [name for name, _ in emitter.named_parameters()] == ["dense.weight", "dense.bias"]
    start, transitions, end = emitter.scores()
    assert (start.shape, transitions.shape, end.shape) == ((5,), (5, 5), (5,))
    assert not any(s.any() or s.requires_grad for s in (start, transitions, end))


def test_emissions_are_a_linear_map_after_dropout():
    torch.manual_seed(0)
    emitter = Emitter(4, 3, crf=True)
    vectors = torch.randn(6, 4)
    expected = vectors @ emitter.dense.weight.T + emitter.dense.bias
    torch.testing.assert_close(emitter.eval()(vectors, 0.5), expected)
    torch.testing.assert_close(emitter.train()(vectors, 0.0), expected)
    assert not torch.allclose(emitter.train()(vectors, 0.5), expected)
    torch.testing.assert_close(emitter.train()(vectors, 1.0), emitter.dense.bias.expand(6, 3))


def test_learning_rates_by_parameter():
    head = build_crf_head(lr_scale=2.0, transitions_lr_scale=30.0)
    scales = {name: head.scale_of(name) for name, _ in Emitter(4, 3, crf=True).named_parameters()}
    assert scales == {
        "dense.weight": 2.0,
        "dense.bias": 2.0,
        "crf.start_transitions": 30.0,
        "crf.transitions": 30.0,
        "crf.end_transitions": 30.0,
    }
    softmax = build_softmax_head(lr_scale=5.0)
    assert not softmax.crf and build_crf_head().crf
    assert softmax.scale_of("dense.weight") == 5.0


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan])
def test_class_weights_have_to_be_positive(weight: float):
    with pytest.raises(ValueError, match=rf"'class_weights' of the head has {weight} for 'PER'"):
        build_crf_head(class_weights={"PER": weight})


# A worked example ---------------------------------------------------------------------------------


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
            linear_chain.path_score(emissions, torch.tensor(ids), [3], none, transitions, none)
        )
        nlls[path], _ = losses.loss(
            build_crf_head(), tagset, lattice, np.eye(3, dtype=bool)[ids], size=1
        )
    assert [round(s, 2) for s in scores.values()] == [-0.44, -3.69]
    difference = nlls["B-PER B-PER O"] - nlls["B-PER I-PER O"]
    assert difference == pytest.approx(scores["B-PER I-PER O"] - scores["B-PER B-PER O"], abs=1e-5)
    assert difference == pytest.approx(3.2527, abs=1e-4)
