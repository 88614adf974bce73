"""Pipelines as token classifiers: weights, entities, transition scores, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import spacy
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from spacy.language import Language
from spacy.tokens import DocBin

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.export.exporting import TRANSITIONS, export_pipeline, measure_decoding
from spacy_bio_crf.export.importing import import_checkpoint
from spacy_bio_crf.export.label_rows import read_label_rows
from spacy_bio_crf.model import emitter_shim
from tests.support.classifiers import (
    NAMES,
    found_by_transformers,
    load_reference,
    logits_of,
    make_texts,
    write_classifier_checkpoint,
)
from tests.support.components import component, initialized
from tests.support.pipelines import MakeNlp, make_examples, train
from tests.support.taggers import (
    PARTS,
    TEXTS,
    fit_tagger,
    make_bio_tagger,
    tagged_examples,
    tagger_of,
)
from tests.support.tiny_models import FAMILIES, POSITIONS, write_checkpoint


@pytest.mark.parametrize("family", FAMILIES)
def test_in_and_out_again(family: str, tmp_path: Path):
    checkpoint = write_classifier_checkpoint(tmp_path / "checkpoint", family)
    nlp, _ = import_checkpoint(str(checkpoint), lang="xx")
    nlp.to_disk(tmp_path / "pipeline")
    out = tmp_path / "out"
    export_pipeline(spacy.load(tmp_path / "pipeline"), out)
    before, after = (load_file(folder / "model.safetensors") for folder in (checkpoint, out))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert json.loads((out / "config.json").read_text())["id2label"] == {
        str(i): name for i, name in enumerate(NAMES)
    }
    texts = make_texts(30, checkpoint)
    assert found_by_transformers(out, texts) == found_by_transformers(checkpoint, texts)
    # transformers cuts a text off where the network ends.
    assert load_reference(out)[1].model_max_length == POSITIONS
    assert found_by_transformers(out, [" ".join(texts)])


@pytest.mark.parametrize(
    "names", [("I-A", "O", "I-B", "B-B"), ("A", "B", "O"), ("O", "S-A", "B-A", "I-A", "E-A")]
)
def test_labels_of_other_schemes_go_out_as_they_came(names: tuple[str, ...], tmp_path: Path):
    checkpoint = write_classifier_checkpoint(tmp_path / "checkpoint", names=names)
    nlp, _ = import_checkpoint(str(checkpoint), lang="xx")
    export_pipeline(nlp, tmp_path / "out")
    before, after = (load_file(f / "model.safetensors") for f in (checkpoint, tmp_path / "out"))
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert load_reference(tmp_path / "out")[0].config.id2label == dict(enumerate(names))


def test_a_pipeline_with_a_new_label(make_nlp: MakeNlp, tmp_path: Path):
    """The rows of old labels are those of before, and the entities, too."""
    nlp = make_nlp(head="softmax", head_options={"constrained": False})
    train(nlp, make_examples(nlp))
    texts = [" ".join(token.text for token in eg.reference) for eg in make_examples(nlp)]
    component(nlp).add_label("TIME")
    export_pipeline(nlp, tmp_path / "grown")
    names = json.loads((tmp_path / "grown" / "config.json").read_text())["id2label"]
    assert list(names.values()) == list(component(nlp).tagset.tags)
    weights = load_file(tmp_path / "grown" / "model.safetensors")["classifier.weight"]
    own = emitter_shim(component(nlp).model.get_ref("emitter")).network.dense.weight
    assert torch.equal(weights, own.detach()) and len(weights) == 7
    found = [[(e.start_char, e.end_char, e.label_) for e in nlp(text).ents] for text in texts]
    assert any(found)
    assert found_by_transformers(tmp_path / "grown", texts) == found


def test_a_softmax_trained_here(make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp(head="softmax", head_options={"constrained": False})
    examples = make_examples(nlp)
    train(nlp, examples)
    assert export_pipeline(nlp, tmp_path) == []
    network, tokenizer = load_reference(tmp_path)
    pipe = component(nlp)
    assert tuple(network.config.id2label.values()) == pipe.tagset.tags
    texts = [eg.reference.text.strip() for eg in examples]
    for text in texts:
        lattice = pipe.lattice([nlp.make_doc(text)])
        words = " ".join(token.text for token in nlp.make_doc(text))
        expected = logits_of((network, tokenizer), words)
        torch.testing.assert_close(lattice.emissions, expected, atol=1e-5, rtol=0)
    found = [[(e.start_char, e.end_char, e.label_) for e in doc.ents] for doc in nlp.pipe(texts)]
    assert any(found) and found_by_transformers(tmp_path, texts) == found


def test_a_crf_leaves_its_transitions_beside(trained: Language, tmp_path: Path):
    remarks = export_pipeline(trained, tmp_path)
    assert len(remarks) == 1 and TRANSITIONS in remarks[0]
    pipe = component(trained)
    scores = load_file(tmp_path / TRANSITIONS)
    start, transitions, end = map(torch.from_numpy, pipe.transition_scores())
    assert torch.equal(scores["transitions"], transitions)
    assert torch.equal(scores["start_transitions"], start)
    assert torch.equal(scores["end_transitions"], end)
    with safe_open(tmp_path / TRANSITIONS, framework="pt") as file:
        assert json.loads(file.metadata()["tags"]) == list(pipe.tagset.tags)
    network, _ = load_reference(tmp_path)
    emitter = emitter_shim(pipe.model.get_ref("emitter")).network
    assert torch.equal(network.classifier.weight, emitter.dense.weight)


def test_transitions_are_in_the_order_of_the_labels(tmp_path: Path):
    write_classifier_checkpoint(tmp_path / "checkpoint")
    nlp, _ = import_checkpoint(str(tmp_path / "checkpoint"), lang="xx", head="crf")
    pipe = component(nlp)
    crf = emitter_shim(pipe.model.get_ref("emitter")).network.crf
    torch.nn.init.normal_(crf.transitions)
    export_pipeline(nlp, tmp_path / "out")
    transitions = load_file(tmp_path / "out" / TRANSITIONS)["transitions"]
    for i, a in enumerate(NAMES):
        for j, b in enumerate(NAMES):
            assert transitions[i, j] == crf.transitions[pipe.tagset.ids[a], pipe.tagset.ids[b]]
    again, _ = import_checkpoint(str(tmp_path / "out"), lang="xx", head="crf")
    for ours, theirs in zip(
        pipe.transition_scores(), component(again).transition_scores(), strict=True
    ):
        assert (ours == theirs).all()
    with pytest.raises(BioError, match=r"crf.safetensors, .*: expected scores of .* 3 tags, got"):
        import_checkpoint(str(shorter(tmp_path)), lang="xx", head="crf")
    softmax, _ = import_checkpoint(str(tmp_path / "checkpoint"), lang="xx")
    export_pipeline(softmax, tmp_path / "out")
    assert not (tmp_path / "out" / TRANSITIONS).exists()


def shorter(folder: Path) -> Path:
    """A checkpoint of fewer labels beside the transition scores of another."""
    write_classifier_checkpoint(folder / "shorter", names=("O", "B-A", "I-A"))
    shutil.copy(folder / "out" / TRANSITIONS, folder / "shorter")
    return folder / "shorter"


def test_the_loss_of_plain_decoding(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    pipe = component(nlp)
    DocBin(docs=[eg.reference for eg in make_examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    assert measure_decoding(nlp, pipe, tmp_path / "dev.spacy") == (100.0, 100.0)
    # Begins are as good as continuations: only the transitions can tell.
    emitter = emitter_shim(pipe.model.get_ref("emitter")).network
    tags = pipe.tagset.ids
    with torch.no_grad():
        for label in pipe.labels:
            b, i = tags[f"B-{label}"], tags[f"I-{label}"]
            emitter.dense.weight[b] = emitter.dense.weight[i] = emitter.dense.weight[[b, i]].sum(0)
            emitter.dense.bias[b] = emitter.dense.bias[i] = emitter.dense.bias[[b, i]].sum()
            emitter.crf.transitions[b, b] = emitter.crf.transitions[i, b] = -50.0
    own, plain = measure_decoding(nlp, pipe, tmp_path / "dev.spacy")
    assert own > plain
    assert pipe.head.crf and pipe.head.constrained
    remarks = export_pipeline(nlp, tmp_path / "out", corpus=tmp_path / "dev.spacy")
    assert f"{own:.2f} as decoded here, {plain:.2f} by the best tag" in remarks[-1]


def test_what_has_no_place_is_said(make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp(head="softmax", scheme="BILUO", threshold=0.5)
    initialized(nlp).temperature = 2.0
    nlp.add_pipe("sentencizer")
    said = " ".join(export_pipeline(nlp, tmp_path))
    for part in ("legal sequence", "closing tags", "0.5", "2.000", "sentencizer"):
        assert part in said
    names = load_reference(tmp_path)[0].config.id2label.values()
    assert read_label_rows(list(names)).scheme == "BILUO"


def test_fewer_layers(make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp(head="softmax", encoder_options={"layers": 1})
    pipe = initialized(nlp)
    export_pipeline(nlp, tmp_path)
    network, tokenizer = load_reference(tmp_path)
    assert network.config.num_hidden_layers == 1
    lattice = pipe.lattice([nlp.make_doc("Ana met Bo")])
    expected = logits_of((network, tokenizer), "Ana met Bo")
    torch.testing.assert_close(lattice.emissions, expected, atol=1e-5, rtol=0)


def test_a_network_without_types_of_sub_words(make_nlp: MakeNlp, tmp_path: Path):
    """A tokenizer of no family makes them, and DistilBERT takes none."""
    encoder = write_checkpoint(tmp_path / "encoder", "distilbert")
    nlp = make_nlp(head="softmax", encoder_options={"name": str(encoder)})
    initialized(nlp)
    export_pipeline(nlp, tmp_path / "out")
    assert len(found_by_transformers(tmp_path / "out", ["Ana met Bo"])) == 1


def test_what_is_refused(make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp(encoder_options={"casing": True})
    initialized(nlp)
    with pytest.raises(BioError, match="family bert: expected casing = false: .*, got casing = t"):
        export_pipeline(nlp, tmp_path / "out")
    modern = write_checkpoint(tmp_path / "modernbert", "modernbert")
    nlp = make_nlp(encoder_options={"name": str(modern)})
    initialized(nlp)
    with pytest.raises(BioError, match="modernbert: expected the layer .*, got a classifier with"):
        export_pipeline(nlp, tmp_path / "out")
    with pytest.raises(BioError, match="'bio_ner': expected a trained encoder .*, got transformer"):
        export_pipeline(make_nlp(), tmp_path / "out")
    nlp = make_nlp(name="other", nlp=make_nlp())
    with pytest.raises(BioError, match="component: expected one bio_ner or bio_tagger, got"):
        export_pipeline(nlp, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_tokens_in_and_out_again(tmp_path: Path):
    names = ("DET", "NOUN", "VERB")
    checkpoint = write_classifier_checkpoint(tmp_path / "checkpoint", names=names)
    nlp, _ = import_checkpoint(str(checkpoint), lang="xx", target="pos")
    assert export_pipeline(nlp, tmp_path / "out") == []
    before, after = (load_file(f / "model.safetensors") for f in (checkpoint, tmp_path / "out"))
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert load_reference(tmp_path / "out")[0].config.id2label == dict(enumerate(names))


@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_a_tagger_trained_here(head: str, tiny_encoder: Path, tmp_path: Path):
    nlp = fit_tagger(make_bio_tagger(tiny_encoder, head))
    references = [eg.reference for eg in tagged_examples(nlp)]
    references[0][0].pos_ = "ADV"
    DocBin(docs=references).to_disk(tmp_path / "dev.spacy")
    remarks = export_pipeline(nlp, tmp_path / "out", corpus=tmp_path / "dev.spacy")
    assert "Accuracy on dev.spacy: 90.91 as decoded here, 90.91 by the best tag" in remarks[-1]
    assert tagger_of(nlp).head.crf == (head == "crf") == (tmp_path / "out" / TRANSITIONS).exists()
    reference = load_reference(tmp_path / "out")
    for text, parts in zip(TEXTS, PARTS, strict=True):
        best = logits_of(reference, text).argmax(dim=1).tolist()
        assert [reference[0].config.id2label[i] for i in best] == parts
    again, _ = import_checkpoint(str(tmp_path / "out"), lang="en", head=head, target="pos")
    assert [[t.pos_ for t in doc] for doc in again.pipe(TEXTS)] == PARTS
    if head == "crf":
        scores = (tagger_of(n).transition_scores() for n in (nlp, again))
        assert all((own == other).all() for own, other in zip(*scores, strict=True))
