"""The benchmark of engines runs, and measures speed and memory."""

from pathlib import Path

import pytest

from benchmarks import engines


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_engines_measure_speed_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(engines, "LOOK", 0.01)
    engines.pipeline(engines.tiny_encoder(tmp_path / "encoder")).to_disk(tmp_path / "model")
    engines.write_documents(tmp_path / "in.txt", 3000)
    found = engines.measure(tmp_path, "local", 1)
    assert found["words per second"] > 100 and 0 < found["start"] < found["seconds"]
    assert len(found["memory"]) == 4
    assert all(20 < driver < 4000 and workers == 0 for driver, workers in found["memory"])
    slower = {**found, "name": "ray, 1 worker", "words per second": found["words per second"] / 2}
    engines.show([found, slower])
    assert "ray, 1 worker: 50.0% slower than local, 1 worker" in capsys.readouterr().out
