"""The table of transition scores."""

import numpy as np

from spacy_bio_crf.report.transition_table import transition_table
from spacy_bio_crf.tags.tagset import TagSet


def test_transition_table_leaves_out_what_is_illegal():
    tags = TagSet(("A",))
    start, end = np.arange(3.0), np.arange(3.0) + 20
    between = np.arange(9.0).reshape(3, 3) + 10
    table = transition_table(tags, start, between, end, constrained=True)
    assert table["rows"] == ["start", "O", "B-A", "I-A"]
    assert table["columns"] == ["O", "B-A", "I-A", "end"]
    assert table["scores"] == [
        [0.0, 1.0, None, None],
        [10.0, 11.0, None, 20.0],
        [13.0, 14.0, 15.0, 21.0],
        [16.0, 17.0, 18.0, 22.0],
    ]
    open_table = transition_table(tags, start, between, end, constrained=False)
    assert open_table["scores"][1] == [10.0, 11.0, 12.0, 20.0]
