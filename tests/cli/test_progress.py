"""The progress bar of a training."""

import io
import sys
from typing import Any

import pytest

from spacy_bio_crf.cli.progress import RowStream, StepBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def info(step: int, *, epoch: int = 0, score: float | None = None) -> dict[str, Any]:
    words, losses = 50 * (step + 1), {"a": 2.0 * (step + 1), "b": step + 1.0}
    return {"step": step, "epoch": epoch, "words": words, "losses": losses, "score": score}


def draw(monkeypatch, stream: io.StringIO, bar: StepBar, steps: list[dict[str, Any]]) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    for step in steps:
        bar.watch(step)
    assert bar._bar is not None
    bar._bar.refresh()
    bar.close()
    return stream.getvalue()


def test_steps_speed_loss_and_time_left(monkeypatch):
    steps = [info(i) for i in range(4)]
    drawn = draw(monkeypatch, Terminal(), StepBar(max_steps=9, max_epochs=0), steps)
    # The steps are numbered from 0 and end with `max_steps`; the loss is that of a step.
    for part in ("step 4/10", "words/s, loss 3", "<", "40%"):
        assert part in drawn


def test_losses_are_those_since_the_last_evaluation(monkeypatch):
    steps = [info(0), info(1, score=0.5), {**info(2), "losses": {"a": 7.0}}]
    drawn = draw(monkeypatch, Terminal(), StepBar(max_steps=9, max_epochs=0), steps)
    assert drawn.rstrip().endswith("loss 7]")


def test_a_training_that_goes_on(monkeypatch):
    steps = [info(i, score=0.5 if i == 8 else None) for i in range(7, 10)]
    drawn = draw(monkeypatch, Terminal(), StepBar(max_steps=19, max_epochs=0), steps)
    assert "step 10/20" in drawn


def test_the_end_is_known_after_the_first_epoch(monkeypatch):
    steps = [info(i, epoch=i // 3) for i in range(5)]
    drawn = draw(monkeypatch, Terminal(), StepBar(max_steps=0, max_epochs=4), steps)
    assert "step 5/12" in drawn


def test_nothing_is_drawn_elsewhere(monkeypatch):
    bar = StepBar(max_steps=9, max_epochs=0)
    assert draw(monkeypatch, io.StringIO(), bar, [info(0), info(1)]) == ""


def test_rows_appear_above_the_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    bar = StepBar(max_steps=9, max_epochs=0)
    bar.watch(info(0))
    rows = RowStream(sys.stdout)
    before = stream.getvalue()
    print("E   #   LOSS", file=rows, flush=True)
    added = stream.getvalue()[len(before) :]
    # The bar is cleared, and drawn anew below the row.
    assert added.index("E   #   LOSS\n") > added.index("\r") and added.rindex("step") > 10
    assert rows.isatty()
    rows.write("half")
    assert stream.getvalue().endswith("]")
    rows.flush()
    assert stream.getvalue().endswith("half")
    bar.close()


@pytest.mark.parametrize("epochs", [-1, 0])
def test_no_limit(monkeypatch, epochs: int):
    bar = StepBar(max_steps=0, max_epochs=epochs)
    assert "step 2/?" in draw(monkeypatch, Terminal(), bar, [info(0), info(1, epoch=1)])
