"""Progress bar of a training, on a terminal."""

import sys
import time
from typing import IO, Any

from tqdm import tqdm

_FORM = "{l_bar}{bar}| step {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class StepBar:
    """A bar with steps, words per second, loss and time left. Silent if stderr is no terminal.

    max_steps, max_epochs (int): Limits of the training; 0 or less is none. Without a limit on steps
        the time left is known after the first epoch.
    """

    def __init__(self, *, max_steps: int, max_epochs: int):
        self._epochs = max_epochs if max_steps <= 0 else 0
        self._bar: tqdm | None = None
        # The first step is number 0, and the step `max_steps` is taken.
        self._total = max_steps + 1 if max_steps > 0 else None
        self._words, self._began, self._since = 0, 0.0, 0

    def watch(self, info: dict[str, Any]) -> None:
        """Move on by a step. info (dict): What `Training.run` tells of it."""
        if self._bar is None:
            self._bar = tqdm(
                total=self._total,
                initial=info["step"],
                disable=None,
                file=sys.stderr,
                bar_format=_FORM,
                leave=False,
                dynamic_ncols=True,
            )
            self._words, self._began, self._since = info["words"], time.monotonic(), info["step"]
        if self._epochs > 0 and self._bar.total is None and info["epoch"] == 1:
            self._bar.total = info["step"] * self._epochs
        if not self._bar.disable:
            speed = (info["words"] - self._words) / max(1e-9, time.monotonic() - self._began)
            steps = max(1, info["step"] - self._since + 1)
            loss = sum(map(float, info["losses"].values())) / steps
            self._bar.set_postfix_str(f"{speed:,.0f} words/s, loss {loss:.3g}", refresh=False)
        if info["score"] is not None:
            self._since = info["step"] + 1
        self._bar.update(1)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class RowStream:
    """A stream whose lines appear above a bar, which is drawn anew below them.

    stream (IO): Where lines go.
    """

    def __init__(self, stream: IO):
        self._stream = stream
        self._line = ""

    def write(self, text: str) -> int:
        """Write text, when its line ends. RETURNS (int): Its length."""
        lines, end, rest = (self._line + text).rpartition("\n")
        self._line = rest
        if end:
            with tqdm.external_write_mode(file=self._stream):
                self._stream.write(lines + end)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, with a line that has not ended."""
        if self._line:
            self._stream.write(self._line)
            self._line = ""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()
