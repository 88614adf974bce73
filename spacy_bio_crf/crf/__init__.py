"""Linear-chain conditional random fields on plain tensors, without spaCy.

    score(y | x) = start[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_n]
    P(y | x)     = exp(score(y | x)) / Z(x)

All functions take the same five arguments:

emissions (Tensor): The rows of all sequences of a batch, one after the other [N, K].
lengths (Tensor, ndarray or list): Rows of each sequence [B]. They add up to N; any may be zero.
start (Tensor): Scores of a first tag [K].
transitions (Tensor): Scores from a tag to the next [K, K].
end (Tensor): Scores of a last tag [K].

A score of -inf, in whichever of the four tensors, forbids a tag, a transition, a start or an end.
Scores of +inf and NaN have no meaning, and the caller keeps them out. Shapes or lengths that do not
agree raise a ValueError. Sums over paths run in float64, Viterbi in the dtype of its inputs;
results are float32 at least.
"""

from .alternatives import best_differing
from .best import ScoredPath, kbest, viterbi
from .distribution import entropy, marginals, segment_log_posteriors
from .likelihood import log_partition, negative_log_likelihood, path_score

__all__ = [
    "ScoredPath",
    "best_differing",
    "entropy",
    "kbest",
    "log_partition",
    "marginals",
    "negative_log_likelihood",
    "path_score",
    "segment_log_posteriors",
    "viterbi",
]
