"""BioNer: the spaCy component. It predicts, writes `doc.ents`, learns, scores and saves itself."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import srsly
import torch
from spacy import util
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..encoders.api import Encoder, encoder_of
from ..gold import annotation as gold
from ..gold.annotation import Annotation
from ..gold.misfits import POLICIES
from ..gold.notices import GoldTally, Notices, tally_batch
from ..heads.decode import (
    Alternative,
    Entities,
    Reading,
    check_finite,
    find_alternatives,
    find_entities,
    tag_marginals,
)
from ..heads.emitter import Head
from ..heads.lattice import Lattice
from ..heads.loss import annotated_tokens, batch_loss
from ..model import EmitterShim, torch_shims
from ..tags.schemes import REPAIRS
from ..tags.tagset import SCHEMES, TagSet
from ..training.optimizer import clip_global_norm
from .confidence import install_extension, write_scores
from .stream import gather

# Batches of the encoder's budget that `pipe` gathers documents for.
BUFFERED_BATCHES = 8

DEFAULT_CONFIG = """
[bio_ner]
scheme = "BIO"
repair = "begin"
overwrite = false
misaligned = "missing"
incorrect_spans_key = null
spans_key = "bio_ner"
threshold = 0.0
buffer_tokens = null

[bio_ner.model]
@architectures = "spacy-bio-crf.BioTagger.v1"
subword_labels = "first"

[bio_ner.model.encoder]
@architectures = "spacy-bio-crf.TransformerEncoder.v1"
name = "bert-base-multilingual-cased"

[bio_ner.model.head]
@architectures = "spacy-bio-crf.CRFHead.v1"

