"""The thinc shim that holds a transformer, its options, its preprocessor and its precision."""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from thinc.api import Optimizer
from torch import Tensor, nn

from ...errors import BioError, SettingsError, check_choice, describe
from ...kernels.cpu import enabled
from ...kernels.embedding import RowGradient, WordTable
from ...kernels.precision import INT8, PRECISIONS, PredictionNetwork, resolve
from ...subwords.batches import PaddedBatch
from ...subwords.tokenizer import Subwords
from ...training.optimizer import LossScale, has_spacys_rate
from ...training.recipe import DEEP, RATE_OF_DEEP
from ...training.torch_shim import TorchShim
from .adapter_files import read_encoder, save_apart
from .adapters import (
    LORA_RATE_FACTOR,
    adapted_layers,
    add_adapters,
    base_parameters,
    is_adapter,
    merged,
    read_lora,
)
from .encoder_options import Options
from .families import check_fit, takes_in_padding
from .pretrained import Pretrained, fetch, outline, pack_folder, save_folder, unpack_folder
from .run import Forward, Project, run
from .shared_base import SharedBase, share_weights
from .surgery import (
    CASING,
    check_vocabulary_size,
    find_limit,
    find_special_ids,
    keep_layers,
    prepare,
    sees_left_only,
)
from .text import Preprocessor

# Padded sub-words of one batch that keep a CPU's caches and a GPU's units busy.
CPU_BUDGET, GPU_BUDGET = 2048, 32768
# Cost of a batch by itself, in sub-words; on a CPU measured with MiniLM. On a GPU (H200) the
# kernels of a network of BERT's base size take 8 ms to start, in which it could compute 16,000
# sub-words; those of smaller networks take as long.
TRAINING_OVERHEAD, PREDICTION_OVERHEAD, INT8_OVERHEAD, GPU_OVERHEAD = 128, 64, 32, 8192
# The embedding of shapes starts at zero, and has further to go than pre-trained weights.
CASING_LR_SCALE = 10.0
# Learning rates where nobody chose one, of BERT's base size and of smaller networks.
WIDE, WIDE_RATE, SMALL_RATE = 768, 5e-5, 2e-4


