"""The component of every task: labels, learning, losses, scores, and its place in a pipeline."""

import copy
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Optimizer

from spacy_bio_crf.pipes.bio_ner import BioNer
from tests.support.components import clear, component, gradients, initialized, weights
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, spans_of, train

NO_DROPOUT = {"dropout": 0.0}


# -- learning --------------------------------------------------------------------------------------


SETTINGS = [
    ("crf", "BIO", "first"),
    ("crf", "BIO", "all"),
    ("crf", "BILUO", "first"),
    ("crf", "BILUO", "all"),
    ("softmax", "BIO", "first"),
    ("softmax", "BIO", "all"),
    ("softmax", "BILUO", "first"),
    ("softmax", "BILUO", "all"),
]


@pytest.mark.parametrize(("head", "scheme", "subword_labels"), SETTINGS)
def test_overfits(make_nlp: MakeNlp, head: str, scheme: str, subword_labels: str):
    nlp = make_nlp(head, scheme=scheme, subword_labels=subword_labels, encoder_options=NO_DROPOUT)
    train(nlp, make_examples(nlp), steps=120, lr=4e-3, settle=True)
    losses = nlp.update(make_examples(nlp))
    assert losses["bio_ner"] < 0.01
    for words, ents in SENTENCES:
        assert spans_of(nlp(Doc(nlp.vocab, words=words))) == ents
    scores = nlp.evaluate(make_examples(nlp))
    assert scores["ents_f"] == scores["ner_token_f"] == scores["ner_token_acc"] == 1.0
    assert scores["ents_per_type"]["LOC"] == {"p": 1.0, "r": 1.0, "f": 1.0}


def test_incomplete_data_is_enough(make_nlp: MakeNlp):
    """Half of the tokens unannotated: what is learnt on the others carries over, O does not."""
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    examples = []
    for i, (words, ents) in enumerate(SENTENCES * 2):
        reference = Doc(nlp.vocab, words=words)
        middle = len(words) // 2
        if any(start < middle < end for start, end, _ in ents):
            middle = next(end for start, end, _ in ents if start < middle < end)
        kept = range(middle) if i < len(SENTENCES) else range(middle, len(words))
        reference.set_ents(
            [reference.char_span(reference[s].idx, reference[e - 1 : e].end_char, label=x)
             for s, e, x in ents if s in kept],
            missing=[reference[j : j + 1] for j in range(len(words)) if j not in kept],
            default="outside",
        )  # fmt: skip
        examples.append(Example(Doc(nlp.vocab, words=words), reference))
    train(nlp, examples, steps=80, lr=4e-3, settle=True)
    for words, ents in SENTENCES:
        assert spans_of(nlp(Doc(nlp.vocab, words=words))) == ents


def test_every_parameter_learns_and_the_optimiser_takes_one_step(make_nlp: MakeNlp):
    nlp = make_nlp()
    ner = initialized(nlp)
    before = weights(ner)
    nlp.update(make_examples(nlp), sgd=Optimizer(1e-3))
    unchanged = {name for name, w in weights(ner).items() if torch.equal(w, before[name])}
    # Positions beyond the longest sentence are embeddings too, so no parameter is left out.
    assert unchanged == set()
    assert not any(g.any() for g in gradients(ner).values())


