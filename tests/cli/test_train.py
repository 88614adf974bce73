"""`bio-ner train`: options, messages and results."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.errors import TrainingError
from spacy_bio_crf.pipes.bio_ner import BioNer
from spacy_bio_crf.training import processes
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, train
from tests.support.trainings import (
    TAGGER,
    TOK2VEC,
    assert_same,
    bio_ner,
    contents,
    run_command,
    run_spacy,
    write_training,
)

CODE = """
import spacy

@spacy.registry.callbacks("test.from_a_file.v1")
def make():
    def note(nlp):
        nlp.meta["description"] = "from a file"
        return nlp
    return note
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_training(folder, {"tok2vec": TOK2VEC, "tagger": TAGGER})
    return folder


def refusal(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["train", *arguments])
    assert done.exit_code == 1, (done.output, done.exception)
    return " ".join(done.output.split())


def test_the_result_of_spacy_train_with_the_same_overrides(folder: Path, tmp_path: Path):
    overrides = {"training.max_steps": 8, "training.dropout": 0.25}
    run_spacy(folder / "config.cfg", tmp_path / "spacy", **overrides)
    options = [x for name, value in overrides.items() for x in (f"--{name}", str(value))]
    printed = run_command(folder / "config.cfg", tmp_path / "ours", *options)
    assert_same(tmp_path / "spacy", tmp_path / "ours")
    for part in ("Pipeline: ['tok2vec', 'tagger']", "LOSS TAGGER", "Saved pipeline to output"):
        assert part in printed
    assert "words/s" not in printed


def test_a_block_that_spacy_train_reads_over(folder: Path, tmp_path: Path):
    config = tmp_path / "config.cfg"
    text = (folder / "config.cfg").read_text()
    config.write_text(f"{text}\n[checkpoint]\nsteps = 4\n")
    steps = ("--training.max_steps", "9")
    run_command(config, tmp_path / "ours", *steps)
    names = sorted(path.name for path in (tmp_path / "ours" / "checkpoints").iterdir())
    assert names == ["step-00000007", "step-00000009"]
    run_spacy(config, tmp_path / "spacy", **{"training.max_steps": 9})
    assert_same(tmp_path / "spacy", tmp_path / "ours")


def test_values_of_a_block_that_is_not_there(folder: Path, tmp_path: Path):
    options = ("--checkpoint.steps", "4", "--training.max_steps", "6")
    run_command(folder / "config.cfg", tmp_path / "output", *options)
    names = sorted(path.name for path in (tmp_path / "output" / "checkpoints").iterdir())
    assert names == ["step-00000003", "step-00000006"]
    printed = run_command(
        folder / "config.cfg", tmp_path / "output", "--resume", *options[:2], "--verbose"
    )
    assert "Going on after step 6" in printed
    model = spacy.load(tmp_path / "output" / "model-last")
    assert model.config["checkpoint"] == {"steps": 4}
    before = contents(tmp_path / "output")
    message = refusal(
        *(str(folder / "config.cfg"), "--output", str(tmp_path / "output"), "--resume"),
        *("--training.dropout", "0.4"),
    )
    assert "training.dropout = 0.4 (was 0.2)" in message
    assert contents(tmp_path / "output") == before


def test_resuming_begins_where_there_is_nothing(folder: Path, tmp_path: Path):
    options = ("--resume", "--training.max_steps", "2")
    printed = run_command(folder / "config.cfg", tmp_path / "new" / "output", *options)
    assert "No checkpoint in" in printed and "the training begins" in printed
    assert (tmp_path / "new" / "output" / "model-last").is_dir()


def test_code_from_a_file(folder: Path, tmp_path: Path):
    (tmp_path / "code_for_a_test.py").write_text(CODE)
    config = tmp_path / "config.cfg"
    text = (folder / "config.cfg").read_text().replace("before_to_disk = null\n", "")
    callback = '[training.before_to_disk]\n@callbacks = "test.from_a_file.v1"\n'
    config.write_text(f"{text}\n{callback}")
    code = str(tmp_path / "code_for_a_test.py")
    run_command(config, tmp_path / "output", "--code", code, "--training.max_steps", "2")
    assert spacy.load(tmp_path / "output" / "model-last").meta["description"] == "from a file"


def test_a_config_from_the_standard_input(folder: Path, tmp_path: Path, monkeypatch):
    arguments = ["train", "-", "--output", str(tmp_path), "--training.max_steps", "1"]
    done = CliRunner().invoke(app, arguments, input=(folder / "config.cfg").read_text())
    assert done.exit_code == 0, done.output
    assert (tmp_path / "model-last").is_dir()


def test_no_output(folder: Path):
    done = CliRunner().invoke(
        app, ["train", str(folder / "config.cfg"), "--training.max_steps", "1"]
    )
    assert done.exit_code == 0 and "No output directory provided" in done.output


