"""What several processes tell each other, and shares of work."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.errors import TrainingError
from spacy_bio_crf.training import processes as module
from spacy_bio_crf.training.processes import Processes, join, share_out
from tests.support.together import run_together


@given(st.lists(st.integers(0, 500), max_size=40), st.integers(1, 6))
def test_shares_are_about_as_large(sizes: list[int], count: int):
    shares = share_out(sizes, count)
    assert sorted(place for share in shares for place in share) == list(range(len(sizes)))
    assert len(shares) == count and all(share == sorted(share) for share in shares)
    loads = [sum(sizes[place] for place in share) for share in shares]
    # Graham's bound for the largest first, far from it.
    assert max(loads) <= sum(sizes) / count + max(sizes, default=0)
    assert bool(shares[0]) == bool(sizes)


def test_the_largest_documents_go_to_different_processes():
    assert share_out([1, 9, 8, 1, 1], 2) == [[1, 3], [0, 2, 4]]


def test_nobody_to_join(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert join() is None


def test_more_processes_than_gpus(monkeypatch):
    for name, value in (("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(TrainingError, match="--gpu-id: expected a GPU for each of the 2 processes"):
        Processes(gpu=2)


def test_what_processes_tell_each_other(tmp_path: Path, monkeypatch):
    # Buckets of few numbers, so that there are several.
    monkeypatch.setattr(module, "BUCKET", 10)

    def work(processes: Processes) -> None:
        rank = processes.rank
        tensors = [
            torch.full((2, 3), 1.0 + rank),
            torch.full((4,), 10.0**rank, dtype=torch.float64),
            torch.arange(24.0).reshape(4, 6).t() * rank,  # not contiguous
            torch.full((7,), float(rank)),
        ]
        processes.add_up(tensors)
        copied = [torch.full((3,), 5.0 + rank), torch.full((20,), 7.0 + rank)]
        processes.copy_from_first(copied)
        found = {
            "gathered": processes.gather({"rank": rank}),
            "collected": processes.collect("ab"[rank]),
            "told": processes.tell([rank, "first"]),
            "sums": [tensor.flatten().tolist() for tensor in tensors],
            "copied": [tensor.tolist() for tensor in copied],
            "restarted": processes.restarted,
        }
        (tmp_path / f"{rank}.json").write_text(json.dumps(found))

    assert run_together(work) == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first.pop("collected") == ["a", "b"] and second.pop("collected") == []
    assert first == second
    assert first["gathered"] == [{"rank": 0}, {"rank": 1}] and first["told"] == [0, "first"]
    assert first["sums"][0] == [3.0] * 6 and first["sums"][1] == [11.0] * 4
    assert first["sums"][2] == np.arange(24.0).reshape(4, 6).T.ravel().tolist()
    assert first["copied"] == [[5.0] * 3, [7.0] * 20] and not first["restarted"]


def test_a_process_that_ends_is_noticed(tmp_path: Path):
    def work(processes: Processes) -> None:
        processes.tell(None)
        if processes.rank == 1:
            raise KeyError("this one")
        began = time.monotonic()
        with pytest.raises(TrainingError, match="got one that has ended, or does not answer"):
            processes.gather(0)
        (tmp_path / "seconds").write_text(str(time.monotonic() - began))

    # The one that is left ends as it likes: there is nobody to leave any more.
    assert run_together(work)[1] == 1
    assert float((tmp_path / "seconds").read_text()) < 5.0
