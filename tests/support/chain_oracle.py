"""What the CRF engine computes, from the definition: by listing every path. Slow and simple.

Shares no code with the engine: plain Python floats, `itertools.product`, loops.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch

Tags = tuple[int, ...]

# Each ragged batch has lengths 0 to 5 in some order; 4 tags and 5 rows make 1,024 paths.
LENGTHS = [3, 0, 5, 1, 2, 4]
# For comparisons of algorithms with one another, which need no listing.
RAGGED = [70, 0, 1, 200, 33, 2, 129, 64]
CASES = [
    pytest.param(n_tags, forbidden, scale, id=f"{n_tags} tags, {forbidden} forbidden, x{scale}")
    for n_tags, (forbidden, scale) in itertools.product(
        (1, 2, 3, 4), ((0.0, 1.0), (0.15, 1.0), (0.3, 1.0), (0.1, 1e4), (0.0, 300.0))
    )
]
cases = pytest.mark.parametrize("n_tags, forbidden, scale", CASES)


def close(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


@dataclass(frozen=True)
class Chain:
    """Scores of a ragged batch, as the engine takes them."""

    emissions: torch.Tensor
    lengths: list[int]
    start: torch.Tensor
    transitions: torch.Tensor
    end: torch.Tensor

    @property
    def args(self) -> tuple:
        return self.emissions, self.lengths, self.start, self.transitions, self.end

    @property
    def first_rows(self) -> list[int]:
        return [sum(self.lengths[:i]) for i in range(len(self.lengths))]

    def sequence(self, i: int) -> "Chain":
        begin = self.first_rows[i]
        rows = self.emissions[begin : begin + self.lengths[i]]
        return Chain(rows, [self.lengths[i]], self.start, self.transitions, self.end)


def make(n_tags: int, forbidden: float, scale: float) -> "Chain":
    return random_chain(n_tags, n_tags, LENGTHS, forbidden=forbidden, scale=scale)


def random_chain(
    seed: int,
    n_tags: int,
    lengths: list[int],
    *,
    forbidden: float = 0.0,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> Chain:
    """Draw scores; a share of all of them, `forbidden`, is -inf."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        scores = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        closed = torch.rand(shape, generator=generator) < forbidden
        return scores.masked_fill(closed, -math.inf).to(dtype)

    return Chain(
        draw(sum(lengths), n_tags), lengths, draw(n_tags), draw(n_tags, n_tags), draw(n_tags)
    )


def few_rows(emissions: list, start: list, transitions: list, end: list) -> Chain:
    """One sequence with the given scores."""
    tensors = [torch.tensor(x, dtype=torch.float64) for x in (emissions, start, transitions, end)]
    return Chain(tensors[0], [len(emissions)], *tensors[1:])


def leaves_of(chain: Chain) -> list[torch.Tensor]:
    """The four tensors of scores, as leaves that take gradients."""
    scores = chain.emissions, chain.start, chain.transitions, chain.end
    return [x.requires_grad_() for x in scores]


def score_of(chain: Chain, i: int, tags: Tags) -> float:
    """Score one path of sequence `i` by the formula."""
    if not tags:
        return 0.0
    rows = chain.sequence(i).emissions.tolist()
    score = chain.start[tags[0]].item() + chain.end[tags[-1]].item()
    for row, tag in zip(rows, tags, strict=True):
        score += row[tag]
    for before, after in itertools.pairwise(tags):
        score += chain.transitions[before, after].item()
    return score


def all_paths(chain: Chain, i: int) -> dict[Tags, float]:
    """Score every path of sequence `i`."""
    n_tags = len(chain.start)
    paths = itertools.product(range(n_tags), repeat=chain.lengths[i])
    return {tags: score_of(chain, i, tags) for tags in paths}


def log_sum(scores: list[float]) -> float:
    top = max(scores, default=-math.inf)
    if top == -math.inf:
        return -math.inf
    return top + math.log(math.fsum(math.exp(score - top) for score in scores))


def probabilities(paths: dict[Tags, float]) -> dict[Tags, float]:
    """The distribution over the paths; all zeros where none is allowed."""
    log_z = log_sum(list(paths.values()))
    if log_z == -math.inf:
        return dict.fromkeys(paths, 0.0)
    return {tags: math.exp(score - log_z) for tags, score in paths.items()}


def kinds_of_chains() -> list[tuple[str, Chain]]:
    chains = []
    for n_tags in (1, 2, 5, 13):
        for scale, forbidden in ((1.0, 0.0), (5.0, 0.2), (1e4, 0.0)):
            name = f"{n_tags} tags, x{scale}, {forbidden} forbidden"
            for dtype in (torch.float32, torch.float64):
                chain = random_chain(
                    n_tags, n_tags, RAGGED, scale=scale, forbidden=forbidden, dtype=dtype
                )
                chains.append((f"{name}, {dtype}", chain))
        plain = random_chain(n_tags, n_tags, RAGGED, dtype=torch.float32)
        stay = torch.full((n_tags, n_tags), -100.0).fill_diagonal_(0.0)
        # paths never meet, so no piece can know what enters it
        chains.append(
            (f"{n_tags} tags, stay", Chain(plain.emissions, RAGGED, plain.start, stay, plain.end))
        )
        tied = [x.round() if isinstance(x, torch.Tensor) else x for x in plain.args]
        chains.append((f"{n_tags} tags, tied", Chain(*tied)))
    return chains


CHAINS = kinds_of_chains()
chains = pytest.mark.parametrize(
    "chain", [chain for _, chain in CHAINS], ids=[name for name, _ in CHAINS]
)
