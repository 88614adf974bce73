"""Named-entity recognition as BIO tagging in spaCy pipelines, with a softmax or a CRF head."""

__version__ = "0.1.0"
