"""Commands without spaCy's own in front: `python -m spacy_bio_crf …`, for torchrun."""

from .cli import app

if __name__ == "__main__":
    app(prog_name="python -m spacy_bio_crf")
