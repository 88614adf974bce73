"""Token classifiers as Hugging Face folders: the ones that are no such, or not whole."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_bio_crf.encoders.transformer.classifier import read_classifier
from spacy_bio_crf.errors import BioError
from tests.support.classifiers import NAMES, write_classifier_checkpoint
from tests.support.tiny_models import write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_classifier_checkpoint(tmp_path / "checkpoint")


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Put tensors in place of others; `None` takes one out. In names "__" is a dot."""
    state = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        state.pop(key, None)
        if tensor is not None:
            state[key] = tensor
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def whole(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def refused(folder: Path, message: str) -> None:
    with pytest.raises(BioError, match=message):
        read_classifier(str(folder))


def test_what_is_read(folder: Path):
    state = load_file(folder / "model.safetensors")
    classifier, (vectors, logits) = read_classifier(str(folder))
    assert classifier.names == NAMES and not classifier.transform
    assert torch.equal(classifier.weight, state["classifier.weight"])
    assert torch.equal(classifier.bias, state["classifier.bias"])
    expected = vectors @ classifier.weight.T + classifier.bias
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_layers_of_its_own(folder: Path):
    change_weights(folder, crf__transitions=torch.zeros(5, 5))
    refused(folder, "one linear layer after its encoder, got weights of crf.transitions$")
    change_weights(folder, crf__transitions=None, classifier__weight=None, classifier__bias=None)
    change_weights(folder, classifier__0__weight=torch.zeros(32, 32))
    refused(folder, "got no weights that fit classifier.bias and weights of classifier.0.weight$")


def test_no_token_classifier(tmp_path: Path):
    write_checkpoint(tmp_path, "bert")
    refused(tmp_path, "expected a token classifier .*, got no weights that fit classifier.bias")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "model.safetensors",
            "expected whole weights .*, got none that can be read; .* model.safetensors",
        ),
        ("config.json", "expected a folder with a config.json, or the name of a model"),
        ("tokenizer.json", "expected tokenizer.json or the vocabulary files"),
    ],
)
def test_a_file_is_missing(folder: Path, name: str, message: str):
    (folder / name).unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises((OSError, ValueError), match=message):
        read_classifier(str(folder))


def test_a_file_is_cut(folder: Path):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(folder, r"model.safetensors: expected weights, got [\d,]+ bytes: no weights of")


def test_weights_in_several_files(folder: Path):
    state = load_file(folder / "model.safetensors")
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names = {key: parts[i % 2] for i, key in enumerate(state)}
    for part in parts:
        own = {key: state[key] for key, file in names.items() if file == part}
        save_file(own, folder / part, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    classifier, _ = read_classifier(str(folder))
    assert torch.equal(classifier.weight, state["classifier.weight"])
    (folder / parts[1]).unlink()
    with pytest.raises(OSError, match=f"expected {parts[1]}, got no such file"):
        read_classifier(str(folder))


def test_pickled_weights_are_not_read_and_the_remedy_works(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(BioError, match="none that can be read; .*; pickled weights, if") as error:
        read_classifier(str(folder))
    monkeypatch.chdir(tmp_path)
    exec(str(error.value).partition('python -c "')[2].rpartition('"')[0], {})
    assert torch.equal(read_classifier("converted")[0].weight, state["classifier.weight"])


def test_weights_of_half_the_size(folder: Path):
    change_weights(folder, **{k.replace(".", "__"): v.half() for k, v in whole(folder).items()})
    classifier, _ = read_classifier(str(folder))
    assert classifier.weight.dtype == torch.float32
    assert torch.equal(classifier.weight.half(), whole(folder)["classifier.weight"])


def test_what_old_checkpoints_have_besides(folder: Path):
    change_weights(
        folder,
        bert__embeddings__position_ids=torch.arange(40)[None],
        bert__pooler__dense__weight=torch.zeros(32, 32),
    )
    assert read_classifier(str(folder))[0].names == NAMES


def test_code_of_a_checkpoint_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="own", auto_map={"AutoConfig": "own.OwnConfig"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    with pytest.raises((OSError, ValueError), match="trust_remote_code|the reason given"):
        read_classifier(str(folder))
    assert not (folder / "ran").exists()


def test_a_name_without_a_hub(run_python):
    script = """
from spacy_bio_crf.encoders.transformer.classifier import read_classifier
try:
    read_classifier("someone/some-ner")
except OSError as error:
    print(error)
"""
    assert "the name of a model on the Hugging Face hub and a connection to it" in run_python(
        script
    )
