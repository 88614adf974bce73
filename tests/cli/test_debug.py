"""`bio-ner debug` as it is called: tables, JSON, exit codes, what goes wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from spacy.cli import app as spacy_app
from spacy.tokens import DocBin
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.pipelines import MakeNlp

ROWS = ["Bo\tB-PER", "met\tO", "Ana\tB-PER", "Ruiz\tI-PER", ".\tO", ""]


@pytest.fixture
def debug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run the command in a folder with corpora; return exit code and output, unwrapped."""
    monkeypatch.chdir(tmp_path)
    clean = [f"{word}\tO\n" + "\n".join(ROWS) for word in "abcdefghij"]
    Path("clean.conll").write_text("\n".join(clean) + "\n")
    Path("odd.conll").write_text("Bo\tI-PER\n\ufffd\tO\n\n" + "\n".join([*clean, ""]), "utf8")
    Path("none.conll").write_text("a\tO\nb\tO\n")

    def run(*args: object, app=app, command: tuple[str, ...] = ("debug",)) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*command, *map(str, args)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result.exit_code, " ".join(result.output.split())

    return run


@pytest.fixture
def config(make_nlp: MakeNlp, tmp_path: Path) -> Path:
    path = tmp_path / "config.cfg"
    config = make_nlp().config
    config["training"]["optimizer"]["learn_rate"] = 2e-4
    config.to_disk(path)
    return path


def test_a_clean_corpus(debug):
    code, output = debug("clean.conll")
    assert code == 0
    assert "documents 10 tokens 60" in output.replace(" -", "").replace("- ", "")
    assert "label PER 20 labels annotated all" in output
    assert "Nothing found" in output


def test_a_language_that_spacy_lacks(debug, config):
    code, output = debug("clean.conll", "--model", config, "--nlp.lang", "zz")
    assert code == 1 and "a config or a pipeline: [E048] Can't import language zz" in output


def test_a_corpus_without_documents(debug):
    DocBin().to_disk("empty.spacy")
    code, output = debug("empty.spacy")
    assert code == 4 and "error train 1 no document at all" in output
    code, output = debug("clean.conll", "--dev", "empty.spacy")
    assert code == 4 and "error dev 1 no document at all" in output


def test_exit_codes_follow_the_severity(debug):
    code, output = debug("odd.conll")
    assert code == 3
    assert "warning train 1 tags that break their scheme, repaired" in output
    assert "odd.conll:1: 'I-PER' continues no entity of its label" in output
    assert "info train 1 tokens with U+FFFD" in output
    code, output = debug("none.conll")
    assert (
        code == 4 and "train: documents, and not one entity (1): nothing can be learned" in output
    )
    for fail_on, codes in ("warning", (3, 4)), ("error", (0, 4)), ("never", (0, 0)):
        got = [debug(f"{name}.conll", "--fail-on", fail_on)[0] for name in ("odd", "none")]
        assert tuple(got) == codes
    code, output = debug("clean.conll", "--fail-on", "bad")
    assert code == 1 and "--fail-on: expected one of warning, error, never, got 'bad'" in output


def test_below_spacys_own_commands(debug):
    code, _ = debug("clean.conll", app=spacy_app, command=("bio-ner", "debug"))
    assert code == 0


def test_held_out_data(debug):
    code, output = debug("clean.conll", "--dev", "clean.conll", "--dev", "odd.conll")
    assert code == 3
    assert "dev 20 documents of 5 or more tokens that also occur in train" in output
    assert "clean.conll:1: 'a Bo met Ana Ruiz .' in train: clean.conll:1" in output
    assert "and 17 more" in output


def test_json(debug, config: Path):
    code, output = debug("odd.conll", "--json", "-", "--model", config)
    assert code == 3
    data = json.loads(output)
    assert (data["severity"], data["exit_code"]) == ("warning", 3)
    assert data["model"]["tokenizer"] == PreTrainedTokenizerFast.__name__
    assert (data["model"]["window"], data["model"]["scheme"]) == (62, "BIO")
    checks = {finding["check"]: finding["count"] for finding in data["findings"]}
    assert checks == {"repaired_tags": 1, "undecodable_tokens": 1, "tokens_without_subwords": 1}
    code, output = debug("odd.conll", "--json", "out.json", "--examples", "0")
    assert "JSON: out.json" in output and "Findings" in output
    written = json.loads(Path("out.json").read_text())
    assert written["model"] == {} and all(not f["examples"] for f in written["findings"])


