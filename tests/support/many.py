"""How many examples property tests try: 200, the same ones in every run.

BIO_NER_EXAMPLES=20000 tries that many, other ones in every run; `make test-long` does. A test that
looks at several tokenizers takes a few of them for each example (`some_of`), so that its cost does
not grow with the zoo.
"""

import os
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CHOSEN = os.environ.get("BIO_NER_EXAMPLES")
PROFILE: Any = settings(
    max_examples=int(CHOSEN or 200),
    derandomize=not CHOSEN,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


def some_of(names: Sequence[str], n: int) -> st.SearchStrategy[list[str]]:
    """A strategy for `n` neighbors of a list of names, which is a ring.

    names (Sequence[str]): The names.
    n (int): How many.
    RETURNS (SearchStrategy[list[str]]): The strategy.
    """
    ring = [*names, *names]
    return st.integers(0, len(names) - 1).map(lambda i: ring[i : i + n])