def test_refusals(folder: Path, tmp_path: Path):
    config, output = str(folder / "config.cfg"), str(tmp_path / "output")
    assert "none.cfg: expected a config, got no such file" in refusal("none.cfg")
    assert "--resume: expected --output" in refusal(config, "--resume")
    message = refusal(config, "--output", output, "--checkpoint.steps", "often")
    assert "checkpoint.steps: expected a whole number" in message
    assert "expected steps and minutes, got hours" in refusal(config, "--checkpoint.hours", "1")
    message = refusal(config, "--output", output, "--training.dropout", "much")
    assert "dropout" in message and "much" in message
    assert not Path(output, "checkpoints").exists()


def test_refusals_of_several_processes(folder: Path, monkeypatch):
    several = SimpleNamespace(rank=1, count=2, gpu=-1, restarted=False)
    monkeypatch.setattr(processes, "join", lambda gpu: several)
    expected = "CONFIG: expected a file for all processes, got the standard input"
    assert expected in refusal("-")
    # An error of a process that is not the first tells whose it is; all else it keeps to itself.
    told = refusal(str(folder / "config.cfg"), "--checkpoint.hours", "1")
    assert "process 1: [checkpoint]: expected steps and minutes, got hours" in told
    assert "Using CPU" not in told and "output" not in told

    def fail(gpu: int) -> None:
        raise TrainingError(f"too few for {gpu}")

    monkeypatch.setattr(processes, "join", fail)
    assert "too few for 3" in refusal(str(folder / "config.cfg"), "--gpu-id", "3")


def test_a_file_in_the_place_of_the_output(folder: Path, tmp_path: Path):
    (tmp_path / "output").touch()
    message = refusal(str(folder / "config.cfg"), "--output", str(tmp_path / "output"))
    assert f"--output: expected a folder, got {tmp_path / 'output'}, a file" in message


@pytest.mark.parametrize(("own", "steps"), [("false", 4), ("true", 0)])
def test_a_bar_of_the_logger_is_the_only_one(folder: Path, tmp_path: Path, monkeypatch, own, steps):
    seen: list[int] = []
    monkeypatch.setattr(
        "spacy_bio_crf.cli.progress.StepBar.watch", lambda bar, info: seen.append(info["step"])
    )
    options = ["--training.max_steps", "3", "--training.logger.progress_bar", own]
    run_command(folder / "config.cfg", tmp_path / "output", *options)
    assert len(seen) == steps


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
@pytest.mark.slow
def test_a_bar_on_a_terminal(folder: Path, tmp_path: Path):
    import fcntl
    import os
    import pty
    import struct
    import termios

    program = [sys.executable, "-m", "spacy", "bio-ner", "train", str(folder / "config.cfg")]
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        options = ["--output", str(tmp_path), "--training.max_steps", "8"]
        os.execv(program[0], [*program, *options])
    shown = b""
    try:
        while block := os.read(terminal, 4096):
            shown += block
    except OSError:  # Linux ends so
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = shown.decode()
    assert "words/s, loss" in text and "/9 [" in text
    assert text.index("LOSS TAGGER") < text.index("words/s")


def test_labels_of_the_data_are_added_and_old_ones_rehearsed(
    make_nlp: MakeNlp, tiny_encoder: Path, tmp_path: Path
):
    source = make_nlp("softmax", encoder_options={"dropout": 0.0})
    train(source, make_examples(source), steps=5)
    source.to_disk(tmp_path / "source")
    doc = make_example(source, ["Bo", "left", "yesterday", "."], [(2, 3, "TIME")]).reference
    write_training(tmp_path, {"bio_ner": {"source": str(tmp_path / "source")}})
    for name in ("train", "dev"):
        DocBin(docs=[doc] * 4).to_disk(tmp_path / f"{name}.spacy")
    options = ["--training.max_steps", "4", "--training.dropout", "0.0"]
    printed = run_command(tmp_path / "config.cfg", tmp_path / "plain", *options)
    assert "New labels of bio_ner: TIME" in printed
    plain = spacy.load(tmp_path / "plain" / "model-last")
    assert plain.get_pipe("bio_ner").labels == ("LOC", "PER", "TIME")
    assert plain.get_pipe("bio_ner").untrained == ()
    options += ["--rehearsal.weight", "5"]
    run_command(tmp_path / "config.cfg", tmp_path / "rehearsed", *options)
    other = spacy.load(tmp_path / "rehearsed" / "model-last")
    assert other.config["rehearsal"] == {"weight": 5}
    text = " ".join(SENTENCES[0][0])
    old, new, kept = (
        nlp.get_pipe("bio_ner").marginals(nlp.make_doc(text)) for nlp in (source, plain, other)
    )
    k = old.shape[1]
    drift = [
        np.abs(x[:, :k] / x[:, :k].sum(axis=1, keepdims=True) - old).max() for x in (new, kept)
    ]
    assert 0.0 < drift[1] < drift[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--rehearsal.weight", "x"],
            r"[rehearsal]: expected a number as weight, got {'weight': 'x'}",
        ),
        (["--rehearsal.corpus", "x"], r"[rehearsal]: expected a number as weight"),
        (
            ["--rehearsal.weight", "1"],
            r"[rehearsal]: expected a bio_ner or bio_tagger with a source",
        ),
    ],
)
def test_bad_rehearsals(folder: Path, tmp_path: Path, options: list[str], message: str):
    assert message in refusal(str(folder / "config.cfg"), "-o", str(tmp_path / "out"), *options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--corpora.train.path {}/none.spacy", "'bio_ner': expected labels in the data"),
        ("--components.bio_ner.scheme BIOES", "scheme: expected one of 'BIO', 'BILUO', got"),
        (
            '--components.bio_ner.model.head.class_weights {{"ORG":2.0}}',
            "class_weights: expected 'O' or labels of ['LOC', 'PER'], got ['ORG']",
        ),
        ("--components.bio_ner.gold_spans_key layers", "'bio_ner': expected labels in the data"),
        ('--components.bio_ner.model.encoder.lora {{"r":4}}', 'install "spacy_bio_crf[lora]"'),
    ],
)
def test_what_a_component_says_at_the_beginning_is_the_message(
    tiny_encoder: Path, tmp_path: Path, monkeypatch, options: str, expected: str
):
    monkeypatch.setitem(sys.modules, "peft", None)
    config = write_training(tmp_path, {"bio_ner": bio_ner(tiny_encoder)})
    DocBin().to_disk(tmp_path / "none.spacy")
    assert expected in refusal(str(config), *options.format(tmp_path).split())


