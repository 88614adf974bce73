"""Folds of a corpus, and the processes that train their models."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, SpanGroup

from spacy_bio_crf.errors import TrainingError
from spacy_bio_crf.review import folds
from spacy_bio_crf.review.folds import FoldTraining, deal, prepare_folds, train_folds, write_fold

NLP = spacy.blank("en")
# A stand-in for Python: notes how it is called, and makes the model of a training.
FAKE = """#!{python}
import json, sys
from pathlib import Path
options = dict(zip(sys.argv[5::2], sys.argv[6::2]))
folder = Path(sys.argv[sys.argv.index("--output") + 1])
with (folder.parent / "calls.jsonl").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if (folder.parent / "fail").exists():
    sys.exit("no luck\\nat all")
(folder / "model-best").mkdir(parents=True, exist_ok=True)
"""


def make_docs(texts: list[str]) -> list[Doc]:
    return [Doc(NLP.vocab, words=text.split()) for text in texts]


DOCS = make_docs([f"text {i} here" for i in range(23)] + ["text 3 here", "text  3 here", "other"])


def test_every_document_is_in_one_fold_and_equal_texts_in_the_same():
    dealt = deal(DOCS, 5, seed=1)
    assert sorted(i for own in dealt for i in own) == list(range(len(DOCS)))
    assert sum({3, 23, 24} <= set(own) for own in dealt) == 1
    assert all(own == sorted(own) for own in dealt)
    texts = [len({DOCS[i].text for i in own}) for own in dealt]
    assert max(texts) - min(texts) <= 1
    assert deal(DOCS, 5, seed=1) == dealt != deal(DOCS, 5, seed=2)


@pytest.mark.parametrize("n", [1, 25])
def test_numbers_of_folds(n):
    with pytest.raises(TrainingError, match=f"folds: expected 2 to 24, .* got {n}"):
        deal(DOCS, n, seed=0)


@pytest.fixture
def training(tmp_path: Path, monkeypatch) -> FoldTraining:
    config = tmp_path / "config.cfg"
    config.write_text('[training]\ntrain_corpus = "corpora.mine"\n', "utf-8")
    python = tmp_path / "python"
    python.write_text(FAKE.format(python=sys.executable), "utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(folds.sys, "executable", str(python))
    return FoldTraining(config, ["--training.max_steps", "3"], gpu_id=-1)


def texts_of(path: Path) -> list[str]:
    return [doc.text for doc in DocBin().from_disk(path).get_docs(NLP.vocab)]


def calls(fold) -> list[list[str]]:
    lines = (fold.folder / "calls.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_models_do_not_see_what_they_judge(tmp_path: Path, training: FoldTraining):
    made = prepare_folds(DOCS, tmp_path / "folds", training, n_folds=5, seed=0)
    for fold in made:
        train, dev = (texts_of(fold.folder / f"{name}.spacy") for name in ("train", "dev"))
        held_out = {DOCS[i].text for i in fold.held_out}
        assert not held_out & {*train, *dev} and not {*train} & {*dev}
        assert len(train) + len(dev) + len(fold.held_out) == len(DOCS)
        assert len(dev) == 2
    (fold, *_) = made
    write_fold(fold, DOCS[:1])
    assert texts_of(fold.folder / "train.spacy") == texts_of(fold.folder / "dev.spacy")


def test_finished_folds_are_not_trained_again(tmp_path: Path, training: FoldTraining):
    folder = tmp_path / "folds"
    made = prepare_folds(DOCS, folder, training, n_folds=3, seed=0)
    (made[1].folder / "fail").touch()
    said: list[str] = []
    with pytest.raises(TrainingError, match="fold 2 of 3: expected a .* exit code 1: no luck / at"):
        train_folds(made, training, say=said.append)
    assert [fold.is_finished for fold in made] == [True, False, False]
    (made[1].folder / "fail").unlink()
    again = prepare_folds(DOCS, folder, training, n_folds=3, seed=0)
    assert again == made
    train_folds(again, training, jobs=2, say=said.append)
    assert [len(calls(fold)) for fold in made] == [1, 2, 1]
    assert all(fold.is_finished and fold.model.is_dir() for fold in made)
    assert "fold 1 of 3: trained before" in said
    call = calls(made[2])[0]
    assert call[:4] == ["-m", "spacy", "bio-ner", "train"] and "--resume" in call
    for option, value in (
        ("--corpora.mine.path", made[2].folder / "train.spacy"),
        ("--corpora.dev.path", made[2].folder / "dev.spacy"),
        ("--gpu-id", -1),
        ("--training.max_steps", 3),
    ):
        assert call[call.index(option) + 1] == str(value)
    assert "--training.logger.output_file" not in call and "--code" not in call


def test_a_log_and_code(tmp_path: Path, training: FoldTraining):
    config = training.config
    config.write_text('[training]\n[training.logger]\noutput_file = "log.jsonl"\n', "utf-8")
    (fold, *_) = prepare_folds(DOCS, tmp_path / "folds", training, n_folds=2, seed=0)
    train_folds([fold], FoldTraining(config, code=tmp_path / "code.py", gpu_id=0))
    call = calls(fold)[0]
    assert call[call.index("--training.logger.output_file") + 1] == str(fold.folder / "log.jsonl")
    assert call[call.index("--code") + 1] == str(tmp_path / "code.py")
    assert call[call.index("--gpu-id") + 1] == "0"


@pytest.mark.parametrize("kept", ["labels", "weight", "spans", "scores"])
def test_folds_of_a_corpus_that_teaches_otherwise(
    kept: str, tmp_path: Path, training: FoldTraining
):
    docs = make_docs(["one text", "another text"])
    docs[0].spans["gold"] = SpanGroup(docs[0], spans=[docs[0][:1]], attrs={"scores": [0.5]})
    prepare_folds(docs, tmp_path / "folds", training, n_folds=2, seed=0)
    prepare_folds(docs, tmp_path / "folds", training, n_folds=2, seed=0)
    if kept == "labels":
        docs[1].user_data["labels_annotated"] = ["PER"]
    elif kept == "weight":
        docs[1].user_data["bio_ner_weight"] = 0.5
    elif kept == "spans":
        docs[1].spans["incorrect_spans"] = [docs[1][:1]]
    else:
        docs[0].spans["gold"].attrs["scores"] = [0.6]
    with pytest.raises(TrainingError, match="got folds with another corpus"):
        prepare_folds(docs, tmp_path / "folds", training, n_folds=2, seed=0)


def test_folds_of_something_else(tmp_path: Path, training: FoldTraining):
    folder = tmp_path / "folds"
    prepare_folds(DOCS, folder, training, n_folds=3, seed=0)
    message = "expected folds of this corpus and these settings, got folds with another"
    for docs, other, n, seed, key in (
        (DOCS[1:], training, 3, 0, "corpus"),
        (DOCS, FoldTraining(training.config), 3, 0, "values"),
        (DOCS, training, 4, 0, "folds"),
        (DOCS, training, 3, 1, "seed"),
    ):
        with pytest.raises(TrainingError, match=f"{message} {key}"):
            prepare_folds(docs, folder, other, n_folds=n, seed=seed)
    code = tmp_path / "code.py"
    code.write_text("rate = 1\n", "utf-8")
    coded = FoldTraining(training.config, training.overrides, code)
    with pytest.raises(TrainingError, match=f"{message} code"):
        prepare_folds(DOCS, folder, coded, n_folds=3, seed=0)
    prepare_folds(DOCS, tmp_path / "coded", coded, n_folds=3, seed=0)
    prepare_folds(DOCS, tmp_path / "coded", coded, n_folds=3, seed=0)
    code.write_text("rate = 2\n", "utf-8")
    with pytest.raises(TrainingError, match=f"{message} code"):
        prepare_folds(DOCS, tmp_path / "coded", coded, n_folds=3, seed=0)
    training.config.write_text("[training]\n", "utf-8")
    with pytest.raises(TrainingError, match=f"{message} config"):
        prepare_folds(DOCS, folder, training, n_folds=3, seed=0)


def test_no_two_processes_train_one_fold(tmp_path: Path, training: FoldTraining):
    (fold, *_) = prepare_folds(DOCS, tmp_path / "folds", training, n_folds=2, seed=0)
    log = fold.folder / "output.txt"
    with log.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, stdout=file)
    try:
        with pytest.raises(TrainingError, match="fold 1 of 2: expected no process, got another"):
            train_folds([fold], training)
    finally:
        child.communicate(b"\n")
    train_folds([fold], training)
    assert fold.is_finished
