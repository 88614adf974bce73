"""Small tokenizers of every family, trained offline from a few sentences.

Each is built as the family's published tokenizers are: same normaliser, same pre-tokeniser, same
model and special sub-words; only the vocabulary is small. `FAST` and `SLOW` name the builders, and
`tokenizer(name)` builds one once.
"""

import json
import struct
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import log, sqrt
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    processors,
    trainers,
)
from tokenizers import pre_tokenizers as pre
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

try:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy
except ImportError:
    # transformers 4 has the tokenizer written in Python under the plain name.
    from transformers import BertTokenizer as BertTokenizerLegacy

SENTENCES = [
    "The panic doesn't stop; don't ask me why, it won't and it can't.",
    "Maria da Silva mora em São Paulo e trabalha na Petrobras desde 2010.",
    "A decisão foi tomada à noite, pelo juiz, na cidade de Brasília.",
    "Ação, reação, coração, informação, organização e população.",
    "Die Donaudampfschifffahrtsgesellschaft fährt über die schöne Straße.",
    "Helsingissä asuu paljon ihmisiä, ja järvenranta on kaunis.",
    "我住在北京。他在上海工作,昨天去了东京。",
    "東京タワーへ行きました。とてもきれいでした。",
    "สวัสดีครับ ผมชื่อสมชาย อยู่กรุงเทพ",
    "السلام عليكم، أنا أسكن في القاهرة. مُحَمَّد",
    "שלום עולם, אני גר בתל אביב. שָׁלוֹם",
    "नमस्ते दुनिया, मैं दिल्ली में रहता हूँ।",
    "Привет, я живу в Москве. Ελλάδα και Αθήνα.",
    "I ❤️ NY 😀 👨‍👩‍👧 🇧🇷 #hashtag @user https://example.org/a_b?c=1",
    "He paid $1,234.56 (about 50%) for 3.5 kg of ﬁsh … and ½ of it.",
    "if a[0] < b/c and d > 1: print('{x}') # TODO",
]
VOCAB_SIZE = 700

FAST: dict[str, Callable[[], Any]] = {}
SLOW: dict[str, Callable[[], Any]] = {}


@cache
def tokenizer(name: str) -> Any:
    """Build the tokenizer of this name, once."""
    return {**FAST, **SLOW}[name]()


def _fast(engine: Tokenizer, **special: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=engine, **special)


BERT_SPECIAL = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
ROBERTA_SPECIAL = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "mask_token": AddedToken("<mask>", lstrip=True, normalized=False, special=True),
}


def _wordpiece(*, lowercase: bool, strip_accents: bool | None, texts: list[str]) -> Tokenizer:
    engine = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    engine.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    engine.pre_tokenizer = pre.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=list(BERT_SPECIAL.values()), show_progress=False
    )
    engine.train_from_iterator(texts, trainer)
    cls, sep = engine.token_to_id("[CLS]"), engine.token_to_id("[SEP]")
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return engine


def bert_cased() -> PreTrainedTokenizerFast:
    engine = _wordpiece(lowercase=False, strip_accents=None, texts=SENTENCES)
    return _fast(engine, **BERT_SPECIAL)


def bert_uncased() -> PreTrainedTokenizerFast:
    """Also DistilBERT's and ELECTRA's: accents are stripped, composed or not."""
    engine = _wordpiece(lowercase=True, strip_accents=None, texts=SENTENCES)
    return _fast(engine, **BERT_SPECIAL)


def bert_narrow() -> PreTrainedTokenizerFast:
    """Knows Latin script only, so that most words of others are one `[UNK]`."""
    engine = _wordpiece(lowercase=False, strip_accents=False, texts=SENTENCES[:6])
    return _fast(engine, **BERT_SPECIAL)


def _byte_level(special: list[str], *, add_prefix_space: bool) -> Tokenizer:
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre.ByteLevel(add_prefix_space=add_prefix_space)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=special,
        initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(SENTENCES, trainer)
    return engine


def _roberta(*, add_prefix_space: bool, trim_offsets: bool) -> PreTrainedTokenizerFast:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    engine = _byte_level(special, add_prefix_space=add_prefix_space)
    # The second parameter has another name in each release of the library.
    engine.post_processor = processors.RobertaProcessing(
        ("</s>", engine.token_to_id("</s>")),
        ("<s>", engine.token_to_id("<s>")),
        trim_offsets=trim_offsets,
        add_prefix_space=add_prefix_space,
    )
    return _fast(engine, **ROBERTA_SPECIAL)


