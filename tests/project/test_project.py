"""The whole project in a copy: one training step, then a second run that has nothing to do."""

import functools
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Corpus
from thinc.api import Config
from weasel.cli.run import check_rerun
from weasel.util import get_checksum, load_project_config

from tests.support.commands import run_here
from tests.support.paths import ROOT

STEPS = ("assets", "convert", "train-crf", "evaluate-crf", "visualize-crf", "package-crf")
# One step of a network of two layers.
VARS = {
    "encoder": "tiny-encoder",
    "casing": "true",
    "layers": "-1",
    "steps": "1",
    "warmup": "1",
}
WHEEL = "packages/xx_bio_ner_crf-0.1.0/dist/xx_bio_ner_crf-0.1.0-py3-none-any.whl"

SENTENCES = (
    "Ana|B-PER Ruiz|I-PER joined|O <b>Kern&Co</b>|B-ORG .|O",
    "It|O rained|O in|O New|B-LOC York|I-LOC City|I-LOC .|O",
    "A|O senhora|O Lima|B-PER mora|O em|O Faro|B-LOC .|O",
    "Nothing|O happened|O .|O",
)


def write_columns(path: Path, sentences: tuple[str, ...]) -> None:
    blocks = [sentence.replace("|", "\t").replace(" ", "\n") for sentence in sentences]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def run(*command: str, cwd: Path) -> str:
    """Run Python with these arguments in a folder, without a hub, and the Python of a project's
    steps likewise; fails the test with what was printed. RETURNS (str): What was printed."""
    variables = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        patch.setattr("weasel.cli.run.run_command", run_step)
        return run_here(command)


def run_step(command: list[str], *, capture: bool = False) -> None:
    if command[0] == sys.executable and command[1:3] != ["-m", "pip"]:
        print(run_here(command[1:]))
        return
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    print(done.stdout)


def run_project(project: Path, name: str, *options: str) -> str:
    own = [part for key, value in VARS.items() for part in (f"--vars.{key}", value)]
    return run("-m", "spacy", "project", "run", name, str(project), *own, *options, cwd=project)


def steps_to_run(project: Path) -> list[str]:
    """The steps of the workflow `all` that `spacy project run` would not skip now."""
    overrides = {f"vars.{key}": value for key, value in VARS.items()}
    config = load_project_config(project, overrides=overrides)
    commands = {command["name"]: command for command in config["commands"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("weasel.cli.run.get_checksum", checksum)
        return [step for step in config["workflows"]["all"] if check_rerun(project, commands[step])]


def checksum(path: Path) -> str:
    # No test changes the encoder, which is large.
    return cached_checksum(path) if path.name == "e5" else get_checksum(path)


cached_checksum = functools.cache(get_checksum)


def skipped(output: str, step: str) -> bool:
    return f"Skipping '{step}': nothing changed" in output


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_encoder):
    """The project's own files with a small corpus, after `spacy project run all`."""
    encoder = ROOT / "assets" / "e5"
    if not (encoder / "model.safetensors").is_file():
        pytest.skip("the step `assets` would need the network: run `make setup` first")
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "project.yml", folder)
    for name in ("configs", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "assets").mkdir()
    # Weights that are in place and verified: there is nothing to download.
    (folder / "assets" / "e5").symlink_to(encoder, target_is_directory=True)
    shutil.copytree(tiny_encoder, folder / "tiny-encoder")
    for name in ("train", "dev", "test"):
        write_columns(folder / "assets" / f"{name}.conll", SENTENCES)
    for path in (folder / "configs").glob("*.cfg"):
        config = Config().from_disk(path, interpolate=False)
        config["training"] |= {"eval_frequency": 1}
        config.to_disk(path)
    output = run_project(folder, "all")
    assert not any(skipped(output, step) for step in STEPS), output
    return folder


@pytest.mark.slow
def test_second_run_skips_every_step(project):
    output = run_project(project, "all")
    assert [step for step in STEPS if not skipped(output, step)] == []
    assert "Running command" not in output


