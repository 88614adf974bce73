"""Pipelines whose encoders know only the sub-words of some texts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from torch import nn

from ..bulk.inputs import Input
from ..encoders.transformer.layer import TransformerEncoder
from ..encoders.transformer.pretrained import Pretrained
from ..encoders.transformer.shim import TransformerShim
from ..encoders.transformer.trimming import PieceCounts
from ..errors import BioError, Plain, check_choice, check_count, describe
from ..metrics.documents import read_corpus
from ..subwords.tokenizer import Subwords
from ..subwords.vocabulary import KEPT_CHARACTERS, SEEN_CHARACTERS

BATCH = 64  # texts that pass a network together
_SHOWN = 40  # characters of a text in a message

Texts = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class TrimmedEncoder:
    """The account of an encoder.

    component (str): The name of the component that owns it.
    rows (tuple[int, int]): Rows of its embedding, before and after.
    size (tuple[int, int]): Bytes of its weights in memory, before and after.
    changed (int): Texts that have other sub-words now; 0 unless rare ones were to go.
    """

    component: str
    rows: tuple[int, int]
    size: tuple[int, int]
    changed: int


def trim_pipeline(
    nlp: Language, texts: Texts, *, min_count: int = 1, keep_characters: str = SEEN_CHARACTERS
) -> list[TrimmedEncoder]:
    """Cut the vocabulary of each encoder to what some texts need: rows of the embedding, and the
    tokenizer with them.

    The predictions on these texts stay the same, bit for bit; this is checked, by the vector of
    each sub-word. With `min_count` above 1 it holds for the texts without a rare sub-word.

    nlp (Language): A trained pipeline, which changes.
    texts (Callable[[], Iterable[str]]): Gives the texts, several times.
    min_count (int): Sub-words that occur less often go, too.
    keep_characters (str): Single characters that keep sub-words of their own, so that words of them
        never become unknown: "seen" (in the texts), "all" (of the vocabulary) or "none".
    RETURNS (list[TrimmedEncoder]): The account of each encoder.
    RAISES: BioError if there are no texts, no encoder has a transformer of its own, a tokenizer is
        of no kind that can be cut, or a text has other predictions, by its number; the pipeline is
        as it was then.
    """
    check_count("min_count", min_count, least=1)
    check_choice("keep_characters", keep_characters, KEPT_CHARACTERS)
    encoders = _find_transformers(nlp)
    counts = {
        name: PieceCounts(_held_by(encoder), characters=keep_characters)
        for name, encoder in encoders.items()
    }
    n_texts = 0
    for docs in _batches(nlp, texts()):
        n_texts += len(docs)
        for name, encoder in encoders.items():
            counts[name].add(docs, encoder.cut(docs))
    if not n_texts:
        raise BioError(describe("texts", expected="one or more", got=Plain("none")))
    before = {name: _size_of(encoder) for name, encoder in encoders.items()}
    checks = {}
    for name, encoder in encoders.items():
        trimmed, old_ids = counts[name].trim(min_count=min_count)
        checks[name] = _Check(encoder.shim, trimmed, old_ids, strict=min_count == 1)
    try:
        for check in checks.values():
            check.exchange()
        for docs in _batches(nlp, texts()):
            for name, check in checks.items():
                check.note(docs, encoders[name])
    finally:
        for check in checks.values():
            check.restore()
    for docs in _batches(nlp, texts()):
        for name, check in checks.items():
            check.compare(docs, encoders[name])
    for check in checks.values():
        check.exchange()
    return [
        TrimmedEncoder(
            name,
            rows=(before[name][0], _size_of(encoder)[0]),
            size=(before[name][1], _size_of(encoder)[1]),
            changed=checks[name].changed,
        )
        for name, encoder in encoders.items()
    ]


def read_texts(nlp: Language, path: Path, *, text_key: str = "text") -> Iterator[str]:
    """Stream the texts of a corpus.

    path (Path): What `bio-ner annotate` reads, or .spacy: a file or a folder of such files.
    text_key (str): Key or column of the text.
    YIELDS (str): Each text.
    RAISES: ValueError, with its place, for a corpus or a record that can't be read.
    """
    if path.suffix == ".spacy" or (path.is_dir() and any(path.rglob("*.spacy"))):
        yield from (example.reference.text for example in read_corpus(nlp, path))
    else:
        yield from Input(path, "auto", text_key, "", remedy=None).texts()


class _Check:
    """Compares the sub-words and the vectors of texts, before and after.

    trimmed (Pretrained): The encoder afterwards.
    old_ids (np.ndarray): For each of its ids the one before.
    strict (bool): No text may have other sub-words.
    """

    def __init__(
        self, shim: TransformerShim, trimmed: Pretrained, old_ids: np.ndarray, *, strict: bool
    ):
        self.changed = 0
        self._shim = shim
        self._other = trimmed
        self._old_ids = old_ids
        self._strict = strict
        self._text = shim.text
        self._digests: list[bytes | None] = []
        self._compared = 0
        self._is_exchanged = False

    def exchange(self) -> None:
        """Put the other encoder in place."""
        self._other = self._shim.exchange(self._other)
        self._is_exchanged = not self._is_exchanged

    def restore(self) -> None:
        """Put the encoder of the beginning in place."""
        if self._is_exchanged:
            self.exchange()

    def note(self, docs: Sequence[Doc], encoder: TransformerEncoder) -> None:
        """Compare the sub-words of some documents, and note their vectors afterwards.

        RAISES: BioError if sub-words differ, under `strict`.
        """
        pairs = zip(self._text.cut(docs), encoder.cut(docs), strict=True)
        same = [self._are_same(old, new) for old, new in pairs]
        if self._strict and not all(same):
            place = same.index(False)
            raise _other_text(len(self._digests) + place, docs[place], "sub-words")
        self.changed += same.count(False)
        digests = _digest_vectors(
            encoder, [doc for doc, is_same in zip(docs, same, strict=True) if is_same]
        )
        self._digests += [next(digests) if is_same else None for is_same in same]

    def compare(self, docs: Sequence[Doc], encoder: TransformerEncoder) -> None:
        """Compare the vectors of the same documents. RAISES: BioError if they differ."""
        noted = self._digests[self._compared : self._compared + len(docs)]
        chosen = [doc for doc, digest in zip(docs, noted, strict=True) if digest is not None]
        digests = _digest_vectors(encoder, chosen)
        for place, digest in enumerate(noted):
            if digest is not None and digest != next(digests):
                raise _other_text(self._compared + place, docs[place], "vectors")
        self._compared += len(docs)

    def _are_same(self, old: Subwords, new: Subwords) -> bool:
        return (
            np.array_equal(old.ids, self._old_ids[new.ids])
            and np.array_equal(old.rows, new.rows)
            and np.array_equal(old.lengths, new.lengths)
            and np.array_equal(old.word_starts, new.word_starts)
        )


def _find_transformers(nlp: Language) -> dict[str, TransformerEncoder]:
    found = {}
    for name, pipe in nlp.components:
        encoder = getattr(pipe, "encoder", None)
        if isinstance(encoder, TransformerEncoder) and encoder.shim.ready:
            found[name] = encoder
    if not found:
        expected = "a component with its own transformer, spacy-bio-crf.TransformerEncoder.v1"
        raise BioError(
            describe(
                "pipeline", expected=expected, got=Plain(", ".join(nlp.component_names) or "none")
            )
        )
    return found


def _held_by(encoder: TransformerEncoder) -> Pretrained:
    # With adapters, if there are any.
    return Pretrained(encoder.shim.network, encoder.shim.text.tokenizer)


def _size_of(encoder: TransformerEncoder) -> tuple[int, int]:
    """Rows of the embedding, and bytes of all weights."""
    network = encoder.shim.network
    weights = chain(network.parameters(), network.buffers())
    return len(network.get_input_embeddings().weight), sum(w.nbytes for w in weights)


def _digest_vectors(encoder: TransformerEncoder, docs: list[Doc]) -> Iterator[bytes]:
    """A hash of the vectors of each document."""
    vectors, tokens, _ = encoder.emit(docs, nn.Identity(), every=True, train=False)
    for own in vectors.cpu().split([len(t) for t in tokens]):
        yield blake2b(own.contiguous().numpy().tobytes(), digest_size=16).digest()


def _batches(nlp: Language, texts: Iterable[str]) -> Iterator[list[Doc]]:
    for batch in minibatch(texts, BATCH):
        # New words are forgotten after each batch (since spaCy 3.8), or the vocabulary would grow.
        with nlp.memory_zone() if hasattr(nlp, "memory_zone") else nullcontext():
            yield [nlp.make_doc(text) for text in batch]


def _other_text(index: int, doc: Doc, what: str) -> BioError:
    place = f"text {index + 1} ({doc.text[:_SHOWN]!r})"
    got, remedy = (
        Plain(f"other {what}"),
        "the vocabulary of this encoder can't be cut; it is left as it was",
    )
    return BioError(describe(place, expected=f"the {what} of before", got=got, remedy=remedy))
