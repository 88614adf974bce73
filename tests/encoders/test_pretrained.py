"""Encoders on disk: Hugging Face folders, read without a hub and without unpickling."""

import json
import pickle
import shutil
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import spacy
import srsly
import torch
from huggingface_hub import utils as hub
from spacy.language import Language
from tokenizers import normalizers
from transformers import (
    BertModel,
    BrosConfig,
    CanineConfig,
    FNetConfig,
    MraConfig,
    PerceiverConfig,
    PretrainedConfig,
    T5Config,
)
from transformers.utils import logging

from spacy_bio_crf.encoders.transformer import pretrained as storage
from spacy_bio_crf.encoders.transformer import surgery
from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder, transformer_shim
from tests.support.pipelines import MakeNlp, make_examples, spans_of


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder that a test may spoil."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever unpickles or opens a connection fails."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("unpickled something, or reached for the network")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def config_of(pretrained: storage.Pretrained) -> dict[str, Any]:
    config = pretrained.network.config.to_dict()
    # Where the network was read from is no part of what it is.
    return {key: value for key, value in config.items() if key != "_name_or_path"}


def same(a: storage.Pretrained, b: storage.Pretrained) -> bool:
    texts = ["Ana Ruiz met Bo in New York City .", "ünknown Zürich"]
    weights, others = a.network.state_dict(), b.network.state_dict()
    return (
        list(weights) == list(others)
        and all(torch.equal(weights[name], others[name]) for name in weights)
        and config_of(a) == config_of(b)
        and [a.tokenizer(t)["input_ids"] for t in texts]
        == [b.tokenizer(t)["input_ids"] for t in texts]
    )


# Fetch --------------------------------------------------------------------------------------------


def test_fetch_gives_the_bare_encoder_in_float32(folder: Path):
    network = BertModel.from_pretrained(folder)  # with a pooler
    network.half().save_pretrained(folder)
    fetched = storage.fetch(str(folder))
    assert fetched.network.pooler is None
    assert {p.dtype for p in fetched.network.parameters()} == {torch.float32}
    assert not any("pooler" in name for name in fetched.network.state_dict())


def test_fetch_sets_every_dropout(folder: Path):
    assert storage.fetch(str(folder)).network.config.hidden_dropout_prob == 0.1
    config = storage.fetch(str(folder), dropout=0.25).network.config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.25, 0.25)


def test_a_network_without_dropout_can_not_be_given_one(folder: Path, monkeypatch):
    monkeypatch.setattr(surgery, "DROPOUTS", ("dropout_of_another_family",))
    with pytest.raises(
        ValueError, match="dropout: expected null for a bert, which has no .*, got 0.2"
    ):
        storage.fetch(str(folder), dropout=0.2)


def test_a_folder_without_a_tokenizer(folder: Path):
    for path in [*folder.glob("tokenizer*"), *folder.glob("special_tokens_map.json")]:
        path.unlink()
    message = rf"encoder '{folder}': expected tokenizer.json or .*, got no tokenizer that can"
    with pytest.raises(ValueError, match=message):
        storage.fetch(str(folder))
    with pytest.raises(ValueError, match=message):
        storage.load_folder(folder)


def test_a_folder_without_config_or_weights(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match=f"{folder}"):
        storage.fetch(str(folder))
    with pytest.raises(OSError, match=f"{folder}: expected model.safetensors, got no such file"):
        storage.load_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(
        OSError, match=f"encoder '{folder}': expected a folder with a config.json, or the name"
    ):
        storage.fetch(str(folder))
    with pytest.raises(OSError, match=f"{folder}: expected config.json, got no such file"):
        storage.load_folder(folder)


def test_an_encoder_decoder(tmp_path: Path):
    T5Config(d_model=8, num_layers=1, num_heads=1, d_ff=8).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=rf"'{tmp_path}': expected an encoder .*, got an encoder-decoder \(t5\)"
    ):
        storage.fetch(str(tmp_path))


@pytest.mark.parametrize("make_config", [CanineConfig, FNetConfig, PerceiverConfig])
def test_a_network_without_sub_words_or_mask(make_config: type[PretrainedConfig], tmp_path: Path):
    make_config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r": expected an encoder .*, got a network that reads"):
        storage.fetch(str(tmp_path))


@pytest.mark.parametrize("make_config", [BrosConfig, MraConfig])
def test_a_network_that_needs_more_than_sub_words(
    make_config: type[PretrainedConfig], tmp_path: Path
):
    """BROS needs boxes; MRA, without a kernel of its own, leaves out its attention in silence."""
    make_config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r": expected an encoder .*, got a network that needs"):
        storage.fetch(str(tmp_path))