def roberta() -> PreTrainedTokenizerFast:
    return _roberta(add_prefix_space=False, trim_offsets=True)


def roberta_untrimmed() -> PreTrainedTokenizerFast:
    """Offsets include the space in front."""
    return _roberta(add_prefix_space=False, trim_offsets=False)


def roberta_prefix() -> PreTrainedTokenizerFast:
    return _roberta(add_prefix_space=True, trim_offsets=True)


def gpt2() -> PreTrainedTokenizerFast:
    """Its only special sub-word is beginning, end and unknown in one."""
    engine = _byte_level(["<|endoftext|>"], add_prefix_space=False)
    engine.post_processor = processors.ByteLevel(trim_offsets=False)
    end = "<|endoftext|>"
    return _fast(engine, bos_token=end, eos_token=end, unk_token=end)


def modernbert() -> PreTrainedTokenizerFast:
    """NFC in front, and ordinary added sub-words for runs of spaces."""
    engine = _byte_level(list(BERT_SPECIAL.values()), add_prefix_space=False)
    engine.normalizer = normalizers.NFC()
    engine.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return _fast(engine, **BERT_SPECIAL)


def _unigram(special: list[str], normalizer: Any, *, scheme: str = "always") -> Tokenizer:
    """Every character is a piece at worst; others are the most frequent parts of words.

    Published vocabularies give special pieces the score 0, above that of any other piece.
    """
    engine = Tokenizer(models.Unigram())
    engine.normalizer = normalizer
    engine.pre_tokenizer = pre.Metaspace(prepend_scheme=scheme)
    engine.decoder = decoders.Metaspace(prepend_scheme=scheme)
    counts: Counter[str] = Counter()
    for sentence in SENTENCES:
        for word, _ in engine.pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(sentence)):
            for i, j in combinations(range(len(word) + 1), 2):
                if j - i <= 6:
                    counts[word[i:j]] += (j - i) ** 2
    kept = [p for p in sorted(counts, key=lambda p: (-counts[p], p)) if len(p) == 1]
    kept += [p for p in sorted(counts, key=lambda p: (-counts[p], p)) if len(p) > 1][:VOCAB_SIZE]
    total = sum(counts.values())
    scores = [(piece, 0.0) for piece in special]
    # The second term keeps equally frequent pieces apart: no two readings are equally good.
    scores += [(p, log(counts[p] / total) - sqrt(i + 2) / 100) for i, p in enumerate(kept)]
    engine.model = models.Unigram(scores, unk_id=special.index("<unk>"))
    engine.add_special_tokens(special)
    return engine