@pytest.mark.slow
def test_a_trained_pipeline_can_learn_on(project):
    """Its optimiser's settings have to stand by themselves, without the rest of the config."""
    nlp = spacy.load(project / "training" / "crf" / "model-best")
    assert nlp.resume_training().learn_rate == 0.0


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.cfg")), ids=lambda p: p.stem)
def test_the_learning_rate_falls_until_the_last_step(path: Path):
    training = Config().from_disk(path, interpolate=False)["training"]
    rate = training["optimizer"]["learn_rate"]
    assert rate["total_steps"] == training["max_steps"] == 10 * rate["warmup_steps"]
    assert training["max_epochs"] == 0


@pytest.mark.slow
def test_other_head_leaves_this_one_done(project):
    changes = ("--vars.casing", "false", "--vars.layers", "null", "--vars.learn_rate", "5e-5")
    output = run_project(project, "train", "--vars.head", "softmax", *changes)
    assert "configs/softmax.cfg" in output
    config = Config().from_disk(project / "training" / "softmax" / "model-best" / "config.cfg")
    encoder = config["components"]["bio_ner"]["model"]["encoder"]
    assert (encoder["casing"], encoder["layers"]) == (False, None)
    assert config["training"]["optimizer"]["learn_rate"]["initial_rate"] == 5e-5
    assert steps_to_run(project) == []


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("assets/train.conll", ["convert"]),
        ("assets/dev.conll", ["convert"]),
        ("assets/test.conll", ["convert"]),
        ("configs/crf.cfg", ["train-crf"]),
        ("configs/softmax.cfg", []),
        ("corpus/train.spacy", ["convert", "train-crf", "evaluate-crf"]),
        ("corpus/dev.spacy", ["convert", "train-crf"]),
        ("corpus/test.spacy", ["convert", "evaluate-crf", "visualize-crf"]),
        (
            "training/crf/model-best/meta.json",
            ["train-crf", "evaluate-crf", "visualize-crf", "package-crf"],
        ),
        ("scripts/fetch_encoder.py", ["assets"]),
        ("training/crf/curve.jsonl", ["train-crf", "evaluate-crf"]),
        ("metrics/crf.json", ["evaluate-crf"]),
        ("metrics/crf.html", ["evaluate-crf"]),
        ("visualizations/crf.html", ["visualize-crf"]),
        (WHEEL, ["package-crf"]),
    ],
)
def test_changed_file_runs_its_steps_again(project, changed, again):
    path = project / changed
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        assert steps_to_run(project) == again
    finally:
        path.write_bytes(before)
    assert steps_to_run(project) == []


