"""A component that tests watch from outside, in whatever process it runs."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc


@Language.factory("watched", default_config={"pause": 0.0, "crowd": 1, "lives": 0})
def make_watched(
    nlp: Language, name: str, folder: str, pause: float, crowd: int, lives: int
) -> Callable[[Doc], Doc]:
    """Make a component that leaves its process's number and fails on "poison".

    folder (str): Where it leaves its marks.
    pause (float): Seconds that it takes for a document.
    crowd (int): Processes for which it waits.
    lives (int): How often it kills its process at "deadly".
    """
    marks = Path(folder)

    def watched(doc: Doc) -> Doc:
        if "deadly" in doc.text:
            for life in range(lives):
                try:
                    (marks / f"life-{life}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
        if "poison" in doc.text:
            raise RuntimeError("can't read poison")
        (marks / f"pid-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(marks.glob("pid-*"))) < crowd and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pause)
        return doc

    return watched