def xlm_roberta() -> PreTrainedTokenizerFast:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    normalizer = normalizers.Sequence(
        [normalizers.Precompiled(precompiled_charsmap()), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    return _fast(_unigram(special, normalizer), **ROBERTA_SPECIAL)


def camembert() -> PreTrainedTokenizerFast:
    """Spaces are split before the marker is put in front of each word."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<s>NOTUSED", "</s>NOTUSED"]
    engine = _unigram(special, normalizers.Precompiled(precompiled_charsmap()))
    engine.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])
    return _fast(engine, **ROBERTA_SPECIAL)


def deberta_v3() -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[CLS]", "[SEP]", "<unk>", "[MASK]"]
    normalizer = normalizers.Sequence(
        [
            normalizers.Strip(),
            normalizers.Precompiled(precompiled_charsmap()),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    names = {**BERT_SPECIAL, "unk_token": "<unk>"}
    return _fast(_unigram(special, normalizer), **names)


def albert() -> PreTrainedTokenizerFast:
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Precompiled(precompiled_charsmap()),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    names = {**BERT_SPECIAL, "unk_token": "<unk>", "pad_token": "<pad>"}
    return _fast(_unigram(special, normalizer), **names)


def unigram_first() -> PreTrainedTokenizerFast:
    """The marker is put in front of the text only."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    return _fast(_unigram(special, normalizers.NFKC(), scheme="first"), **ROBERTA_SPECIAL)


def llama() -> PreTrainedTokenizerFast:
    """BPE over the whole text, never split into words, with bytes for what it does not know."""
    special = ["<unk>", "<s>", "</s>"]
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.normalizer = normalizers.Replace(" ", "\u2581")
    learner.pre_tokenizer = pre.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=special + byte_pieces, show_progress=False
    )
    learner.train_from_iterator(SENTENCES, trainer)
    content = json.loads(learner.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < 3]
    content["model"].update(byte_fallback=True, fuse_unk=True)
    content["pre_tokenizer"] = None
    engine = Tokenizer.from_str(json.dumps(content))
    engine.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    return _fast(engine, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def bert_slow() -> Any:
    vocab = bert_uncased().get_vocab()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(sorted(vocab, key=vocab.__getitem__)), encoding="utf8")
        return BertTokenizerLegacy(str(path), do_lower_case=True)


class PythonGPT2(PreTrainedTokenizer):
    """GPT-2's tokenizer as one written in Python, which transformers 5 no longer has."""

    def __init__(self, **special: Any) -> None:
        engine = gpt2().backend_tokenizer
        self._model, self._words = engine.model, engine.pre_tokenizer
        self._ids = engine.get_vocab(with_added_tokens=False)
        self._pieces = {i: piece for piece, i in self._ids.items()}
        super().__init__(**special)

    @property
    def vocab_size(self) -> int:
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        return {**self._ids, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        words = [word for word, _ in self._words.pre_tokenize_str(text)]
        return [piece.value for word in words for piece in self._model.tokenize(word)]

    def _convert_token_to_id(self, piece: str) -> int:
        return self._ids[piece]

    def _convert_id_to_token(self, i: int) -> str:
        return self._pieces[i]


def gpt2_slow() -> PythonGPT2:
    end = "<|endoftext|>"
    return PythonGPT2(bos_token=end, eos_token=end, unk_token=end)


def precompiled_charsmap() -> bytes:
    """A table as sentencepiece compiles it: NFKC, and what it does to invisible characters.

    Little-endian: size of the trie in bytes, the trie as a double array (Darts), the replacements,
    each ended by a zero byte.
    """
    rules = {chr(code): "" for code in (*range(1, 9), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F)}
    rules |= {char: " " for char in "\t\n\f\r\u200b\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd"}
    for low, high in [(0xA0, 0x180), (0x2000, 0x2070), (0xFB00, 0xFB07), (0xFF00, 0xFFA0)]:
        for char in map(chr, range(low, high)):
            compatible = unicodedata.normalize("NFKC", char)
            if compatible != char:
                rules.setdefault(char, compatible)
    for base in "aeiouAEIOUcn":
        for mark in "\u0300\u0301\u0302\u0303\u0308\u0327":
            composed = unicodedata.normalize("NFC", base + mark)
            if len(composed) == 1:
                rules[base + mark] = composed
    strings = bytearray()
    trie: dict[int, Any] = {}
    for source, target in rules.items():
        node = trie
        for byte in source.encode("utf8"):
            node = node.setdefault(byte, {})
        node[0] = len(strings)
        strings += target.encode("utf8") + b"\0"
    units = _double_array(trie)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(strings)


def _double_array(trie: dict[int, Any]) -> list[int]:
    """The child of node `p` by byte `b` stands at `p ^ offset ^ b`; a leaf is the child by 0."""
    units = {0: 0}
    waiting = [(0, trie)]
    base = 1
    while waiting:
        position, node = waiting.pop()
        while any(base ^ byte in units for byte in node):
            base += 1
        for byte, child in node.items():
            units[base ^ byte] = (1 << 31 | child) if byte == 0 else byte
            if byte:
                waiting.append((base ^ byte, child))
        units[position] |= (position ^ base) << 10 | (0 in node) << 8
    return [units.get(i, 0) for i in range((max(units) | 0xFF) + 1)]


FAST.update(
    {
        builder.__name__: builder
        for builder in (
            bert_cased,
            bert_uncased,
            bert_narrow,
            roberta,
            roberta_untrimmed,
            roberta_prefix,
            gpt2,
            modernbert,
            xlm_roberta,
            camembert,
            deberta_v3,
            albert,
            unigram_first,
            llama,
        )
    }
)
SLOW.update({builder.__name__: builder for builder in (bert_slow, gpt2_slow)})
