"""Tiny random networks of real architectures, each with a tokenizer of its family."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from thinc.api import Model
from tokenizers.processors import TemplateProcessing
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    CamembertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder, transformer_shim
from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from spacy_bio_crf.heads.emitter import Head, build_crf_head
from spacy_bio_crf.model import build_bio_tagger
from tests.support.tokenizers_zoo import tokenizer

POSITIONS = 40  # that a text and its special sub-words can take together
WIDTH = 32
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}

# name: configuration, tokenizer of tokenizers_zoo, what differs from `_common`
FAMILIES: dict[str, tuple[type[PretrainedConfig], str, dict[str, Any]]] = {
    "bert": (BertConfig, "bert_cased", {}),
    "roberta": (RobertaConfig, "roberta", {"max_position_embeddings": POSITIONS + 2}),
    "xlm-roberta": (XLMRobertaConfig, "xlm_roberta", {"max_position_embeddings": POSITIONS + 2}),
    "camembert": (CamembertConfig, "camembert", {"max_position_embeddings": POSITIONS + 2}),
    "mpnet": (MPNetConfig, "roberta", {"max_position_embeddings": POSITIONS + 2}),
    "distilbert": (
        DistilBertConfig,
        "bert_uncased",
        {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    ),
    "electra": (ElectraConfig, "bert_uncased", {"embedding_size": 16}),
    "albert": (AlbertConfig, "albert", {"embedding_size": 16}),
    "deberta": (DebertaConfig, "roberta", RELATIVE),
    "deberta-v2": (
        DebertaV2Config,
        "deberta_v3",
        {
            **RELATIVE,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
        },
    ),
    "modernbert": (
        ModernBertConfig,
        "modernbert",
        {"global_attn_every_n_layers": 2, "local_attention": 8, "reference_compile": False},
    ),
}


def write_checkpoint(folder: Path, family: str, **options: Any) -> Path:
    """Write a Hugging Face folder: a random network of a family and its tokenizer.

    folder (Path): Where; made if missing.
    family (str): A key of `FAMILIES`.
    options: Go to the network's configuration.
    RETURNS (Path): The folder.
    """
    make_config, tokenizer_name, different = FAMILIES[family]
    words = framed(tokenizer(tokenizer_name))
    common = {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.cls_token_id,
        "eos_token_id": words.sep_token_id,
        "cls_token_id": words.cls_token_id,
        "sep_token_id": words.sep_token_id,
    }
    torch.manual_seed(0)
    network = AutoModel.from_config(make_config(**{**common, **different, **options}))
    # Larger than by default, so that the vectors of different sub-words differ by far.
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5.0)
    network.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write_network(folder: Path, config: PretrainedConfig) -> Path:
    """Write a Hugging Face folder: a random network of any family, with BERT's tokenizer.

    folder (Path): Where; made if missing.
    config (PretrainedConfig): Of the network, but for the size of its vocabulary.
    RETURNS (Path): The folder.
    """
    words = framed(tokenizer("bert_cased"))
    config.vocab_size, config.pad_token_id = len(words), words.pad_token_id
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def framed(words: Any) -> Any:
    """A copy of a fast tokenizer that puts its special sub-words around every text."""
    words = deepcopy(words)
    cls, sep = words.cls_token, words.sep_token
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        special_tokens=[(cls, words.cls_token_id), (sep, words.sep_token_id)],
    )
    return words


def make_encoder(folder: Path, **options: Any) -> tuple[Model, TransformerShim]:
    """An encoder with the weights of a folder, and its shim. The options are the encoder's."""
    encoder = build_transformer_encoder(str(folder), **options).initialize()
    return encoder, transformer_shim(encoder)


def make_tagger(
    folder: Path,
    *,
    head: Head | None = None,
    n_tags: int = 5,
    subword_labels: str = "first",
    seed: int = 0,
    **options: Any,
) -> Model:
    """A `BioTagger` on an encoder with the weights of a folder. Other options are the encoder's."""
    encoder = build_transformer_encoder(str(folder), **options)
    model = build_bio_tagger(
        encoder, head or build_crf_head(), subword_labels=subword_labels, nO=n_tags
    )
    torch.manual_seed(seed)
    return model.initialize()
