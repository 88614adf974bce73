"""Linear-chain conditional random fields on plain tensors. Knows nothing of spaCy.

    score(y | x) = start[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_n]
    P(y | x)     = exp(score(y | x)) / Z(x)

Every function takes the rows of all sequences of a batch one after the other, `emissions [N, K]`,
and `lengths [B]`, which add up to N; a length may be zero. A score of -inf, in whichever of the
four tensors, forbids a tag, a transition, a start or an end. Scores of +inf and NaN have no
meaning, and the caller keeps them out. Sums over paths run in float64, Viterbi in the dtype of its
inputs; results are float32 at least.
"""

from .batch import from_padded
from .best import ScoredPath, kbest, viterbi
from .distribution import entropy, marginals, sample, segment_log_posteriors
from .likelihood import log_partition, negative_log_likelihood, path_score

__all__ = [
    "ScoredPath",
    "entropy",
    "from_padded",
    "kbest",
    "log_partition",
    "marginals",
    "negative_log_likelihood",
    "path_score",
    "sample",
    "segment_log_posteriors",
    "viterbi",
]
