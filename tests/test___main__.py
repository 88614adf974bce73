"""The commands without spaCy's own, as torchrun starts them."""

import subprocess
import sys


def test_commands_without_those_of_spacy():
    done = subprocess.run(
        [sys.executable, "-m", "spacy_bio_crf", "train", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Usage: python -m spacy_bio_crf train [OPTIONS]" in done.stdout
