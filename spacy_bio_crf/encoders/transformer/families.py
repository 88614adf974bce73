"""Families of networks: which of them can be encoders, and what some of them can't do."""

from inspect import signature
from typing import Any

from ...errors import BioError, Plain, describe
from ...kernels.precision import DTYPES, UNFIT

# Types of networks whose convolutions, trigrams, or samples of a window, take in its padding.
UNMASKED = ("convbert", "mobilebert", "nystromformer", "yoso")
# What some networks need beside sub-words. Without its kernel, MRA leaves out the attention.
_NEEDS = {"bros": "boxes of words on a page", "mra": "a CUDA kernel of its own"}


def check_family(name: str, config: Any) -> None:
    """RAISES: ValueError unless transformers itself has a network of this kind that reads batches
    of sub-words."""
    from transformers.models.auto import modeling_auto

    known = {
        *modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    kind = config.model_type
    within = " ".join(getattr(config, "sub_configs", ()))
    if getattr(config, "is_encoder_decoder", False):
        got = Plain(f"an encoder-decoder ({kind})")
    elif kind not in known or "vision" in within or "audio" in within:
        got = Plain(f"a network for other tasks ({kind})")
    elif kind in _NEEDS:
        got = Plain(f"a network that needs {_NEEDS[kind]} ({kind})")
    elif not _reads_subwords(config):
        got = Plain(f"a network that reads something else than sub-words and a mask ({kind})")
    else:
        return
    expected = "an encoder such as BERT, RoBERTa, DeBERTa, XLM-R, DistilBERT or ModernBERT"
    raise ValueError(describe(f"encoder {name!r}", expected=expected, got=got))


def _reads_subwords(config: Any) -> bool:
    """Whether a network embeds sub-words, and takes a mask for padding."""
    from transformers import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING:
        return True  # transformers itself tells what is wrong
    found = MODEL_MAPPING[type(config)]
    networks: tuple[Any, ...] = found if isinstance(found, tuple) else (found,)
    wanted = {"input_ids", "inputs_embeds", "attention_mask"}
    # CANINE has no vocabulary, FNet no mask, Perceiver neither.
    return hasattr(config, "vocab_size") and all(
        wanted <= {*signature(network.forward).parameters} for network in networks
    )


def check_fit(precision: str, network: Any) -> None:
    """RAISES: ValueError if a network can't be computed in a precision."""
    kind = getattr(network.config, "model_type", "")
    if DTYPES.get(precision) is not None and kind in UNFIT:
        expected = f"'fp32' or 'auto' for a {kind}"
        raise BioError(describe("precision", expected=expected, got=precision))


def takes_in_padding(network: Any) -> bool:
    """RETURNS (bool): Whether padding changes a network's vectors, whatever the mask says, so that
    only windows of one length may pass it together."""
    return getattr(network.config, "model_type", "") in UNMASKED
