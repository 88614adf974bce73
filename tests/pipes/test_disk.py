"""What a saved pipeline gives when it is loaded again: the same, bit for bit, and without a hub."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from thinc.api import Optimizer
from transformers import AutoModel, AutoTokenizer

from spacy_bio_crf.model import torch_shims
from tests.support.components import component
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, spans_of, train

HARD = [[], ["\n"], ["\ufffd", "Ana", "\n", "Ruiz"], SENTENCES[0][0] * 12]
WORDS = [*[words for words, _ in SENTENCES], *HARD]

COMPARE = """
import json, sys
from pathlib import Path
import numpy as np
import spacy
from spacy.tokens import Doc

folder, words = Path(sys.argv[1]), json.loads(sys.argv[2])
result = {}
for path in sorted(p for p in folder.iterdir() if p.is_dir()):
    nlp = spacy.load(path)
    docs = [Doc(nlp.vocab, words=w) for w in words]
    lattice = nlp.get_pipe("bio_ner").lattice(docs)
    expected = np.load(folder / f"{path.name}.npz")
    result[path.name] = {
        "equal": [bool(np.array_equal(s.numpy(), expected[str(i)]))
                  for i, s in enumerate(lattice.scores)],
        "spans": [[[e.start, e.end, e.label_] for e in doc.ents] for doc in nlp.pipe(docs)],
    }
print(json.dumps(result))
"""


def docs_of(nlp: Language) -> list[Doc]:
    return [Doc(nlp.vocab, words=words) for words in WORDS]


def lattice_of(nlp: Language) -> list[np.ndarray]:
    return [scores.numpy() for scores in component(nlp).lattice(docs_of(nlp)).scores]


def assert_same(one: Language, two: Language) -> None:
    for a, b in zip(lattice_of(one), lattice_of(two), strict=True):
        np.testing.assert_array_equal(a, b)
    found = [spans_of(doc) for doc in one.pipe(docs_of(one))]
    assert found == [spans_of(doc) for doc in two.pipe(docs_of(two))]
    assert any(found)


def test_a_second_process_offline_gives_the_same_bits(
    make_nlp: MakeNlp, tiny_encoder: Path, tmp_path: Path, run_python
):
    """Neither the hub, nor a cache of it, nor the folder the encoder came from is there."""
    source = tmp_path / "source"
    shutil.copytree(tiny_encoder, source)
    saved = tmp_path / "saved"
    saved.mkdir()
    expected = {}
    for head, scheme, subword_labels in [
        ("crf", "BIO", "first"),
        ("softmax", "BILUO", "all"),
    ]:
        nlp = make_nlp(
            head,
            scheme=scheme,
            subword_labels=subword_labels,
            encoder_options={"name": str(source), "dropout": 0.0, "window": 30, "overlap": 7},
        )
        train(nlp, make_examples(nlp), steps=25, lr=4e-3)
        nlp.to_disk(saved / head)
        np.savez(saved / f"{head}.npz", **{str(i): s for i, s in enumerate(lattice_of(nlp))})
        expected[head] = {
            "equal": [True] * 4,
            "spans": [[list(s) for s in spans_of(doc)] for doc in nlp.pipe(docs_of(nlp))],
        }
        assert sum(map(len, expected[head]["spans"])) > 10
    shutil.rmtree(source)
    out = run_python(COMPARE, saved, json.dumps(WORDS), OMP_NUM_THREADS="1")
    assert json.loads(out) == expected


def test_bytes(trained: Language, make_nlp: MakeNlp):
    data = trained.to_bytes()
    # Options that are not in the bytes come from the config.
    loaded = make_nlp(encoder_options={"dropout": 0.0}).from_bytes(data)
    assert_same(trained, loaded)
    assert component(loaded).labels == ("LOC", "PER")
    assert component(loaded).to_bytes(exclude=["vocab"]) == component(trained).to_bytes(
        exclude=["vocab"]
    )


def test_disk(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path)
    trained.to_disk(tmp_path)  # over itself
    loaded = spacy.load(tmp_path)
    assert_same(trained, loaded)
    assert component(loaded).label_data == ["LOC", "PER"]


def test_training_goes_on_where_it_was(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path)
    one, two = spacy.load(tmp_path), spacy.load(tmp_path)
    two.from_bytes(one.to_bytes())
    results = []
    for nlp in (one, two):
        torch.manual_seed(0)
        new = make_example(nlp, ["Lisbon", "met", "Bo"], [(0, 1, "PER"), (2, 3, "PER")])
        optimizer = Optimizer(1e-3)
        losses = [nlp.update([new], sgd=optimizer)["bio_ner"] for _ in range(3)]
        results.append((losses, *lattice_of(nlp)))
    assert results[0][0] == results[1][0]
    assert results[0][0][2] < results[0][0][0]
    for a, b in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_folder_is_a_hugging_face_folder(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path)
    folder = tmp_path / "bio_ner"
    assert names_in(folder) == {"cfg", "encoder", "model"}
    names = {path.name for path in (folder / "encoder").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    network = AutoModel.from_pretrained(folder / "encoder", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / "encoder", local_files_only=True)
    ours = component(trained).model.get_ref("encoder").shims[0]
    assert len(tokenizer) == len(ours.text.tokenizer)
    for name, parameter in ours.network.named_parameters():
        assert torch.equal(network.get_parameter(name), parameter)
    # The weights are not written twice.
    assert (folder / "model").stat().st_size < (folder / "encoder/model.safetensors").stat().st_size


def test_fields_may_be_left_out(trained: Language, tmp_path: Path):
    ner = component(trained)
    ner.to_disk(tmp_path / "a", exclude=["vocab", "encoder"])
    assert names_in(tmp_path / "a") == {"cfg", "model"}
    ner.to_disk(tmp_path / "b", exclude=["model"])
    assert names_in(tmp_path / "b") == {"cfg", "encoder", "vocab"}
    assert set(fields_of(ner.to_bytes(exclude=["vocab"]))) == {"cfg", "model"}
    assert set(fields_of(ner.to_bytes(exclude=["vocab", "model"]))) == {"cfg"}
    # Saving one way does not change the other.
    assert len(ner.to_bytes()) > (tmp_path / "b/encoder/model.safetensors").stat().st_size


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"checksums.json"}


def fields_of(data: bytes) -> list[str]:
    return list(srsly.msgpack_loads(data))


def test_reading_leaves_out_what_it_is_told_to(trained: Language, make_nlp, tmp_path: Path):
    ner = component(trained)
    ner.to_disk(tmp_path)
    fresh = component(make_nlp())
    fresh.from_disk(tmp_path, exclude=["vocab", "model", "encoder"])
    assert fresh.labels == ("LOC", "PER")
    assert not any(shim._model for shim in torch_shims(fresh.model))
    fresh.from_bytes(ner.to_bytes(), exclude=["vocab", "cfg"])
    assert all(shim._model for shim in torch_shims(fresh.model))


def test_before_initialising_there_is_little_to_save(make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp()
    component(nlp).add_label("PER")
    nlp.to_disk(tmp_path)
    assert names_in(tmp_path / "bio_ner") == {"cfg", "model"}
    for loaded in (spacy.load(tmp_path), make_nlp().from_bytes(nlp.to_bytes())):
        assert component(loaded).labels == ("PER",)
        loaded.initialize(lambda nlp=loaded: make_examples(nlp))
        assert component(loaded).labels == ("PER", "LOC")


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors"),
        (".", "config.json"),
    ],
)
def test_a_lost_encoder_is_told_without_checksums(trained, tmp_path: Path, lost: str, named: str):
    trained.to_disk(tmp_path)
    (tmp_path / "bio_ner" / "checksums.json").unlink()
    path = tmp_path / "bio_ner" / "encoder" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(OSError, match=f"bio_ner/encoder: expected {named}, got no such file"):
        spacy.load(tmp_path)


def test_what_was_learnt_wins_over_the_config(make_nlp: MakeNlp, tmp_path: Path):
    """The scheme belongs to the weights: a config can't change it afterwards."""
    nlp = make_nlp(scheme="BILUO")
    nlp.initialize(lambda: make_examples(nlp))
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components": {"bio_ner": {"scheme": "BIO"}}})
    assert component(loaded).tagset.tags[:5] == ("O", "B-LOC", "I-LOC", "L-LOC", "U-LOC")