def without(folder: Path, *names: str) -> None:
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    kept = {k: v for k, v in state.items() if not k.startswith(names)}
    assert len(kept) < len(state)
    safetensors.torch.save_file(kept, path, metadata={"format": "pt"})


def test_weights_that_are_missing_are_named(folder: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage.fetch(str(folder))  # complete but for the pooler, which nobody needs
    without(folder, "encoder.layer.1.output.dense")
    name = "encoder.layer.1.output.dense.bias"
    with pytest.warns(UserWarning, match=f"2 of its parameters, which start at random: {name}, e"):
        storage.fetch(str(folder))
    with pytest.raises(
        ValueError,
        match="model.safetensors: expected weights .*, got none of 2, .* encoder.layer.1.ou",
    ):
        storage.load_folder(folder)


@pytest.mark.usefixtures("sealed")
def test_an_unknown_name_offline(monkeypatch: pytest.MonkeyPatch):
    # What HF_HUB_OFFLINE=1 sets in a new process.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    # Of transformers 4.
    monkeypatch.setattr("transformers.utils.hub._is_offline_mode", True, raising=False)
    with pytest.raises(OSError) as caught:
        storage.fetch("nobody/has-this-encoder")
    assert str(caught.value).startswith(
        "encoder 'nobody/has-this-encoder': expected a folder with a config.json, or the name of a"
        " model on the Hugging Face hub and a connection to it, got neither; the reason given: "
    )


# Save and load ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sealed")
def test_what_is_saved_is_read_bit_for_bit(tiny_encoder: Path, tmp_path: Path):
    given = storage.fetch(str(tiny_encoder), dropout=0.3)
    with torch.no_grad():
        for parameter in given.network.parameters():
            parameter.add_(torch.rand_like(parameter))
    target = tmp_path / "some" / "folder"
    storage.save_folder(given, target)
    assert {p.suffix for p in target.iterdir()} <= {".json", ".txt", ".safetensors"}
    loaded = storage.load_folder(target)
    assert same(given, loaded)
    assert loaded.network.config.hidden_dropout_prob == 0.3
    storage.unpack_folder(storage.pack_folder(target), tmp_path / "copy" / "of it")
    assert same(given, storage.load_folder(tmp_path / "copy" / "of it"))


def test_bytes_do_not_tell_where_the_encoder_was_read(tiny_encoder: Path):
    data = build_transformer_encoder(str(tiny_encoder)).initialize().to_bytes()
    other = build_transformer_encoder(str(tiny_encoder)).from_bytes(data)
    assert other.to_bytes() == other.to_bytes() == data


def test_a_tokenizer_is_read_as_it_was_saved(tiny_encoder: Path, tmp_path: Path):
    """Not as its family has it, which transformers 5 would build anew from the vocabulary."""
    given = storage.fetch(str(tiny_encoder))
    given.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("x", "Ruiz")
    given.tokenizer.add_special_tokens({"additional_special_tokens": ["<ent>"]})
    storage.save_folder(given, tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["additional_special_tokens"] == ["<ent>"]
    assert not settings.get("extra_special_tokens")
    # As version 0.1.0 saved it.
    path.write_text(json.dumps({**settings, "tokenizer_class": "BertTokenizer"}))
    loaded = storage.load_folder(tmp_path).tokenizer
    for text in ("Ana x met Bo", "a <ent> b"):
        assert loaded(text)["input_ids"] == given.tokenizer(text)["input_ids"]
    assert loaded("x")["input_ids"] == loaded("Ruiz")["input_ids"]
    assert "<ent>" in loaded.all_special_tokens


def test_a_tokenizer_of_python_that_became_another_is_told(tiny_encoder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    vocab = storage.fetch(str(folder)).tokenizer.get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.__getitem__)))
    (folder / "tokenizer.json").unlink()
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.warns(UserWarning, match=f"{folder} was saved with a tokenizer written in Python"):
        assert storage.load_folder(folder).tokenizer.is_fast


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ({"rope_type": "default", "rope_theta": 5.0}, {"rope_theta": 5.0}),
        (
            {"rope_type": "linear", "factor": 3.0, "rope_theta": 5.0},
            {"rope_theta": 5.0, "rope_scaling": {"rope_type": "linear", "factor": 3.0}},
        ),
        (
            {"full_attention": {"rope_theta": 7.0}, "sliding_attention": {"rope_theta": 5.0}},
            {"global_rope_theta": 7.0, "local_rope_theta": 5.0},
        ),
        (None, {}),
    ],
)
def test_angles_stand_where_transformers_4_has_them(
    tmp_path: Path, angles: dict | None, expected: dict
):
    given = {"model_type": "any", **({"rope_parameters": angles} if angles else {})}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(given))
    storage.settle_config(tmp_path)
    assert json.loads(path.read_text()) == {**given, **expected}


