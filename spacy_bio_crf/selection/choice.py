"""Scores of texts by strategy, the best of a stream, and a choice of texts that differ."""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from ..errors import Plain, SettingsError, check_choice, describe
from ..heads.doubt import Doubt

STRATEGIES = ("entropy", "least-confidence", "margin", "rare", "random", "confident")


@dataclass(frozen=True)
class Strategy:
    """The order in which texts are annotated, by people or, "confident", by the model itself.

    name (str): One of `STRATEGIES`.
        "entropy": the entropy of the distribution over all analyses (Settles & Craven 2008, "An
        Analysis of Active Learning Strategies for Sequence Labeling Tasks", section 3.1, exact and
        not of the N best).
        "least-confidence": -log P of the best analysis (Culotta & McCallum 2005, "Reducing Labeling
        Effort for Structured Prediction Tasks").
        "margin": log P of the second best analysis less that of the best (Scheffer et al. 2001,
        "Active Hidden Markov Models for Information Extraction", in logs).
        "rare": the expected number of entities with certain labels.
        "random": a random number, the same for the same text and seed.
        "confident": log P of the best analysis, of texts with an entity alone (self-training;
        Yarowsky 1995, "Unsupervised Word Sense Disambiguation Rivaling Supervised Methods").
    per_token (bool): Divide by the number of tokens. A margin is multiplied by it: the least of
        many differences gets smaller as they get more.
    labels (tuple[str, ...]): The labels of "rare".
    seed (int): The seed of "random".
    min_probability (float): With "confident", the least P of the best analysis, from 0 to 1.
    RAISES: SettingsError for values that do not fit.
    """

    name: str = "entropy"
    per_token: bool = False
    labels: tuple[str, ...] = ()
    seed: int = 0
    min_probability: float = 0.0

    def __post_init__(self) -> None:
        check_choice("strategy", self.name, STRATEGIES, error=SettingsError)
        if (self.name == "rare") != bool(self.labels):
            expected = "labels for the strategy 'rare', and for no other"
            got = Plain(f"{self.name!r} with {list(self.labels)}")
            raise SettingsError(describe("labels", expected=expected, got=got))
        if self.name == "random" and self.per_token:
            expected = "false for the strategy 'random'"
            raise SettingsError(describe("per_token", expected=expected, got=True))
        if not 0.0 <= self.min_probability <= 1.0:
            expected, least = "a probability, from 0 to 1", self.min_probability
            raise SettingsError(describe("min_probability", expected=expected, got=least))
        if self.min_probability and self.name != "confident":
            expected = "0 for all strategies but 'confident'"
            got = Plain(f"{self.min_probability} with {self.name!r}")
            raise SettingsError(describe("min_probability", expected=expected, got=got))

    def admits(self, doubt: Doubt, entities: Sequence[Any]) -> bool:
        """Say whether a text can be chosen at all.

        doubt (Doubt): The doubt of the model about it.
        entities (Sequence): The entities that the model predicts in it.
        """
        if self.name != "confident":
            return True
        least = math.log(self.min_probability) if self.min_probability else -math.inf
        return bool(entities) and doubt.best >= least

    def score(self, doubt: Doubt, key: bytes) -> float:
        """Score a text; the highest scores come first.

        doubt (Doubt): The doubt of the model about it.
        key (bytes): A hash of the text.
        """
        if self.name == "random":
            digest = blake2b(key, digest_size=8, salt=str(self.seed).encode()[:16]).digest()
            return int.from_bytes(digest, "big") / 2**64
        size = max(1, doubt.tokens)
        if self.name == "margin":
            if doubt.second is None:
                return -np.inf
            return (doubt.second - doubt.best) * (size if self.per_token else 1)
        values = {
            "entropy": doubt.entropy,
            "least-confidence": -doubt.best,
            "confident": doubt.best,
            "rare": sum(doubt.expected[label] for label in self.labels),
        }
        return values[self.name] / (size if self.per_token else 1)


def text_hash(text: str) -> bytes:
    """RETURNS (bytes): A hash that texts with the same characters, white space apart, share."""
    return blake2b("".join(text.split()).encode("utf-8", "replace"), digest_size=16).digest()


class Pool:
    """The rows of a stream with the highest scores, each text once, in memory for those alone.

    size (int): How many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # A heap: score, negative number, hash of the text, row. No two numbers are equal.
        self._heap: list[tuple[float, int, bytes, dict[str, Any]]] = []
        self._keys: set[bytes] = set()
        self._seen = 0

    def add(self, score: float, key: bytes, row: dict[str, Any]) -> None:
        """Take the next row of the stream; of equal scores the first one stays."""
        self._seen += 1
        entry = score, -self._seen, key, row
        if key in self._keys or (len(self._heap) == self.size and entry[:2] < self._heap[0][:2]):
            return
        self._keys.add(key)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            self._keys.discard(heapq.heapreplace(self._heap, entry)[2])

    def __iter__(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """YIELDS (tuple[float, dict]): Scores and rows, the highest first."""
        for score, _, _, row in sorted(self._heap, reverse=True):
            yield score, row


def k_center(vectors: np.ndarray, n: int) -> list[int]:
    """Choose vectors so that each of the others is near one of them, greedily: the first one, then
    always the one that is farthest from all that are chosen, by the cosine.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; for active learning
    Sener & Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach".

    vectors (np.ndarray): Float32 [m, d].
    n (int): How many to choose.
    RETURNS (list[int]): Their rows, in the order in which they are chosen; all if n is m or more.
    """
    # shape: [m, d]
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    nearest = np.full(len(units), np.inf)
    chosen: list[int] = []
    for _ in range(min(n, len(units))):
        # Of the first round all are as far, and the first row is taken.
        row = int(nearest.argmax())
        chosen.append(row)
        nearest = np.minimum(nearest, 1.0 - units @ units[row])
        # Not again, not even beside equal vectors.
        nearest[row] = -np.inf
    return chosen
