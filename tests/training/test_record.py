"""The record of a training: when it is over, and how a checkpoint keeps it."""

import json

from spacy_bio_crf.training.record import Record


def test_a_record_knows_when_it_is_over():
    record = Record(step=5, results=[(0.5, 0), (0.7, 2), (0.7, 4)])
    assert record.is_over(patience=3, max_steps=0)
    assert not record.is_over(patience=4, max_steps=6)
    assert record.is_over(patience=0, max_steps=5)
    assert not Record().is_over(patience=1, max_steps=1)


def test_a_record_is_read_again():
    """Of JSON, which has no pairs; what the logger was told has the results of its time."""
    results = [(0.5, 0), (0.7, 2)]
    log = [{"step": 0, "checkpoints": results[:1]}, {"step": 2, "checkpoints": results}]
    record = Record(step=3, epoch=1, words=9, losses={"ner": 2.0}, results=results, log=log)
    assert Record.from_data(json.loads(json.dumps(record.data()))) == record