[bio_ner.scorer]
@scorers = "spacy-bio-crf.bio_ner_scorer.v1"
"""


@Language.factory(
    "bio_ner",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
    default_config=Config().from_str(DEFAULT_CONFIG)["bio_ner"],
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
        "ner_token_acc": None,
        "ner_token_p": None,
        "ner_token_r": None,
        "ner_token_f": None,
        "ner_token_per_type": None,
    },
)
def make_bio_ner(
    nlp: Language,
    name: str,
    model: Model[list[Doc], Lattice],
    scheme: str,
    repair: str,
    overwrite: bool,
    misaligned: str,
    incorrect_spans_key: str | None,
    spans_key: str | None,
    threshold: float,
    buffer_tokens: int | None,
    scorer: Callable | None,
) -> "BioNer":
    """Make a `bio_ner` component. Registered as the factory "bio_ner".

    nlp (Language): The pipeline it goes into.
    name (str): The component's name in it.
    model (Model[list[Doc], Lattice]): The network.
    scheme (str): "BIO" or "BILUO".
    repair (str): How a stray I- is read when decoding is not constrained: "begin" or "discard".
    overwrite (bool): Replace entities that earlier components have set, instead of keeping them.
    misaligned (str): What becomes in training of gold entities that do not fit the tokens: one of
        `misaligned.POLICIES`.
    incorrect_spans_key (str | None): Group in the gold `doc.spans` of spans that are known to be
        no entities of their label, as for spaCy's `ner`.
    spans_key (str | None): Where in `doc.spans` the entities go with their confidence; null does
        not compute it.
    threshold (float): Least confidence of an entity, from 0 to 1.
    buffer_tokens (int | None): How many tokens `pipe` gathers, across the batches of the stream, to
        sort documents by length; None takes eight times the encoder's `batch_subwords`, 0 works on
        each batch by itself.
    scorer (Callable | None): The scoring function.
    RETURNS (BioNer): The component.
    """
    return BioNer(
        nlp.vocab,
        model,
        name,
        scheme=scheme,
        repair=repair,
        overwrite=overwrite,
        misaligned=misaligned,
        incorrect_spans_key=incorrect_spans_key,
        spans_key=spans_key,
        threshold=threshold,
        buffer_tokens=buffer_tokens,
        scorer=scorer,
    )


class BioNer(TrainablePipe):
    """Named-entity recognition as sequence labelling with a transformer.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`.
    name (str): The component's name.
    scheme (str): "BIO" or "BILUO".
    repair (str): How a stray I- is read when decoding is not constrained.
    overwrite (bool): Replace entities that earlier components have set.
    misaligned (str): What becomes in training of gold entities that do not fit the tokens.
    incorrect_spans_key (str | None): Group in the gold `doc.spans` of spans that are known to be
        no entities of their label, as for spaCy's `ner`.
    spans_key (str | None): Where in `doc.spans` the entities go with their confidence.
    threshold (float): Least confidence of an entity, from 0 to 1.
    buffer_tokens (int | None): How many tokens `pipe` gathers, across the batches of the stream, to
        sort documents by length; None takes eight times the encoder's `batch_subwords`, 0 works on
        each batch by itself.
    scorer (Callable | None): The scoring function.
    RAISES: ValueError for an option out of range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Lattice],
        name: str = "bio_ner",
        *,
        scheme: str = "BIO",
        repair: str = "begin",
        overwrite: bool = False,
        misaligned: str = "missing",
        incorrect_spans_key: str | None = None,
        spans_key: str | None = "bio_ner",
        threshold: float = 0.0,
        buffer_tokens: int | None = None,
        scorer: Callable | None = None,
    ):
        for option, value, known in (
            ("scheme", scheme, SCHEMES),
            ("repair", repair, REPAIRS),
            ("misaligned", misaligned, POLICIES),
        ):
            if value not in known:
                raise ValueError(
                    f"Option '{option}' of {name!r} is {value!r}; expected one of {list(known)}."
                )
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(
                f"Option 'threshold' of {name!r} is {threshold}; expected a probability, 0 to 1."
            )
        if buffer_tokens is not None and buffer_tokens < 0:
            raise ValueError(
                f"Option 'buffer_tokens' of {name!r} is {buffer_tokens}; expected 0 or more."
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.repair = repair
        self.overwrite = overwrite
        self.misaligned = misaligned
        self.incorrect_spans_key = incorrect_spans_key
        self.spans_key = spans_key
        self.threshold = threshold
        self.buffer_tokens = buffer_tokens
        self.scorer = scorer
        self.cfg: dict[str, Any] = {"labels": [], "scheme": scheme, "temperature": 1.0}
        self._warned_of: set[tuple[str, ...]] = set()
        self._notices = Notices(name)
        install_extension()
        _keep_forks_from_waiting()

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity labels, in the order of their tags."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """What `spacy init labels` writes, and `initialize` takes as `labels`."""
        return list(self.labels)

    @property
    def tagset(self) -> TagSet:
        """The tags of the labels in the component's scheme."""
        return TagSet(self.labels, self.cfg["scheme"])

    @property
    def head(self) -> Head:
        """The settings of the head."""
        return cast(EmitterShim, self.model.get_ref("emitter").shims[0]).head

    @property
    def encoder(self) -> Encoder:
        """The interface of the model's encoder."""
        return encoder_of(self.model.get_ref("encoder"))

    @property
    def _continued(self) -> bool:
        # Whether a word's later sub-words carry I- after B-. No tag goes on after L- or U-, and a
        # softmax has no sequence to fit into: there they repeat the word's tag.
        every = self.model.attrs["subword_labels"] == "all"
        return self.head.crf and every and self.cfg["scheme"] == "BIO"

    def add_label(self, label: str) -> int:
        """Add a label, before the model has its size.

        label (str): The label, without B- or I-.
        RETURNS (int): 1, or 0 if the label was there.
        RAISES: ValueError once the model has its size.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        if self.model.has_dim("nO"):
            raise ValueError(
                f"Can't add the label {label!r} to {self.name!r}: its model has the size of its"
                f" {len(self.labels)} labels {list(self.labels)}. Add labels before"
                " nlp.initialize(), or train anew."
            )
        TagSet((*self.labels, label), self.cfg["scheme"])
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Find the labels, fetch the encoder and make the head.

        Where the labels are read from the data, this also counts what of the data can not be learnt
        from, and warns of it.

        get_examples (Callable[[], Iterable[Example]]): Gives the training data.
        nlp (Language | None): The pipeline.
        labels (Sequence[str] | None): The labels, for example from `spacy init labels`; None reads
            them from the data.
        RAISES: ValueError if there are no examples or no label, or if `misaligned` is "strict" and
            an entity does not fit the tokens.
        """
        validate_get_examples(get_examples, "BioNer.initialize")
        if isinstance(labels, str):
            raise ValueError(
                f"Option 'labels' is the string {labels!r}; expected a list of labels."
            )
        whole = labels is None
        if labels is None:
            labels = sorted({e.label_ for eg in get_examples() for e in eg.reference.ents})
        for label in labels:
            self.add_label(label)
        if not self.labels:
            count = sum(1 for _ in get_examples())
            raise ValueError(
                f"Found no entity label for {self.name!r} in {count} training documents; expected"
                " entities in doc.ents, or labels by add_label or in [initialize.components]."
            )
        unknown = {label for label, _ in self.head.class_weights} - {"O", *self.labels}
        if unknown:
            raise ValueError(
                f"Option 'class_weights' of the head names {sorted(unknown)}; expected 'O' or"
                f" labels of {self.name!r}: {list(self.labels)}."
            )
        sample = [eg.predicted for eg, _ in zip(get_examples(), range(10), strict=False)]
        self.model.set_dim("nO", len(self.tagset.tags))
        self.model.initialize(X=sample)
        self._notices = Notices(self.name)
        if whole:
            tally = self._survey(get_examples())
            self._notices.tell(tally, where="training documents", policy=self.misaligned)

    def _survey(self, examples: Iterable[Example]) -> GoldTally:
        # Only an encoder with a tokenizer of its own says which tokens have a sub-word before it is
        # run; for the others the first batch that lacks some tells.
        tally = GoldTally()
        for batch in util.minibatch(examples, size=256):
            docs = [eg.predicted for eg in batch]
            subwords = self.encoder.cut(docs)
            for i, eg in enumerate(batch):
                rows = None if subwords is None else np.flatnonzero(subwords[i].lengths)
                tally.add(eg, self._read(eg), rows)
        return tally

    def predict(self, docs: Iterable[Doc]) -> list[Entities]:
        """Find entities, without writing to the documents.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[Entities]): For each, the entities found and those that were preset.
        RAISES: ValueError before initialisation, or if the scores of a document are not finite.
        """
        docs = list(docs)
        return find_entities(
            self.lattice(docs),
            self.presets(docs),
            self.reading(),
            repair=self.repair,
            scored=self.spans_key is not None or self.threshold > 0.0,
            threshold=self.threshold,
        )

    def kbest(self, docs: Iterable[Doc], k: int) -> list[list[Alternative]]:
        """The k most probable analyses of each document, with their probabilities.

        docs (Iterable[Doc]): The documents; nothing is written to them.
        k (int): How many; fewer come back where there are fewer.
        RETURNS (list[list[Alternative]]): For each document, the most probable first.
        RAISES: ValueError if k is less than 1, and as `predict`.
        """
        docs = list(docs)
        return find_alternatives(
            self.lattice(docs), self.presets(docs), self.reading(), k=k, repair=self.repair
        )

    def marginals(self, docs: Iterable[Doc]) -> list[np.ndarray]:
        """The probability of each tag at each token.

        docs (Iterable[Doc]): The documents; nothing is written to them.
        RETURNS (list[np.ndarray]): For each document float32 [n_tokens, K], in the order of
            `tagset.tags`; NaN for tokens without a sub-word and white space.
        RAISES: As `predict`.
        """
        docs = list(docs)
        return tag_marginals(
            self.lattice(docs), self.presets(docs), self.reading(), sizes=[len(doc) for doc in docs]
        )

    def lattice(self, docs: Sequence[Doc]) -> Lattice:
        """The scores of all tag paths, before any constraint.

        docs (Sequence[Doc]): The documents.
        RETURNS (Lattice): One row for each token that has a sub-word.
        RAISES: ValueError before initialisation, or if the scores of a document are not finite.
        """
        if not self.labels or not self.model.has_dim("nO"):
            raise ValueError(Errors.E109.format(name=self.name))
        lattice = self.model.predict(list(docs))
        check_finite(self.name, docs, lattice)
        return lattice

    def presets(self, docs: Sequence[Doc]) -> list[Annotation | None]:
        """What earlier components have set and this one keeps.

        docs (Sequence[Doc]): The documents.
        RETURNS (list[Annotation | None]): For each document; None where nothing is kept.
        """
        return [None if self.overwrite else gold.read_presets(doc) for doc in docs]

    def reading(self, *, temperature: float | None = None) -> Reading:
        """How the component reads lattices.

        temperature (float | None): What scores are divided by for probabilities; None takes the
            component's own.
        RETURNS (Reading): The settings.
        """
        return Reading(
            tagset=self.tagset,
            head=self.head,
            temperature=self.temperature if temperature is None else temperature,
        )

    @property
    def temperature(self) -> float:
        """What scores are divided by for probabilities: 1.0, until the component is calibrated."""
        return self.cfg["temperature"]

    @temperature.setter
    def temperature(self, value: float) -> None:
        if not 0.0 < value < float("inf"):
            raise ValueError(
                f"The temperature of {self.name!r} can't be {value}; expected a number above 0."
            )
        self.cfg["temperature"] = float(value)

    @property
    def precision(self) -> str:
        """What the encoder computes in: "fp32", "bf16", "fp16" or, in prediction only, "int8".

        Setting it lasts as long as the component; the config's option is the encoder's.
        RAISES: ValueError for a precision there is not, or if the encoder has no transformer of its
            own.
        """
        return self.encoder.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        self.encoder.precision = precision

    def transition_scores(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start [K], transition [K, K] (from, to) and end [K] scores; float32, in nats.

        RAISES: ValueError before initialisation.
        """
        network = cast(EmitterShim, self.model.get_ref("emitter").shims[0]).network
        start, transitions, end = (scores.detach().cpu().numpy() for scores in network.scores())
        return start, transitions, end

    def set_annotations(self, docs: Iterable[Doc], scores: list[Entities]) -> None:
        """Write entities to the documents. Tokens nobody has annotated become outside.

        docs (Iterable[Doc]): The documents.
        scores (list[Entities]): What `predict` gave for them.
        """
        for doc, entities in zip(docs, scores, strict=True):
            preset = entities.preset
            # Preset entities are written back as the objects they were: they may link to a
            # knowledge base.
            kept = preset.ents if isinstance(preset, gold.Preset) else ()
            blocked = preset.blocked if isinstance(preset, gold.Preset) else []
            if self.overwrite:
                # set_ents leaves the links and ids of former entities on their tokens.
                for token in chain.from_iterable(doc.ents):
                    token.ent_kb_id = token.ent_id = 0
            found = [SpacySpan(doc, s, e, label=label) for s, e, label in entities.found]
            doc.set_ents([*kept, *found], blocked=[doc[s:e] for s, e in blocked], default="outside")
            if self.spans_key is not None and entities.scores is not None:
                write_scores(doc, self.spans_key, entities.found, entities.scores)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of documents, in order.

        Documents are gathered across batches until there are `buffer_tokens`, so that their windows
        can be sorted by length. If some of them fail, they are tried in halves, down to those at
        fault: the error handler sees only these, and the others come through.

        stream (Iterable[Doc]): The documents.
        batch_size (int): Documents to work on at once where `buffer_tokens` is 0.
        YIELDS (Doc): The same documents, in order, without those that failed.
        """
        tokens = self.buffer_tokens
        if tokens is None:
            tokens = BUFFERED_BATCHES * self.encoder.budget
        for docs in gather(stream, batch_size=batch_size, tokens=tokens):
            yield from self._annotate(docs)

    def _annotate(self, docs: list[Doc]) -> Iterator[Doc]:
        failure = self._try(docs)
        if failure is None:
            yield from docs
        elif len(docs) == 1:
            self.get_error_handler()(self.name, self, docs, failure)
        else:
            half = len(docs) // 2
            yield from self._annotate(docs[:half])
            yield from self._annotate(docs[half:])

    def _try(self, docs: list[Doc]) -> Exception | None:
        try:
            self.set_annotations(docs, self.predict(docs))
        except Exception as error:
            return error
        return None

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples.

        A batch that exceeds the encoder's budget is worked on in parts; the gradient does not
        depend on how it is cut.

        examples (Iterable[Example]): The batch.
        drop (float): Dropout on the vectors that enter the head.
        sgd (Optimizer | None): Takes a step at once, if given.
        losses (dict[str, float] | None): Losses by component, updated with this one's.
        RETURNS (dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "BioNer.update")
        if not any(len(eg.predicted) for eg in examples):
            return losses
        set_dropout_rate(self.model, drop)
        annotations = [self._read(eg) for eg in examples]
        size = annotated_tokens(annotations)
        docs = [eg.predicted for eg in examples]
        with self.encoder.remembering(docs):
            for part in self.encoder.split(docs):
                batch = [examples[i] for i in part]
                lattice, backprop = self.model.begin_update([docs[i] for i in part])
                gold_of_batch = [annotations[i] for i in part]
                loss, d_lattice = self._loss(gold_of_batch, lattice, size)
                tally = tally_batch(batch, gold_of_batch, lattice.tokens)
                self._notices.tell(tally, where="documents of a batch", policy=self.misaligned)
                backprop(d_lattice)
                losses[self.name] += loss
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Lattice) -> tuple[float, Lattice]:
        """Negative log-likelihood of the annotation, per annotated token.

        examples (Iterable[Example]): The batch.
        scores (Lattice): What the model said of it.
        RETURNS (tuple[float, Lattice]): The loss and its gradient.
        RAISES: ValueError if an entity's label is none of the component's.
        """
        examples = list(examples)
        validate_examples(examples, "BioNer.get_loss")
        annotations = [self._read(eg) for eg in examples]
        return self._loss(annotations, scores, annotated_tokens(annotations))

    def _loss(
        self, annotations: Sequence[Annotation], lattice: Lattice, size: int
    ) -> tuple[float, Lattice]:
        return batch_loss(
            annotations,
            lattice,
            head=self.head,
            tagset=self.tagset,
            continued=self._continued,
            size=size,
        )

    def _read(self, example: Example) -> Annotation:
        annotation = gold.read_example(
            example, wrong_key=self.incorrect_spans_key, misaligned=self.misaligned
        )
        if not self.model.has_dim("nO"):
            raise ValueError(Errors.E109.format(name=self.name))
        for start, end, label in [*annotation.spans, *annotation.wrong]:
            if label not in self.labels:
                raise ValueError(
                    f"The entity {example.predicted[start:end].text!r} has the label {label!r};"
                    f" expected one of the labels of {self.name!r}: {list(self.labels)}."
                )
        return annotation

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions. Warns, once for each set of them, of labels that can't be predicted.

        examples (Iterable[Example]): Predicted and reference documents.
        kwargs (Any): Passed on to the scorer.
        RETURNS (dict[str, Any]): What the scorer says; nothing if there is none.
        """
        examples = list(examples)
        found = {ent.label_ for example in examples for ent in example.reference.ents}
        unknown = tuple(sorted(found - set(self.labels)))
        if unknown and unknown not in self._warned_of:
            self._warned_of.add(unknown)
            warnings.warn(
                f"The documents to score have entities with labels that {self.name!r} was not"
                f" trained with: {list(unknown)}; expected labels of {list(self.labels)}. Those"
                " entities count as missed unless another component finds them.",
                stacklevel=2,
            )
        return super().score(examples, **kwargs)

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step with the gradients that have gathered, clipped by their common norm.

        sgd (Optimizer): The optimiser; its `grad_clip` is the greatest norm.
        """
        clip_global_norm(torch_shims(self.model), sgd.grad_clip)
        self.model.finish_update(sgd)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Everything a trained component needs, the encoder's weights and tokenizer among it.

        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (bytes): The component.
        """
        return util.to_bytes(
            {
                "cfg": lambda: srsly.json_dumps(self.cfg),
                "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
                "model": self.model.to_bytes,
            },
            exclude,
        )

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "BioNer":
        """Read what `to_bytes` gave.

        bytes_data (bytes): The component.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (BioNer): This component.
        """
        util.from_bytes(
            bytes_data,
            {
                "cfg": lambda data: self.cfg.update(srsly.json_loads(data)),
                "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
                "model": self.model.from_bytes,
            },
            exclude,
        )
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component; the encoder becomes a Hugging Face folder called `encoder`.

        path (str | Path): The component's folder.
        exclude (Iterable[str]): Names of fields to leave out.
        """
        serialize: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "model": self.model.to_disk,
            "encoder": self.encoder.save,
        }
        with self.encoder.weights_apart():
            util.to_disk(path, serialize, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "BioNer":
        """Read what `to_disk` wrote. Reaches for no hub.

        path (str | Path): The component's folder.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (BioNer): This component.
        """
        deserialize: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: self.cfg.update(srsly.read_json(p)),
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": self.model.from_disk,
            "encoder": self.encoder.load,
        }
        util.from_disk(path, deserialize, exclude)
        return self


@lru_cache(maxsize=1)
def _keep_forks_from_waiting() -> None:
    """Let forked processes, as of `nlp.pipe(n_process=2)`, compute on one thread.

    The threads torch has worked with before a fork are not there after it: it would wait for them
    for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
