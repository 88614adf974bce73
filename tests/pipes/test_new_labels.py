"""Labels that are added to a trained component."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import SGD, Adam, Optimizer, RAdam

from spacy_bio_crf.combine import make_ensemble
from spacy_bio_crf.errors import BioError
from spacy_bio_crf.model import emitter_shim
from spacy_bio_crf.pipes.new_labels import NEW_TAG_MARGIN
from tests.support.combined import make_member
from tests.support.components import component, weights
from tests.support.layered import fit_layers
from tests.support.pipelines import MakeNlp, make_example, make_examples, spans_of, train
from tests.support.sharing import make_shared
from tests.support.taggers import TAGGED, label_doc, make_bio_tagger, tagged_examples

NO_DROPOUT = {"dropout": 0.0}
TEXTS = ["Ana Ruiz met Bo in New York City .", "Bo flew to Oslo yesterday", "Nobody works today ."]
# What the old labels leave outside.
NEW_WORDS = ["Bo", "moved", "from", "Lisbon", "yesterday", "twice", "."]
NEW_ENTS = [(0, 1, "PER"), (3, 4, "LOC"), (4, 6, "TIME")]


def fit(make_nlp: MakeNlp, head: str = "crf", *, steps: int = 25, **options: Any) -> Language:
    nlp = make_nlp(head, encoder_options=NO_DROPOUT, **options)
    return train(nlp, make_examples(nlp), steps=steps)


def found_in(nlp: Language, name: str = "bio_ner") -> tuple[list, list[float]]:
    """All entities, and their confidences in the same order."""
    docs = list(nlp.pipe(TEXTS))
    spans = [(i, *span) for i, doc in enumerate(docs) for span in spans_of(doc)]
    scored = [(i, s.start, s.end, s.label_) for i, d in enumerate(docs) for s in d.spans[name]]
    scores = [span._.confidence for doc in docs for span in doc.spans[name]]
    return [*spans, *scored], scores


def emitter_of(nlp: Language, name: str = "bio_ner") -> Any:
    pipe: Any = nlp.get_pipe(name)
    return emitter_shim(pipe.model.get_ref("emitter")).network


SETTINGS: dict[str, dict[str, Any]] = {
    "crf": {},
    "crf, BILUO": {"scheme": "BILUO"},
    "crf, sub-words": {"subword_labels": "all"},
    "crf, free": {"head_options": {"constrained": False}},
    "softmax": {"head": "softmax"},
    "softmax, BILUO": {"head": "softmax", "scheme": "BILUO"},
    "softmax, free": {"head": "softmax", "head_options": {"constrained": False}},
}


@pytest.mark.parametrize("options", list(SETTINGS.values()), ids=list(SETTINGS))
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_old_predictions_stay(make_nlp: MakeNlp, options: dict[str, Any], temperature: float):
    """Entities are the same. Confidences differ by rounding alone: more columns, other sums."""
    # Few steps, so that confidences are not all 1.
    nlp = fit(make_nlp, **options, steps=12)
    ner = component(nlp)
    ner.temperature = temperature
    ner.threshold = 0.3
    before, tags, paths = found_in(nlp), ner.marginals(TEXTS), ner.kbest(TEXTS, k=3)
    assert before[1] and min(before[1]) < 0.999
    assert ner.add_label("TIME") == ner.add_label("cell-line") == 1
    assert ner.add_label("TIME") == ner.add_label("PER") == 0
    assert ner.labels == ("LOC", "PER", "TIME", "cell-line")
    assert ner.untrained == ("TIME", "cell-line")
    after, more = found_in(nlp), ner.marginals(TEXTS)
    assert after[0] == before[0]
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)
    for old, new in zip(tags, more, strict=True):
        np.testing.assert_allclose(new[:, : old.shape[1]], old, atol=1e-6)
        assert not np.nan_to_num(new[:, old.shape[1] :]).any()
    for old_paths, new_paths in zip(paths, ner.kbest(TEXTS, k=3), strict=True):
        assert [a.spans for a in new_paths] == [a.spans for a in old_paths]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_old_predictions_stay_in_another_precision(make_nlp: MakeNlp, precision: str):
    nlp = fit(make_nlp)
    ner = component(nlp)
    ner.precision = precision
    before = found_in(nlp)
    ner.add_label("TIME")
    after = found_in(nlp)
    assert after[0] == before[0]
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_old_predictions_of_groups_stay(make_nlp: MakeNlp, head: str):
    nlp = fit_layers(make_nlp, head, groups="per_label", steps=25)
    ner = component(nlp)
    before, tags = found_in(nlp), ner.marginals(TEXTS)
    assert before[1]
    ner.add_label("TIME")
    assert ner.tag_groups is not None and ner.tag_groups.names == ("LOC", "ORG", "PER", "TIME")
    after, more = found_in(nlp), ner.marginals(TEXTS)
    assert after[0] == before[0]
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)
    for old, new in zip(tags, more, strict=True):
        np.testing.assert_allclose(new[:, : old.shape[1]], old, atol=1e-6)
    # Nor does the new group find anything because of how it begins.
    ner.cfg["untrained"] = []
    assert found_in(nlp)[0] == before[0]
    for old, new in zip(tags, ner.marginals(TEXTS), strict=True):
        assert np.nanmin(new[:, old.shape[1]]) > 0.95  # the new group's O


def test_a_label_in_no_group_is_refused(make_nlp: MakeNlp):
    nlp = fit_layers(make_nlp, steps=1)
    with pytest.raises(BioError, match="label: expected a label of a group"):
        component(nlp).add_label("TIME")
    assert "TIME" not in component(nlp).labels


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_old_rows_stay_bit_for_bit_and_new_ones_begin_as_outside(make_nlp: MakeNlp, head: str):
    nlp = fit(make_nlp, head)
    old = {name: value.clone() for name, value in emitter_of(nlp).state_dict().items()}
    component(nlp).add_label("TIME")
    new = emitter_of(nlp).state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][tuple(map(slice, value.shape))], value)
    assert torch.equal(new["dense.weight"][5:], old["dense.weight"][:1].expand(2, -1))
    assert torch.allclose(new["dense.bias"][5:], old["dense.bias"][0] - NEW_TAG_MARGIN)
    if head == "crf":
        between = old["crf.transitions"]
        assert torch.equal(new["crf.transitions"][5, :5], between[0])
        assert torch.equal(new["crf.transitions"][:5, 6], between[:, 0])
        assert (new["crf.transitions"][5:, 5:] == between[0, 0]).all()
        assert (new["crf.start_transitions"][5:] == old["crf.start_transitions"][0]).all()


@pytest.mark.parametrize("options", list(SETTINGS.values()), ids=list(SETTINGS))
def test_no_best_sequence_has_a_new_tag(make_nlp: MakeNlp, options: dict[str, Any]):
    """After the first update they may be found; it is not how they begin that finds them."""
    nlp = fit(make_nlp, **options, steps=12)
    before = found_in(nlp)[0]
    ner = component(nlp)
    ner.add_label("TIME")
    ner.cfg["untrained"] = []
    assert found_in(nlp)[0] == before


def new_example(nlp: Language) -> Example:
    return make_example(nlp, NEW_WORDS, NEW_ENTS)


def test_an_update_wakes_new_labels_and_learns_them(make_nlp: MakeNlp):
    nlp = fit(make_nlp)
    component(nlp).add_label("TIME")
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 2e-3
    examples = [*make_examples(nlp)[:2], new_example(nlp)]
    for _ in range(40):
        nlp.update(examples, sgd=optimizer)
    assert component(nlp).untrained == ()
    assert spans_of(nlp(Doc(nlp.vocab, words=NEW_WORDS))) == NEW_ENTS


def test_labels_of_the_data_are_added_once_training_is_resumed(make_nlp: MakeNlp):
    nlp = fit(make_nlp)
    ner = component(nlp)
    with pytest.raises(ValueError, match=r"entity 'yesterday twice': expected a label of"):
        nlp.update([new_example(nlp)])
    nlp.resume_training()
    nlp.update([new_example(nlp)])
    assert ner.labels == ("LOC", "PER", "TIME")
    assert ner.add_labels_of([new_example(nlp)]) == []
    # Without the old model, which `bio-ner train` drops if nothing is rehearsed.
    ner._rehearsal_model = None
    nlp.update([make_example(nlp, ["Bo", "slept"], [(1, 2, "EVENT")])])
    assert ner.labels[-1] == "EVENT"


def test_a_preset_entity_of_a_new_label_is_kept(make_nlp: MakeNlp):
    nlp = fit(make_nlp)
    component(nlp).add_label("TIME")
    doc = Doc(nlp.vocab, words=NEW_WORDS)
    doc.set_ents([Span(doc, 4, 6, label="TIME")], default="missing")
    found = nlp(doc)
    assert (4, 6, "TIME") in spans_of(found)
    # Other entities are found as without it: the sequence has a path.
    assert spans_of(found)[:2] == NEW_ENTS[:2]
    assert np.allclose(component(nlp).marginals(found).sum(axis=1), 1.0)


@pytest.mark.parametrize("way", ["disk", "bytes", "copy", "pickle"])
def test_a_grown_component_is_saved_and_loaded(make_nlp: MakeNlp, tmp_path: Path, way: str):
    nlp = fit(make_nlp)
    component(nlp).add_label("TIME")
    before = found_in(nlp)
    if way == "disk":
        nlp.to_disk(tmp_path / "model")
        other = spacy.load(tmp_path / "model")
    elif way == "bytes":
        other = make_nlp(encoder_options=NO_DROPOUT)
        other.from_bytes(nlp.to_bytes())
    else:
        other = copy.deepcopy(nlp) if way == "copy" else pickle.loads(pickle.dumps(nlp))
    assert component(other).untrained == ("TIME",)
    assert found_in(other) == before
    state = emitter_of(other).state_dict()
    for name, value in emitter_of(nlp).state_dict().items():
        assert torch.equal(state[name], value)
    component(other).add_label("EVENT")
    other.update([new_example(other)], sgd=Adam(1e-3))
    assert component(other).untrained == () and component(nlp).untrained == ("TIME",)


def test_a_component_from_before_has_trained_all_labels(make_nlp: MakeNlp, tmp_path: Path):
    nlp = fit(make_nlp, steps=2)
    nlp.to_disk(tmp_path / "model")
    path = tmp_path / "model/bio_ner/cfg"
    path.write_text(path.read_text().replace('"untrained"', '"other"'))
    (tmp_path / "model/bio_ner/checksums.json").unlink()
    grown = fit(make_nlp, steps=1)
    component(grown).from_disk(tmp_path / "model/bio_ner", exclude=["vocab"])
    component(grown).cfg["untrained"] = ["LOC"]
    component(grown).from_disk(tmp_path / "model/bio_ner", exclude=["vocab"])
    assert component(grown).untrained == ()


@pytest.mark.parametrize("way", [None, "disk", "bytes"])
def test_a_new_beginning_keeps_added_labels_and_trains_all(
    make_nlp: MakeNlp, tmp_path: Path, way: str | None
):
    nlp = fit(make_nlp, steps=2)
    component(nlp).add_label("TIME")
    if way == "disk":
        nlp.to_disk(tmp_path)
        nlp = spacy.load(tmp_path)
    elif way == "bytes":
        nlp = make_nlp().from_bytes(nlp.to_bytes())
    nlp.initialize(lambda: make_examples(nlp))
    assert component(nlp).labels == ("TIME", "LOC", "PER")
    assert component(nlp).untrained == ()
    assert emitter_of(nlp).dense.out_features == 7


OPTIMIZERS = [Adam(1e-3), Adam(1e-3, use_averages=True), RAdam(1e-3), SGD(1e-2)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["adam", "averages", "radam", "sgd"])
def test_the_optimizer_goes_on_with_old_rows(make_nlp: MakeNlp, optimizer: Optimizer):
    """A step that does not see the new tags changes old rows as it would have without them."""
    plain = fit(make_nlp, steps=3)
    optimizers = [optimizer, copy.deepcopy(optimizer)]
    pipelines = [plain, copy.deepcopy(plain)]
    for nlp, own in zip(pipelines, optimizers, strict=True):
        for _ in range(3):
            nlp.update(make_examples(nlp), sgd=own)
    component(pipelines[1]).add_label("A")
    component(pipelines[1]).add_label("B")
    # Old rows alone have a gradient.
    for nlp, own in zip(pipelines, optimizers, strict=True):
        network = emitter_of(nlp)
        for name, parameter in network.named_parameters():
            gradient = torch.zeros_like(parameter)
            shape = emitter_of(plain).get_parameter(name).shape
            gradient[tuple(map(slice, shape))] = torch.linspace(-1, 1, shape.numel()).view(shape)
            parameter.grad = gradient
        component(nlp).finish_update(own)
    old = emitter_of(plain).state_dict()
    for name, value in emitter_of(pipelines[1]).state_dict().items():
        torch.testing.assert_close(value[tuple(map(slice, old[name].shape))], old[name])
    if optimizer.averages is not None:
        averages = [own.averages for own in optimizers]
        shims = [emitter_shim(component(nlp).model.get_ref("emitter")) for nlp in pipelines]
        one, two = (np.asarray(averages[i][shims[i].id, "dense.weight"]) for i in range(2))
        np.testing.assert_allclose(two[:5], one, atol=1e-6)
        assert two.shape == (9, 32)


def test_averages_fit_before_the_next_step(make_nlp: MakeNlp):
    nlp = fit(make_nlp, steps=2)
    optimizer = Adam(1e-3, use_averages=True)
    nlp.update(make_examples(nlp), sgd=optimizer)
    before = weights(component(nlp))
    component(nlp).add_label("TIME")
    with nlp.use_params(optimizer.averages):
        found_in(nlp)
    old = {
        name: value[tuple(map(slice, before[name].shape))]
        for name, value in weights(component(nlp)).items()
    }
    assert all(torch.equal(old[name], before[name]) for name in before)


def test_gradients_that_wait_for_a_step_stay(make_nlp: MakeNlp):
    nlp = fit(make_nlp, steps=1)
    nlp.update(make_examples(nlp), sgd=False)
    before = emitter_of(nlp).dense.weight.grad.clone()
    component(nlp).add_label("TIME")
    after = emitter_of(nlp).dense.weight.grad
    assert torch.equal(after[:5], before) and not after[5:].any()


def test_heads_of_a_shared_encoder_grow(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder)
    nlp.initialize(lambda: make_examples(nlp))
    before = [spans_of(doc) for doc in nlp.pipe(TEXTS)]
    component(nlp).add_label("TIME")
    assert [spans_of(doc) for doc in nlp.pipe(TEXTS)] == before
    assert component(nlp).model.get_dim("nO") == 7
    assert component(nlp, "second").model.get_dim("nO") == 5


def test_heads_of_a_shared_encoder_learn_labels_of_the_data(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder)
    train(nlp, make_examples(nlp), steps=12)
    with pytest.raises(ValueError, match=r"entity 'yesterday twice': expected a label of"):
        nlp.update([new_example(nlp)])
    optimizer = nlp.resume_training(sgd=Adam(2e-3))
    for _ in range(30):
        nlp.update([new_example(nlp)], sgd=optimizer)
    for name in ("bio_ner", "second"):
        ner = component(nlp, name)
        assert ner.labels == ("LOC", "PER", "TIME") and ner.untrained == ()
    assert spans_of(nlp(Doc(nlp.vocab, words=NEW_WORDS))) == NEW_ENTS


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_a_tagger_grows(tiny_encoder: Path, head: str):
    nlp = make_bio_tagger(tiny_encoder, head)
    train(nlp, tagged_examples(nlp), steps=12)
    tagger: Any = nlp.get_pipe("bio_tagger")
    docs = [Doc(nlp.vocab, words=words) for words, _ in TAGGED]
    before = [[(t.pos_, t._.confidence) for t in nlp(doc.copy())] for doc in docs]
    old = {
        name: value.clone() for name, value in emitter_of(nlp, "bio_tagger").state_dict().items()
    }
    assert tagger.add_label("SYM") == 1 and tagger.add_label("SYM") == 0
    after = [[(t.pos_, t._.confidence) for t in nlp(doc.copy())] for doc in docs]
    for one, two in zip(before, after, strict=True):
        assert [label for label, _ in one] == [label for label, _ in two]
        np.testing.assert_allclose([c for _, c in one], [c for _, c in two], atol=1e-6)
    tagger.cfg["untrained"] = []
    assert [[t.pos_ for t in nlp(doc.copy())] for doc in docs] == [
        [p for p, _ in x] for x in before
    ]
    new = emitter_of(nlp, "bio_tagger").state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][tuple(map(slice, value.shape))], value)
    reference = label_doc(docs[0].copy(), "pos", ["PROPN", "VERB", "SYM"])
    for _ in range(30):
        nlp.update([Example(docs[0].copy(), reference)], sgd=Adam(2e-3))
    assert [t.pos_ for t in nlp(docs[0].copy())] == ["PROPN", "VERB", "SYM"]


def test_an_ensemble_gets_no_label(make_nlp: MakeNlp):
    members = {str(seed): make_member(make_nlp, seed=seed, steps=1) for seed in range(2)}
    ensemble = make_ensemble(members)
    with pytest.raises(BioError, match="label: expected a single model, got an ensemble; add"):
        component(ensemble).add_label("TIME")
    assert component(ensemble).labels == ("LOC", "PER")
