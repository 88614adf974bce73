"""The benchmark of distillation: which trainings are run."""

import pytest

from benchmarks import distillation


def test_names_bring_what_they_need() -> None:
    """A training whose needs are not run would wait for ever."""
    jobs = [job for name in ("a", "b") for job in distillation.list_jobs(name, [0, 1], 8, [3])]
    own = distillation.choose_jobs(jobs, ["taught 3"])
    assert [job.name for job in own] == [
        *("data", "full", "full", "ensemble", "taught 3", "taught 3")
    ] * 2  # fmt: skip
    for i, job in enumerate(own):
        assert set(job.needs) <= {before.key for before in own[:i]}
    assert distillation.choose_jobs(jobs, None) == jobs
    with pytest.raises(SystemExit, match="--names: expected names of data, full, .*, got taught 4"):
        distillation.choose_jobs(jobs, ["full", "taught 4"])
