"""The most probable tags of a stretch of rows that differ from given ones."""

import math

import numpy as np
import torch
from torch import Tensor

from .batch import Lengths, check_shape, first_rows, inverse, make_batch
from .best import viterbi
from .distribution import check_spans
from .sums import Sums


def best_differing(
    emissions: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    *,
    starts: Tensor,
    ends: Tensor,
    tags: Tensor,
    followers: Tensor,
    lefts: Tensor,
    rights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Find the most probable tags of windows of rows in which a span is not tagged as given.

    All other rows are summed out: of all tags of the window, those with the highest probability
    P(y_l … y_r | x). A window is a chain of its own, with log alpha for its first row and log beta
    added to its last one. Tags differ from those of a span at one of its rows at least, or go on
    behind it; the best of the chains in which one of these is forced is the best of all.

    starts, ends, tags, followers: As for `segment_log_posteriors`; with the followers of an entity,
        a row behind it that continues it counts as another tagging.
    lefts (Tensor): First flat row of the window around each span, int64 [S].
    rights (Tensor): The flat row after its last, int64 [S].
    RETURNS (tuple[Tensor, Tensor]): The tags of all rows of the first window, then of the second,
        and so on, int64; and whether there are any with a probability above 0, bool [S]. Where
        there are none, the tags mean nothing.
    RAISES: ValueError, if a span has no rows, or a window does not lie within one sequence around
        its span.
    """
    batch = make_batch(emissions, lengths, start, transitions, end)
    begins, stops, firsts, lasts = (
        x.detach().cpu().numpy().astype(np.int64) for x in (starts, ends, lefts, rights)
    )
    sequence = np.repeat(np.arange(len(batch.packing.lengths)), batch.packing.lengths)
    check_spans(begins, stops, sequence)
    check_spans(firsts, lasts, sequence)
    if (firsts > begins).any() or (lasts < stops).any():
        raise ValueError("lefts, rights: expected windows around the spans, got narrower ones")
    sizes, widths = stops - begins, lasts - firsts
    check_shape("tags", tags, (int(sizes.sum()),))
    check_shape("followers", followers, (len(sizes), len(batch.transitions)))
    device = batch.device
    # shape: (S, K), the messages at the edges of the windows
    log_alpha = torch.empty((len(sizes), len(batch.transitions)), dtype=torch.float64).to(device)
    log_beta = torch.empty_like(log_alpha)
    packed = inverse(batch.packing.index)
    edges = packed[np.concatenate([firsts, lasts - 1])]
    for places, alpha, beta in Sums(batch).logs_at(edges):
        is_first = places < len(sizes)
        first, last = (torch.from_numpy(x).to(device) for x in (is_first, ~is_first))
        log_alpha[torch.from_numpy(places[is_first]).to(device)] = alpha[first]
        log_beta[torch.from_numpy(places[~is_first] - len(sizes)).to(device)] = beta[last]
    # A chain for each row of a span that differs, and one for the row behind it that goes on.
    counts = sizes + (lasts > stops)
    owner = np.repeat(np.arange(len(sizes)), counts)
    changed = np.arange(len(owner)) - np.repeat(first_rows(counts), counts)
    at = first_rows(widths[owner])
    rows = np.arange(widths[owner].sum()) - np.repeat(at - firsts[owner], widths[owner])
    chains = batch.given[torch.from_numpy(packed[rows]).to(device)].double()
    heads, owners = torch.from_numpy(at).to(device), torch.from_numpy(owner).to(device)
    chains[heads] = log_alpha[owners]
    chains[torch.from_numpy(at + widths[owner] - 1).to(device)] += log_beta[owners]
    place = torch.from_numpy(at + begins[owner] - firsts[owner] + changed).to(device)
    own = changed < sizes[owner]
    mine, behind = (torch.from_numpy(np.flatnonzero(x)).to(device) for x in (own, ~own))
    wanted = torch.from_numpy(first_rows(sizes)[owner[own]] + changed[own]).to(device)
    chains[place[mine], tags.to(device, torch.int64)[wanted]] = -math.inf
    closed = followers.to(device, torch.bool)[owners[behind]]
    chains[place[behind]] = chains[place[behind]].masked_fill(closed, -math.inf)
    free = torch.zeros_like(chains[0]) if len(chains) else log_alpha.new_zeros(log_alpha.shape[1])
    found, scores = viterbi(chains, widths[owner], free, batch.transitions, free)
    # The best chain of each span; of equal ones the first.
    score = scores.cpu().numpy()
    order = np.lexsort((np.arange(len(owner)), -score, owner))
    best = order[first_rows(counts)]
    kept = np.arange(widths.sum()) - np.repeat(first_rows(widths) - at[best], widths)
    exists = torch.from_numpy(score[best] > -math.inf)
    return found.cpu()[torch.from_numpy(kept)].to(emissions.device), exists.to(emissions.device)
