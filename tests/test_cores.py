"""Cores by affinity and quota, threads where nobody has chosen, and waiting in other processes."""

import json
import os

import pytest
import spacy

from spacy_bio_crf import cores
from spacy_bio_crf.cores import use_gpu
from spacy_bio_crf.errors import TrainingError
from tests.support.paths import PROJECT_PATH

V1 = {"cpu.cfs_quota_us": "250000", "cpu.cfs_period_us": "100000"}


@pytest.fixture
def eight(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")

    def write(files: dict[str, str], membership: str | None = None) -> None:
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        if membership is not None:
            (tmp_path / "membership").write_text(membership)

    return write


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "300000 100000"}, 3),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "9900000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({f"cpu/{name}": content for name, content in V1.items()}, 2),
        ({"cpu.max": "?"}, 8),
    ],
)
def test_cores_are_those_that_may_be_used(eight, files, expected):
    eight(files)
    assert cores.available_cores() == expected


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        # A service of systemd: the quota is its own, or that of a slice above it.
        ({"a/b/cpu.max": "200000 100000"}, "0::/a/b\n", 2),
        ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 3),
        ({"a/cpu.max": "100000 100000"}, "0::/other\n", 8),
        ({f"cpu,cpuacct/x/{n}": v for n, v in V1.items()}, "4:cpu,cpuacct:/x\n0::/\n", 2),
        ({f"cpu/x/{n}": v for n, v in V1.items()}, "4:cpu,cpuacct:/x/y\n1:cpuset:/x\n", 2),
        # In a container the path may be that of the host.
        ({"cpu.max": "400000 100000"}, "0::/../docker/0123\n", 4),
        ({f"cpu/{n}": v for n, v in V1.items()}, "4:cpu:/docker/0123\n", 2),
    ],
)
def test_quotas_of_all_cgroups_above_count(eight, files, membership, expected):
    eight(files, membership)
    assert cores.available_cores() == expected


CASES = [
    (8, {}, 2),  # torch's own choice
    (4, {}, 2),  # a thread for every two cores, its choice under hyper-threading
    (7, {}, 7),  # the caller's
    (1, {}, 1),
    (8, {"OMP_NUM_THREADS": "8"}, 8),
    (8, {"MKL_NUM_THREADS": "8"}, 8),
]
LOAD = """
import json, os, sys
from pathlib import Path
import spacy, torch
from spacy_bio_crf import cores
from spacy_bio_crf.cores import use_gpu
from spacy_bio_crf.errors import TrainingError
cores.CGROUP = Path(sys.argv[1])
cores._affinity = lambda: 8
os.cpu_count = lambda: 8
found = []
for before, choices, _ in json.loads(sys.argv[2]):
    for name in cores.CHOICES:
        os.environ.pop(name, None)
    os.environ.update(choices)
    torch.set_num_threads(before)
    spacy.blank("en").add_pipe("bio_ner")
    found.append(torch.get_num_threads())
print(found)
"""


def test_threads_fit_the_cores_where_nobody_has_chosen(run_python, tmp_path):
    (tmp_path / "cpu.max").write_text("200000 100000")
    found = run_python(LOAD, tmp_path, json.dumps(CASES), PYTHONPATH=PROJECT_PATH)
    assert json.loads(found) == [after for _, _, after in CASES]


def test_processes_that_a_command_starts_wait_passively(run_python, monkeypatch):
    for name in cores.PASSIVE:
        monkeypatch.delenv(name, raising=False)
    script = "import os, spacy_bio_crf.cli; print(os.environ.get('OMP_WAIT_POLICY'))"
    assert run_python(script, PYTHONPATH=PROJECT_PATH).strip() == "passive"
    chosen = run_python(script, PYTHONPATH=PROJECT_PATH, OMP_WAIT_POLICY="active")
    assert chosen.strip() == "active"
    assert "OMP_WAIT_POLICY" not in os.environ


def test_a_gpu_or_none(monkeypatch):
    used = []
    monkeypatch.setattr(spacy, "require_gpu", used.append)
    use_gpu(-1)
    use_gpu(2)
    assert used == [2]

    def fail(gpu_id):
        raise RuntimeError("invalid device ordinal")

    monkeypatch.setattr(spacy, "require_gpu", fail)
    with pytest.raises(TrainingError, match="gpu_id: expected -1 .* got 2; the reason given: inv"):
        use_gpu(2, error=TrainingError)
