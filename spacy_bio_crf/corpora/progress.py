"""How far the reading of long input has got."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .passages import no_tick

STEP = 1 << 16  # bytes between two looks at the clock
DELAY = 1.0  # seconds before anything is shown


@contextmanager
def progress_bar(paths: Sequence[Path], *, show: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for all bytes of some files, once that takes longer than a second; none where
    stderr is no terminal.

    paths (Sequence[Path]): The files.
    show (bool): Whether to show it at all.
    YIELDS (Callable[[int], None]): To be called with the bytes dealt with since the last call.
    """
    if not show:
        yield no_tick
        return
    from tqdm import tqdm

    total = sum(path.stat().st_size for path in paths)
    # None: only where stderr is a terminal.
    with tqdm(
        total=total, unit="B", unit_scale=True, delay=DELAY, leave=False, disable=None
    ) as bar:
        waiting = 0

        def tick(n_bytes: int) -> None:
            nonlocal waiting
            waiting += n_bytes
            if waiting >= STEP:
                bar.update(waiting)
                waiting = 0

        yield tick
