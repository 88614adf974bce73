"""Pipelines with adapters: merged ones stand alone, others hold one base in memory and on disk."""

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.cli.package import package
from spacy.language import Language
from spacy.tokens import Doc
from transformers import AutoModelForTokenClassification

from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.export.exporting import export_pipeline
from spacy_bio_crf.model import torch_shims
from spacy_bio_crf.training.pipeline_state import PipelineState
from tests.support.components import component
from tests.support.pipelines import SENTENCES, MakeNlp, make_examples, spans_of, train

pytest.importorskip("peft", reason="adapters need peft")

LORA = {"r": 4, "alpha": 8}
APART = {**LORA, "merge": False}
NAMES = ["bio_ner", "second", "third"]

WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None
import numpy as np, spacy
from spacy.tokens import Doc
nlp = spacy.load(sys.argv[1])
docs = [Doc(nlp.vocab, words=line.split()) for line in sys.argv[3:]]
np.savez(sys.argv[2], *[s.numpy() for s in nlp.get_pipe("bio_ner").lattice(docs).scores])
"""


def options(lora: dict[str, Any]) -> dict[str, Any]:
    # The factor: so few steps would not do.
    return {"dropout": 0.0, "lora": lora, "lr_scale": 10.0}


def docs_of(nlp: Language) -> list[Doc]:
    return [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]


def scores_of(nlp: Language, name: str = "bio_ner") -> list[np.ndarray]:
    return [s.numpy() for s in component(nlp, name).lattice(docs_of(nlp)).scores]


def assert_same(one: Language, two: Language, names: list[str]) -> None:
    for name in names:
        for a, b in zip(scores_of(one, name), scores_of(two, name), strict=True):
            np.testing.assert_array_equal(a, b)


def base_of(nlp: Language, name: str = "bio_ner") -> int:
    network = transformer_shim(component(nlp, name).model.get_ref("encoder")).network
    return network.get_input_embeddings().weight.data_ptr()


def unique_bytes(nlp: Language) -> int:
    storages = {
        p.untyped_storage().data_ptr(): p.untyped_storage().nbytes()
        for name in nlp.pipe_names
        for shim in torch_shims(component(nlp, name).model)
        for p in shim.network.parameters()
    }
    return sum(storages.values())


@pytest.fixture(scope="module")
def adapted(make_nlp: MakeNlp) -> Language:
    """A pipeline of merged adapters that knows the training sentences. Do not change it."""
    nlp = make_nlp(encoder_options=options(LORA))
    return train(nlp, make_examples(nlp), steps=60)


@pytest.fixture(scope="module")
def several(make_nlp: MakeNlp) -> Language:
    """A pipeline of three components on one base, each with its own weights. Do not change it."""
    nlp = spacy.blank("en")
    for name in NAMES:
        make_nlp(nlp=nlp, name=name, encoder_options=options({**APART, "r": 1}), overwrite=True)
    return train(nlp, make_examples(nlp), steps=4, lr=1e-2)


@pytest.fixture(scope="module")
def saved(several: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved pipeline. Copy it, do not change it."""
    folder = tmp_path_factory.mktemp("saved") / "pipeline"
    several.to_disk(folder)
    return folder


# Merged -------------------------------------------------------------------------------------------


def test_merged_pipelines_stand_alone(
    adapted: Language, tmp_path: Path, run_python: Callable[..., str]
):
    gold = [eg.reference for eg in make_examples(adapted)]
    assert [spans_of(doc) for doc in adapted.pipe(docs_of(adapted))] == [spans_of(d) for d in gold]
    adapted.to_disk(tmp_path / "model")
    assert_same(adapted, spacy.load(tmp_path / "model"), ["bio_ner"])
    assert {p.name for p in (tmp_path / "model" / "bio_ner" / "encoder").iterdir()} >= {
        "model.safetensors",
        "config.json",
    }
    assert not [*(tmp_path / "model").rglob("*adapter*"), *(tmp_path / "model").glob("base-*")]
    lines = [" ".join(words) for words, _ in SENTENCES]
    run_python(WITHOUT_PEFT, tmp_path / "model", tmp_path / "scores.npz", *lines)
    there = np.load(tmp_path / "scores.npz")
    for i, own in enumerate(scores_of(adapted)):
        np.testing.assert_array_equal(own, there[f"arr_{i}"])


