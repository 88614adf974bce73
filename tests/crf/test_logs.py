"""Messages in log space, the reference of the others, against a listing of all paths."""

import itertools
import math

import torch

from spacy_bio_crf.crf.batch import make_batch
from spacy_bio_crf.crf.logs import BLOCK_ENTRIES, LogMessages, blocks
from tests.support.chain_oracle import (
    LENGTHS,
    all_paths,
    cases,
    close,
    log_sum,
    make,
    probabilities,
)


@cases
def test_messages_are_sums_over_paths(n_tags, forbidden, scale):
    chain = make(n_tags, forbidden, scale)
    batch = make_batch(*chain.args)
    messages = LogMessages(batch)
    paths = [all_paths(chain, i) for i in range(len(LENGTHS))]
    expected = [log_sum(list(x.values())) for x in paths]
    assert batch.by_sequence(messages.log_z).tolist() == close(expected)
    weights = torch.arange(1.0, len(LENGTHS) + 1, dtype=torch.float64)
    tags, pairs = messages.counts(batch.by_rank(weights))
    wanted_tags, wanted_pairs = torch.zeros_like(chain.emissions), torch.zeros_like(pairs)
    for i, begin in enumerate(chain.first_rows):
        for path, p in probabilities(paths[i]).items():
            for row, tag in enumerate(path):
                wanted_tags[begin + row, tag] += p * weights[i]
            for before, after in itertools.pairwise(path):
                wanted_pairs[before, after] += p * weights[i]
    torch.testing.assert_close(batch.unpack(tags), wanted_tags, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(pairs, wanted_pairs, rtol=1e-9, atol=1e-9)


@cases
def test_alpha_and_beta_of_a_row_meet_in_log_z(n_tags, forbidden, scale):
    batch = make_batch(*make(n_tags, forbidden, scale).args)
    messages = LogMessages(batch)
    alpha, beta = messages.logs(slice(None))
    met = torch.logsumexp(alpha + beta, dim=1).tolist()
    assert met == close(messages.log_z[batch.row_ranks].tolist())
    assert torch.equal(messages.log_alpha(batch.last), alpha[batch.last])


def test_blocks_are_all_rows_and_small():
    for n_rows, entries in ((0, 5), (7, 1), (10, BLOCK_ENTRIES // 3), (3, 2 * BLOCK_ENTRIES)):
        rows = list(range(n_rows))
        found = [rows[block] for block in blocks(n_rows, entries)]
        assert sum(found, []) == rows
        assert all(len(x) * entries <= max(entries, BLOCK_ENTRIES) for x in found)
        assert len(found) == math.ceil(n_rows / max(1, BLOCK_ENTRIES // entries))
