"""Facts about encoders, from their files alone."""

import json
from pathlib import Path

import pytest

from spacy_bio_crf.encoders.transformer.facts import inspect_encoder
from tests.support.tiny_models import FAMILIES, POSITIONS, WIDTH, write_checkpoint


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, tmp_path: Path):
    folder = write_checkpoint(tmp_path / family, family)
    (folder / "model.safetensors").unlink()
    facts = inspect_encoder(str(folder))
    assert (facts.family, facts.layers, facts.width) == (family, 2, WIDTH)
    assert facts.limit is None or facts.limit == POSITIONS - 2
    assert facts.lower_cases is (family in ("distilbert", "electra", "albert"))
    assert facts.can_drop_layers is (family != "albert")
    assert not facts.compares_sentences and facts.languages == ()
    assert facts.parameters > 1000


@pytest.mark.parametrize(
    ("card", "compares", "languages"),
    [
        ("---\nlanguage: pt\ntags:\n- fill-mask\n---\n# x\n", False, ("pt",)),
        (
            "---\nlanguage:\n- pt-BR\n- no\nlibrary_name: sentence-transformers\n---\n",
            True,
            ("pt", "no"),
        ),
        ("---\npipeline_tag: sentence-similarity\n---\n", True, ()),
        ("---\ntags: [sentence-transformers]\n---\n", True, ()),
        ("---\n: [\n---\n", False, ()),
        ("---\n- a\n---\n", False, ()),
        ("no fields", False, ()),
    ],
)
def test_the_model_card(tiny_encoder: Path, tmp_path: Path, card: str, compares, languages):
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "README.md").write_text(card)
    facts = inspect_encoder(str(tmp_path))
    assert (facts.compares_sentences, facts.languages) == (compares, languages)


def test_a_folder_of_sentence_transformers(tiny_encoder: Path, tmp_path: Path):
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "modules.json").write_text(json.dumps([]))
    assert inspect_encoder(str(tmp_path)).compares_sentences


def test_what_is_no_encoder(tmp_path: Path):
    with pytest.raises(OSError, match="expected a folder with a config.json"):
        inspect_encoder(str(tmp_path / "nowhere" / "at" / "all"))
