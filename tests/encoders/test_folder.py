"""Hugging Face folders that are damaged, or name code and places that are not theirs."""

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import spacy
import torch
from spacy.language import Language

from spacy_bio_crf.encoders.transformer import folder as folders
from spacy_bio_crf.encoders.transformer import pretrained as storage
from tests.support.pipelines import MakeNlp, make_examples

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2\nsize 437951328\n"
ELSEWHERE = "someone/kernel:fn"
READ: list[Callable[[Path], Any]] = [lambda f: storage.fetch(str(f)), storage.load_folder]


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder that a test may spoil."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


@pytest.fixture(params=[0, 1], ids=["fetch", "load"])
def read(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return READ[request.param]


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# Damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda whole: POINTER, f"got {len(POINTER)} bytes: the pointer of .* Git LFS; run `git l"),
        (lambda whole: b"", "got 0 bytes: nothing"),
        (lambda whole: whole[: len(whole) // 2], r"got [\d,]+ bytes: no weights of [\d,]+ bytes"),
        (lambda whole: whole[:-1], r"got [\d,]+ bytes: no weights of [\d,]+ bytes"),
        (lambda whole: whole + b"\0", r"got [\d,]+ bytes: no weights of [\d,]+ bytes"),
        (lambda whole: whole[:5], "got 5 bytes: no header of safetensors"),
        (lambda whole: whole[:100], "got 100 bytes: no header of safetensors"),
        (lambda whole: b"<html>not found</html>", "got 22 bytes: no header of safetensors"),
        (lambda whole: whole[:8] + b"[" * 9000, "got 9,008 bytes: no header of safetensors"),
    ],
)
def test_damaged_weights_are_named(
    folder: Path, read: Callable, spoil: Callable[[bytes], bytes], message: str
):
    path = folder / storage.WEIGHTS
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path}: expected weights, {message}"):
        read(folder)


@pytest.mark.parametrize("content", [POINTER, b""])
@pytest.mark.parametrize("name", ["model-00002-of-00002.safetensors", "pytorch_model.bin"])
def test_damaged_weights_of_other_formats(folder: Path, name: str, content: bytes):
    (folder / storage.WEIGHTS).unlink()
    if name.endswith(".bin"):
        torch.save({}, folder / name)
    else:
        state = {"embeddings.word_embeddings.weight": torch.zeros(2, 2)}
        safetensors.torch.save_file(state, folder / "model-00001-of-00002.safetensors")
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{folder / name}: expected weights, got "):
        storage.fetch(str(folder))


def test_half_of_pickled_weights(folder: Path):
    state = safetensors.torch.load_file(folder / storage.WEIGHTS)
    (folder / storage.WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    torch.save(state, path)
    storage.fetch(str(folder))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((OSError, ValueError), match=f"{path}: expected weights, got .* bytes"):
        storage.fetch(str(folder))


def test_parts_of_weights_lie_beside_their_index(folder: Path):
    (folder / storage.WEIGHTS).unlink()
    index = folder / "model.safetensors.index.json"
    for name, expected in (("../other.safetensors", "names of files"), ("a.safetensors", "a.saf")):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises((ValueError, OSError), match=f"{folder}.*: expected {expected}"):
            storage.fetch(str(folder))


@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"],
)
@pytest.mark.parametrize(
    "content", [POINTER, b"", b'{"a": ', b"\xff\xfe\x00", b"[]", b"{}", b"[" * 100_000]
)
def test_damaged_settings_are_named(folder: Path, read: Callable, name: str, content: bytes):
    (folder / name).write_bytes(content)
    if content == b"{}" and name not in ("config.json", "tokenizer.json"):
        read(folder)
        return
    with pytest.raises(ValueError, match=name) as caught:
        read(folder)
    assert "protobuf" not in str(caught.value)


def test_deep_and_huge_settings(folder: Path, read: Callable, monkeypatch):
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    path = folder / "config.json"
    change(path, text_config=deep)
    with pytest.raises(ValueError, match=f"{path}: expected JSON of at most 50 levels, got more"):
        read(folder)
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match=f"{path}: expected JSON of at most 50 levels, got more"):
        read(folder)
    path.write_text('{"model_type": "bert"}' + " " * 2**24)
    with pytest.raises(ValueError, match=f"{path}: expected at most 16,777,216 bytes, got 16,"):
        read(folder)


def test_the_vocabulary_may_be_a_pointer(folder: Path):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(POINTER)
    with pytest.raises(ValueError, match=rf"vocab.txt: .* got {len(POINTER)} bytes: the pointer"):
        storage.fetch_tokenizer(str(folder))


# Sizes --------------------------------------------------------------------------------------------

SIZES = [
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
]


@pytest.mark.parametrize("value", [10**9, 10**7, 1e9, -1, "many", None])
@pytest.mark.parametrize("key", SIZES)
def test_sizes_are_those_of_the_weights(
    folder: Path, read: Callable, key: str, value: Any, monkeypatch: pytest.MonkeyPatch
):
    change(folder / "config.json", **{key: value})
    # No memory is taken for what does not fit.
    monkeypatch.setattr(torch, "empty", limited(torch.empty))
    with pytest.raises(ValueError, match="config.json|model.safetensors"):
        read(folder)