def test_two_beginnings_are_equal(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options=options(LORA))
    found = []
    for _ in range(2):
        train(nlp, make_examples(nlp), steps=3)
        found.append(scores_of(nlp))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_loaded_pipeline_trains_on(adapted: Language):
    nlp = spacy.util.load_model_from_config(adapted.config).from_bytes(adapted.to_bytes())
    assert_same(adapted, nlp, ["bio_ner"])
    sgd = nlp.resume_training()
    sgd.learn_rate = 1e-3
    nlp.update(make_examples(nlp), sgd=sgd)
    again = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert_same(nlp, again, ["bio_ner"])
    assert not np.array_equal(scores_of(nlp)[0], scores_of(adapted)[0])


def test_a_training_on_merged_weights_is_resumed(adapted: Language):
    """New adapters come with the first step; a pipeline that takes up its state gets them first."""

    def loaded() -> tuple[Language, PipelineState, Any]:
        nlp = spacy.util.load_model_from_config(adapted.config).from_bytes(adapted.to_bytes())
        sgd = nlp.resume_training()
        return nlp, PipelineState(nlp, sgd), sgd

    nlp, state, sgd = loaded()
    nlp.update(make_examples(nlp), sgd=sgd)
    tensors, values = state.read()
    other, other_state, _ = loaded()
    assert other_state.shapes() != state.shapes()
    other_state.grow(tensors)
    assert other_state.shapes() == state.shapes()
    other_state.set(tensors, values, steps=1)
    assert_same(nlp, other, ["bio_ner"])
    assert not np.array_equal(scores_of(nlp)[0], scores_of(adapted)[0])


def test_a_checkpoint_has_merged_weights(adapted: Language, several: Language, tmp_path: Path):
    export_pipeline(adapted, tmp_path)
    network = AutoModelForTokenClassification.from_pretrained(tmp_path).base_model
    own = transformer_shim(component(adapted).model.get_ref("encoder")).pretrained.network
    theirs = network.state_dict()
    assert {*theirs} == {*own.state_dict()}
    for name, tensor in own.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    export_pipeline(several, tmp_path / "other", component="second")
    assert (tmp_path / "other" / "model.safetensors").is_file()


# One base -----------------------------------------------------------------------------------------


def test_three_components_take_little_more_than_one(make_nlp: MakeNlp, several: Language):
    one = make_nlp(encoder_options=options({**APART, "r": 1}))
    one.initialize(lambda: make_examples(one))
    assert len({base_of(several, name) for name in NAMES}) == 1
    assert unique_bytes(several) < 1.2 * unique_bytes(one)
    # They are not one and the same component.
    first, second, _ = (scores_of(several, name)[0] for name in NAMES)
    assert np.abs(first - second).max() > 0.01


def test_one_base_on_disk_and_when_loaded(several: Language, saved: Path):
    (base,) = saved.glob("base-*")
    whole = (base / "model.safetensors").stat().st_size
    assert [*saved.rglob("model.safetensors")] == [base / "model.safetensors"]
    for name in NAMES:
        assert (saved / name / "encoder" / "adapter_model.safetensors").stat().st_size < 0.2 * whole
        listed = json.loads((saved / name / "checksums.json").read_text())["files"]
        assert {f"../{base.name}/config.json", f"../{base.name}/model.safetensors"} < {*listed}
    loaded = spacy.load(saved)
    assert_same(several, loaded, NAMES)
    # With those of the pipeline that is in memory.
    assert {base_of(loaded, name) for name in NAMES} == {base_of(several)}
    assert unique_bytes(loaded) == unique_bytes(several)


def test_training_one_leaves_the_others(saved: Path):
    nlp = spacy.load(saved)
    before = {name: scores_of(nlp, name) for name in NAMES}
    with nlp.select_pipes(enable="second"):
        sgd = nlp.resume_training()
        sgd.learn_rate = 1e-2
        nlp.update(make_examples(nlp), sgd=sgd)
    for name in NAMES:
        same = [
            np.array_equal(a, b) for a, b in zip(scores_of(nlp, name), before[name], strict=True)
        ]
        assert same[0] == (name != "second")
    assert len({base_of(nlp, name) for name in NAMES}) == 1


def test_bytes_copies_and_pickles(several: Language):
    empty = spacy.util.load_model_from_config(several.config)
    for other in (
        empty.from_bytes(several.to_bytes()),
        copy.deepcopy(several),
    ):
        assert_same(several, other, NAMES)
        assert {base_of(other, name) for name in NAMES} == {base_of(several)}
    shim = transformer_shim(component(several).model.get_ref("encoder"))
    other_shim = pickle.loads(pickle.dumps(shim))
    weights = [s.network.get_input_embeddings().weight.data_ptr() for s in (shim, other_shim)]
    assert weights[0] == weights[1] and shim.id != other_shim.id
    copied = component(several).model.copy()
    nets = [m.layers[0].shims[0].network for m in (copied, component(several).model)]
    assert {p.data_ptr() for p in nets[0].parameters()} & {
        p.data_ptr() for p in nets[1].parameters()
    }
    a, b = (dict(net.named_parameters()) for net in nets)
    for name in a:
        assert (a[name].data_ptr() == b[name].data_ptr()) == ("lora_" not in name), name
        assert a[name] is not b[name]


