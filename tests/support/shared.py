"""Tests that need spacy-transformers, which is not installed beside transformers 5."""

from importlib.util import find_spec

import pytest

SHARED_REASON = 'needs pip install "spacy_bio_crf[shared]"'
needs_shared = pytest.mark.skipif(find_spec("spacy_transformers") is None, reason=SHARED_REASON)