def limited(make: Callable) -> Callable:
    def limited_make(*shape: Any, **options: Any) -> torch.Tensor:
        made = make(*shape, **options)
        assert made.device.type == "meta" or made.numel() < 10**6
        return made

    return limited_make


# Code and places ----------------------------------------------------------------------------------


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever asks for a kernel, opens a connection or reads from the terminal fails."""
    asked: list[str] = []

    def refuse(*arguments: Any, **options: Any) -> Any:
        asked.append(repr(arguments))
        raise AssertionError(f"asked for {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("builtins.input", refuse)
    for module in [m for name, m in sys.modules.items() if name.startswith("transformers")]:
        for name in ("get_kernel", "get_class_from_dynamic_module"):
            if name in vars(module):
                monkeypatch.setattr(module, name, refuse)
    modeling = sys.modules["transformers.modeling_utils"]
    monkeypatch.setattr(modeling, "get_kernel", refuse, raising=False)
    monkeypatch.setattr(modeling, "is_kernels_available", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "kernels", SimpleNamespace(get_kernel=refuse))
    return asked


NAMES: dict[str, Any] = {
    "_attn_implementation": ELSEWHERE,
    "_attn_implementation_internal": ELSEWHERE,
    "attn_implementation": ELSEWHERE,
    "experts_implementation": ELSEWHERE,
    "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Network"},
    "trust_remote_code": True,
    "custom_pipelines": {"any": {"impl": "own.Pipeline"}},
    "transformers_weights": "../other.safetensors",
    "_name_or_path": "someone/else",
    "name_or_path": "someone/else",
    "_commit_hash": "abc",
    "architectures": ["someone/else"],
    "backbone": "someone/else",
    "use_timm_backbone": True,
    "use_pretrained_backbone": True,
    "kernel_config": {"any": ELSEWHERE},
    "torch_dtype": "load",
    "dtype": "load",
}


@pytest.mark.parametrize("nested", [None, "text_config"])
@pytest.mark.parametrize("key", NAMES)
def test_no_setting_chooses_code_or_a_place(
    folder: Path, read: Callable, guarded: list[str], key: str, nested: str | None
):
    (folder / "own.py").write_text("raise SystemExit('code of the folder')")
    value = {key: NAMES[key]}
    if nested:
        value = {nested: {"model_type": "bert", **value}}
    change(folder / "config.json", **value)
    try:
        found = read(folder)
    except ValueError as error:
        assert "config.json" in str(error)
    else:
        assert type(found.network).__module__.startswith("transformers.models.bert")
        assert found.network.config._attn_implementation in ("sdpa", "eager")
    assert not guarded


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoTokenizer": ["own.Tokenizer", "own.Tokenizer"]}),
        ("auto_map", {"AutoTokenizer": ["someone/else--own.Tokenizer", None]}),
        ("tokenizer_class", "AutoTokenizer"),
        ("tokenizer_class", "AutoModel"),
        ("tokenizer_class", "RagTokenizer"),
        ("tokenizer_class", "pipeline"),
        ("tokenizer_class", ["a"]),
        ("tokenizer_file", "/etc/hostname"),
        ("vocab_file", "/etc/hostname"),
        ("name_or_path", "someone/else"),
        ("trust_remote_code", True),
        ("fast_tokenizer_files", ["tokenizer.9.json"]),
        ("processor_class", "AutoModel"),
        ("from_slow", True),
        ("gguf_file", "other.gguf"),
    ],
)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_no_setting_chooses_a_tokenizer_of_another_place(
    folder: Path, read: Callable, guarded: list[str], file: str, key: str, value: Any
):
    expected = storage.fetch_tokenizer(str(folder))("Ana")["input_ids"]
    (folder / "own.py").write_text("raise SystemExit('code of the folder')")
    change(folder / file, **{key: value})
    try:
        found = read(folder).tokenizer
    except ValueError as error:
        assert str(folder) in str(error)
    else:
        assert found("Ana")["input_ids"] == expected
    assert not guarded


@pytest.mark.parametrize("key", ["special_tokens_map_file", "vocab_file"])
def test_files_of_the_makers_machine_do_no_harm(folder: Path, read: Callable, key: str):
    expected = storage.fetch_tokenizer(str(folder))("Ana")["input_ids"]
    change(folder / "tokenizer_config.json", **{key: f"/home/maker/models/{key}.json"})
    assert read(folder).tokenizer("Ana")["input_ids"] == expected


def test_a_tokenizer_of_another_folder_is_not_read(folder: Path, read: Callable, tmp_path: Path):
    other = json.loads((folder / "tokenizer.json").read_bytes())
    vocab = other["model"]["vocab"]
    other["model"]["vocab"] = {piece: len(vocab) - 1 - i for piece, i in vocab.items()}
    (tmp_path / "elsewhere.json").write_text(json.dumps(other))
    change(folder / "tokenizer_config.json", tokenizer_file=str(tmp_path / "elsewhere.json"))
    with pytest.raises(ValueError, match="tokenizer_file: expected a file of its folder"):
        read(folder)


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer"])
def test_a_tokenizer_class_of_older_folders(folder: Path, read: Callable, name: str):
    change(folder / "tokenizer_config.json", tokenizer_class=name)
    assert read(folder).tokenizer("Ana")["input_ids"]


def test_a_network_of_the_folder_s_own_code(folder: Path, read: Callable, guarded: list[str]):
    change(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config"})
    (folder / "own.py").write_text("raise SystemExit('code of the folder')")
    with pytest.raises(ValueError, match=r"config.json: expected settings of a network that trans"):
        read(folder)
    assert not guarded


@pytest.mark.parametrize("kind", ["clip", "detr", "vision-text-dual-encoder", "rag", "gemma3"])
def test_networks_that_read_no_text(folder: Path, read: Callable, guarded: list[str], kind: str):
    change(folder / "config.json", model_type=kind)
    with pytest.raises(ValueError, match=f"config.json|got an? .*{kind}"):
        read(folder)
    assert not guarded


def test_quantized_weights_and_adapters(folder: Path, read: Callable, guarded: list[str]):
    change(folder / "config.json", quantization_config={"quant_method": "mxfp4"})
    with pytest.raises(ValueError, match="quantization_config: expected weights that are not q"):
        read(folder)
    change(folder / "config.json", quantization_config={})
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    with pytest.raises(ValueError, match=f"{folder}: expected a whole network, got an adapter"):
        read(folder)
    assert not guarded


# Files that change, and their modes ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_are_no_view_of_their_file(folder: Path, name: str, dtype: torch.dtype):
    state = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state = {key: tensor.to(dtype) for key, tensor in state.items()}
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        safetensors.torch.save_file(state, folder / name, metadata={"format": "pt"})
    readers = READ if name.endswith(".safetensors") else READ[:1]
    networks = [reader(folder).network for reader in readers]
    spoil(folder)
    for network in networks:
        for key, tensor in network.state_dict().items():
            assert tensor.dtype == torch.float32 or not tensor.is_floating_point()
            assert torch.equal(tensor, state[key].to(tensor.dtype))


def spoil(folder: Path) -> None:
    """Overwrite every file where it lies, as `cp` does."""
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        with path.open("r+b") as file:
            size = path.stat().st_size
            file.write(b"\x3f" * size)
            os.fsync(file.fileno())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_loaded_pipeline_does_not_depend_on_its_files(
    trained: Language, tmp_path: Path, precision: str
):
    trained.to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    nlp.get_pipe("bio_ner").precision = precision
    docs = [example.reference for example in make_examples(nlp)]
    before = [nlp.get_pipe("bio_ner").marginals([doc])[0] for doc in docs]
    again = spacy.load(tmp_path / "pipeline")
    again.get_pipe("bio_ner").precision = precision
    spoil(tmp_path / "pipeline")
    for pipeline in (nlp, again):
        ner = pipeline.get_pipe("bio_ner")
        for doc, expected in zip(docs, before, strict=True):
            assert np.array_equal(ner.marginals([doc])[0], expected)


def test_an_initialized_pipeline_does_not_depend_on_its_encoder(make_nlp: MakeNlp, folder: Path):
    nlp = make_nlp(encoder_options={"name": str(folder)})
    nlp.initialize(lambda: make_examples(nlp))
    docs = [example.reference for example in make_examples(nlp)]
    before = nlp.get_pipe("bio_ner").marginals(docs)
    spoil(folder)
    for a, b in zip(nlp.get_pipe("bio_ner").marginals(docs), before, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_all_files_of_a_saved_pipeline_follow_the_umask(
    trained: Language, tmp_path: Path, mask: int
):
    before = os.umask(mask)
    try:
        trained.to_disk(tmp_path / "pipeline")
        trained.to_disk(tmp_path / "pipeline")
    finally:
        os.umask(before)
    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.rglob("*") if p.is_file()}
    assert "model.safetensors" in modes
    assert {name: mode for name, mode in modes.items() if mode != 0o666 & ~mask} == {}


def test_what_a_killed_save_has_left_goes(tiny_encoder: Path, tmp_path: Path):
    (tmp_path / ".tmpAbC123").write_bytes(b"half of the weights")
    storage.save_folder(storage.fetch(str(tiny_encoder)), tmp_path)
    assert not list(tmp_path.glob(".tmp*"))


def test_adapters_on_the_hub_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """transformers would fetch what they name, once peft is installed."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    asked = []

    def found(name: str, file: str, **options: Any) -> str:
        asked.append((name, file, options))
        return str(folder / file)

    for module in (folders, storage):
        monkeypatch.setattr(module, "cached_file", found)
    message = "some/name: expected a whole network, got an adapter; merge the adapter"
    with pytest.raises(ValueError, match=message):
        storage.fetch("some/name", revision="v1")
    assert asked[-1] == ("some/name", "adapter_config.json", {"revision": "v1"})
