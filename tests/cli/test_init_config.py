"""`bio-ner init config`: configs that spaCy takes as they are."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
from spacy.cli import app as spacy_app
from spacy.tokens import Doc, DocBin, Token
from spacy.util import load_config
from spacy.vocab import Vocab
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.pipelines import make_examples
from tests.support.tiny_models import write_checkpoint

COMPARES = "tags: [sentence-transformers]"


@pytest.fixture(scope="module")
def corpus(make_nlp, tmp_path_factory) -> Path:
    docs = [eg.reference for eg in make_examples(make_nlp())]
    path = tmp_path_factory.mktemp("corpus $x") / "train.spacy"
    DocBin(docs=docs * 3).to_disk(path)
    return path


def init(*arguments: object, code: int = 0, app=app, command=("init", "config")) -> str:
    done = CliRunner().invoke(app, [*command, *map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_spacy_takes_it_as_it_is(corpus, tiny_encoder, tmp_path, head: str):
    config = tmp_path / "my configs" / "config.cfg"
    printed = init(
        corpus, corpus, config, "--encoder", tiny_encoder, "--lang", "pt", "--head", head,
        "--epochs", "2",
    )  # fmt: skip
    assert f"Train with: python -m spacy train '{config}' --output training" in printed
    assert "Field required" not in init(config, app=spacy_app, command=("debug", "config"))
    # Nothing is left for spaCy to fill in.
    raw = load_config(config, interpolate=False)
    filled = spacy.util.load_model_from_config(raw, auto_fill=True).config
    for section in ("nlp", "training", "initialize", "corpora", "system", "paths"):
        assert filled[section].keys() == raw[section].keys()
    text = config.read_text("utf-8")
    assert "<" not in text.replace("<=", "") and text.count("# ") >= 12
    output = tmp_path / "training"
    init(config, "--output", output, app=spacy_app, command=("train",))
    nlp = spacy.load(output / "model-last")
    assert nlp.lang == "pt" and nlp.get_pipe("bio_ner").head.crf is (head == "crf")


@pytest.mark.parametrize(
    ("family", "card", "casing", "layers", "lang"),
    [
        ("bert", "license: mit", False, None, "xx"),
        ("distilbert", "language: en", True, None, "en"),
        ("electra", f"{COMPARES}\nlanguage: [pt, en]", True, -1, "xx"),
        ("albert", f"{COMPARES}\nlanguage: qq", True, None, "xx"),
        ("modernbert", "language: [pt]", False, None, "pt"),
    ],
)
def test_the_encoder_decides(corpus, tmp_path, family, card, casing, layers, lang):
    folder = write_checkpoint(tmp_path / "encoder", family)
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    init(corpus, corpus, tmp_path / "config.cfg", "-e", folder)
    config = load_config(tmp_path / "config.cfg").interpolate()
    encoder = config["components"]["bio_ner"]["model"]["encoder"]
    assert (encoder["casing"], encoder["layers"]) == (casing, layers)
    assert (encoder["name"], config["nlp"]["lang"]) == (str(folder), lang)
    nlp = spacy.util.load_model_from_config(config)
    nlp.initialize(lambda: make_examples(nlp))


def test_options_arrive(corpus, tiny_encoder, tmp_path):
    out = tmp_path / "config.cfg"
    init(corpus, corpus, out, "-e", tiny_encoder, "--gpu", "--optimize", "accuracy")
    fast = load_config(out).interpolate()
    assert fast["components"]["bio_ner"]["model"]["encoder"]["precision"] == "bf16"
    assert fast["paths"] == {**fast["paths"], "train": str(corpus), "dev": str(corpus)}
    printed = init(corpus, out, "-e", tiny_encoder, code=1)
    assert "OUT: expected a new file or folder, got" in printed and "--force" in printed
    printed = init(corpus, out, "-e", tiny_encoder, "--force", "--epochs", "4")
    assert "There is no development data: name some with --paths.dev" in printed
    config = load_config(out).interpolate()
    assert config["paths"]["dev"] is None
    assert re.search(r"see the training data [34]\.\d times", printed)
    rates, steps = config["training"]["optimizer"]["learn_rate"], config["training"]["max_steps"]
    assert (rates["total_steps"], rates["initial_rate"]) == (steps, 2e-4)
    assert steps % config["training"]["eval_frequency"] == 0


def test_a_debugged_config_has_no_findings_of_its_own(corpus, tiny_encoder, tmp_path):
    """The rate, the tokenizer and the window fit."""
    out = tmp_path / "config.cfg"
    init(corpus, corpus, out, "-e", tiny_encoder)
    report = tmp_path / "report.json"
    init(corpus, "--model", out, "--json", report, "--fail-on", "never", command=("debug",))
    found = {finding["check"] for finding in json.loads(report.read_text())["findings"]}
    assert not found & {"high_learning_rate", "retokenized_entities", "most_gold_lost"}


def test_what_can_not_be_used(corpus, tiny_encoder, tmp_path):
    out = tmp_path / "config.cfg"
    given = ["-e", tiny_encoder]
    assert "expected TRAIN [DEV] OUT" in init(out, *given, code=1)
    assert "expected TRAIN [DEV] OUT" in init(corpus, corpus, *given, code=1)
    assert "expected a file or folder" in init(tmp_path / "no.spacy", out, *given, code=1)
    (tmp_path / "a.conll").write_text("Ana B-PER\n")
    printed = init(tmp_path / "a.conll", out, *given, code=1)
    assert "a.conll: expected a .spacy file, got a file of another format; make" in printed
    assert "bio-ner convert" in printed
    DocBin(docs=[spacy.blank("en")("Nobody")]).to_disk(tmp_path / "none.spacy")
    assert "expected entities, got none" in init(tmp_path / "none.spacy", out, *given, code=1)
    assert "--head: expected one of 'crf'" in init(corpus, out, *given, "--head", "x", code=1)
    assert "--epochs: expected a number" in init(corpus, out, *given, "--epochs", "0", code=1)
    assert "--optimize: expected one of" in init(corpus, out, *given, "-o", "x", code=1)
    assert "--lang: expected the code of a language" in init(
        corpus, out, *given, "-l", "zzq", code=1
    )
    printed = init(corpus, out, "-e", tmp_path / "nowhere" / "x" / "y", code=1)
    assert "expected a folder with a config.json" in printed
    assert not out.exists()


def test_another_language_than_the_encoder_s_is_said(corpus, tiny_encoder, tmp_path):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    (tmp_path / "encoder" / "README.md").write_text("---\nlanguage: [de, en]\n---\n")
    given = [corpus, corpus, tmp_path / "a.cfg", "-F", "-e", tmp_path / "encoder", "--lang"]
    assert "model card names de, en, not pt" in init(*given, "pt")
    assert "model card" not in init(*given, "en")


@pytest.mark.parametrize(
    ("head", "remark"),
    [
        ("GPT2LMHeadModel", "each sub-word sees only those before it"),
        ("LlamaForCausalLM", "each sub-word sees only those before it"),
        ("BertForTokenClassification", "`bio-ner from-hf` keeps it"),
        ("BertForMaskedLM", ""),
    ],
)
def test_what_the_network_was_made_for_is_said(corpus, tiny_encoder, tmp_path, head, remark):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    path = tmp_path / "encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": [head]}))
    printed = init(corpus, corpus, tmp_path / "a.cfg", "-e", tmp_path / "encoder")
    assert (f"The encoder is a {head}" in printed) is bool(remark) and remark in printed


LABELED = (("Ana", "PROPN"), ("met", "VERB"), ("Bo", "PROPN"), (".", "PUNCT"))


@pytest.fixture
def labeled(tmp_path) -> Iterator[Path]:
    """Documents with parts of speech, morphology and an extension attribute, without entities."""
    words, parts = zip(*LABELED, strict=True)
    Token.set_extension("sort_of", default=None)
    docs = []
    for _ in range(12):
        doc = Doc(
            Vocab(), words=words, pos=parts, morphs=["Number=Sing", "Tense=Past", "Number=Sing", ""]
        )
        doc[0]._.sort_of = "name"
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "labeled.spacy")
    # The command does without the extension, and the pipeline registers it.
    Token.remove_extension("sort_of")
    yield tmp_path / "labeled.spacy"
    if Token.has_extension("sort_of"):
        Token.remove_extension("sort_of")


@pytest.mark.parametrize(
    ("target", "score", "n_labels"),
    [("pos", "pos_acc", 48), ("morph", "morph_acc", 48), ("_.sort_of", "sort_of_acc", 12)],
)
@pytest.mark.parametrize("head", [None, "crf"])
def test_labels_of_tokens(labeled, tiny_encoder, tmp_path, target, score, n_labels, head):
    config, output = tmp_path / "tokens.cfg", tmp_path / "training"
    options = ["--head", head] if head else []
    init(
        labeled, labeled, config, "-e", tiny_encoder, "--target", target, "--epochs", "3", *options
    )
    assert f"48 tokens, {n_labels} tokens with a label." in config.read_text("utf-8")
    assert "Field required" not in init(config, app=spacy_app, command=("debug", "config"))
    init(config, "--output", output, app=spacy_app, command=("train",))
    nlp = spacy.load(output / "model-best")
    assert nlp.pipe_names == ["bio_tagger"]
    tagger = nlp.get_pipe("bio_tagger")
    assert tagger.target == target and tagger.head.crf is (head == "crf")
    weights = nlp.config["training"]["score_weights"]
    assert {name: weight for name, weight in weights.items() if weight} == {score: 1.0}
    assert nlp.meta["performance"][score] > 0


def test_labels_that_are_not_there(labeled, corpus, tiny_encoder, tmp_path):
    given = [tmp_path / "a.cfg", "-e", tiny_encoder]
    printed = init(corpus, *given, "--target", "tag", code=1)
    assert "expected tokens with a label in 'tag', got none" in printed
    assert "expected entities, got none" in init(labeled, *given, code=1)
    printed = init(labeled, *given, "--target", "lemma", code=1)
    assert "--target: expected one of 'tag', 'pos', 'morph' or '_.' and a name" in printed
    assert "--head: expected one of 'softmax'" in init(
        labeled, *given, "--target", "pos", "--head", "x", code=1
    )
    assert not (tmp_path / "a.cfg").exists()
