"""Changes to a pre-trained network, and what they need to know of its build."""

from typing import Any

import torch
from torch import nn

from ...errors import Plain, describe
from ...kernels.mode import around_layers
from ...subwords.batches import SpecialIds
from ...subwords.casing import Shape

# Name of the sub-module that embeds the shapes of words, in the network and in its saved weights.
CASING = "casing"
# Names under which the architectures keep their dropout probabilities.
DROPOUTS = (
    "hidden_dropout_prob",
    "hidden_dropout",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
)


def prepare(network: Any, *, frozen_layers: int, casing: bool, checkpoints: bool) -> None:
    """Make the changes that are not saved with a network: frozen layers and checkpoints. An
    embedding of shapes is added unless the network has one.

    RAISES: ValueError if the network has fewer layers than `frozen_layers`, or can't checkpoint.
    """
    _freeze(network, frozen_layers)
    if casing:
        add_casing(network)
    if checkpoints:
        _checkpoint(network)


def _checkpoint(network: Any) -> None:
    if not network.supports_gradient_checkpointing:
        expected = f"false for a {network.config.model_type}, which can't compute its layers again"
        raise ValueError(describe("gradient_checkpointing", expected=expected, got=True))
    # transformers 5 renames the method.
    enable = getattr(network, "activation_checkpointing_enable", None)
    enable = enable or network.gradient_checkpointing_enable
    enable({"use_reentrant": False, "context_fn": around_layers})
    if hasattr(network, "_require_grads_hook"):
        # transformers 5 makes embeddings need a gradient, be they frozen, and by a function that
        # can't be pickled. Only reentrant checkpoints depend on it.
        network.disable_input_require_grads()


def find_special_ids(tokenizer: Any, config: Any) -> SpecialIds:
    """Find the special sub-words that a tokenizer puts around a text, from an example, and the id
    for padding in the network's config.

    RAISES: ValueError if the tokenizer does not leave the text's sub-words as they are.
    """
    plain = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    framed = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    places = range(len(framed) - len(plain) + 1)
    at = next((i for i in places if framed[i : i + len(plain)] == plain), None)
    if at is None or not plain:
        place = f"special sub-words of this {type(tokenizer).__name__}"
        expected = f"those of 'a' alone, {plain}, within the framed ones"
        raise ValueError(describe(place, expected=expected, got=framed))
    # RoBERTa-like networks count positions from the padding id of their config.
    padding = getattr(config, "pad_token_id", None)
    if padding is None:
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    return SpecialIds(tuple(framed[:at]), tuple(framed[at + len(plain) :]), int(padding))


def check_vocabulary_size(tokenizer: Any, network: Any, special: SpecialIds) -> None:
    """Compare a tokenizer with the network's embedding.

    Special sub-words that no text has, and that stand around none, need no row.

    RAISES: ValueError for sub-words without a row of the embedding, by name.
    """
    rows = getattr(network.get_input_embeddings(), "num_embeddings", None)
    if rows is None:
        return
    around = {*special.prefix, *special.suffix, special.padding}
    unused = {*tokenizer.all_special_ids} - around
    added = getattr(tokenizer, "added_tokens_decoder", {})
    unused |= {i for i, token in added.items() if token.special} - around
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    beyond = {name: i for name, i in vocabulary.items() if i >= rows and i not in unused}
    beyond |= {f"id {i}": i for i in around if i >= rows and i not in vocabulary.values()}
    if beyond:
        names = sorted(beyond, key=beyond.__getitem__)
        listed = ", ".join(map(repr, names[:5])) + (" …" if len(names) > 5 else "")
        raise ValueError(
            describe(
                f"sub-words of this {type(tokenizer).__name__}",
                expected=f"at most {rows}, the rows of the embedding",
                got=Plain(f"{len(vocabulary)}, of which {len(names)} have no row: {listed}"),
                remedy="give the network rows for them, by resize_token_embeddings, and save both",
            )
        )


def sees_left_only(network: Any, special: SpecialIds) -> bool:
    """Whether a sub-word's vector is the same whatever follows it, as in GPT-2 and Llama.

    network (PreTrainedModel): On any device; its mode is set to evaluation.
    """
    rows = network.get_input_embeddings().weight.shape[0]
    outputs = []
    for last in (0, rows - 1):
        ids = torch.tensor([[*special.prefix, 0, last, *special.suffix]], device=network.device)
        with torch.inference_mode():
            outputs.append(network.eval()(input_ids=ids)[0][0, 0])
    return torch.equal(*outputs)


