"""Names that the package exports, at no cost until they are used."""

import spacy_bio_crf
from spacy_bio_crf import BioNer, Span, TagSet


def test_exports():
    from spacy_bio_crf.pipes import bio_ner
    from spacy_bio_crf.tags import spans, tagset

    assert BioNer is bio_ner.BioNer and TagSet is tagset.TagSet and Span is spans.Span
    assert set(spacy_bio_crf.__all__) <= set(dir(spacy_bio_crf))
    assert not hasattr(spacy_bio_crf, "NoSuchName")


def test_the_import_is_cheap(run_python):
    script = "import sys, spacy_bio_crf; print('spacy' in sys.modules, 'torch' in sys.modules)"
    assert run_python(script).split() == ["False", "False"]
