"""The review of a corpus: where a model that has not seen it doubts its annotation."""