def find_limit(network: Any, n_special: int) -> int | None:
    """Find how many sub-words of a text a network can see at once, beside the special ones.

    RETURNS (int | None): `config.max_position_embeddings` less the special sub-words and, in
        networks that count positions from their padding id (RoBERTa), less the positions before the
        first; None if the network has no limit.
    RAISES: ValueError if no sub-word fits.
    """
    positions = getattr(network.config, "max_position_embeddings", None)
    if not positions or positions < 0:
        return None
    for name, module in network.named_modules():
        table = getattr(module, "weight", None)
        if name.endswith("position_embeddings") and isinstance(table, torch.Tensor):
            padding = getattr(module, "padding_idx", None)
            # YOSO and its like have two rows more than they can use.
            positions = min(positions, len(table) - (0 if padding is None else padding + 1))
            break
    if positions <= n_special:
        expected = f"more positions than its {n_special} special sub-words"
        raise ValueError(describe("encoder", expected=expected, got=positions))
    return positions - n_special


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout probability of a config. RAISES: ValueError if none of its fields is known
    to be one."""
    found = [key for key in DROPOUTS if isinstance(getattr(config, key, None), float | int)]
    if not found:
        expected = f"null for a {config.model_type}, which has no dropout probability known here"
        raise ValueError(describe("dropout", expected=expected, got=dropout))
    for key in found:
        setattr(config, key, dropout)


def keep_layers(network: Any, n_layers: int) -> None:
    """Drop the last layers of a network. Its output is then that of the last layer left.

    n_layers (int): How many stay or, if negative, how many go.
    RAISES: ValueError if none or more than all would stay, or the layers share their weights.
    """
    layers = _layers(network, "layers", "null")
    depth = len(layers)
    if not (0 < n_layers <= depth or -depth < n_layers < 0):
        kind = network.config.model_type
        expected = f"1 to {depth}, or {1 - depth} to -1, for the {depth} layers of this {kind}"
        raise ValueError(describe("layers", expected=expected, got=n_layers))
    del layers[n_layers:]
    config = network.config
    for key, value in config.to_dict().items():
        # The kind of attention of each layer, as transformers 5 has it, and how far Longformer's
        # see.
        if (key.endswith("layer_types") or key == "attention_window") and isinstance(value, list):
            setattr(config, key, value[: len(layers)])
    config.num_hidden_layers = len(layers)


def _freeze(network: Any, n_layers: int) -> None:
    # Outside of layers are the embeddings and what belongs to them: DeBERTa's relative positions,
    # the projections of ELECTRA and ALBERT. All of them are frozen with the first layers.
    if n_layers == 0:
        return
    layers = [] if n_layers == -1 else list(_layers(network, "frozen_layers", "0 or -1"))
    if n_layers > len(layers):
        expected = f"at most {len(layers)}, the layers of this {network.config.model_type}"
        raise ValueError(describe("frozen_layers", expected=expected, got=n_layers))
    network.requires_grad_(False)
    for layer in layers[n_layers:]:
        layer.requires_grad_(True)


def add_casing(network: Any) -> None:
    """Add an embedding of words' shapes, of zeros: the network starts out as it was pre-trained.
    The sub-module `CASING` is saved with its weights.

    RAISES: ValueError if the network's own embedding gives more than vectors, as I-BERT's does.
    """
    if not isinstance(network.get_input_embeddings(), nn.Embedding):
        expected = f"false for a {network.config.model_type}, whose embedding is of another build"
        raise ValueError(describe("casing", expected=expected, got=True))
    if getattr(network, CASING, None) is None:
        words = network.get_input_embeddings().weight
        zeros = torch.zeros((len(Shape), words.shape[1]), device=words.device)
        network.add_module(CASING, nn.Embedding.from_pretrained(zeros, freeze=False))


def has_layers(network: Any) -> bool:
    """RETURNS (bool): Whether a network has a list of its layers, so that some can be dropped."""
    return _find_layers(network) is not None


def _find_layers(network: Any) -> nn.ModuleList | None:
    depth = getattr(network.config, "num_hidden_layers", None)
    lists = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    if not lists:
        return None
    place, layers = lists[0]
    # XLM has a list for each part of its layers: the first of them is not the layers.
    whole = all(name.startswith(f"{place}.") for name, _ in lists[1:])
    return layers if whole else None


def _layers(network: Any, option: str, instead: str) -> nn.ModuleList:
    layers = _find_layers(network)
    if layers is not None:
        return layers
    kind = Plain(
        f"{network.config.model_type}, whose layers may share their weights, or be in parts"
    )
    expected = f"{instead} for an encoder without a list of its layers"
    raise ValueError(describe(option, expected=expected, got=kind))
