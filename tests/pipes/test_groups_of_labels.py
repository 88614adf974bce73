"""The component with groups of labels: training, prediction, saving, scores, spaCy's tools."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy import displacy
from spacy.lang.xx import MultiLanguage
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.temperature import fit_temperature, outcomes, take_sample
from tests.support.components import component, gradients
from tests.support.layered import (
    GROUPS,
    KEY,
    LAYERED,
    fit_layers,
    layered_example,
    layered_examples,
    layers_of,
)
from tests.support.pipelines import MakeNlp
from tests.support.sharing import add_head, add_owner

TEXT = "Bo left New York City ."


@pytest.fixture(scope="module")
def layered(make_nlp: MakeNlp) -> Language:
    """A pipeline with two groups that has learned the sentences. Do not change it."""
    return fit_layers(make_nlp)


def copy_of(nlp: Language) -> Language:
    return MultiLanguage.from_config(nlp.config).from_bytes(nlp.to_bytes())


def check_learned(nlp: Language) -> None:
    docs = list(nlp.pipe(Doc(nlp.vocab, words=words) for words, _ in LAYERED))
    assert [layers_of(doc) for doc in docs] == [sorted(spans) for _, spans in LAYERED]


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("softmax", {}),
        ("crf", {"scheme": "BILUO", "subword_labels": "all"}),
        ("crf", {"groups": "per_label", "encoder_options": {"dropout": 0.0, "batch_subwords": 24}}),
        ("softmax", {"groups": "per_label", "head_options": {"constrained": False}}),
        ("crf", {"head_options": {"constrained_loss": True, "class_weights": {"LOC": 2.0}}}),
    ],
)
def test_overlapping_entities_are_learned(make_nlp: MakeNlp, head: str, options: dict):
    check_learned(fit_layers(make_nlp, head, **options))


def test_overlapping_entities_are_learned_without_a_transformer():
    nlp = spacy.blank("en")
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 32,
        "depth": 2,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
    }
    encoder = {"@architectures": "spacy-bio-crf.Tok2VecEncoder.v1", "tok2vec": tok2vec}
    head = {"@architectures": "spacy-bio-crf.CRFHead.v1"}
    model = {"@architectures": "spacy-bio-crf.BioTagger.v1", "encoder": encoder, "head": head}
    nlp.add_pipe("bio_ner", config={"model": model, "groups": "per_label", "gold_spans_key": KEY})
    torch.manual_seed(0)
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: layered_examples(nlp))
    optimizer.learn_rate = 5e-3
    for _ in range(120):
        nlp.update(layered_examples(nlp), sgd=optimizer)
    check_learned(nlp)


def test_overlapping_entities_are_learned_on_a_shared_encoder(tiny_encoder: Path):
    nlp = spacy.blank("en")
    add_owner(nlp, tiny_encoder, batch_subwords=24)
    add_head(nlp, groups=GROUPS, gold_spans_key=KEY)
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: layered_examples(nlp))
    optimizer.learn_rate = 2e-3
    for _ in range(60):
        nlp.update(layered_examples(nlp), sgd=optimizer)
    check_learned(nlp)


def test_two_groups_learn_overlapping_entities(layered: Language):
    check_learned(layered)
    doc = layered(Doc(layered.vocab, words=LAYERED[0][0]))
    assert len(doc.ents) == 2
    assert doc.spans["bio_ner"].attrs["scores"] == pytest.approx(
        [span._.confidence for span in doc.spans["bio_ner"]]
    )


def test_micro_batches_give_the_same_gradient(make_nlp: MakeNlp):
    found = []
    for budget in (2048, 24):
        nlp = make_nlp(
            groups=GROUPS,
            gold_spans_key=KEY,
            encoder_options={"dropout": 0.0, "batch_subwords": budget},
        )
        torch.manual_seed(0)
        nlp.initialize(lambda nlp=nlp: layered_examples(nlp))
        losses = nlp.update(layered_examples(nlp))
        found.append((losses["bio_ner"], gradients(component(nlp))))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_sum_of_those_of_two_components(make_nlp: MakeNlp):
    """One group of labels alone is what a component of these labels learns."""
    nlp = make_nlp(groups=GROUPS, gold_spans_key=KEY, encoder_options={"dropout": 0.0})
    torch.manual_seed(0)
    nlp.initialize(lambda: layered_examples(nlp))
    ner = component(nlp)
    examples = layered_examples(nlp)
    lattice = ner.lattice([eg.predicted for eg in examples])
    loss, gradient = ner.get_loss(examples, lattice)
    groups = ner.tag_groups
    assert groups is not None
    total = 0.0
    for labels, columns in zip(GROUPS.values(), groups.columns, strict=True):
        flat = make_nlp()
        for label in labels:
            component(flat).add_label(label)
        flat_ner = initialized_with(flat, labels)
        own = []
        for words, spans in LAYERED:
            reference = Doc(flat.vocab, words=words)
            reference.set_ents([Span(reference, s, e, label=x) for s, e, x in spans if x in labels])
            own.append(Example(Doc(flat.vocab, words=words), reference))
        one, its = flat_ner.get_loss(own, lattice.part(columns))
        total += one
        for mine, theirs in zip(gradient.part(columns).scores, its.scores, strict=True):
            torch.testing.assert_close(mine, theirs)
    assert loss == pytest.approx(total, rel=1e-6)


def initialized_with(nlp: Language, labels: list[str]) -> Any:
    ner = component(nlp)
    ner.initialize(lambda: [Example(nlp.make_doc("Bo"), nlp.make_doc("Bo"))], labels=labels)
    return ner


def test_saved_and_loaded(layered: Language, tmp_path: Path):
    layered.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    check_learned(loaded)
    check_learned(copy_of(layered))
    doc, other = (nlp(Doc(nlp.vocab, words=LAYERED[0][0])) for nlp in (layered, loaded))
    assert doc.spans["bio_ner"].attrs == other.spans["bio_ner"].attrs
    assert json.loads((tmp_path / "model" / "bio_ner" / "cfg").read_text())["groups"] == GROUPS


@pytest.mark.parametrize(
    "groups",
    [
        None,
        "per_label",
        {"outer": ["ORG"], "inner": ["PER", "LOC"]},
    ],
)
def test_other_groups_than_those_trained_are_refused(
    layered: Language, tmp_path: Path, groups: Any
):
    layered.to_disk(tmp_path / "model")
    config = {"components": {"bio_ner": {"groups": groups}}}
    with pytest.raises((SettingsError, OSError), match="groups|labels for the"):
        spacy.load(tmp_path / "model", config=config)


def test_a_flat_pipeline_takes_no_groups(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    assert "groups" not in json.loads((tmp_path / "model" / "bio_ner" / "cfg").read_text())
    config = {"components": {"bio_ner": {"groups": "per_label"}}}
    with pytest.raises((SettingsError, OSError), match="labels for the 5 tags"):
        spacy.load(tmp_path / "model", config=config)


def test_labels_are_those_of_the_groups(make_nlp: MakeNlp):
    ner = component(make_nlp(groups=GROUPS))
    assert ner.labels == ("ORG", "PER", "LOC")
    assert ner.groups == GROUPS
    assert ner.add_label("LOC") == 0
    with pytest.raises(ValueError, match="label: expected a label of a group, of .* got 'GPE'"):
        ner.add_label("GPE")
    with pytest.raises(ValueError, match="tagset: expected a component without `groups`"):
        _ = ner.tagset
    with pytest.raises(AttributeError):
        ner.groups = None
    per_label = component(make_nlp(groups="per_label"))
    assert per_label.add_label("GPE") == 1
    assert per_label.labels == ("GPE",)


def test_a_label_of_the_data_in_no_group_is_an_error(make_nlp: MakeNlp):
    nlp = make_nlp(groups={"outer": ["ORG", "PER"]}, gold_spans_key=KEY)
    with pytest.raises(ValueError, match="label: expected a label of a group.*got 'LOC'"):
        nlp.initialize(lambda: layered_examples(nlp))


def test_a_rule_of_an_unknown_label_is_an_error(make_nlp: MakeNlp):
    nlp = make_nlp(groups="per_label", gold_spans_key=KEY, ents="group:GPE")
    with pytest.raises(ValueError, match="ents: expected a group of 'LOC', 'ORG', 'PER', got"):
        nlp.initialize(lambda: layered_examples(nlp))


def test_groups_train_anew(layered: Language):
    nlp = copy_of(layered)
    nlp.initialize(lambda: layered_examples(nlp)[:3])
    assert component(nlp).labels == ("ORG", "PER", "LOC")
    assert component(nlp).model.get_dim("nO") == 5 + 3


def test_alternatives_marginals_and_lattice(layered: Language):
    ner = component(layered)
    doc = Doc(layered.vocab, words=LAYERED[0][0])
    alternatives = ner.kbest(doc, 3)
    assert alternatives[0].spans == sorted(LAYERED[0][1])
    assert [ent.text for ent in alternatives[0].ents] == ["Bo", "New York", "New York City"]
    probabilities = [a.probability for a in alternatives]
    assert probabilities == sorted(probabilities, reverse=True)
    marginals = ner.marginals(doc)
    groups = ner.tag_groups
    assert groups is not None
    assert marginals.shape == (len(doc), len(groups.tags))
    for columns in groups.columns:
        np.testing.assert_allclose(marginals[:, columns].sum(axis=1), 1.0, rtol=1e-5)


def test_confidence_is_calibrated(make_nlp: MakeNlp):
    nlp = fit_layers(make_nlp, steps=25)
    examples = [*layered_examples(nlp), layered_example(nlp, ["Ana", "left", "."], [])]
    sample = take_sample(component(nlp), examples)
    found = outcomes(sample, 1.0)
    docs = list(nlp.pipe(Doc(nlp.vocab, words=[t.text for t in eg.reference]) for eg in examples))
    assert len(found.confidence) == sum(len(doc.spans["bio_ner"]) for doc in docs)
    right = sum(
        span in {(s.start, s.end, s.label_) for s in eg.reference.spans[KEY]}
        for doc, eg in zip(docs, examples, strict=True)
        for span in layers_of(doc)
    )
    assert found.correct.sum() == right
    assert fit_temperature(sample) > 0


def test_threshold(make_nlp: MakeNlp, layered: Language):
    nlp = copy_of(layered)
    component(nlp).threshold = 1.0
    doc = nlp(Doc(nlp.vocab, words=LAYERED[0][0]))
    assert layers_of(doc) == [] and not doc.ents


def test_presets_of_earlier_components(make_nlp: MakeNlp, layered: Language):
    nlp = copy_of(layered)
    ner = component(nlp)
    doc = Doc(nlp.vocab, words=LAYERED[0][0])
    doc.ents = [Span(doc, 2, 5, "LOC")]
    doc = ner(doc)
    assert (2, 5, "ORG") in layers_of(doc)  # of another group, so it may overlap
    assert not any(label == "LOC" for _, _, label in layers_of(doc))
    assert (2, 5, "LOC") in [(e.start, e.end, e.label_) for e in doc.ents]


def test_what_a_ruler_finds_is_not_missed(layered: Language):
    nlp = copy_of(layered)
    ruler: Any = nlp.add_pipe("entity_ruler", before="bio_ner")
    ruler.add_patterns([{"label": "LOC", "pattern": " ".join(LAYERED[0][0][2:4])}])
    scores = nlp.evaluate(layered_examples(nlp))
    assert any(e.label_ == "LOC" for e in ruler(nlp.make_doc(" ".join(LAYERED[0][0]))).ents)
    assert scores["spans_bio_ner_f"] == scores["ner_token_f"] == 1.0


def test_scores_have_spacys_names(layered: Language):
    scores = layered.evaluate(layered_examples(layered))
    assert scores["spans_bio_ner_f"] == 1.0
    assert scores["spans_bio_ner_per_type"]["LOC"]["r"] == 1.0


def test_displacy_shows_entities_and_spans(layered: Language):
    doc = layered(Doc(layered.vocab, words=LAYERED[0][0]))
    assert "New York" in displacy.render(doc, style="ent", page=False, jupyter=False)
    shown = displacy.render(
        doc, style="span", options={"spans_key": "bio_ner"}, page=False, jupyter=False
    )
    assert "ORG" in shown and "LOC" in shown


def test_overlaps_in_the_data_are_named(make_nlp: MakeNlp):
    nlp = make_nlp(groups=GROUPS, gold_spans_key=KEY)
    example = layered_example(nlp, LAYERED[0][0], [(2, 5, "LOC"), (2, 4, "LOC"), (0, 1, "PER")])
    with pytest.warns(UserWarning, match="1 of 3 entities in 1 training documents share tokens"):
        nlp.initialize(lambda: [example])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nlp.update([example])


def test_gold_survives_a_docbin(layered: Language):
    docs = [eg.reference for eg in layered_examples(layered)]
    stored = DocBin(docs=docs, store_user_data=True).to_bytes()
    again = list(DocBin().from_bytes(stored).get_docs(layered.vocab))
    assert [layers_of(doc, KEY) for doc in again] == [layers_of(doc, KEY) for doc in docs]
    assert KEY in again[-1].spans  # a Doc that is annotated, without entities


def test_incorrect_spans(make_nlp: MakeNlp):
    nlp = fit_layers(make_nlp, steps=0, incorrect_spans_key="bad")
    ner = component(nlp)
    example = layered_example(nlp, LAYERED[3][0], [])
    example.reference.spans[f"{KEY}_missing"] = [example.reference[:]]
    plain, _ = ner.get_loss([example], ner.lattice([example.predicted]))
    example.reference.spans["bad"] = [Span(example.reference, 0, 1, "LOC")]
    barred, _ = ner.get_loss([example], ner.lattice([example.predicted]))
    assert plain == pytest.approx(0.0, abs=1e-5)
    assert barred > 0.0