def test_errors_of_a_step(tiny_encoder: Path, tmp_path: Path, monkeypatch):
    """Those of the package are messages; of others only the traceback tells where they are from."""
    labels = {"components": {"bio_ner": {"labels": ["LOC", "PER"]}}}
    config = write_training(tmp_path, {"bio_ner": bio_ner(tiny_encoder)}, initialize=labels)
    doc = make_examples(spacy.blank("en"))[0].reference
    doc.user_data["bio_ner_weight"] = -1
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "train.spacy")
    message = refusal(str(config))
    assert "document 'Ana Ruiz met Bo" in message
    assert "doc.user_data['bio_ner_weight']: expected a number, 0 or more, got -1" in message

    def fail(*args, **kwargs) -> None:
        raise ValueError("of another package")

    monkeypatch.setattr(BioNer, "update", fail)
    done = CliRunner().invoke(app, ["train", str(config)])
    assert type(done.exception) is ValueError and str(done.exception) == "of another package"


def test_settings_that_spacy_does_not_know_are_named(folder: Path, tmp_path: Path):
    options = ["--training.max_stepz", "3", "--nlp.lnag", "pt", "--training.max_steps", "1"]
    printed = " ".join(run_command(folder / "config.cfg", tmp_path, *options).split())
    assert "[nlp]: without effect, since spaCy has no setting lnag" in printed
    assert "[training]: without effect, since spaCy has no setting max_stepz" in printed


@pytest.mark.parametrize("name", ["train", "dev"])
def test_damaged_corpora_are_named(folder: Path, tmp_path: Path, name: str):
    path = tmp_path / "damaged.spacy"
    path.write_bytes((folder / f"{name}.spacy").read_bytes()[:-20])
    message = refusal(str(folder / "config.cfg"), f"--corpora.{name}.path", str(path))
    expected = f"{path}: expected a file written by spaCy's DocBin, got a file that can't be read"
    assert expected.replace(" ", "") in message.replace(" ", "")


def test_limits_may_be_variables_and_slips_are_told(folder: Path, tmp_path: Path):
    config = tmp_path / "config.cfg"
    text = (folder / "config.cfg").read_text().replace("max_steps = 24", "max_steps = ${vars.n}")
    config.write_text(f"{text}\n[vars]\nn = 1\n[checkpoints]\nsteps = 4\n")
    printed = " ".join(run_command(config, tmp_path / "out").split())
    assert "did you mean [checkpoint]?" in printed and printed.count("did you mean") == 1


@pytest.mark.parametrize("reason", [ValueError, RuntimeError])
def test_a_gpu_that_is_not_there(folder: Path, monkeypatch, reason: type[Exception]):
    def fail(gpu_id: int) -> None:
        raise reason("No GPU devices detected")

    monkeypatch.setattr(spacy, "require_gpu", fail)
    message = refusal(str(folder / "config.cfg"), "--gpu-id", "7")
    assert "--gpu-id: expected -1 for the CPU, or the number of a GPU" in message
    assert "got 7; the reason given: No GPU devices detected" in message
    for command in ("evaluate", "annotate"):
        arguments = [command, "model", str(folder / "dev.spacy"), "--gpu-id", "7"]
        if command == "annotate":
            arguments.insert(3, "out.jsonl")
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 1, (done.output, done.exception)
        assert "--gpu-id: expected -1 for the CPU" in " ".join(done.output.split())
