from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.corpora.overlaps import without_overlaps


@given(st.data())
def test_what_stays_of_overlapping_spans(data):
    pair = st.tuples(st.integers(0, 5), st.integers(1, 3))
    spans = [
        (start, start + n, "AB"[i % 2])
        for i, (start, n) in enumerate(data.draw(st.lists(pair, max_size=6)))
    ]
    for rule in ("longest", "first"):
        order = list(range(len(spans)))
        if rule == "longest":
            order.sort(key=lambda i: (-(spans[i][1] - spans[i][0]), spans[i][0], i))
        stay = []
        for i in order:
            if all(spans[i][1] <= spans[k][0] or spans[k][1] <= spans[i][0] for k in stay):
                stay.append(i)
        found = without_overlaps(spans, rule=rule)
        assert found.kept == sorted(stay, key=lambda i: spans[i])
        assert len(found.kept) + len(found.overlapping) + found.repeated == len(spans)
        assert not set(found.kept) & set(found.overlapping)
