"""Every registered name is found through the installed package's entry points alone."""

import subprocess
import sys
from importlib.metadata import distribution

import pytest
import spacy

# spaCy's registry, the name in it, and the function.
NAMES = [
    ("factories", "bio_encoder", "pipes.bio_encoder:make_bio_encoder"),
    ("factories", "bio_ner", "pipes.bio_ner:make_bio_ner"),
    ("factories", "bio_tagger", "pipes.bio_tagger:make_bio_tagger"),
    ("architectures", "spacy-bio-crf.BioTagger.v1", "model:build_bio_tagger"),
    ("architectures", "spacy-bio-crf.Ensemble.v1", "averaging:build_ensemble"),
    (
        "architectures",
        "spacy-bio-crf.TransformerEncoder.v1",
        "encoders.transformer.layer:build_transformer_encoder",
    ),
    ("architectures", "spacy-bio-crf.SharedEncoder.v1", "encoders.shared:build_shared_encoder"),
    (
        "architectures",
        "spacy-bio-crf.TransformerListener.v1",
        "encoders.listener:build_transformer_listener",
    ),
    ("architectures", "spacy-bio-crf.Tok2VecEncoder.v1", "encoders.tok2vec:build_tok2vec_encoder"),
    ("architectures", "spacy-bio-crf.SoftmaxHead.v1", "heads.emitter:build_softmax_head"),
    ("architectures", "spacy-bio-crf.CRFHead.v1", "heads.emitter:build_crf_head"),
    ("scorers", "spacy-bio-crf.bio_ner_scorer.v1", "metrics.scorer:make_bio_ner_scorer"),
    (
        "scorers",
        "spacy-bio-crf.bio_tagger_scorer.v1",
        "metrics.tag_scorer:make_bio_tagger_scorer",
    ),
    ("readers", "spacy-bio-crf.MixedCorpus.v1", "corpora.mixed:build_mixed_corpus"),
    ("loggers", "spacy-bio-crf.CurveLogger.v1", "training.logger:build_curve_logger"),
    (
        "batchers",
        "spacy-bio-crf.batch_by_subwords.v1",
        "encoders.batcher:configure_batch_by_subwords",
    ),
    (
        "tokenizers",
        "spacy-bio-crf.LanguageTokenizer.v1",
        "training.lang_tokenizer:build_language_tokenizer",
    ),
    ("cli", "bio-ner", "cli:app"),
]


def test_table_is_complete():
    declared = {
        (point.group, point.name, point.value)
        for point in distribution("spacy_bio_crf").entry_points
        if point.group.startswith("spacy_")
    }
    expected = {(f"spacy_{group}", name, f"spacy_bio_crf.{value}") for group, name, value in NAMES}
    assert declared == expected


# spaCy keeps the factories of entry points apart: `add_pipe` below is what finds them.
@pytest.mark.parametrize(("group", "name", "value"), NAMES[3:])
def test_registry_finds_the_function(group, name, value):
    found = getattr(spacy.registry, group).get(name)
    module, attribute = value.split(":")
    assert found is getattr(sys.modules[f"spacy_bio_crf.{module}"], attribute)


def test_add_pipe_needs_no_import():
    factories = [name for _, name, _ in NAMES[:3]]
    program = f"import spacy; print([spacy.blank('xx').add_pipe(n).name for n in {factories}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str(factories)), done.stderr


def test_commands_run_in_a_process_of_their_own():
    command = [sys.executable, "-m", "spacy", "bio-ner", "convert", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "--split" in done.stdout, done.stderr
