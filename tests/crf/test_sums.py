"""Long sequences in sections: where they are cut, that the cuts change nothing, what is kept."""

import tracemalloc

import numpy as np
import pytest
import torch

from spacy_bio_crf import crf
from spacy_bio_crf.crf.batch import TUNING, make_batch, make_packing
from spacy_bio_crf.crf.logs import LogMessages
from spacy_bio_crf.crf.sums import Sums, choose_bounds
from tests.support.chain_oracle import RAGGED, Chain, leaves_of, random_chain

LONG = [700, 3, 0, 1500, 1, 64, 701]


@pytest.mark.parametrize("forbidden", [0.0, 0.2])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0, 1e4])
@pytest.mark.parametrize("n_tags", [1, 2, 5, 9])
def test_sums_equal_those_in_logs(engine, n_tags, scale, forbidden):
    chain = random_chain(n_tags, n_tags, RAGGED, scale=scale, forbidden=forbidden)
    weights = torch.linspace(-1, 2, len(RAGGED)).double()
    batch = make_batch(*chain.args)
    messages = LogMessages(batch)
    counts, pairs = messages.counts(batch.by_rank(weights))
    expected = batch.by_sequence(messages.log_z), batch.unpack(counts), pairs
    leaves = leaves_of(chain)
    log_z = crf.log_partition(*chain.args)
    emissions, start, transitions, end = torch.autograd.grad(log_z, leaves, weights)
    found = log_z.detach(), emissions, transitions
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    firsts = [i for i, n in zip(chain.first_rows, RAGGED, strict=True) if n]
    lasts = [i + n - 1 for i, n in zip(chain.first_rows, RAGGED, strict=True) if n]
    torch.testing.assert_close(start, expected[1][firsts].sum(0), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(end, expected[1][lasts].sum(0), rtol=1e-8, atol=1e-8)


def cut_at(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Have sections of so many rows, and of eight time steps or more."""
    monkeypatch.setattr(TUNING, "section_rows", rows)
    monkeypatch.setattr(TUNING, "section_steps", 8)


def bounds_of(lengths: list[int]) -> list[int]:
    return choose_bounds(make_packing(np.array(lengths, dtype=np.int64)), torch.device("cpu"))


def results(chain: Chain) -> dict[str, torch.Tensor]:
    leaves = leaves_of(chain)
    log_z = crf.log_partition(*chain.args)
    weights = torch.linspace(-1, 2, len(chain.lengths)).double()
    gradients = torch.autograd.grad(log_z, leaves, weights)
    starts = torch.tensor([698, 703, 800, 1300, 2203])
    found = crf.segment_log_posteriors(
        *chain.args,
        starts=starts,
        ends=starts + torch.tensor([2, 1, 100, 1, 1]),
        tags=torch.arange(105) % chain.emissions.shape[1],
        followers=torch.ones((5, chain.emissions.shape[1]), dtype=torch.bool).tril(),
    )
    names = ("emissions", "start", "transitions", "end")
    return {
        "log_z": log_z.detach(),
        **dict(zip(names, gradients, strict=True)),
        "segments": found,
        "entropy": crf.entropy(*chain.args),
    }


@pytest.mark.parametrize("scale", [1.0, 50.0])
@pytest.mark.parametrize("rows", [128, 333, 1000])
def test_cuts_change_nothing(monkeypatch, rows, scale):
    chain = random_chain(0, 5, LONG, scale=scale, forbidden=0.1)
    whole = results(chain)
    cut_at(monkeypatch, rows)
    assert len(bounds_of(LONG)) > 3
    for name, found in results(chain).items():
        torch.testing.assert_close(found, whole[name], rtol=1e-9, atol=1e-9, msg=name)


def test_sections_hold_about_as_many_rows_as_they_should(monkeypatch):
    cut_at(monkeypatch, 200)
    bounds = bounds_of(LONG)
    assert bounds[0] == 0
    assert bounds[-1] == 1500
    sizes = np.diff(make_packing(np.array(LONG)).offsets[bounds])
    assert (sizes[:-1] > 190).all()
    assert (sizes <= 200).all()


@pytest.mark.parametrize(
    "lengths, expected",
    [([], [0, 0]), ([0, 0], [0, 0]), ([1000], [0, 1000]), ([2] * 40_000, [0, 2])],
    ids=["no sequence", "no rows", "short", "many short ones"],
)
def test_other_batches_stay_whole(lengths, expected):
    assert bounds_of(lengths) == expected


def test_a_long_sequence_is_cut_in_any_company(monkeypatch):
    cut_at(monkeypatch, 200)
    bounds = bounds_of([1] * 500 + [1000])
    assert bounds[:2] == [0, 8]
    assert np.diff(bounds).max() <= 200
    assert bounds_of([20] * 100) == [0, 8, 16, 20]


def calls(monkeypatch, owner: object, name: str) -> list[int]:
    counted: list[int] = []
    function = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args: counted.append(1) or function(*args))
    return counted


def test_a_constant_in_the_end_scores_costs_nothing(monkeypatch):
    chain = random_chain(0, 5, [300, 250])
    chain.end.add_(-500.0)
    cut_at(monkeypatch, 100)
    detours = calls(monkeypatch, crf.sums, "LogMessages")
    Sums(make_batch(*chain.args)).counts(torch.ones(2).double())
    assert not detours


def test_messages_of_a_section_are_computed_once(monkeypatch):
    chain = random_chain(0, 5, [300, 250], scale=1e4)
    cut_at(monkeypatch, 100)
    n_sections = len(bounds_of(chain.lengths)) - 1
    made = calls(monkeypatch, crf.sums, "LogMessages")
    betas = calls(monkeypatch, LogMessages.__dict__["_beta"], "func")
    sums = Sums(make_batch(*chain.args))
    assert len(made) == n_sections
    assert not betas
    for _ in sums.logs_at(np.arange(550)):
        pass
    # the last section is there
    assert len(made) == 2 * n_sections - 1
    assert len(betas) == n_sections
    sums.counts(torch.ones(2).double())
    assert len(made) == 3 * n_sections - 2
    assert len(betas) == 2 * n_sections - 1


def test_no_path_through_a_section(monkeypatch):
    cut_at(monkeypatch, 100)
    chain = random_chain(0, 3, [300, 250])
    chain.emissions[140] = -torch.inf
    log_z = crf.log_partition(*chain.args)
    assert log_z[0] == -torch.inf
    torch.testing.assert_close(log_z[1], crf.log_partition(*chain.sequence(1).args)[0])
    marginals = crf.marginals(*chain.args)
    assert torch.equal(marginals[:300], torch.zeros(300, 3).double())
    torch.testing.assert_close(marginals[300:].sum(dim=1), torch.ones(250).double())


def test_messages_of_a_long_sequence_are_never_in_memory_together(monkeypatch):
    n_rows, n_tags = 60_000, 13
    chain = random_chain(0, n_tags, [n_rows], dtype=torch.float32)
    starts = torch.arange(0, n_rows - 1, 20)

    def peak(section_rows: int) -> int:
        monkeypatch.setattr(TUNING, "section_rows", section_rows)
        tracemalloc.start()
        crf.segment_log_posteriors(
            *chain.args,
            starts=starts,
            ends=starts + 1,
            tags=torch.zeros(len(starts), dtype=torch.int64),
            followers=torch.ones((len(starts), n_tags), dtype=torch.bool),
        )
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    # NumPy's arrays alone are traced. One message is float64 [n_rows, n_tags].
    message = 8 * n_rows * n_tags
    assert peak(n_rows) > 3 * message
    assert peak(n_rows // 20) < message