class TransformerShim(TorchShim):
    """Holds the network with its tokenizer, and runs it over batches of windows."""

    def __init__(self, options: Options):
        super().__init__(None, lr_scale=self._scale_of)
        self.options = options
        self.lora = read_lora(options.lora)
        self._is_adapted = False
        self._base: SharedBase | None = None
        self._prediction = PredictionNetwork()
        self.precision = options.precision
        self.weights_apart = False
        self.begins_anew = False
        self._text: Preprocessor | None = None
        self.row_gradient = RowGradient()

    @property
    def precision(self) -> str:
        """The precision, as the encoder's option has it."""
        return self._precision

    @precision.setter
    def precision(self, precision: str) -> None:
        check_choice("precision", precision, PRECISIONS)
        if self._model is not None:
            check_fit(precision, self.network)
            _warn_of_slow(precision, self.device)
        self._precision = precision
        self.loss_scale = LossScale() if precision == "fp16" else None

    @property
    def ready(self) -> bool:
        """Whether the weights are there."""
        return self._model is not None

    @property
    def text(self) -> Preprocessor:
        """The preprocessor. RAISES: ValueError before the weights are there."""
        if self._text is None:
            self.network  # noqa: B018 (raises)
        return self._text  # type: ignore[return-value]

    def text_alone(self) -> Preprocessor:
        """Get the preprocessor; before there are weights, fetch what it needs and nothing more."""
        if self._text is not None:
            return self._text
        options = self.options
        return _read_text(outline(options.name, revision=options.revision), options)

    @property
    def pretrained(self) -> Pretrained:
        """Network and tokenizer as they are now; adapters are merged."""
        network = merged(self.network) if self._is_adapted else self.network
        return Pretrained(network, self.text.tokenizer)

    @property
    def keeps_apart(self) -> bool:
        """Whether adapters and their base are saved, and held in memory, apart."""
        return self._is_adapted and self.lora is not None and not self.lora.merge

    @property
    def budget(self) -> int:
        """Most padded sub-words in one batch."""
        own = CPU_BUDGET if self.device.type == "cpu" else GPU_BUDGET
        return self.options.batch_subwords or own

    def overhead(self, *, train: bool, precision: str | None = None) -> int:
        """RETURNS (int): Cost of a batch by itself, in sub-words, 0 if none may have padding; in
        the present precision if None."""
        if takes_in_padding(self.network):
            return 0
        if self.device.type != "cpu":
            return GPU_OVERHEAD
        if train:
            return TRAINING_OVERHEAD
        return INT8_OVERHEAD if (precision or self.precision) == INT8 else PREDICTION_OVERHEAD

    @staticmethod
    def check_training(precision: str) -> None:
        """RAISES: ValueError for a precision that is for prediction only."""
        if precision == INT8:
            known = "'fp32', 'bf16', 'fp16' or 'auto' in training"
            raise BioError(describe("precision", expected=known, got=INT8))

    def fetch(self) -> None:
        """Get the weights that the options name."""
        options = self.options
        pretrained = fetch(options.name, revision=options.revision, dropout=options.dropout)
        if options.layers is not None:
            keep_layers(pretrained.network, options.layers)
        self.set_pretrained(pretrained, adapts=self.lora is not None)
        if sees_left_only(self.network, self.text.special):
            warnings.warn(
                f"The encoder {options.name!r} ({self.network.config.model_type}) sees only what"
                " stands to the left of a word. Entities need both sides: take an encoder such as"
                " BERT, RoBERTa, DeBERTa, XLM-R or ModernBERT.",
                stacklevel=2,
            )

    def set_pretrained(
        self,
        pretrained: Pretrained,
        *,
        adapts: bool = False,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Put network and tokenizer in place, and check the options against them.

        pretrained (Pretrained): A network without adapters, and its tokenizer.
        adapts (bool): Add adapters now; otherwise the first step of a training does, if there are
            to be any.
        weights (Mapping[str, Tensor] | None): Those of adapters; None begins anew.
        RAISES: ValueError if the window is longer than the model's limit, the overlap is not
            smaller than the window, there are fewer layers than are to be frozen, the network
            can't be computed in the precision, or has no linear layers for adapters, or their
            settings are missing.
        """
        if weights is not None and self.lora is None:
            expected = "the settings of the adapters that come with the encoder"
            raise SettingsError(describe("lora", expected=expected, got=None))
        text = _read_text(pretrained, self.options)
        check_vocabulary_size(pretrained.tokenizer, pretrained.network, text.special)
        check_fit(self.precision, pretrained.network)
        prepare(
            pretrained.network,
            frozen_layers=self.options.frozen_layers,
            casing=self.options.casing,
            checkpoints=self.options.gradient_checkpointing,
        )
        if self.lora is not None and adapts:
            add_adapters(pretrained.network, self.lora, weights=weights)
        self._text = text
        self.set_network(pretrained.network)

    def set_network(self, network: nn.Module) -> None:
        super().set_network(network)
        self.begins_anew = False
        self._is_adapted = bool(adapted_layers(network))
        self._share()
        self.loss_scale = LossScale() if self.precision == "fp16" else None
        self.row_gradient = RowGradient()
        self._prediction.forget()
        _warn_of_slow(self.precision, self.device)
        if self.options.lr_scale is None:
            config = self.network.config
            small = RATE_OF_DEEP if config.num_hidden_layers > DEEP else SMALL_RATE
            self.default_rate = WIDE_RATE if config.hidden_size >= WIDE else small

    def exchange(self, pretrained: Pretrained) -> Pretrained:
        """RETURNS (Pretrained): What was there before; the given one, with the same changes, is."""
        former = Pretrained(self.network, self.text.tokenizer)
        self._text = _read_text(pretrained, self.options)
        self.set_network(pretrained.network)
        return former

    def grow(self, names: Iterable[str]) -> None:
        if any(is_adapter(name) for name in names):
            self.prepare()

    def prepare(self) -> None:
        # Of a pipeline that was loaded with merged weights.
        if self.lora is not None and not self._is_adapted:
            add_adapters(self.network, self.lora)
            self.set_network(self.network)

    def rate(self, optimizer: Optimizer) -> float:
        # Where nobody has chosen one, adapters have a higher rate than the head's.
        chosen = self.default_rate is None or not has_spacys_rate(optimizer)
        return super().rate(optimizer) * (1.0 if chosen or self.lora is None else LORA_RATE_FACTOR)

    def _share(self) -> None:
        parameters = base_parameters(self.network) if self.keeps_apart else None
        self._base = None if parameters is None else share_weights(parameters)

    def run(
        self,
        subwords: Sequence[Subwords],
        wanted: Sequence[np.ndarray],
        *,
        train: bool,
        project: Project | None = None,
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Compute vectors of wanted sub-words, and put each batch through `project` at once.

        wanted (Sequence[np.ndarray]): For each document indices of sub-words, int64 [m].
        train (bool): Use dropout, and prepare for the backward pass.
        project (Project | None): From vectors [r, d] to results [r, c]; None keeps the vectors.
        RETURNS (tuple[Tensor, Callable]): float32 [sum of m, c], and a function that takes its
            gradient and adds to those of the network and of what `project` holds.
        RAISES: ValueError for training in "int8".
        """
        # Another thread may set another one at any time.
        chosen = self.precision
        if train:
            self.check_training(chosen)
            self.prepare()
        overhead = self.overhead(train=train, precision=chosen)
        batches = self.text.make_batches(subwords, wanted, budget=self.budget, overhead=overhead)
        frozen = self.options.frozen_layers == -1
        learns = train and not frozen
        network = self.network.train(learns)
        kind = getattr(network.config, "model_type", "")
        precision = resolve(chosen, self.device, kind)
        table = None
        words = network.get_input_embeddings()
        # A subclass may do more than look up: those of Gemma 3, BioGPT and XGLM scale.
        if train and enabled() and type(words) is nn.Embedding:
            table = WordTable(words, batches, self.row_gradient)
        forward = Forward(
            network=network if learns else self._to_predict(network, precision),
            device=self.device,
            precision=precision,
            project=project or nn.Identity(),
            embed=self._embedding(table),
            frozen=frozen,
            loss_scale=self.loss_scale,
        )
        width = network.config.hidden_size
        result, backprop = run(batches, forward, width=width, train=train, budget=self.budget)

        def backprop_all(d_result: Tensor) -> None:
            backprop(d_result)
            if table is not None:
                table.finish()

        return result, backprop_all

    def _to_predict(self, network: nn.Module, precision: str) -> nn.Module:
        if not self._is_adapted:
            return self._prediction.of(network, precision)
        # Neither merged weights nor cast ones: they would be as large as what is shared.
        if self.keeps_apart and precision != INT8:
            return network
        return self._prediction.of(network, precision, merge=merged)

    def _embedding(self, table: WordTable | None) -> Callable[[PaddedBatch], Tensor] | None:
        if table is None and not self.options.casing:
            return None
        words, device = self.network.get_input_embeddings(), self.device

        def embed(batch: PaddedBatch) -> Tensor:
            # shape: [B, T, e]
            embedded = (
                words(torch.from_numpy(batch.ids).to(device)) if table is None else table(batch)
            )
            if not self.options.casing:
                return embedded
            shapes = torch.from_numpy(batch.shapes).to(device)
            return embedded + self.network.get_submodule(CASING)(shapes)

        return embed

    def finish_update(self, optimizer: Optimizer) -> None:
        changes = bool(self.trained())
        super().finish_update(optimizer)
        if changes:
            # torch's fused steps write to weights and leave no trace.
            self._prediction.forget()

    def _thinc_step(self, optimizer: Optimizer, trained: list[tuple[str, nn.Parameter]]) -> None:
        super()._thinc_step(optimizer, trained)
        # thinc adds the L2 penalty to the gradients in place, so no row is zero any more.
        self.row_gradient = RowGradient()

    def _scale_of(self, name: str) -> float:
        scale = 1.0 if self.options.lr_scale is None else self.options.lr_scale
        # Adapters start at zero, too: they and the embedding have one rate.
        far = name.startswith(CASING) and self.lora is None
        return scale * (CASING_LR_SCALE if far else 1.0)

    def __getstate__(self) -> dict[str, Any]:
        fresh = {"row_gradient": RowGradient(), "_prediction": PredictionNetwork()}
        return {**super().__getstate__(), **fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._base is None:
            self._share()

    def __deepcopy__(self, memo: dict[int, Any]) -> "TransformerShim":
        copy = memo[id(self)] = type(self).__new__(type(self))
        if self.keeps_apart:
            for p in base_parameters(self.network).values():
                memo[id(p)] = nn.Parameter(p.data, requires_grad=False)
        copy.__setstate__(deepcopy(self.__getstate__(), memo))
        return copy

    def save(self, folder: Path) -> None:
        """Write network and tokenizer as a Hugging Face folder, with adapters merged or apart."""
        if self._base is not None and self.lora is not None:
            adapted = Pretrained(self.network, self.text.tokenizer)
            save_apart(adapted, self.lora, self._base.digest, folder)
        else:
            save_folder(self.pretrained, folder)

    def to_bytes(self) -> bytes:
        """The encoder's folder as one bytestring; empty before `fetch`, or if `weights_apart`."""
        if self.weights_apart or not self.ready:
            return b""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "component", "encoder")
            self.save(folder)
            return pack_folder(folder)

    def from_bytes(self, bytes_data: bytes) -> "TransformerShim":
        """Read what `to_bytes` gave."""
        if bytes_data:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place, "component", "encoder")
                unpack_folder(bytes_data, folder)
                pretrained, weights = read_encoder(folder)
                self.set_pretrained(pretrained, adapts=weights is not None, weights=weights)
        return self


def _read_text(pretrained: Pretrained, options: Options) -> Preprocessor:
    special = find_special_ids(pretrained.tokenizer, pretrained.network.config)
    lora = read_lora(options.lora)
    return Preprocessor(
        pretrained.tokenizer,
        special=special,
        limit=find_limit(pretrained.network, len(special)),
        window=options.window,
        overlap=options.overlap,
        casing=options.casing,
        shared=lora is not None and not lora.merge,
    )


def _warn_of_slow(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type == "cpu":
        warnings.warn(
            "precision = 'fp16' is many times slower than 'fp32' on a CPU; take 'bf16', or 'auto'"
            " for what suits the hardware.",
            stacklevel=4,
        )
