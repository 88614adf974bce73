"""The loss of rehearsal, against all sequences of the tags that the earlier network knows."""

import numpy as np
import pytest
import torch

from spacy_bio_crf.heads.emitter import Head, build_crf_head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.rehearsal import rehearsal_loss
from spacy_bio_crf.tags.groups import make_groups
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.lattices import TAGSETS, every_path, make_lattice, probabilities, scheme

HEADS = {
    "crf": build_crf_head(),
    "crf, constrained": build_crf_head(constrained_loss=True),
    "softmax": build_softmax_head(),
    "softmax, constrained": build_softmax_head(constrained_loss=True),
}
every_head = pytest.mark.parametrize("head", list(HEADS.values()), ids=list(HEADS))
LENGTHS = [2, 0, 3, 1]


def grown(tagset: TagSet) -> TagSet:
    return TagSet((*tagset.labels, "new"), tagset.scheme)


@scheme
@every_head
def test_new_tags_are_left_out_of_both_distributions(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    k = len(tagset.tags)
    taught = make_lattice(tagset, LENGTHS, crf=head.crf, seed=1)
    lattice = make_lattice(grown(tagset), LENGTHS, crf=head.crf, seed=2)
    old = lattice.part(slice(0, k))
    expected = 0.0
    for i, n in enumerate(LENGTHS):
        paths = every_path(scheme, n, legal=head.constrained_loss)
        p, q = probabilities(taught, i, paths), probabilities(old, i, paths)
        expected -= float((p * np.log(q)).sum())
    chains = [(tagset, slice(0, k))]
    found, gradient = rehearsal_loss(lattice, taught, chains, head=head, size=4)
    assert found == pytest.approx(expected / 4, abs=1e-5)
    assert gradient.emissions[:, :k].any() and not gradient.emissions[:, k:].any()
    for scores in (gradient.start, gradient.end, gradient.transitions[0]):
        assert not scores[k:].any()


@scheme
@every_head
def test_nothing_is_to_be_learned_before_the_first_step(scheme: str, head: Head):
    tagset = TAGSETS[scheme]
    lattice = make_lattice(grown(tagset), LENGTHS, crf=head.crf)
    columns = slice(0, len(tagset.tags))
    chains = [(tagset, columns)]
    _, gradient = rehearsal_loss(lattice, lattice.part(columns), chains, head=head, size=1)
    assert all(scores.abs().max() < 1e-5 for scores in gradient.scores)


def test_the_earlier_network_may_have_more_columns():
    """Those of labels that nothing had trained."""
    tagset = TAGSETS["BIO"]
    taught = make_lattice(grown(tagset), LENGTHS, crf=True, seed=1)
    lattice = make_lattice(grown(tagset), LENGTHS, crf=True, seed=2)
    chains, head = [(tagset, slice(0, 5))], HEADS["crf"]
    one, _ = rehearsal_loss(lattice, taught, chains, head=head, size=1)
    two, _ = rehearsal_loss(lattice, taught.part(slice(0, 5)), chains, head=head, size=1)
    assert one == two


def test_groups_are_rehearsed_one_by_one():
    groups = make_groups("per_label", ["A", "B"], "BIO")
    grown = TagSet(("A", "B", "C", "D"), "BIO")  # as many tags as three groups
    lattice = make_lattice(grown, LENGTHS, crf=True, seed=1)
    taught = make_lattice(grown, LENGTHS, crf=True, seed=2)
    chains = list(zip(groups.tagsets, groups.columns, strict=True))
    head, total = HEADS["crf"], 0.0
    together, gradient = rehearsal_loss(lattice, taught, chains, head=head, size=1)
    whole = torch.zeros_like(lattice.emissions)
    for tagset, columns in chains:
        own = [(tagset, slice(0, 3))]
        parts: list[Lattice] = [x.part(columns) for x in (lattice, taught)]
        loss, part = rehearsal_loss(*parts, own, head=head, size=1)
        total += loss
        whole[:, columns] = part.emissions
    assert together == pytest.approx(total, rel=1e-6)
    torch.testing.assert_close(gradient.emissions, whole)
    assert not gradient.transitions[:3, 3:].any()
