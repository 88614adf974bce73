"""Training batches of about as many sub-words: what a step costs, which words are not."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words

from ..subwords.tokenizer import SubwordTokenizer

Items = Iterable[Example] | Iterable[Doc]


def configure_batch_by_subwords(
    encoder: str,
    size: int | Sequence[int],
    *,
    revision: str | None = None,
    tolerance: float = 0.2,
    discard_oversize: bool = False,
) -> Callable[[Items], Iterable[Sequence[Example | Doc]]]:
    """Make batches by their number of sub-words. Registered as spacy-bio-crf.batch_by_subwords.v1.

    As spaCy's `batch_by_words`, with the sub-words of an encoder's tokenizer, special ones not
    counted. The tokenizer is fetched when the first batch is made.

    encoder (str): A Hugging Face folder, or a name on the hub: that of the pipeline's encoder.
    size (int | Sequence[int]): Sub-words in a batch, or a schedule of that.
    revision (str | None): A branch, tag or commit on the hub.
    tolerance (float): By which part of the size a batch may exceed it.
    discard_oversize (bool): Leave out documents that exceed it by themselves, instead of giving
        each a batch.
    RETURNS (Callable): From examples or documents to batches of them.
    RAISES: ValueError for a size or tolerance out of range and, when the first batch is made, for
        an encoder without a tokenizer that can be read.
    """
    if isinstance(size, int) and size < 1:
        raise ValueError(f"Option 'size' of the batcher is {size}; expected 1 sub-word or more.")
    if tolerance < 0.0:
        raise ValueError(f"Option 'tolerance' of the batcher is {tolerance}; expected 0 or more.")

    @lru_cache(maxsize=1)
    def tokenizer() -> SubwordTokenizer:
        from ..encoders.transformer.pretrained import fetch_tokenizer

        return SubwordTokenizer(fetch_tokenizer(encoder, revision=revision))

    def count(item: Example | Doc) -> int:
        doc = item.predicted if isinstance(item, Example) else item
        return len(tokenizer()([doc])[0].ids)

    def batches(items: Items) -> Iterable[Sequence[Example | Doc]]:
        return minibatch_by_words(
            items,
            size=size,
            tolerance=tolerance,
            discard_oversize=discard_oversize,
            get_length=count,
        )

    return batches