def test_a_config_and_values_for_it(debug, config: Path):
    window = "components.bio_ner.model.encoder.window"
    code, output = debug("clean.conll", "--model", config)
    assert code == 0 and "window 62" in output and "scheme BIO" in output
    code, output = debug(
        "clean.conll", f"--{window}", "5", "clean.conll", "--model", config,
        "--components.bio_ner.scheme=BILUO", "clean.conll", "--json", "out.json",
    )  # fmt: skip
    assert "window 5" in output and "scheme BILUO" in output and "documents 10" in output
    checks = {f["check"] for f in json.loads(Path("out.json").read_text())["findings"]}
    assert {"long_documents", "unused_tags"} <= checks


def test_remarks_of_the_reader_name_options(debug):
    Path("a.jsonl").write_text('{"text": "Bo", "spans": [[0, 2, "PER"]]}\n{"text": "No"}\n')
    code, output = debug("a.jsonl", "--least", "1")
    assert "texts without any annotation" in output and "(--no-spans) (1)" in output
    assert "`" not in output
    code, output = debug("a.jsonl", "--least", "1", "--no-spans", "empty")
    assert code == 0 and "tokens 2" in output and "texts without any annotation" not in output


def test_a_trained_pipeline(debug, trained, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    Path("new.conll").write_text("K2\tB-MISC\nBo\tB-PER\n")
    code, output = debug("new.conll", "--model", tmp_path / "model")
    assert code == 4 and "labels LOC; PER" in output
    assert "train: entities, or tokens, with labels that the trained model lacks (1)" in output
    assert "MISC 1 entity" in output
    code, output = debug("new.conll", "--model", tmp_path / "model", "--nlp.lang", "pt")
    assert code == 1 and "--model: expected a config file, got" in output
    assert "a pipeline has nothing to override (nlp.lang)" in output


def test_options_arrive(debug, make_nlp: MakeNlp, tmp_path: Path):
    code, output = debug("clean.conll", "--least", "21")
    assert code == 3 and "labels that are too rare" in output and "PER 20 entities" in output
    code, output = debug("clean.conll", "--group-docs")
    assert "longest document 60" in output
    Path("a.jsonl").write_text('{"text": "Bo gonna", "spans": [[0, 2, "PER"]]}\n')
    assert "tokens 3" in debug("a.jsonl", "--least", "1")[1]
    assert "tokens 2" in debug("a.jsonl", "--least", "1", "--lang", "pt")[1]
    assert "expected a language that spaCy has, got 'qq'" in debug("a.jsonl", "--lang", "qq")[1]
    nlp = make_nlp(name="other", nlp=make_nlp())
    two = nlp.config
    two["training"]["optimizer"]["learn_rate"] = 2e-4
    two.to_disk(tmp_path / "two.cfg")
    code, output = debug("clean.conll", "--model", "two.cfg")
    assert code == 1 and "--component: expected one bio_ner, got bio_ner, other; name one" in output
    code, output = debug("clean.conll", "--model", "two.cfg", "--component", "other")
    assert code == 0 and "component other" in output
    code, output = debug("clean.conll", "--model", "two.cfg", "--component", "third")
    assert code == 1 and "bio_tagger of bio_ner, other, got 'third'" in output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.conll"], 1, "nowhere.conll: expected a file or folder, got nothing there"),
        (
            ["clean.conll", "--dev", "nowhere"],
            1,
            "nowhere: expected a file or folder, got nothing there",
        ),
        (["clean.conll", "--model", "nowhere"], 1, "nowhere: expected a config or a pipeline: "),
        (
            ["clean.conll", "--model", "clean.conll"],
            1,
            "clean.conll: expected a config or a pipeline: ",
        ),
        (
            ["clean.conll", "--nlp.lang", "pt"],
            1,
            "--model: expected a config or a pipeline, got none for --nlp.lang",
        ),
        (
            ["clean.conll", "--component", "x"],
            1,
            "--model: expected a config or a pipeline, got none for --component",
        ),
        (["clean.conll", "--nothing", "x"], 2, "expected an option of this command, got --nothing"),
        (["clean.conll", "-z"], 2, "expected an option of this command, got -z"),
        (["--nlp.lang", "pt"], 2, "CORPUS: expected files or folders, got none"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_can_not_run(debug, arguments: list[str], code: int, message: str):
    got, output = debug(*arguments)
    assert (got, message in output) == (code, True), output