def test_update_without_an_optimiser_gathers_gradients(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    copied = copy.deepcopy(weights(ner))
    ner.update(make_examples(nlp), sgd=None)
    once = gradients(ner)
    assert all(torch.equal(w, copied[name]) for name, w in weights(ner).items())
    ner.update(make_examples(nlp), sgd=None)
    for name, gradient in gradients(ner).items():
        torch.testing.assert_close(gradient, 2 * once[name], rtol=1e-4, atol=1e-6)
    clear(ner)
    ner.update(make_examples(nlp), sgd=Optimizer(1e-3, grad_clip=1.0))
    stepped = weights(ner)
    # The same in two calls, as spaCy's training loop makes them.
    other = make_nlp(encoder_options=NO_DROPOUT)
    twin = initialized(other)
    assert all(torch.equal(w, copied[name]) for name, w in weights(twin).items())
    twin.update(make_examples(other), sgd=None)
    twin.finish_update(Optimizer(1e-3, grad_clip=1.0))
    for name, w in weights(twin).items():
        torch.testing.assert_close(w, stepped[name], rtol=1e-5, atol=1e-7)


def test_the_step_is_clipped_by_the_norm_over_all_networks(make_nlp: MakeNlp):
    """Plain gradient descent with rate 1 moves the weights by just the clipped gradient."""
    scales = {"lr_scale": 1.0, "transitions_lr_scale": 1.0}
    nlp = make_nlp(head_options=scales, encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    ner.update(make_examples(nlp), sgd=None)
    gradient = torch.cat([g.flatten() for g in gradients(ner).values()])
    assert gradient.norm() > 0.5
    before = weights(ner)
    ner.finish_update(Optimizer(1.0, beta1=0.0, beta2=0.0, L2=0.0, grad_clip=0.1))
    step = torch.cat([(before[name] - w).flatten() for name, w in weights(ner).items()])
    torch.testing.assert_close(step, gradient * 0.1 / gradient.norm(), rtol=1e-3, atol=1e-6)


def test_losses_add_up_by_name(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    alone = ner.update(make_examples(nlp))["bio_ner"]
    losses = {"tagger": 3.0, "bio_ner": 1.5}
    returned = ner.update(make_examples(nlp), losses=losses)
    assert returned is losses
    assert losses == {"tagger": 3.0, "bio_ner": pytest.approx(1.5 + alone, rel=1e-6)}


def test_a_fresh_model_is_about_undecided(make_nlp: MakeNlp):
    """Fresh emissions are small, so the loss is near log K a token: 5 tags, transitions ±0.1."""
    for head in ("softmax", "crf"):
        nlp = make_nlp(head, encoder_options=NO_DROPOUT)
        loss = initialized(nlp).update(make_examples(nlp))["bio_ner"]
        assert loss == pytest.approx(math.log(5), abs=0.3)


@pytest.mark.parametrize("head", ["crf", "softmax"])
@pytest.mark.parametrize("subword_labels", ["first", "all"])
def test_gradient_does_not_depend_on_how_a_batch_is_cut(make_nlp, head: str, subword_labels: str):
    results = []
    for budget in (10, 60, 100_000):
        options = {**NO_DROPOUT, "batch_subwords": budget}
        nlp = make_nlp(head, subword_labels=subword_labels, encoder_options=options)
        ner = initialized(nlp)
        examples = make_examples(nlp)
        examples[1].reference.set_ents([], missing=[examples[1].reference[2:4]])
        examples.insert(2, make_example(nlp, [], []))
        n_parts = len(list(ner.encoder.split([eg.predicted for eg in examples])))
        losses = ner.update(examples)
        results.append((losses["bio_ner"], gradients(ner), n_parts))
    assert results[0][2] > results[1][2] > results[2][2] == 1
    for loss, grads, _ in results[:2]:
        assert loss == pytest.approx(results[2][0], rel=1e-5)
        for name, gradient in grads.items():
            torch.testing.assert_close(gradient, results[2][1][name], rtol=1e-4, atol=1e-5)
    norm = math.sqrt(sum(float(g.square().sum()) for g in results[2][1].values()))
    assert norm > 0.1


def test_documents_without_tokens_change_nothing(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    loss = ner.update(make_examples(nlp))["bio_ner"]
    expected = gradients(ner)
    clear(ner)
    first, *rest = make_examples(nlp)
    empty = [make_example(nlp, [], []) for _ in range(3)]
    # A token without a sub-word in a document of its own counts, but there is no row to learn from.
    assert ner.update([empty[0], first, empty[1], *rest, empty[2]])["bio_ner"] == pytest.approx(
        loss, rel=1e-6
    )
    for name, gradient in gradients(ner).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("words", [[], ["\n\n", " "], ["\ufffd"]])
def test_update_with_nothing_to_learn_from(make_nlp: MakeNlp, words: list[str]):
    nlp = make_nlp()
    ner = initialized(nlp)
    before = weights(ner)
    losses = ner.update([make_example(nlp, words, [])] * 2, sgd=Optimizer(1e-3))
    assert losses == {"bio_ner": 0.0}
    assert all(torch.equal(w, before[name]) for name, w in weights(ner).items())


def test_no_examples_at_all(make_nlp: MakeNlp):
    nlp = make_nlp()
    assert initialized(nlp).update([], sgd=Optimizer(1e-3)) == {"bio_ner": 0.0}


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_a_document_nobody_has_annotated_teaches_nothing(make_nlp: MakeNlp, head: str):
    nlp = make_nlp(head, encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    words = ["Ana", "Ruiz", "met", "Bo"]
    bare = Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words))
    assert ner.update([bare])["bio_ner"] == pytest.approx(0.0, abs=1e-6)
    assert all(g.abs().max() < 1e-6 for g in gradients(ner).values())
    ner.update([make_example(nlp, words, [])])
    assert any(g.abs().max() > 1e-3 for g in gradients(ner).values())


def test_dropout_acts_in_training_only(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    docs = [eg.predicted for eg in make_examples(nlp)]
    before = ner.lattice(docs).emissions
    plain = [ner.update(make_examples(nlp))["bio_ner"] for _ in range(2)]
    dropped = [ner.update(make_examples(nlp), drop=0.5)["bio_ner"] for _ in range(2)]
    assert plain[0] == plain[1]
    assert len({plain[0], *dropped}) == 3
    assert torch.equal(ner.lattice(docs).emissions, before)


def test_get_loss_takes_what_a_prediction_gave(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    ner = initialized(nlp)
    examples = make_examples(nlp)
    loss, gradient = ner.get_loss(examples, ner.lattice([eg.predicted for eg in examples]))
    assert loss == pytest.approx(ner.update(examples)["bio_ner"], rel=1e-5)
    for scores, d_scores in zip(
        ner.lattice([eg.predicted for eg in examples]).scores, gradient.scores, strict=True
    ):
        assert scores.shape == d_scores.shape
    # A probability more here is one less there.
    assert torch.allclose(gradient.emissions.sum(dim=1), torch.zeros(1), atol=1e-6)


def test_a_span_known_to_be_wrong_is_unlearnt(make_nlp: MakeNlp):
    options = {**NO_DROPOUT, "lr_scale": 1.0}
    nlp = make_nlp(incorrect_spans_key="wrong", encoder_options=options)
    train(nlp, make_examples(nlp))
    words = SENTENCES[0][0]
    assert (5, 8, "LOC") in spans_of(nlp(Doc(nlp.vocab, words=words)))
    for label, teaches in (("LOC", True), ("PER", False)):
        reference = Doc(nlp.vocab, words=words)
        reference.spans["wrong"] = [Span(reference, 5, 8, label=label)]
        loss = nlp.update([Example(Doc(nlp.vocab, words=words), reference)], sgd=Optimizer(0.0))
        assert (loss["bio_ner"] > 1.0) == teaches
    reference.spans["wrong"] = [Span(reference, 5, 8, label="LOC")]
    optimizer = Optimizer(1e-3)
    for _ in range(10):
        nlp.update([Example(Doc(nlp.vocab, words=words), reference)], sgd=optimizer)
    assert (5, 8, "LOC") not in spans_of(nlp(Doc(nlp.vocab, words=words)))


# -- labels ----------------------------------------------------------------------------------------


def test_labels_come_from_the_data_in_order(make_nlp: MakeNlp):
    ner = initialized(make_nlp())
    assert ner.labels == ("LOC", "PER")
    assert ner.tagset.tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert ner.model.get_dim("nO") == 5
    nlp = make_nlp()
    ents = [(i, i + 1, label) for i, label in enumerate("ZGAQMEC")]
    nlp.initialize(lambda: [make_example(nlp, list("zgaqmec"), ents)])
    assert component(nlp).labels == tuple("ACEGMQZ")


def test_labels_may_be_given(make_nlp: MakeNlp):
    nlp = make_nlp()
    ner = component(nlp)
    ner.initialize(lambda: make_examples(nlp), nlp=nlp, labels=["PROD", "PER", "LOC"])
    assert ner.labels == ("PROD", "PER", "LOC")


def test_labels_of_init_labels_go_round(make_nlp: MakeNlp, tmp_path):
    """`spacy init labels` writes `label_data` to a file, and the config points to it."""
    data = initialized(make_nlp()).label_data
    srsly.write_json(tmp_path / "ner.json", data)
    nlp = make_nlp()
    nlp.config["initialize"]["components"]["bio_ner"] = {
        "labels": {"@readers": "spacy.read_labels.v1", "path": str(tmp_path / "ner.json")}
    }
    # The data alone would give fewer.
    nlp.initialize(lambda: make_examples(nlp)[3:4])
    assert component(nlp).labels == tuple(data) == ("LOC", "PER")


def test_labels_may_be_added_before(make_nlp: MakeNlp):
    nlp = make_nlp()
    ner = component(nlp)
    assert ner.add_label("PROD") == 1
    assert ner.add_label("PROD") == 0
    assert ner.labels == ("PROD",)
    nlp.initialize(lambda: make_examples(nlp))
    assert ner.labels == ("PROD", "LOC", "PER")
    assert "PROD" in nlp.vocab.strings


def test_labels_added_are_enough(make_nlp: MakeNlp):
    nlp = make_nlp()
    component(nlp).add_label("PER")
    nlp.initialize()
    assert component(nlp).model.get_dim("nO") == 3
    assert nlp("Ana met Bo").has_annotation("ENT_IOB")


@pytest.mark.parametrize("label", [5, None, ""])
def test_a_label_is_a_string_that_is_not_empty(make_nlp: MakeNlp, label):
    ner = component(make_nlp())
    with pytest.raises(ValueError, match="label"):
        ner.add_label(label)
    assert ner.labels == ()


def test_no_label_in_the_data(make_nlp: MakeNlp):
    nlp = make_nlp()
    with pytest.raises(ValueError, match="'bio_ner': expected labels .*, got none in 3 train"):
        nlp.initialize(lambda: [make_example(nlp, ["a", "b"], [])] * 3)


def test_no_examples(make_nlp: MakeNlp):
    nlp = make_nlp()
    with pytest.raises(TypeError, match=r"BioNer.initialize.*got: \[\]"):
        nlp.initialize(lambda: [])


def test_a_label_the_component_lacks_is_named_with_its_entity(make_nlp: MakeNlp):
    nlp = make_nlp()
    ner = initialized(nlp)
    before = weights(ner)
    examples = [*make_examples(nlp), make_example(nlp, ["Rex", "Ltd", "x"], [(0, 2, "ORG")])]
    with pytest.raises(ValueError, match=r"'Rex Ltd': expected .* \['LOC', 'PER'\], got 'ORG'"):
        ner.update(examples, sgd=Optimizer(1e-3))
    assert all(torch.equal(w, before[name]) for name, w in weights(ner).items())
    with pytest.raises(ValueError, match="'ORG'"):
        ner.get_loss(examples, ner.lattice([eg.predicted for eg in examples]))


def test_initialising_again_keeps_labels_and_makes_a_new_head(make_nlp: MakeNlp):
    nlp = make_nlp()
    ner = initialized(nlp)
    before = weights(ner)
    torch.manual_seed(1)
    nlp.initialize(lambda: make_examples(nlp))
    assert ner.labels == ("LOC", "PER")
    changed = {name for name, w in weights(ner).items() if not torch.equal(w, before[name])}
    assert "1.dense.weight" in changed
    assert not any(name.startswith("0.") for name in changed)


# -- scores ----------------------------------------------------------------------------------------


def test_scores(make_nlp: MakeNlp, trained: Language):
    scores = component(trained).score(make_examples(trained))
    assert set(scores) == {
        *("ents_p", "ents_r", "ents_f", "ents_per_type"),
        *("ner_token_acc", "ner_token_p", "ner_token_r", "ner_token_f", "ner_token_per_type"),
    }


def test_without_a_scorer_there_are_no_scores(make_nlp: MakeNlp):
    nlp = make_nlp(scorer=None)
    assert initialized(nlp).score(make_examples(nlp)) == {}


def test_a_label_training_lacks_counts_as_missed_and_is_said_once(trained: Language):
    ner = BioNer(trained.vocab, component(trained).model, scorer=component(trained).scorer)
    ner.cfg.update(component(trained).cfg)
    words, ents = SENTENCES[0]

    def examples(label: str) -> list[Example]:
        example = make_example(trained, words, [*ents, (8, 9, label)])
        ner(example.predicted)
        return [example]

    with pytest.warns(UserWarning, match=r"'bio_ner'.*\['ORG'\].*\['LOC', 'PER'\]"):
        scores = ner.score(examples("ORG"))
    assert scores["ents_per_type"]["ORG"] == {"p": 0.0, "r": 0.0, "f": 0.0}
    assert scores["ents_r"] == 3 / 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ner.score(examples("ORG"))
        ner.score(examples("PER"))
    with pytest.warns(UserWarning, match=r"\['PROD'\]"):
        ner.score(examples("PROD"))


# -- before it can work ----------------------------------------------------------------------------


def test_predicting_before_initialising(make_nlp: MakeNlp):
    nlp = make_nlp()
    for attempt in (lambda: nlp("Ana met Bo"), lambda: list(nlp.pipe(["Ana", "Bo"]))):
        with pytest.raises(ValueError, match=r"'bio_ner' could not be run.*initialize"):
            attempt()
    component(nlp).add_label("PER")
    with pytest.raises(ValueError, match=r"'bio_ner' could not be run.*initialize"):
        nlp("Ana met Bo")


# -- its place in a pipeline -----------------------------------------------------------------------


def test_frozen_component_is_left_alone(make_nlp: MakeNlp, trained: Language):
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", name="frozen", source=trained)
    make_nlp("softmax", name="other", nlp=nlp)
    frozen = component(nlp, "frozen")
    before = weights(frozen)
    with nlp.select_pipes(disable=["frozen"]):
        optimizer = nlp.initialize(lambda: make_examples(nlp))
    losses: dict[str, float] = {}
    nlp.update(make_examples(nlp), sgd=optimizer, losses=losses, exclude=["frozen"])
    assert set(losses) == {"other"}
    assert all(torch.equal(w, before[name]) for name, w in weights(frozen).items())


def test_annotating_component_shows_its_entities_to_the_next(make_nlp: MakeNlp, trained: Language):
    seen: list[list] = []

    class Watcher:
        def __call__(self, doc: Doc) -> Doc:
            return doc

        def update(self, examples, *, drop=0.0, sgd=None, losses=None):
            seen.extend(spans_of(eg.predicted) for eg in examples)
            return losses

    Language.factory("watcher_of_bio_ner", func=lambda nlp, name: Watcher())
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", source=trained)
    nlp.add_pipe("watcher_of_bio_ner")
    nlp.update(make_examples(nlp), sgd=Optimizer(0.0), annotates=["bio_ner"])
    assert seen == [ents for _, ents in SENTENCES]


def test_select_pipes(trained: Language):
    text = "Ana Ruiz met Bo"
    with trained.select_pipes(disable="bio_ner"):
        doc = trained(text)
        assert not doc.has_annotation("ENT_IOB")
    with trained.select_pipes(enable="bio_ner"):
        assert spans_of(trained(text)) == [(0, 2, "PER"), (3, 4, "PER")]


def test_a_model_can_be_pickled_for_a_worker(trained: Language):
    ner = pickle.loads(pickle.dumps(component(trained)))
    docs = [Doc(trained.vocab, words=words) for words, _ in SENTENCES]
    expected = component(trained).lattice(docs)
    for scores, others in zip(ner.lattice(docs).scores, expected.scores, strict=True):
        assert torch.equal(scores, others)


def test_one_document_alone_or_among_others(trained: Language):
    """The score of a path does not hang on the company: not on padding, order or batch."""
    ner = component(trained)
    docs = [Doc(trained.vocab, words=words) for words, _ in SENTENCES]
    together = np.split(ner.lattice(docs).emissions.numpy(), np.cumsum([len(d) for d in docs])[:-1])
    for doc, rows in zip(docs, together, strict=True):
        np.testing.assert_allclose(ner.lattice([doc]).emissions.numpy(), rows, atol=1e-4)


def test_settings_of_decoding_are_made_anew_when_one_changes(make_nlp: MakeNlp):
    ner = initialized(make_nlp())
    reading = ner.reading()
    assert ner.reading() is reading and reading.tagset is ner.tagset
    assert ner.reading(temperature=2.0).temperature == 2.0
    assert ner.reading() is reading
    ner.temperature = 3.0
    assert ner.reading().temperature == 3.0
    ner.cfg["labels"] = ["A"]
    assert ner.reading().tagset.tags == ("O", "B-A", "I-A")
    for wrong in (0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"temperature: expected a number .*, got {wrong}"):
            ner.temperature = wrong
    assert ner.temperature == 3.0


# -- initialize again ------------------------------------------------------------------------------


def fold(nlp: Language, examples: list[Example]) -> dict[str, Any]:
    """Train the pipeline on some examples; its weights and labels."""
    train(nlp, examples, steps=4)
    return {"labels": component(nlp).labels, **weights(component(nlp))}


def equal(one: dict[str, Any], two: dict[str, Any]) -> bool:
    assert one.keys() == two.keys()
    return all(
        torch.equal(one[k], two[k]) if isinstance(one[k], torch.Tensor) else one[k] == two[k]
        for k in one
    )


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_folds_in_one_process_are_those_of_fresh_pipelines(make_nlp: MakeNlp, head: str):
    options: dict[str, Any] = {"encoder_options": {"casing": True, "layers": 1}}
    nlp = make_nlp(head, **options)
    component(nlp).add_label("PROD")
    words = ["Acme", "met", "Bo"]
    others = [make_example(nlp, words, [(0, 1, "ORG"), (2, 3, "PER")])]
    first = fold(nlp, make_examples(nlp)[:3])
    component(nlp).temperature = 3.0
    list(nlp.pipe(["Ana met Bo"]))
    second = fold(nlp, others)
    assert component(nlp).temperature == 1.0
    assert second["labels"] == ("PROD", "ORG", "PER")
    fresh = make_nlp(head, **options)
    component(fresh).add_label("PROD")
    assert equal(second, fold(fresh, others))
    assert equal(first, fold(nlp, make_examples(nlp)[:3]))


def test_a_loaded_pipeline_begins_anew(trained: Language, make_nlp: MakeNlp, tmp_path):
    trained.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    example = make_example(nlp, ["Acme", "met", "Bo"], [(0, 1, "ORG")])
    fresh = make_nlp(encoder_options={"dropout": 0.0})
    assert equal(fold(nlp, [example]), fold(fresh, [example]))
    assert component(nlp).labels == ("ORG",)


def test_without_its_encoder_a_component_stays_what_it_was(trained: Language, tmp_path):
    trained.to_disk(tmp_path)
    path = tmp_path / "config.cfg"
    name = trained.config["components"]["bio_ner"]["model"]["encoder"]["name"]
    path.write_text(path.read_text().replace(name, str(tmp_path / "gone")))
    (tmp_path / "bio_ner" / "checksums.json").unlink()
    nlp = spacy.load(tmp_path)
    example = make_example(nlp, ["Acme", "met", "Bo"], [(0, 1, "ORG")])
    with pytest.raises(OSError, match="gone"):
        nlp.initialize(lambda: [example])
    assert component(nlp).labels == ("LOC", "PER")
    text = "Ana Ruiz met Bo in New York City ."
    assert spans_of(nlp(text)) == spans_of(trained(text)) != []
    again = spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert spans_of(again(text)) == spans_of(trained(text))


def test_a_component_with_a_tok2vec_of_its_own_begins_anew():
    """A tok2vec that is a component by itself keeps its last gradient, as spaCy has it."""
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        **{"width": 32, "depth": 1, "embed_size": 50, "window_size": 1, "maxout_pieces": 2},
        "subword_features": True,
    }
    encoder = {"@architectures": "spacy-bio-crf.Tok2VecEncoder.v1", "tok2vec": tok2vec}
    head = {"@architectures": "spacy-bio-crf.CRFHead.v1"}
    model = {"@architectures": "spacy-bio-crf.BioTagger.v1", "encoder": encoder, "head": head}
    nlp, fresh = spacy.blank("en"), spacy.blank("en")
    for each in (nlp, fresh):
        each.add_pipe("bio_ner", config={"model": model})
    fold(nlp, make_examples(nlp)[:2])
    example = make_example(nlp, ["Acme", "met", "Bo"], [(0, 1, "ORG")])
    assert equal(fold(nlp, [example]), fold(fresh, [example]))


def test_the_divisor_of_a_batch_that_is_shared_out(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    examples = make_examples(nlp)
    examples[0].reference.set_ents([], missing=[examples[0].reference[:2]])
    nlp.initialize(lambda: make_examples(nlp))
    pipe, whole = component(nlp), {}
    pipe.update(examples, losses=whole)
    expected = gradients(pipe)
    clear(pipe)
    counts = [pipe.count_annotated(part) for part in (examples[:1], examples[1:])]
    assert counts[0] == len(examples[0].predicted) - 2
    tokens = sum(len(eg.predicted) for eg in examples)
    assert sum(counts) == tokens - 2
    pipe.divisors, parts = (tokens - 2, tokens), {}
    for part in (examples[:1], examples[1:]):
        pipe.update(part, losses=parts)
    assert parts["bio_ner"] == pytest.approx(whole["bio_ner"])
    for name, gradient in gradients(pipe).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)
