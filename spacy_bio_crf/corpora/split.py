"""Random splits of Docs into training, development and test data, and texts the parts share."""

import random
from collections.abc import Iterable, Sequence
from itertools import combinations

from spacy.tokens import Doc

from ..errors import ConvertError, Plain, describe
from .passages import Leaks

PARTS = ("train", "dev", "test")
DOCUMENTS, DOCS = "documents", "sentences or groups of them (there are fewer documents than parts)"
_SHOWN = 60


def split_docs(
    docs: Sequence[tuple[int, Doc]], shares: Sequence[int], *, seed: int
) -> tuple[list[list[Doc]], str]:
    """Deal documents out at random. All Docs of a document go to the same part, where they keep
    their order. The same input and seed give the same parts on every machine.

    docs (Sequence[tuple[int, Doc]]): Docs, with the number of the document each belongs to.
    shares (Sequence[int]): The parts' shares; no part is left empty.
    seed (int): The seed.
    RETURNS (tuple[list[list[Doc]], str]): The Docs of each part, and the unit dealt out:
        `DOCUMENTS`, or `DOCS` if there are fewer documents than parts.
    RAISES: ConvertError if there are fewer Docs than parts.
    """
    units = [number for number, _ in docs]
    what = DOCUMENTS
    if len(set(units)) < len(shares):
        units, what = list(range(len(docs))), DOCS
    order = sorted(set(units))
    if len(order) < len(shares):
        expected, got = f"{len(shares)} documents, one for each part", Plain(str(len(order)))
        raise ConvertError(describe("split", expected=expected, got=got))
    random.Random(seed).shuffle(order)
    part_of: dict[int, int] = {}
    at = 0
    for part, size in enumerate(_part_sizes(len(order), shares)):
        part_of.update(dict.fromkeys(order[at : at + size], part))
        at += size
    parts: list[list[Doc]] = [[] for _ in shares]
    for unit, (_, doc) in zip(units, docs, strict=True):
        parts[part_of[unit]].append(doc)
    return parts, what


def _part_sizes(n: int, shares: Sequence[int]) -> list[int]:
    """Parts of a number by the method of the largest remainder, none of them empty."""
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
    """Find texts and sentences that are in several parts.

    parts (Sequence[Iterable[Doc]]): The Docs of each of `PARTS`.
    RETURNS (list[Leaks]): The shared texts of each two parts that share any. White space is not
        compared; a Doc without sentence starts is one sentence.
    """
    texts, sentences = [], []
    for docs in parts:
        texts.append({plain_text(doc.text) for doc in docs})
        sentences.append({sentence for doc in docs for sentence in _sentences(doc)})
    leaks = []
    for a, b in combinations(range(len(parts)), 2):
        same_texts, same_sentences = texts[a] & texts[b], sentences[a] & sentences[b]
        if same_texts or same_sentences:
            example = min(same_texts or same_sentences)
            shown = example if len(example) <= _SHOWN else f"{example[:_SHOWN]}…"
            leaks.append(Leaks((PARTS[a], PARTS[b]), len(same_texts), len(same_sentences), shown))
    return leaks


def plain_text(text: str) -> str:
    """RETURNS (str): The text in the form in which texts are compared: single spaces only."""
    return " ".join(text.split())


def _sentences(doc: Doc) -> list[str]:
    if not doc.has_annotation("SENT_START"):
        return [plain_text(doc.text)]
    return [plain_text(sent.text) for sent in doc.sents]