def test_other_options_follow_the_config(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path)
    loaded = spacy.load(
        tmp_path, config={"components": {"bio_ner": {"overwrite": True, "repair": "discard"}}}
    )
    assert component(loaded).overwrite is True
    assert component(loaded).repair == "discard"


def test_a_sourced_component_is_the_same(trained: Language):
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", source=trained)
    assert_same(trained, nlp)


@pytest.mark.parametrize("way", ["disk", "bytes"])
def test_a_pipeline_reads_one_with_other_labels_in_place(
    trained: Language, make_nlp: MakeNlp, tmp_path: Path, way: str
):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    component(nlp).add_label("TIME")
    nlp.initialize(lambda: make_examples(nlp))
    optimizer = nlp.resume_training()
    component(nlp).rehearsal = 1.0
    if way == "disk":
        trained.to_disk(tmp_path)
        nlp.from_disk(tmp_path)
    else:
        nlp.from_bytes(trained.to_bytes())
    assert component(nlp).labels == component(trained).labels == ("LOC", "PER")
    assert_same(nlp, trained)
    # Nothing is rehearsed of a model with other tags.
    other = make_nlp(encoder_options={"dropout": 0.0}).from_bytes(trained.to_bytes())
    losses = [own.update(make_examples(own), sgd=optimizer)["bio_ner"] for own in (nlp, other)]
    assert losses[0] == pytest.approx(losses[1])


def test_documents_go_through_a_docbin(trained: Language, tmp_path: Path):
    docs = list(trained.pipe(docs_of(trained)))
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    again = list(DocBin().from_disk(tmp_path / "docs.spacy").get_docs(spacy.blank("en").vocab))
    assert [spans_of(doc) for doc in again] == [spans_of(doc) for doc in docs]
    assert [[t.ent_iob for t in doc] for doc in again] == [[t.ent_iob for t in doc] for doc in docs]
    assert all(doc.user_data == {} for doc in again)
