"""Weights that networks hold together."""

import copy
import gc
import pickle

import torch
from torch import nn

from spacy_bio_crf.encoders.transformer.shared_base import digest_of, share_weights


def some(**changes: torch.Tensor) -> dict[str, nn.Parameter]:
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(3), **changes}
    return {name: nn.Parameter(t.clone(), requires_grad=False) for name, t in weights.items()}


def test_equal_weights_are_held_once():
    one, two, other = some(), some(), some(b=torch.zeros(3))
    bases = [share_weights(parameters) for parameters in (one, two, other)]
    assert bases[0] is bases[1] is not bases[2]
    for name in one:
        assert one[name] is not two[name]
        assert one[name].data_ptr() == two[name].data_ptr() != other[name].data_ptr()
    assert torch.equal(two["a"], some()["a"]) and torch.equal(other["b"], torch.zeros(3))


def test_weights_go_with_the_last_who_needs_them():
    one = some(a=torch.full((2, 3), 7.0))
    base = share_weights(one)
    place = one["a"].data_ptr()
    again = share_weights(some(a=torch.full((2, 3), 7.0)))
    assert again is base
    del base, again
    gc.collect()
    two = some(a=torch.full((2, 3), 7.0))
    share_weights(two)
    # The first ones are still somebody's: they are not changed, and not used either.
    assert one["a"].data_ptr() == place != two["a"].data_ptr()


def test_digests_tell_weights_apart():
    found = {
        digest_of(weights)
        for weights in (
            some(),
            some(c=torch.ones(1)),
            some(b=torch.ones(3, 1)),
            some(b=torch.ones(3, dtype=torch.float64)),
            some(b=torch.tensor([1.0, 1.0, 1.0 + 2**-23])),
            {("a" if name == "b" else "b"): tensor for name, tensor in some().items()},
            {name.replace("b", "c"): tensor for name, tensor in some().items()},
        )
    }
    assert len(found) == 7 and all(len(digest) == 64 for digest in found)
    assert digest_of(some()) == digest_of(dict(reversed(some().items())))


def test_copies_share_and_pickles_do_not():
    base = share_weights(some())
    assert copy.deepcopy({"x": base})["x"] is base
    assert pickle.loads(pickle.dumps([base])) == [None]