def test_sourced_components(several: Language, saved: Path, tmp_path: Path):
    nlp = spacy.blank("en")
    nlp.add_pipe("second", source=spacy.load(saved))
    nlp.add_pipe("bio_ner", source=several)
    assert_same(several, nlp, ["second", "bio_ner"])
    nlp.to_disk(tmp_path)
    assert len([*tmp_path.glob("base-*")]) == 1
    assert_same(several, spacy.load(tmp_path), ["second", "bio_ner"])


def test_a_package_has_the_base(several: Language, saved: Path, tmp_path: Path):
    package(saved, tmp_path, name="three", version="1.0.0", create_wheel=False, create_sdist=False)
    (loader,) = tmp_path.glob("en_three-1.0.0/en_three")
    assert_same(several, spacy.load(loader / "en_three-1.0.0"), NAMES)
    listed = (tmp_path / "en_three-1.0.0" / "setup.py").read_text()
    assert "package_data" in listed and len([*loader.glob("*/base-*/model.safetensors")]) == 1


def test_a_component_by_itself(several: Language, tmp_path: Path):
    component(several, "third").to_disk(tmp_path / "third")
    assert [path.name for path in tmp_path.iterdir()] == ["third"]
    config = dict(several.config["components"]["third"])
    config.pop("factory")
    other = spacy.blank("en").add_pipe("bio_ner", config=config)
    shutil.move(tmp_path / "third", tmp_path / "moved")
    other.from_disk(tmp_path / "moved")  # type: ignore[attr-defined]
    found = other.lattice(docs_of(several)).scores[0].numpy()  # type: ignore[attr-defined]
    assert np.array_equal(found, scores_of(several, "third")[0])


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("damage", ["half", "other", "missing"])
def test_damage_of_the_base_is_named(saved: Path, tmp_path: Path, damage: str, checksums: bool):
    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    (path,) = folder.glob("base-*/model.safetensors")
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "half" else data[:-1] + b"\x7f")
    if not checksums:
        for file in folder.glob("*/checksums.json"):
            file.unlink()
    named = path if checksums or damage != "missing" else path.parent
    with pytest.raises((OSError, ValueError), match=str(named)):
        spacy.load(folder)


def test_apart_or_merged_as_the_configuration_says(several: Language, saved: Path, tmp_path: Path):
    merge = {f"components.{name}.model.encoder.lora.merge": True for name in NAMES}
    nlp = spacy.load(saved, config=merge)
    for name in NAMES:
        for a, b in zip(scores_of(nlp, name), scores_of(several, name), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)
    nlp.to_disk(tmp_path)
    assert len([*tmp_path.rglob("model.safetensors")]) == 3
    assert_same(nlp, spacy.load(tmp_path), NAMES)


def test_processes(several: Language):
    texts = [" ".join(words) for words, _ in SENTENCES]
    expected = [spans_of(doc) for doc in several.pipe(texts)]
    assert [spans_of(doc) for doc in several.pipe(texts, n_process=2, batch_size=2)] == expected


# Beside other components --------------------------------------------------------------------------


@pytest.mark.parametrize("merge", [True, False])
def test_an_encoder_of_several_heads(tiny_encoder: Path, tmp_path: Path, merge: bool):
    nlp = spacy.blank("en")
    encoder = {
        "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
        "name": str(tiny_encoder),
        **options({**LORA, "merge": merge}),
    }
    nlp.add_pipe("bio_encoder", config={"model": encoder})
    shared = {"@architectures": "spacy-bio-crf.SharedEncoder.v1"}
    nlp.add_pipe("bio_ner", config={"model": {"encoder": shared}})
    train(nlp, make_examples(nlp), steps=5)
    shim = transformer_shim(nlp.get_pipe("bio_encoder").model)  # type: ignore[attr-defined]
    moved = [p for n, p in shim.network.named_parameters() if "lora_B" in n]
    assert moved and all(bool(p.any()) for p in moved)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert_same(nlp, loaded, ["bio_ner"])
    assert len([*tmp_path.glob("base-*")]) == (0 if merge else 1)
