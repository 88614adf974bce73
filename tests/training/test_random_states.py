"""Random states: what comes after one that was set is what came after it was read."""

import random

import numpy as np
import torch

from spacy_bio_crf.training.random_states import (
    read_cpu_states,
    read_random_states,
    set_cpu_states,
    set_random_states,
)


def draw() -> list[float]:
    # Of normal numbers, Python and NumPy keep every second one.
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.random()),
        float(np.random.normal()),
        *torch.randn(3).tolist(),
    ]


def test_states_go_on():
    for _ in range(3):
        draw()
        states = read_random_states()
        assert states.keys() >= {"python", "numpy", "torch"}
        expected = [draw(), draw()]
        draw()
        set_random_states(states)
        assert read_random_states() == states
        assert [draw(), draw()] == expected


def test_one_source_is_set_alone():
    states = read_cpu_states()
    draw()
    moved = read_cpu_states()
    assert all(moved[source] != states[source] for source in states)
    set_random_states({"numpy": states["numpy"]})
    assert read_cpu_states() == {**moved, "numpy": states["numpy"]}


def test_states_of_the_cpu_are_set_alone():
    states = read_cpu_states()
    expected = draw()
    set_cpu_states(states)
    assert draw() == expected
    set_cpu_states({})
    assert read_cpu_states() != states
