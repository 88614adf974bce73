"""Training batches by sub-words, which determine the cost of a step; words do not."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words

from ..errors import describe
from ..subwords.tokenizer import SubwordTokenizer
from .transformer.pretrained import fetch_tokenizer

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

    Works as spaCy's `batch_by_words`, with the sub-words of an encoder's tokenizer, special ones
    not counted. The tokenizer is fetched for the first batch.

    encoder (str): A Hugging Face folder, or a name on the hub: that of the pipeline's encoder.
    size (int | Sequence[int]): Sub-words in a batch, or a schedule of them.
    revision (str | None): A branch, tag or commit on the hub.
    tolerance (float): The part of the size by which a batch may exceed it.
    discard_oversize (bool): Leave out documents that exceed it alone, instead of giving each a
        batch.
    RETURNS (Callable): From examples or documents to batches of them.
    RAISES: ValueError for a size or tolerance out of range and, when the first batch is made, for
        an encoder without a tokenizer that can be read.
    """
    if isinstance(size, int) and size < 1:
        raise ValueError(describe("size", expected="1 sub-word or more", got=size))
    if tolerance < 0.0:
        raise ValueError(describe("tolerance", expected="0 or more", got=tolerance))

    @lru_cache(maxsize=1)
    def tokenizer() -> SubwordTokenizer:
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