def test_nothing_is_printed(
    tiny_encoder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
):
    before = (logging.is_progress_bar_enabled(), logging.get_verbosity())
    storage.save_folder(storage.fetch(str(tiny_encoder)), tmp_path)
    storage.load_folder(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == before


@pytest.mark.parametrize("hidden", [False, True])
def test_progress_bars_of_downloads_stay_as_they_are(tiny_encoder: Path, hidden: bool):
    seen = []
    before = hub.are_progress_bars_disabled()
    (hub.disable_progress_bars if hidden else hub.enable_progress_bars)()
    try:
        with storage.quiet():
            seen.append(hub.are_progress_bars_disabled())
        seen.append(hub.are_progress_bars_disabled())
    finally:
        (hub.disable_progress_bars if before else hub.enable_progress_bars)()
    assert seen == [hidden, hidden]


@pytest.mark.parametrize("name", ["{}/outside.json", "../outside.json", "x/../../outside.json"])
def test_bytes_can_not_write_outside_their_folder(tmp_path: Path, name: str):
    data = srsly.msgpack_dumps({name.format(tmp_path): b"{}", "in/side.json": b"[]"})
    storage.unpack_folder(data, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert len([path for path in tmp_path.rglob("*.json") if path.is_file()]) == 2
    assert (tmp_path / "folder" / "in" / "side.json").read_bytes() == b"[]"


def test_incomplete_bytes(tiny_encoder: Path):
    shim = transformer_shim(build_transformer_encoder(str(tiny_encoder)).initialize())
    files = srsly.msgpack_loads(shim.to_bytes())
    del files["model.safetensors"]
    with pytest.raises(OSError, match="expected model.safetensors, got no such file"):
        shim.from_bytes(srsly.msgpack_dumps(files))


# Pipelines ----------------------------------------------------------------------------------------


@pytest.fixture
def orphan(make_nlp: MakeNlp, folder: Path) -> Language:
    """A pipeline whose encoder came from a folder that is gone by now."""
    nlp = make_nlp(encoder_options={"name": str(folder)})
    nlp.initialize(lambda: make_examples(nlp))
    shutil.rmtree(folder)
    return nlp


def lattice_of(nlp: Language) -> torch.Tensor:
    docs = [example.predicted for example in make_examples(nlp)]
    return nlp.get_pipe("bio_ner").lattice(docs).emissions


@pytest.mark.usefixtures("sealed")
def test_a_saved_pipeline_needs_neither_hub_nor_source(orphan: Language, tmp_path: Path):
    path = tmp_path / "pipeline"
    orphan.to_disk(path)
    names = {p.name for p in (path / "bio_ner" / "encoder").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    files = [p for p in (path / "bio_ner").rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle")]
    # The weights are there once: in the folder, not in the model's own file as well.
    weights = (path / "bio_ner" / "encoder" / "model.safetensors").stat().st_size
    assert (path / "bio_ner" / "model").stat().st_size < weights / 4
    loaded = spacy.load(path)
    assert torch.equal(lattice_of(loaded), lattice_of(orphan))
    config = json.loads((path / "bio_ner" / "encoder" / "config.json").read_text())
    assert config["model_type"] == "bert"


@pytest.mark.usefixtures("sealed")
def test_a_pipeline_as_bytes_needs_neither_hub_nor_source(orphan: Language):
    other = spacy.util.load_model_from_config(orphan.config)
    other.from_bytes(orphan.to_bytes())
    assert torch.equal(lattice_of(other), lattice_of(orphan))
    text = "Ana Ruiz met Bo in New York City ."
    assert spans_of(other(text)) == spans_of(orphan(text))


def test_a_saved_pipeline_whose_encoder_is_gone(orphan: Language, tmp_path: Path):
    orphan.to_disk(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "bio_ner" / "encoder" / "model.safetensors").unlink()
    with pytest.raises((OSError, ValueError), match="model.safetensors .no such file"):
        spacy.load(tmp_path / "pipeline")


def test_a_pipeline_can_be_saved_before_it_has_weights(make_nlp: MakeNlp, tmp_path: Path):
    make_nlp().to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    with pytest.raises(ValueError, match="E109"):
        loaded("Ana")
    loaded.initialize(lambda: make_examples(loaded))
    assert loaded("Ana").text == "Ana"


@pytest.mark.parametrize("content", [b"", b'{"version": "1.0", "tru', b"\xff\xfe\x00"])
def test_a_damaged_tokenizer_is_named(folder: Path, content: bytes):
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"tokenizer.json.*(is damaged|nothing)"):
        storage.load_folder(folder)
