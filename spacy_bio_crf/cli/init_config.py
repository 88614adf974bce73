"""`bio-ner init config`: a complete config for a corpus and an encoder."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..corpora import read
from ..errors import BioError, Plain, check_choice, counted, describe
from .loading import check_new, name_options, writing
from .reader_options import is_docbins

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..encoders.transformer.facts import EncoderFacts
    from ..training.recipe import Recipe

# Heads for entities, whose tags have a scheme, and for labels of tokens, which have none.
HEADS = {
    "crf": """@architectures = "spacy-bio-crf.CRFHead.v1"
constrained = true
lr_scale = 10.0
transitions_lr_scale = 100.0""",
    "softmax": """@architectures = "spacy-bio-crf.SoftmaxHead.v1"
constrained = true
# Trains what is decoded, legal sequences; false is the plain cross-entropy of each token.
constrained_loss = true
lr_scale = 10.0""",
}
HEADS_OF_TOKENS = {
    "softmax": """@architectures = "spacy-bio-crf.SoftmaxHead.v1"
lr_scale = 10.0""",
    "crf": """@architectures = "spacy-bio-crf.CRFHead.v1"
lr_scale = 10.0
transitions_lr_scale = 100.0""",
}
ENTITY_WEIGHTS = "ents_f = 1.0\nents_p = 0.0\nents_r = 0.0"
LEFT_ALONE = "each sub-word sees only those before it; one that sees both sides finds more"
# By the end of a network's class: what its user should know.
REMARKS = {
    "ForCausalLM": LEFT_ALONE,
    "LMHeadModel": LEFT_ALONE,
    "ForTokenClassification": "its classifier is not used; `bio-ner from-hf` keeps it",
}
ANY_LANGUAGE = "xx"  # spaCy's code of a language that it does not know

init = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@init.callback()
def init_cli() -> None:
    """Make what a training begins with."""


@init.command(
    "config",
    epilog="\b\nExample:\n  python -m spacy bio-ner init config corpus/train.spacy"
    " corpus/dev.spacy config.cfg\n      --encoder neuralmind/bert-base-portuguese-cased --lang pt",
)
def init_config_cli(
    paths: list[Path] = typer.Argument(  # noqa: B008
        ...,
        metavar="TRAIN [DEV] OUT",
        help="Training and development data (.spacy, or a folder of such files), and the config",
    ),
    encoder: str = typer.Option(
        ..., "--encoder", "-e", help="Pre-trained encoder: a folder, or its name on the hub"
    ),
    lang: str | None = typer.Option(
        None, "--lang", "-l", help="Language of the pipeline; the encoder's if not given"
    ),
    target: str | None = typer.Option(
        None,
        "--target",
        help="Labels of tokens instead of entities: tag, pos, morph, or _.name for an extension",
    ),
    head: str | None = typer.Option(
        None, "--head", help="crf or softmax; crf for entities and softmax for tokens if not given"
    ),
    gpu: bool = typer.Option(False, "--gpu", help="Train on a GPU: larger batches, in bf16"),
    optimize: str = typer.Option(
        "speed", "--optimize", "-o", help="speed, or accuracy: about twice as many steps"
    ),
    epochs: float | None = typer.Option(
        None, "--epochs", help="How often to see the training data; else by its size"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing config"),
) -> None:
    """Write a config for your corpus and encoder, of a `bio_ner` or, with --target, a `bio_tagger`.

    Looks at the encoder (capitals, layers, width, limit, language) and at the size of the corpus.
    """
    *corpora, output = paths
    if len(corpora) not in (1, 2) or is_docbins(output):
        got = Plain(" ".join(map(str, paths)))
        msg.fail(describe("paths", expected="TRAIN [DEV] OUT", got=got), exits=1)
    check_new(output, force)
    from ..encoders.transformer.facts import inspect_encoder
    from ..io import write_text
    from ..training.recipe import make_recipe

    try:
        heads = HEADS if target is None else HEADS_OF_TOKENS
        head = head or next(iter(heads))
        check_choice("head", head, heads, error=BioError)
        if lang is not None and not _is_language(lang):
            expected = "the code of a language of spaCy, such as en or xx"
            raise BioError(describe("lang", expected=expected, got=lang))
        (train, n_gold), (dev, _) = (_read(path, target) for path in (corpora[0], corpora[-1]))
        facts = inspect_encoder(encoder)
        language = lang or _language_of(facts)
        sizes = [sum(map(len, docs)) for docs in (train, dev)]
        recipe = make_recipe(
            *sizes,
            width=facts.width,
            layers=facts.layers,
            gpu=gpu,
            optimize=optimize,
            epochs=epochs,
        )
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), init_config_cli), exits=1)
    known = {*facts.languages, ANY_LANGUAGE}
    if facts.languages and "multilingual" not in known and language not in known:
        msg.warn(f"The encoder's model card names {', '.join(facts.languages)}, not {language}")
    for ending, remark in REMARKS.items():
        if any(name.endswith(ending) for name in facts.heads):
            msg.warn(f"The encoder is a {facts.heads[0]}: {remark}")
    command = f"python -m spacy train {shlex.quote(str(output))} --output training"
    if gpu:
        command += " --gpu-id 0"
    values = {
        "train": _quoted(corpora[0]),
        "dev": "null" if len(corpora) == 1 else _quoted(corpora[1]),
        "encoder": _quoted(encoder),
        "lang": _quoted(language),
        "head": heads[head],
        **_of_task(target),
        "train_command": command,
        "corpus_why": f"{corpora[0]}: {counted(len(train), 'document')}, "
        f"{counted(sizes[0], 'token')}, {n_gold}.",
        **_of_encoder(encoder, facts, gpu),
        **_of_recipe(recipe),
    }
    template = files(__package__).joinpath("own_data.cfg").read_text(encoding="utf-8")
    with writing("OUT"):
        write_text(output, re.sub("<([a-z_]+)>", lambda found: values[found[1]], template))
    msg.info(values["encoder_why"])
    msg.info(values["steps_why"])
    if len(corpora) == 1:
        msg.warn("There is no development data: name some with --paths.dev when you train")
    msg.good(f"Config: {output}")
    msg.text(f"Train with: {command}")


def _read(path: Path, target: str | None) -> "tuple[list[Doc], str]":
    """RETURNS (tuple): The documents of a file, and in words how much is annotated."""
    if not path.exists():
        raise BioError(describe(str(path), expected="a file or folder", got=Plain("nothing there")))
    if not is_docbins(path):
        remedy = "make one with `python -m spacy bio-ner convert`"
        got = Plain("a folder without any" if path.is_dir() else "a file of another format")
        raise BioError(describe(str(path), expected="a .spacy file", got=got, remedy=remedy))
    docs = read(path)[0]
    if target is None:
        n_gold, expected = sum(len(doc.ents) for doc in docs), "entities"
        told = counted(n_gold, "entity")
    else:
        n_gold, expected = _count_labels(docs, target), f"tokens with a label in {target!r}"
        told = f"{counted(n_gold, 'token')} with a label"
    if n_gold == 0:
        raise BioError(describe(str(path), expected=expected, got=Plain("none")))
    return docs, told


def _count_labels(docs: "list[Doc]", target: str) -> int:
    from ..tags.targets import check_target, extension_name, read_label

    check_target(target)
    name = extension_name(target)
    if name is None:
        return sum(read_label(token, target) is not None for doc in docs for token in doc)
    # Nobody has registered the extension yet; its values lie in the user data.
    marks = ("._.", name)
    return sum(
        isinstance(key, tuple) and key[:2] == marks and key[2] is not None and bool(value)
        for doc in docs
        for key, value in doc.user_data.items()
    )


def _of_task(target: str | None) -> dict[str, str]:
    if target is None:
        return {"component": "bio_ner", "task": 'scheme = "BIO"', "score_weights": ENTITY_WEIGHTS}
    from ..tags.targets import BUILT_IN, score_name

    # Those of other targets are in the weights of every `bio_tagger`.
    own = score_name(target)
    weights = dict.fromkeys([*map(score_name, BUILT_IN), "morph_per_feat"], "null") | {own: "1.0"}
    return {
        "component": "bio_tagger",
        "task": f"target = {_quoted(target)}",
        "score_weights": "\n".join(f"{name} = {weight}" for name, weight in weights.items()),
    }


def _language_of(facts: "EncoderFacts") -> str:
    """The language of an encoder that has one alone."""
    if len(facts.languages) != 1 or not _is_language(facts.languages[0]):
        return ANY_LANGUAGE
    return facts.languages[0]


def _is_language(code: str) -> bool:
    from spacy.util import get_lang_class

    try:
        get_lang_class(code)
    except ImportError:
        return False
    return True


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _of_encoder(name: str, facts: "EncoderFacts", gpu: bool) -> dict[str, Any]:
    drop = facts.compares_sentences and facts.can_drop_layers and facts.layers > 1
    size = f"{facts.parameters / 1e6:.0f} million parameters"
    limit = "text of any length" if facts.limit is None else f"{facts.limit} sub-words"
    capitals = "drops capitals" if facts.lower_cases else "keeps capitals"
    return {
        "encoder_why": f"{name}: {facts.family}, {counted(facts.layers, 'layer')} of width"
        f" {facts.width}, {size}; sees {limit} at once and {capitals}.",
        "pipe_batch": "1024" if gpu else "256",
        "precision": '"bf16"' if gpu else '"auto"',
        "precision_why": "Weights stay in float32."
        if gpu
        else "bf16 on processors with instructions for it, fp32 on others.",
        "casing": "true" if facts.lower_cases else "false",
        "casing_why": "The encoder drops capitals: it is told how words are written."
        if facts.lower_cases
        else "The encoder keeps capitals.",
        "layers": "-1" if drop else "null",
        "layers_why": "The encoder compares sentences: its last layer is made for that."
        if drop
        else "All layers.",
        "window_why": f"Sub-words seen at once; null takes all that the encoder sees, {limit}.",
    }


def _of_recipe(recipe: "Recipe") -> dict[str, Any]:
    return {
        "steps": str(recipe.steps),
        "steps_why": f"{counted(recipe.steps, 'step')} of about {recipe.batch_words} words see the"
        f" training data {recipe.epochs:.1f} times.",
        "eval_frequency": str(recipe.eval_frequency),
        "batch_words": str(recipe.batch_words),
        "batch_why": "In words. Less saves memory.",
        "warmup": str(recipe.warmup),
        "rate": f"{recipe.rate:g}",
        "rate_why": "For the size of the encoder; that of the head is ten times as high.",
    }
