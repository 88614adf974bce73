"""What can be read off a pre-trained network: its special sub-words, its limit, its layers."""

from typing import Any

from torch import nn

from ...subwords.batches import Frame
from .pretrained import Pretrained


def find_frame(pretrained: Pretrained) -> Frame:
    """The special sub-words a model puts around a text, read off an example.

    pretrained (Pretrained): Network and tokenizer.
    RETURNS (Frame): Ids before and after the text, and the id for padding.
    RAISES: ValueError if the tokenizer does not leave the text's sub-words as they are.
    """
    tokenizer, config = pretrained.tokenizer, pretrained.network.config
    plain = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    framed = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    places = range(len(framed) - len(plain) + 1)
    at = next((i for i in places if framed[i : i + len(plain)] == plain), None)
    if at is None or not plain:
        raise ValueError(
            f"Can't tell the special sub-words of this {type(tokenizer).__name__}: it cuts 'a' into"
            f" {plain} without them and into {framed} with them; expected the former within the"
            " latter."
        )
    # RoBERTa-like networks count positions from the padding id of their config.
    padding = getattr(config, "pad_token_id", None)
    if padding is None:
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    return Frame(tuple(framed[:at]), tuple(framed[at + len(plain) :]), int(padding))


def find_limit(network: Any, n_special: int) -> int | None:
    """How many sub-words of a text the network can see at once.

    network (PreTrainedModel): The network.
    n_special (int): Special sub-words that take part of the room.
    RETURNS (int | None): `config.max_position_embeddings` less the special sub-words and, in
        networks that count positions from their padding id (RoBERTa), less the positions before the
        first; None if the network has no limit.
    RAISES: ValueError if no sub-word fits.
    """
    positions = getattr(network.config, "max_position_embeddings", None)
    if not positions or positions < 0:
        return None
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            positions = module.num_embeddings
            if module.padding_idx is not None:
                positions -= module.padding_idx + 1
            break
    if positions <= n_special:
        raise ValueError(
            f"The encoder has room for {positions} positions, and its {n_special} special sub-words"
            " take all of them."
        )
    return positions - n_special


def keep_layers(network: Any, n_layers: int) -> None:
    """Drop the last layers: what comes out is what the last one left gives.

    network (PreTrainedModel): Its layers and the number of them in its config are changed.
    n_layers (int): How many stay or, if negative, how many go.
    RAISES: ValueError if none or more than all would stay, or the layers share their weights.
    """
    layers = _layers(network, "layers", "null")
    depth = len(layers)
    if not (0 < n_layers <= depth or -depth < n_layers < 0):
        raise ValueError(
            f"Option 'layers' of the encoder is {n_layers}; expected 1 to {depth}, or {1 - depth}"
            f" to -1, for the {depth} layers of this {network.config.model_type}."
        )
    del layers[n_layers:]
    network.config.num_hidden_layers = len(layers)


def freeze(network: Any, n_layers: int) -> None:
    """Keep the first layers, and whatever is no layer, as they are.

    What stands beside the layers are the embeddings and what belongs to them: DeBERTa's relative
    positions, the projections of ELECTRA and ALBERT.

    network (PreTrainedModel): Its parameters' `requires_grad` is set.
    n_layers (int): 0 freezes nothing, N all but the layers after the first N, -1 everything.
    RAISES: ValueError if the network has fewer layers.
    """
    if n_layers == 0:
        return
    layers = [] if n_layers == -1 else list(_layers(network, "frozen_layers", "0 or -1"))
    if n_layers > len(layers):
        raise ValueError(
            f"Option 'frozen_layers' of the encoder is {n_layers}; expected at most {len(layers)},"
            f" the layers of this {network.config.model_type}."
        )
    network.requires_grad_(False)
    for layer in layers[n_layers:]:
        layer.requires_grad_(True)


def _layers(network: Any, option: str, instead: str) -> nn.ModuleList:
    depth = getattr(network.config, "num_hidden_layers", None)
    for module in network.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise ValueError(
        f"Can't tell the layers of this {network.config.model_type} apart (they may share their"
        f" weights): set '{option}' to {instead}."
    )
