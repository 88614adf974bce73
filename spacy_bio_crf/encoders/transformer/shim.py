"""What holds a transformer inside a thinc layer, and runs it over packs of windows."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Optimizer
from torch import Tensor, nn

from ...kernels.embedding import RowGradient, WordTable
from ...kernels.mode import around_layers, fast_kernels
from ...kernels.precision import DTYPES, INT8, UNFIT, autocast, resolve, shared_casts
from ...kernels.prediction import PredictionNetwork
from ...subwords import casing
from ...subwords.batches import Pack, make_packs
from ...subwords.cache import SubwordMemory
from ...subwords.tokenizer import Subwords, SubwordTokenizer
from ...training.optimizer import LossScale, TorchShim
from . import pretrained as storage
from .options import Options, check_precision, check_window, wrong
from .replay import State, random_state, replayed
from .surgery import find_frame, find_limit, freeze, keep_layers

# Padded sub-words in flight: what keeps a CPU's caches and a GPU's units busy.
CPU_BUDGET, GPU_BUDGET = 2048, 32768
# What a pack costs by itself, in sub-words: on a CPU by measurement, with MiniLM. Starting the
# kernels of one of BERT's base size takes a GPU (H200) 8 ms, in which it could compute 16,000
# sub-words; smaller ones wait as long.
TRAINING_OVERHEAD, PREDICTION_OVERHEAD, INT8_OVERHEAD, GPU_OVERHEAD = 128, 64, 32, 8192
DEFAULT_OVERLAP = 64
CASING_LR_SCALE = 10.0
# Longest default window of a network that has no limit of its own.
UNLIMITED_WINDOW = 512

Project = Callable[[Tensor], Tensor]  # [r, d] -> [r, c]


class TransformerShim(TorchShim):
    """Holds the network with its tokenizer, and runs it over packs of windows.

    options (Options): How.
    """

    def __init__(self, options: Options):
        super().__init__(None, lr_scale=self._scale_of)
        self.options = options
        self._prediction = PredictionNetwork()
        self.precision = options.precision
        self.frozen = options.frozen_layers == -1
        self.weights_apart = False
        self.tokenizer: Any = None
        self._row_gradient = RowGradient()
        self._memory = SubwordMemory()

    @property
    def precision(self) -> str:
        """What the network computes in: "fp32", "bf16", "fp16", "auto" or, in prediction only,
        "int8"."""
        return self._precision

    @precision.setter
    def precision(self, precision: str) -> None:
        check_precision(precision)
        if self._model is not None:
            _check_fit(precision, self.network)
        self._precision = precision
        self.loss_scale = LossScale() if precision == "fp16" else None

    def set_network(self, network: nn.Module) -> None:
        super().set_network(network)
        self._prediction.forget()

    def _scale_of(self, name: str) -> float:
        # What starts at zero has further to go than what is pre-trained.
        factor = CASING_LR_SCALE if name.startswith(casing.NAME) else 1.0
        return self.options.lr_scale * factor

    @property
    def ready(self) -> bool:
        """Whether the weights are there."""
        return self._model is not None

    def fetch(self) -> None:
        """Get the weights the options name."""
        options = self.options
        pretrained = storage.fetch(options.name, revision=options.revision, dropout=options.dropout)
        if options.layers is not None:
            keep_layers(pretrained.network, options.layers)
        self.set_pretrained(pretrained)

    def measure(self, pretrained: storage.Pretrained) -> None:
        """Put a tokenizer in place, and settle the window by the network's limit. The network is
        only looked at: its outline is enough.

        pretrained (Pretrained): Network and tokenizer.
        RAISES: ValueError if the window is longer than the model's limit, or the overlap is not
            smaller than the window.
        """
        options = self.options
        self.tokenizer = pretrained.tokenizer
        self.subwords = SubwordTokenizer(pretrained.tokenizer)
        self._memory = SubwordMemory()
        self.frame = find_frame(pretrained)
        limit = find_limit(pretrained.network, len(self.frame))
        if options.window is not None and limit is not None and options.window > limit:
            special = f"the model's limit without its {len(self.frame)} special sub-words"
            raise wrong("window", options.window, f"at most {limit}, {special}")
        self.window = options.window or limit or UNLIMITED_WINDOW
        self.overlap = (
            min(DEFAULT_OVERLAP, self.window // 4) if options.overlap is None else options.overlap
        )
        check_window(self.window, self.overlap)

    def set_pretrained(self, pretrained: storage.Pretrained) -> None:
        """Put network and tokenizer in place, and check the options against them.

        pretrained (Pretrained): Network and tokenizer.
        RAISES: ValueError if the window is longer than the model's limit, the overlap is not
            smaller than the window, there are fewer layers than are to be frozen, or the network
            can not be computed in the precision.
        """
        options = self.options
        self.measure(pretrained)
        network = pretrained.network
        _check_fit(self.precision, network)
        freeze(network, options.frozen_layers)
        if options.casing:
            casing.add_casing(network)
        if options.gradient_checkpointing:
            network.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": around_layers}
            )
        self.set_network(network)

    @property
    def budget(self) -> int:
        """Most padded sub-words in one pack."""
        if self.options.batch_subwords is not None:
            return self.options.batch_subwords
        return CPU_BUDGET if self.device.type == "cpu" else GPU_BUDGET

    def overhead(self, *, train: bool) -> int:
        """What a pack costs by itself, in sub-words.

        train (bool): Forward and backward, or forward alone.
        """
        if self.device.type != "cpu":
            return GPU_OVERHEAD
        if train:
            return TRAINING_OVERHEAD
        return INT8_OVERHEAD if self.precision == INT8 else PREDICTION_OVERHEAD

    def tokenize(self, docs: Sequence[Doc]) -> list[Subwords]:
        """Cut documents into sub-words.

        docs (Sequence[Doc]): The documents.
        RETURNS (list[Subwords]): Their sub-words and which tokens they belong to.
        RAISES: ValueError if there are no weights yet.
        """
        self.network  # noqa: B018 (raises when there is no model yet)
        return self._memory.look_up(docs, self._cut)

    @contextlib.contextmanager
    def remembering(self, docs: Sequence[Doc]) -> Iterator[None]:
        """Cut documents into sub-words once for everything that is done with them meanwhile, and
        not at all if an earlier epoch has done it.

        docs (Sequence[Doc]): The documents; they are left as they are until the end.
        """
        self.network  # noqa: B018 (raises when there is no model yet)
        with self._memory.holding(docs, self._memory.again(docs, self._cut)):
            yield

    def _cut(self, docs: list[Doc]) -> list[Subwords]:
        pieces = self.subwords(docs)
        if self.options.casing:
            pieces = [
                replace(p, shapes=casing.shapes_of_subwords(doc, p))
                for doc, p in zip(docs, pieces, strict=True)
            ]
        return pieces

    def costs(self, docs: Sequence[Doc]) -> np.ndarray:
        """How many padded sub-words each document takes when all its windows have full length.

        docs (Sequence[Doc]): The documents.
        RETURNS (np.ndarray): int64 [n_docs].
        """
        counts = np.array([len(p.ids) for p in self.tokenize(docs)], dtype=np.int64)
        step = self.window - self.overlap
        windows = np.maximum(1, -(-(counts - self.overlap) // step))
        return windows * (np.minimum(counts, self.window) + len(self.frame))

    def run(
        self,
        pieces: Sequence[Subwords],
        wanted: Sequence[np.ndarray],
        *,
        train: bool,
        project: Project | None = None,
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Vectors of wanted sub-words, pack by pack, each pack through `project` at once.

        Only what `project` returns is kept for all packs together, so a document of a million
        tokens needs memory for its emissions and for one pack's activations. In training the
        activations are kept while all packs fit the budget together; beyond that each pack is
        computed again in the backward pass, with the same dropout (Gao et al. 2021, "Scaling Deep
        Contrastive Learning Batch Size under Memory Limited Setup", section 3.2, does so for
        batches).

        pieces (Sequence[Subwords]): The documents' sub-words.
        wanted (Sequence[np.ndarray]): For each document indices of sub-words, int64 [m].
        train (bool): Use dropout, and prepare for the backward pass.
        project (Project | None): From vectors [r, d] to what is wanted [r, c]; None keeps the
            vectors.
        RETURNS (tuple[Tensor, Callable]): float32 [sum of m, c], and a function that takes its
            gradient and adds to those of the network and of what `project` holds.
        RAISES: ValueError for training in "int8".
        """
        if train and self.precision == INT8:
            expected = "'fp32', 'bf16', 'fp16' or 'auto' in training: 'int8' is for prediction"
            raise wrong("precision", repr(self.precision), expected)
        packs = make_packs(
            pieces,
            wanted,
            frame=self.frame,
            window=self.window,
            overlap=self.overlap,
            budget=self.budget,
            overhead=self.overhead(train=train),
        )
        project = project or nn.Identity()
        words = WordTable(self.network, packs, self._row_gradient) if train else None
        learns = train and not self.frozen
        self.network.train(learns)
        network = self.network if learns else self._for_prediction()
        largest = max((p.size for p in packs), default=0)
        keep = train and sum(p.size for p in packs) <= max(self.budget, largest)
        states: list[State] = []
        graphs: list[Tensor] = []

        def outputs() -> Iterator[tuple[Pack, Tensor]]:
            for p in packs:
                if train and not keep:
                    states.append(random_state(self.device))
                with torch.set_grad_enabled(keep) if train else torch.inference_mode():
                    vectors = self._vectors(network, p, words, project)
                if keep:
                    graphs.append(vectors)
                yield p, vectors.detach()

        with shared_casts(self.device):
            result = self._gather(outputs(), project, wanted)

        def backprop(d_result: Tensor) -> None:
            d_packs = [
                d_result.index_select(0, torch.from_numpy(p.targets).to(self.device)) for p in packs
            ]
            if keep:
                _backward(graphs, d_packs)
            else:
                with shared_casts(self.device):
                    for p, state, d_vectors in zip(packs, states, d_packs, strict=True):
                        with replayed(state, self.device), torch.enable_grad():
                            vectors = self._vectors(network, p, words, project)
                        _backward([vectors], [d_vectors])
            if words is not None:
                words.finish()

        return result, backprop if train else _no_backprop

    def _gather(
        self,
        outputs: Iterable[tuple[Pack, Tensor]],
        project: Project,
        wanted: Sequence[np.ndarray],
    ) -> Tensor:
        with torch.no_grad():
            width = self.network.config.hidden_size
            # shape: [0, c]
            nothing = project(torch.zeros((0, width), device=self.device))
        # shape: [sum of m, c]
        result = nothing.new_empty((sum(len(w) for w in wanted), nothing.shape[1]))
        for p, vectors in outputs:
            result[torch.from_numpy(p.targets).to(result.device)] = vectors
        return result

    def _vectors(
        self, network: nn.Module, p: Pack, words: WordTable | None, project: Project
    ) -> Tensor:
        # shape: [B, T]
        mask = None if p.mask.all() else torch.from_numpy(p.mask).to(self.device)
        learns = torch.is_grad_enabled() and not self.frozen
        with (
            autocast(self._computed(), self.device),
            fast_kernels(self.device, training=self.network.training),
            torch.set_grad_enabled(learns),
        ):
            # shape: [B, T, d]
            hidden = network(**self._inputs(p, words), attention_mask=mask)[0]
        rows = torch.from_numpy(p.rows).to(self.device)
        # shape: [r, d]
        vectors = hidden.reshape(-1, hidden.shape[-1]).index_select(0, rows).float()
        if self.loss_scale is not None and vectors.requires_grad:
            # Where float16 begins, and no earlier: what lies above needs no scale.
            vectors.register_hook(self.loss_scale.scale)
        return project(vectors)

    def _computed(self) -> str:
        kind = getattr(self.network.config, "model_type", "")
        return resolve(self.precision, self.device, kind)

    def _for_prediction(self) -> nn.Module:
        return self._prediction.of(self.network, self._computed())

    def _inputs(self, p: Pack, words: WordTable | None) -> dict[str, Tensor]:
        # shape: [B, T]
        ids = torch.from_numpy(p.ids).to(self.device)
        if words is None and not self.options.casing:
            return {"input_ids": ids}
        # shape: [B, T, e]
        embedded = self.network.get_input_embeddings()(ids) if words is None else words(p)
        if self.options.casing:
            embedded = embedded + self.network.casing(torch.from_numpy(p.shapes).to(self.device))
        return {"inputs_embeds": embedded}

    def __getstate__(self) -> dict[str, Any]:
        fresh = {
            "_row_gradient": RowGradient(),
            "_prediction": PredictionNetwork(),
            "_memory": SubwordMemory(),
        }
        return {**super().__getstate__(), **fresh}

    def finish_update(self, optimizer: Optimizer) -> None:
        changes = bool(self.trained())
        super().finish_update(optimizer)
        if changes:
            # torch's fused steps write to weights and leave no trace.
            self._prediction.forget()

    def _thinc_step(self, optimizer: Optimizer, trained: list[tuple[str, nn.Parameter]]) -> None:
        super()._thinc_step(optimizer, trained)
        # thinc adds the L2 penalty to the gradients in place, so that no row is zero any more.
        self._row_gradient = RowGradient()

    def to_bytes(self) -> bytes:
        """The encoder's folder as one bytestring; empty before `fetch` or if `weights_apart`."""
        if self._model is None or self.weights_apart:
            return b""
        return storage.to_bytes(self.pretrained)

    def from_bytes(self, bytes_data: bytes) -> "TransformerShim":
        """Read what `to_bytes` gave."""
        if bytes_data:
            self.set_pretrained(storage.from_bytes(bytes_data))
        return self

    @property
    def pretrained(self) -> storage.Pretrained:
        """Network and tokenizer as they are now."""
        return storage.Pretrained(self.network, self.tokenizer)


def _check_fit(precision: str, network: Any) -> None:
    kind = getattr(network.config, "model_type", "")
    if DTYPES.get(precision) is not None and kind in UNFIT:
        raise wrong("precision", repr(precision), f"'fp32' or 'auto' for a {kind}, which needs it")


def _backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    # Packs in one call, so that the gradients of a weight are cast to float32 once.
    learns = [y.requires_grad for y in outputs]
    if any(learns):
        torch.autograd.backward(list(compress(outputs, learns)), list(compress(gradients, learns)))


def _no_backprop(d_result: Tensor) -> None:
    raise RuntimeError(
        "There is no gradient for a prediction: call begin_update instead of predict."
    )
