"""Adapters apart from their base: files, damage, and what peft reads of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from transformers import AutoModel

from spacy_bio_crf.encoders.transformer import adapter_files
from spacy_bio_crf.encoders.transformer.adapter_files import (
    find_base,
    load_apart,
    read_encoder,
    shared_files,
)
from spacy_bio_crf.encoders.transformer.adapters import adapter_weights
from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder, transformer_shim
from spacy_bio_crf.encoders.transformer.shared_base import digest_of
from tests.support.encoder_tools import TEXTS, docs_of
from tests.support.tiny_models import make_encoder

peft = pytest.importorskip("peft", reason="adapters need peft")

LORA = {"r": 4, "alpha": 8, "merge": False}


def vectors_of(encoder: Any) -> np.ndarray:
    return np.concatenate([v.dataXd for v in encoder.predict(docs_of(TEXTS))])


def an_encoder(folder: Path, seed: int = 0, **options: Any) -> Any:
    encoder, shim = make_encoder(folder, lora=LORA, **options)
    chance = torch.Generator().manual_seed(seed)
    for tensor in adapter_weights(shim.network).values():
        tensor.copy_(torch.randn(tensor.shape, generator=chance) * 0.2)
    return encoder


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """The folder `encoder` of a component in a pipeline."""
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    for name in ("config.cfg", "meta.json"):
        (pipeline / name).touch()
    transformer_shim(an_encoder(tiny_encoder)).save(pipeline / "bio_ner" / "encoder")
    return pipeline / "bio_ner" / "encoder"


def test_what_is_written(folder: Path, tiny_encoder: Path):
    base = find_base(folder)
    assert base is not None and base.parent == folder.parent.parent
    assert base.name.startswith("base-") and len(base.name) == 21
    assert shared_files(folder) == [base / "config.json", base / "model.safetensors"]
    assert not (folder / "model.safetensors").exists()
    weights = safetensors.torch.load_file(base / "model.safetensors")
    original = safetensors.torch.load_file(tiny_encoder / "model.safetensors")
    assert {*weights} == {*original}
    assert all(torch.equal(weights[name], original[name]) for name in original)
    size = (folder / "adapter_model.safetensors").stat().st_size
    assert size < (base / "model.safetensors").stat().st_size
    assert size.bit_length() > 10


def test_peft_reads_the_same(folder: Path):
    encoder = build_transformer_encoder("none", lora=LORA)
    transformer_shim(encoder).from_bytes(b"")
    pretrained, weights = load_apart(folder)
    transformer_shim(encoder).set_pretrained(pretrained, adapts=True, weights=weights)
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        own = transformer_shim(encoder).network.eval()(input_ids=ids)[0]
        plain = AutoModel.from_pretrained(find_base(folder))
        theirs = peft.PeftModel.from_pretrained(plain, folder).eval()(input_ids=ids)[0]
    torch.testing.assert_close(own, theirs, atol=1e-6, rtol=0)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (4, 8)
    assert settings["base_model_name_or_path"] == f"../../{find_base(folder).name}"  # type: ignore[union-attr]


def test_casing_belongs_to_the_adapters(tiny_encoder: Path, tmp_path: Path):
    encoder = an_encoder(tiny_encoder, casing=True)
    place = tmp_path / "component" / "encoder"
    transformer_shim(encoder).save(place)
    assert find_base(place) == place / "base" and shared_files(place) == []
    assert "casing.weight" not in safetensors.torch.load_file(place / "base" / "model.safetensors")
    other = build_transformer_encoder("none", lora=LORA, casing=True)
    other.from_bytes(encoder.to_bytes())
    assert np.array_equal(vectors_of(other), vectors_of(encoder))


def test_a_base_that_is_there_stays(folder: Path, tiny_encoder: Path):
    base = find_base(folder)
    assert base is not None
    weights = base / "model.safetensors"
    before = weights.stat().st_ino
    other = folder.parents[1] / "other" / "encoder"
    transformer_shim(an_encoder(tiny_encoder, seed=1)).save(other)
    assert find_base(other) == base and weights.stat().st_ino == before
    # Saved again after it was damaged, it is whole.
    whole = weights.read_bytes()
    for damaged in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        weights.write_bytes(damaged)
        transformer_shim(an_encoder(tiny_encoder, seed=1)).save(other)
        assert weights.read_bytes() == whole
    (base / "config.json").unlink()
    transformer_shim(an_encoder(tiny_encoder, seed=1)).save(other)
    assert (base / "config.json").is_file()


def test_a_base_is_looked_through_once(
    folder: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
):
    looked = []
    monkeypatch.setattr(
        adapter_files, "digest_of", lambda weights: looked.append(1) or digest_of(weights)
    )
    read_encoder(folder)
    others = [folder.parents[1] / name / "encoder" for name in ("second", "third")]
    for other in others:
        transformer_shim(an_encoder(tiny_encoder, seed=1)).save(other)
        read_encoder(other)
    assert len(looked) == 1
    # What is written since then is looked through again.
    weights = find_base(folder) / "model.safetensors"  # type: ignore[operator]
    weights.write_bytes(weights.read_bytes())
    read_encoder(folder)
    assert len(looked) == 2
    # No more than some are remembered.
    for number in range(1000):
        adapter_files._remember((number,))
    assert len(adapter_files._WHOLE) < 100


def test_damage(folder: Path, tmp_path: Path):
    base = find_base(folder)
    assert base is not None
    adapters, weights = folder / "adapter_model.safetensors", base / "model.safetensors"
    whole = {path: path.read_bytes() for path in (adapters, weights)}
    for path, content in whole.items():
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=f"{path}: expected weights, got .* bytes"):
            read_encoder(folder)
        path.write_bytes(content)
    other = safetensors.torch.load(whole[weights])
    other["embeddings.LayerNorm.bias"][0] += 1
    safetensors.torch.save_file(other, weights, metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match="expected the weights that the adapters in .*, got others"
    ):
        read_encoder(folder)
    shutil.rmtree(base)
    with pytest.raises(
        OSError, match=f"expected the folder {base.name}, got no such folder; copy the whole folder"
    ):
        read_encoder(folder)
    own = safetensors.torch.load(whole[adapters])
    for digest in ("", "../../elsewhere", "A" * 64):
        safetensors.torch.save_file(own, adapters, metadata={"format": "pt", "base": digest})
        with pytest.raises(ValueError, match=f"base: expected the SHA-256 .*, got '{digest}'"):
            read_encoder(folder)


def test_adapters_without_their_settings(folder: Path, tiny_encoder: Path):
    data = an_encoder(tiny_encoder).to_bytes()
    with pytest.raises(
        ValueError, match="lora: expected the settings of the adapters .*, got None"
    ):
        build_transformer_encoder("none").from_bytes(data)
    with pytest.raises(ValueError, match=r"expected the shape \(3, 32\), got \(4, 32\)"):
        build_transformer_encoder("none", lora={**LORA, "r": 3}).from_bytes(data)