def test_clean_removes_what_was_made(tmp_path):
    shutil.copy(ROOT / "project.yml", tmp_path)
    for name in ("corpus", "training", "comparison", "assets/encoder"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    run_project(tmp_path, "clean")
    assert sorted(path.name for path in tmp_path.rglob("file")) == ["file"]
    assert (tmp_path / "assets" / "encoder" / "file").is_file()


def test_corpus_keeps_the_tokens_of_the_columns(project):
    nlp = spacy.blank("xx")
    docs = list(DocBin().from_disk(project / "corpus" / "test.spacy").get_docs(nlp.vocab))
    assert len(docs) == len(SENTENCES)
    for doc, sentence in zip(docs, SENTENCES, strict=True):
        columns = [cell.split("|") for cell in sentence.split()]
        assert [token.text for token in doc] == [word for word, _ in columns]
        tags = [f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O" for t in doc]
        assert tags == [tag for _, tag in columns]
    # And `spacy train` sees these tokens, not what its tokenizer would make of the text.
    for example, doc in zip(Corpus(project / "corpus" / "test.spacy")(nlp), docs, strict=True):
        assert [t.text for t in example.predicted] == [t.text for t in doc]


def test_metrics_have_both_tables(project):
    metrics = json.loads((project / "metrics" / "crf.json").read_text(encoding="utf-8"))
    assert metrics["corpus"] == "corpus/test.spacy"
    assert metrics["documents"] == len(SENTENCES)
    for level, gold in {
        "entity": {"LOC": 2, "ORG": 1, "PER": 2},
        "token": {"LOC": 4, "ORG": 1, "PER": 3},
    }.items():
        rows = metrics[level]["per_type"]
        assert {label: row["gold"] for label, row in rows.items()} == gold
        total = metrics[level]["all"]
        assert total["gold"] == sum(gold.values())
        for row in (total, *rows.values()):
            assert all(0 <= row[key] <= 1 for key in ("p", "r", "f"))
    assert 0 <= metrics["token"]["acc"] <= 1


def test_report_has_figures_and_learning_curve(project):
    report = (project / "metrics" / "crf.html").read_text(encoding="utf-8")
    metrics = json.loads((project / "metrics" / "crf.json").read_text(encoding="utf-8"))
    assert f"<b>{100 * metrics['entity']['all']['f']:.2f}</b>" in report
    assert metrics["breakdowns"]["surface"] is not None
    assert 'id="learning-t"' in report
    assert "<b>Kern" not in report


@pytest.mark.slow
def test_compare_is_a_workflow_that_is_done_once(project):
    # The fewest trainings that there can be: one.
    changes = "training.max_steps=2 components.bio_ner.scheme=BILUO"
    options = ("--vars.seeds", "3", "--vars.systems", "softmax", "--vars.changes", changes)
    output = run_project(project, "compare", *options)
    table = (project / "comparison" / "table.md").read_text(encoding="utf-8")
    assert table in output
    results = srsly.read_json(project / "comparison" / "results.json")
    assert [(r["system"], r["seed"]) for r in results] == [("softmax", 3)]
    config = Config().from_disk(project / "comparison" / "softmax-3" / "model-best" / "config.cfg")
    assert config["training"]["max_steps"] == 2
    assert config["components"]["bio_ner"]["scheme"] == "BILUO"
    assert skipped(run_project(project, "compare", *options), "compare-heads")


def test_page_shows_gold_beside_predicted(project):
    page = (project / "visualizations" / "crf.html").read_text(encoding="utf-8")
    documents = page.split('<section id="documents">')[1]
    assert documents.count('<li class="document') == len(SENTENCES)
    gold = documents.split("<p dir")[1]
    for shown in ("Ana Ruiz", "PER", "&lt;b&gt;Kern&amp;Co&lt;/b&gt;", "ORG"):
        assert shown in gold
    # The text of a document is never markup.
    assert "<b>" not in documents


@pytest.mark.slow
def test_wheel_holds_the_whole_pipeline(project, tmp_path, run_python):
    with zipfile.ZipFile(project / WHEEL) as wheel:
        wheel.extractall(tmp_path)
    metadata = next(tmp_path.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert "Requires-Dist: spacy_bio_crf<0.3.0,>=0.2.0" in metadata
    program = """
import json
import xx_bio_ner_crf
nlp = xx_bio_ner_crf.load()
docs = nlp.pipe(json.load(open("texts.json", encoding="utf-8")))
print(json.dumps([[[e.start_char, e.end_char, e.label_] for e in doc.ents] for doc in docs]))
"""
    texts = [" ".join(cell.split("|")[0] for cell in s.split()) for s in SENTENCES]
    srsly.write_json(tmp_path / "texts.json", texts)
    # In another folder and process, so that neither the encoder nor the trained pipeline is near.
    printed = run_python(program).splitlines()[-1]
    nlp = spacy.load(project / "training" / "crf" / "model-best")
    expected = [[[e.start_char, e.end_char, e.label_] for e in doc.ents] for doc in nlp.pipe(texts)]
    assert json.loads(printed) == expected
    assert any(expected)


@pytest.mark.slow
def test_summary_shows_tables_and_sentences(project):
    output = run("scripts/summary.py", "crf", cwd=project)
    lines = [line.split() for line in output.splitlines()]
    metrics = srsly.read_json(project / "metrics" / "crf.json")
    totals = [line for line in lines if line[:1] == ["all"]]
    assert [line[3] for line in totals] == [
        f"{100 * metrics[level]['all']['f']:.2f}" for level in ("entity", "token")
    ]
    assert sum(line[:1] == ["crf"] for line in lines[-12:]) == 4
