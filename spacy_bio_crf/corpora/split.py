"""Split Docs into parts for training, development and test, and look for what the parts share."""

import random
from collections.abc import Iterable, Sequence
from itertools import combinations

from spacy.tokens import Doc

from .passages import ConvertError, Leaks

PARTS = ("train", "dev", "test")
DOCUMENTS, DOCS = "documents", "sentences or groups of them (there are fewer documents than parts)"
_SHOWN = 60


def read_shares(text: str) -> tuple[int, ...]:
    """Read the parts' shares.

    text (str): Two or three numbers, such as "80/10/10".
    RETURNS (tuple[int, ...]): The shares of `PARTS`, in that order; two are train and dev.
    RAISES: ConvertError if it is something else.
    """
    numbers = text.split("/")
    if len(numbers) not in (2, 3) or not all(n.isdecimal() and int(n) > 0 for n in numbers):
        raise ConvertError(
            f"--split: got {text!r}, expected two or three shares above 0 such as 80/20 or 80/10/10"
        )
    return tuple(map(int, numbers))


def split_docs(
    docs: Sequence[tuple[int, Doc]], shares: Sequence[int], *, seed: int
) -> tuple[list[list[Doc]], str]:
    """Deal documents out at random. All Docs of a document go to the same part, where they keep
    their order. The same input and seed give the same parts on every machine.

    docs (Sequence[tuple[int, Doc]]): Docs, with the number of the document each belongs to.
    shares (Sequence[int]): How much each part is to get; no part is left empty.
    seed (int): The seed.
    RETURNS (tuple[list[list[Doc]], str]): The Docs of every part, and what was dealt out:
        `DOCUMENTS`, or `DOCS` if there are fewer documents than parts.
    RAISES: ConvertError if there are fewer Docs than parts.
    """
    units = [number for number, _ in docs]
    what = DOCUMENTS
    if len(set(units)) < len(shares):
        units, what = list(range(len(docs))), DOCS
    order = sorted(set(units))
    if len(order) < len(shares):
        raise ConvertError(
            f"--split: {len(order)} documents cannot be split into {len(shares)} parts"
        )
    random.Random(seed).shuffle(order)
    part_of: dict[int, int] = {}
    at = 0
    for part, size in enumerate(part_sizes(len(order), shares)):
        part_of.update(dict.fromkeys(order[at : at + size], part))
        at += size
    parts: list[list[Doc]] = [[] for _ in shares]
    for unit, (_, doc) in zip(units, docs, strict=True):
        parts[part_of[unit]].append(doc)
    return parts, what


def part_sizes(n: int, shares: Sequence[int]) -> list[int]:
    """Cut a number into parts by the method of the largest remainder, none of them empty.

    n (int): The number, not less than there are shares.
    shares (Sequence[int]): The shares.
    RETURNS (list[int]): The parts, which add up to n.
    """
    total = sum(shares)
    sizes = [n * share // total for share in shares]
    remainders = sorted(range(len(shares)), key=lambda i: (-(n * shares[i] % total), i))
    for i in remainders[: n - sum(sizes)]:
        sizes[i] += 1
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return sizes


def find_leaks(parts: Sequence[Iterable[Doc]]) -> list[Leaks]:
    """Find texts and sentences that stand in several parts.

    parts (Sequence[Iterable[Doc]]): The Docs of each of `PARTS`.
    RETURNS (list[Leaks]): What every two parts share, where they share anything. White space counts
        for nothing; where sentences are unknown, a Doc is one.
    """
    texts, sentences = [], []
    for docs in parts:
        texts.append({" ".join(doc.text.split()) for doc in docs})
        sentences.append({sentence for doc in docs for sentence in _sentences(doc)})
    leaks = []
    for a, b in combinations(range(len(parts)), 2):
        same_texts, same_sentences = texts[a] & texts[b], sentences[a] & sentences[b]
        if same_texts or same_sentences:
            example = min(same_texts or same_sentences)
            shown = example if len(example) <= _SHOWN else f"{example[:_SHOWN]}…"
            leaks.append(Leaks((PARTS[a], PARTS[b]), len(same_texts), len(same_sentences), shown))
    return leaks


def _sentences(doc: Doc) -> list[str]:
    if not doc.has_annotation("SENT_START"):
        return [" ".join(doc.text.split())]
    return [" ".join(sent.text.split()) for sent in doc.sents]
