"""Named-entity recognition as BIO tagging in spaCy pipelines, with a softmax or a CRF head."""

import warnings

from .installed import find_clash

__version__ = "0.1.0"

if clash := find_clash():
    # spaCy is about to fail with the traceback of another package.
    warnings.warn(clash, stacklevel=2)
