"""The factory `bio_tagger`: what it reads, learns, writes, keeps, scores and saves."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Token
from spacy.training import Example

from spacy_bio_crf.gold.token_labels import TokenLabels
from spacy_bio_crf.heads.token_tags import FoundLabels
from spacy_bio_crf.pipes.bio_tagger import TagTask, TokenTagger
from tests.support.pipelines import HEADS
from tests.support.taggers import (
    PARTS,
    TAGGED,
    TEXTS,
    fit_tagger,
    label_doc,
    label_of,
    labels_in,
    make_bio_tagger,
    tagged_examples,
    tagger_config,
    tagger_of,
)

TARGETS = ["tag", "pos", "morph", "_.kind_of_word"]


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Path) -> Language:
    """A pipeline with a CRF that has learned the parts of speech. Do not change it."""
    return fit_tagger(make_bio_tagger(tiny_encoder, "crf"))


def parts_of(doc: Doc) -> list[str]:
    return [token.pos_ for token in doc]


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("target", ["lemma", None, 3, "_.tag"], "(one of 'tag', 'pos'|an extension whose)"),
        ("overwrite", ["no", 2, None], "true or false"),
        ("confidence", ["", 7, "a b", True], "a name of an extension attribute or none"),
        ("buffer_tokens", [-1, 2.5], "a whole number, 0 or more"),
        ("temperature", [0, "2"], "a number above 0"),
    ],
)
def test_options_out_of_range_are_refused_and_nothing_changes(
    tiny_encoder: Path, name: str, values: list, expected: str
):
    nlp = make_bio_tagger(tiny_encoder)
    before = getattr(tagger_of(nlp), name)
    for value in values:
        with pytest.raises(ValueError, match=f"^{name}: expected {expected}.*, got "):
            setattr(tagger_of(nlp), name, value)
        assert getattr(tagger_of(nlp), name) == before
    if name != "temperature":
        with pytest.raises(ValueError, match=f"{name}"):
            make_bio_tagger(tiny_encoder, **{name: values[0]})


def test_options_are_attributes_that_count(tiny_encoder: Path):
    options: dict[str, Any] = {
        "target": "morph",
        "overwrite": True,
        "confidence": "sure",
        "buffer_tokens": 7,
    }
    tagger = tagger_of(make_bio_tagger(tiny_encoder, **options))
    assert {name: getattr(tagger, name) for name in options} == options
    assert isinstance(tagger.task, TagTask)
    tagger.target = "tag"
    assert tagger.task.target == "tag"
    assert tagger.scheme == "none" and tagger.cfg["scheme"] == "none"


def test_what_a_config_leaves_out_is_filled_in():
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_tagger")
    settings = nlp.config["components"]["bio_tagger"]
    assert (settings["target"], settings["overwrite"]) == ("tag", False)
    assert (settings["confidence"], settings["buffer_tokens"]) == ("confidence", None)
    assert settings["model"]["head"]["@architectures"] == HEADS["softmax"]
    assert settings["scorer"] == {"@scorers": "spacy-bio-crf.bio_tagger_scorer.v1"}
    assert nlp.analyze_pipes()["problems"] == {"bio_tagger": []}


def test_an_extension_that_can_only_be_read_is_no_target(tiny_encoder: Path):
    Token.set_extension("read_only", getter=lambda token: "x")
    try:
        for option, value in ("target", "_.read_only"), ("confidence", "read_only"):
            with pytest.raises(ValueError, match=f"{option}: expected an attribute to write, got"):
                make_bio_tagger(tiny_encoder, **{option: value})
    finally:
        Token.remove_extension("read_only")
    with pytest.raises(ValueError, match="confidence: expected another attribute than the target"):
        make_bio_tagger(tiny_encoder, target="_.kind", confidence="kind")


def test_weights_of_labels_are_checked(tiny_encoder: Path):
    nlp = spacy.blank("en")
    model = tagger_config(tiny_encoder, class_weights={"O": 2.0})
    nlp.add_pipe("bio_tagger", config={"target": "pos", "model": model})
    with pytest.raises(ValueError, match=r"class_weights: expected labels of \['ADV', .*\['O'\]"):
        nlp.initialize(lambda: tagged_examples(nlp))


# -- learning --------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("target", TARGETS)
def test_overfits_saves_and_loads(tiny_encoder: Path, tmp_path: Path, head: str, target: str):
    nlp = make_bio_tagger(tiny_encoder, head, target=target)
    if target.startswith("_."):
        with pytest.warns(UserWarning, match="score_weights: expected a weight for kind_of_word_a"):
            fit_tagger(nlp, target)
    else:
        fit_tagger(nlp, target)
    expected = [[label_of(target, part) for part in parts] for parts in PARTS]
    assert tagger_of(nlp).labels == tuple(sorted({x for labels in expected for x in labels}))
    key = f"{target.removeprefix('_.')}_acc"
    assert nlp.evaluate(tagged_examples(nlp, target))[key] == 1.0
    docs = list(nlp.pipe(TEXTS))
    assert [labels_in(doc, target) for doc in docs] == expected
    others = [x for x in TARGETS[:3] if x != target]
    assert all(labels_in(doc, x) == [None] * len(doc) for doc in docs for x in others)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    again = [
        loaded,
        make_bio_tagger(tiny_encoder, head, target=target).from_bytes(nlp.to_bytes()),
        pickle.loads(pickle.dumps(nlp)),
        copy.deepcopy(nlp),
    ]
    for other in again:
        for doc, copied in zip(docs, other.pipe(TEXTS), strict=True):
            assert labels_in(copied, target) == labels_in(doc, target)
            assert [t._.confidence for t in copied] == [t._.confidence for t in doc]


@pytest.mark.parametrize("subword_labels", ["first", "all"])
@pytest.mark.parametrize("head", list(HEADS))
def test_tokens_without_a_label_are_not_trained(tiny_encoder: Path, head: str, subword_labels: str):
    """Half of the labels are wrong and taken away: the rest is all that counts."""
    nlp = spacy.blank("en")
    model = {**tagger_config(tiny_encoder, head), "subword_labels": subword_labels}
    nlp.add_pipe("bio_tagger", config={"target": "pos", "model": model})
    examples = tagged_examples(nlp)
    examples[1].reference[2].pos_ = ""
    torch.manual_seed(0)
    nlp.initialize(lambda: examples)
    tagger = tagger_of(nlp)
    lattice, _ = tagger.model.begin_update([eg.predicted for eg in examples])
    _, d_lattice = tagger.get_loss(examples, lattice)
    rows = np.split(d_lattice.emissions.numpy(), np.cumsum(lattice.lengths))[1]
    quiet = np.abs(rows).max(axis=1)[lattice.tokens[1] == 2]
    loud = np.abs(rows).max(axis=1)[lattice.tokens[1] != 2]
    assert len(quiet) and loud.min() > 1e-3
    if head == "softmax" or subword_labels == "all":
        assert quiet[-1] < 1e-6
    if head == "softmax":
        assert quiet.max() < 1e-6


def test_a_document_nobody_has_annotated_teaches_nothing(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder, "crf")
    nlp.initialize(lambda: tagged_examples(nlp))
    bare = Example(Doc(nlp.vocab, words=["Ana", "met"]), Doc(nlp.vocab, words=["Ana", "met"]))
    lattice, _ = tagger_of(nlp).model.begin_update([bare.predicted])
    loss, d_lattice = tagger_of(nlp).get_loss([bare], lattice)
    assert loss == pytest.approx(0.0, abs=1e-5)
    assert d_lattice.emissions.abs().max() < 1e-5


def test_labels_that_do_not_fit_teach_nothing_of_the_annotated_ones(tiny_encoder: Path):
    """In the pipeline's tokens "flew" is one, in the gold it is a VERB and a PART."""
    nlp = fit_tagger(make_bio_tagger(tiny_encoder))
    reference = label_doc(
        Doc(nlp.vocab, words=["They", "fl", "ew"], spaces=[True, False, False]),
        "pos",
        ["PRON", "VERB", "ADV"],
    )
    reference.user_data["labels_annotated"] = ["PRON", "VERB", "ADV"]
    example = Example(Doc(nlp.vocab, words=["They", "flew"]), reference)
    lattice, _ = tagger_of(nlp).model.begin_update([example.predicted])
    _, d_lattice = tagger_of(nlp).get_loss([example], lattice)
    rows = d_lattice.emissions.abs().amax(dim=1)[np.searchsorted(lattice.tokens[0], [0, 1])]
    assert rows[0] > 0.0 and rows[1] < 1e-6


def test_the_loss_is_a_mean_also_over_tokens_without_the_annotated_labels(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder)
    nlp.initialize(lambda: tagged_examples(nlp))
    tagger = tagger_of(nlp)
    losses = []
    for n in (1, 10):
        words = [*["they"] * n, "  "]
        reference = Doc(nlp.vocab, words=words)
        reference.user_data["labels_annotated"] = ["PROPN"]
        example = Example(Doc(nlp.vocab, words=words), reference)
        assert tagger.count_annotated([example]) == n
        lattice, _ = tagger.model.begin_update([example.predicted])
        p = lattice.emissions.softmax(dim=1)[:, tagger.labels.index("PROPN")]
        loss, _ = tagger.get_loss([example], lattice)
        losses.append((loss, float(-(1.0 - p).log().mean())))
    assert [loss for loss, _ in losses] == pytest.approx([mean for _, mean in losses])


def test_no_label_in_the_data(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder, target="tag")
    with pytest.raises(ValueError, match="'bio_tagger': expected labels in the data, .* got none"):
        nlp.initialize(lambda: tagged_examples(nlp, "pos"))


def test_labels_may_be_given_and_added(tiny_encoder: Path, tmp_path: Path):
    nlp = make_bio_tagger(tiny_encoder, target="morph")
    tagger = tagger_of(nlp)
    assert tagger.add_label("Number=Plur|Case=Gen") == 1
    assert tagger.add_label("Case=Gen|Number=Plur") == 0
    nlp.initialize(lambda: tagged_examples(nlp, "morph"))
    assert tagger.labels[0] == "Case=Gen|Number=Plur" and len(tagger.labels) == 5
    assert tagger.add_label("Person=1|Case=Acc") == 1
    assert tagger.labels[-1] == "Case=Acc|Person=1"
    srsly.write_json(tmp_path / "labels.json", tagger.label_data)
    other = tagger_of(make_bio_tagger(tiny_encoder, target="morph"))
    other.initialize(
        lambda: tagged_examples(nlp, "morph"), labels=srsly.read_json(tmp_path / "labels.json")
    )
    assert other.labels == tagger.labels and other.tagset.tags == tagger.labels


def test_a_part_of_speech_is_a_universal_one(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder)
    message = r"label: expected one of ADJ, .*, got 'NN'"
    with pytest.raises(ValueError, match=message):
        tagger_of(nlp).add_label("NN")
    with pytest.raises(ValueError, match=message):
        tagger_of(nlp).initialize(lambda: tagged_examples(nlp), labels=["NOUN", "NN"])
    with pytest.raises(ValueError, match="labels: expected a list of labels, got 'NOUN'"):
        tagger_of(nlp).initialize(lambda: tagged_examples(nlp), labels="NOUN")
    with pytest.raises(ValueError, match="E187"):
        tagger_of(nlp).add_label(3)  # type: ignore[arg-type]


def test_a_label_the_component_lacks_is_named_with_its_token(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder)
    tagger = tagger_of(nlp)
    labels = ["VERB", "PRON", "ADV"]
    with pytest.raises(ValueError, match=r"token 'Ana': expected a label of \['VERB'.*'PROPN'"):
        tagger.initialize(lambda: tagged_examples(nlp))
        tagger.initialize(lambda: tagged_examples(nlp), labels=labels)
        tagger.update(tagged_examples(nlp))
    with pytest.warns(UserWarning, match=r"was not trained with: \['PROPN'\]"):
        tagger.score(tagged_examples(nlp))


def test_lost_labels_are_told(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder)
    reference = Doc(nlp.vocab, words=["ab", "c"], spaces=[False, False], pos=["NOUN", "VERB"])
    examples = [Example(Doc(nlp.vocab, words=["abc"]), reference), *tagged_examples(nlp)]
    with pytest.warns(UserWarning) as caught:
        nlp.initialize(lambda: examples)
    (message,) = [str(w.message) for w in caught]
    assert message == (
        "2 of 13 labels of tokens in 4 training documents do not fit the tokens that 'bio_tagger'"
        " is given: their tokens count as unannotated. The first is 'ab' (NOUN), token 0 of 'abc'."
    )


# -- labels on documents ---------------------------------------------------------------------------


def test_white_space_and_tokens_without_a_subword(fitted: Language):
    words = ["\n", "Ana", "\ufffd", "met", "  ", "Bo"]
    doc = tagger_of(fitted)(Doc(fitted.vocab, words=words, spaces=[False] * 6))
    assert parts_of(doc) == ["SPACE", "PROPN", "", "VERB", "SPACE", "PROPN"]
    assert [t._.confidence is None for t in doc] == [True, False, True, False, True, False]


@pytest.mark.parametrize("target", TARGETS)
def test_labels_of_white_space_are_those_of_spacys_pipelines(tiny_encoder: Path, target: str):
    nlp = make_bio_tagger(tiny_encoder, target=target)
    tagger = tagger_of(nlp)
    found = FoundLabels(None, np.array([0]), ["NOUN" if target == "pos" else "A=B"])
    doc = Doc(nlp.vocab, words=["a", " "])
    tagger.task.write(doc, found)
    expected = {"tag": "_SP", "pos": "SPACE", "morph": "_"}.get(target)
    assert labels_in(doc, target)[1] == expected


@pytest.mark.parametrize("text", ["", " ", "\ufffd", "\n \ufffd"])
def test_documents_without_a_subword(fitted: Language, text: str):
    doc = fitted(text)
    assert all(t.pos_ in ("", "SPACE") for t in doc)
    assert tagger_of(fitted).marginals(doc).shape == (len(doc), 4)
    (one,) = tagger_of(fitted).kbest(doc, 3)
    assert one.probability == pytest.approx(1.0)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_earlier_labels_stay_unless_overwritten(tiny_encoder: Path, target: str, overwrite: bool):
    nlp = make_bio_tagger(tiny_encoder, "crf", target=target, overwrite=overwrite)
    tagger = tagger_of(nlp)
    tagger.initialize(lambda: tagged_examples(nlp, target))
    words, parts = TAGGED[1]
    labels = [label_of(target, part) for part in parts]
    own = label_of(target, "ADV" if target != "morph" else "PRON")
    other = "SCONJ" if target == "pos" else "A=B"
    doc = label_doc(Doc(nlp.vocab, words=words), target, [own, "", other, "", ""])
    before = labels_in(doc, target)
    (found,) = tagger.predict([doc])
    assert labels_in(doc, target) == before
    tagger.set_annotations([doc], [found])
    after = labels_in(doc, target)
    assert set(after[3:]) <= set(labels)
    assert (after[0] == own and after[2] == other) or overwrite
    assert (after[2] != other) or not overwrite
    assert [t._.confidence is None for t in doc][0] == (not overwrite)


def test_a_label_that_stays_tells_a_crf_of_its_neighbors(fitted: Language):
    plain = fitted.make_doc("Ana met Bo")
    doc = fitted.make_doc("Ana met Bo")
    doc[1].pos_ = "ADV"
    marginals = tagger_of(fitted).marginals(doc)
    labels = tagger_of(fitted).labels
    assert marginals[1].tolist() == [float(x == "ADV") for x in labels]
    assert np.abs(marginals[0] - tagger_of(fitted).marginals(plain)[0]).max() > 0.0
    assert tagger_of(fitted).kbest(doc, 2)[1].labels[1] == "ADV"


def test_defaults_of_an_extension_are_no_earlier_labels(tiny_encoder: Path):
    Token.set_extension("phrase", default="O")
    try:
        nlp = make_bio_tagger(tiny_encoder, target="_.phrase")
        examples = tagged_examples(nlp, "_.phrase")
        tagger_of(nlp).initialize(lambda: examples)
        doc = nlp("Ana met Bo")
        assert "O" not in [t._.phrase for t in doc]
    finally:
        Token.remove_extension("phrase")


def test_confidence_is_the_marginal_probability(fitted: Language):
    doc = fitted("Ana met Bo")
    tagger = tagger_of(fitted)
    marginals = tagger.marginals(fitted.make_doc("Ana met Bo"))
    ids = [tagger.labels.index(part) for part in parts_of(doc)]
    assert [t._.confidence for t in doc] == pytest.approx(marginals[np.arange(3), ids].tolist())
    assert all(type(t._.confidence) is float for t in doc)


def test_confidence_is_scaled_by_the_temperature(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder)
    tagger = tagger_of(nlp)
    tagger.initialize(lambda: tagged_examples(nlp))
    sharp = [t._.confidence for t in nlp("Ana met Bo")]
    tagger.temperature = 100.0
    flat = [t._.confidence for t in nlp("Ana met Bo")]
    assert flat == pytest.approx([0.25] * 3, abs=0.02) and min(sharp) > max(flat)


def test_confidence_has_a_name_of_choice_or_none(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder, confidence=None)
    tagger_of(nlp).initialize(lambda: tagged_examples(nlp))
    assert nlp("Ana met Bo").user_data == {}
    tagger_of(nlp).confidence = "sure"
    doc = nlp("Ana met Bo")
    assert all(t._.sure > 0.0 and not t._.confidence for t in doc)
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert [t._.sure for t in again] == [t._.sure for t in doc]


def test_k_best_of_texts(fitted: Language):
    tagger = tagger_of(fitted)
    found = tagger.kbest("Ana met Bo", 3)
    assert found[0].labels == ["PROPN", "VERB", "PROPN"]
    assert [a.probability for a in found] == sorted((a.probability for a in found), reverse=True)
    assert str(found[0]).endswith(": Ana/PROPN met/VERB Bo/PROPN")
    assert [len(own) for own in tagger.kbest(TEXTS, 2)] == [2, 2, 2]


def test_repr_tells_target_and_head(fitted: Language):
    assert repr(tagger_of(fitted)) == (
        "<TokenTagger 'bio_tagger': 4 labels ('ADV', 'PRON', 'PROPN', 'VERB'), pos, CRF>"
    )


# -- in pipelines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_pipe_gives_what_call_gives(fitted: Language, batch_size: int):
    texts = [*TEXTS, "", "\ufffd", *TEXTS]
    expected = [parts_of(fitted(text)) for text in texts]
    assert [parts_of(doc) for doc in fitted.pipe(texts, batch_size=batch_size)] == expected


def test_a_document_at_fault_goes_to_the_handler_alone(fitted: Language, monkeypatch):
    nlp = copy.deepcopy(fitted)
    read = TagTask.presets
    failed: list[str] = []

    def presets(self: TagTask, doc: Doc) -> TokenLabels | None:
        if doc[0].text == "They":
            raise RuntimeError("bad")
        return read(self, doc)

    monkeypatch.setattr(TagTask, "presets", presets)
    nlp.set_error_handler(lambda name, proc, docs, error: failed.extend(map(str, docs)))
    assert [str(doc) for doc in nlp.pipe(TEXTS)] == [TEXTS[0], TEXTS[2]]
    assert failed == [TEXTS[1]]


def test_two_taggers_and_names_of_their_own(tiny_encoder: Path):
    nlp = make_bio_tagger(tiny_encoder, confidence="pos_confidence")
    config = {"target": "tag", "model": tagger_config(tiny_encoder, "crf"), "confidence": "sure"}
    nlp.add_pipe("bio_tagger", name="tags", config=config)
    examples = tagged_examples(nlp)
    for eg, other in zip(examples, tagged_examples(nlp, "tag"), strict=True):
        label_doc(eg.reference, "tag", [t.tag_ for t in other.reference])
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 4e-3
    for _ in range(40):
        losses = nlp.update(examples, sgd=optimizer)
    assert set(losses) == {"bio_tagger", "tags"}
    scores = nlp.evaluate(examples)
    assert scores["pos_acc"] == scores["tag_acc"] == 1.0
    assert all(t._.sure and t._.pos_confidence for t in nlp(TEXTS[0]))


def test_frozen_and_annotating(fitted: Language, tiny_encoder: Path):
    """A frozen tagger shows its labels to a component that learns after it."""
    nlp = copy.deepcopy(fitted)
    seen: list[list[str]] = []

    @Language.component("look_at_labels")
    def look(doc: Doc) -> Doc:
        seen.append(parts_of(doc))
        return doc

    nlp.add_pipe("look_at_labels")
    weights = tagger_of(nlp).to_bytes(exclude=["vocab"])
    optimizer = nlp.create_optimizer()
    nlp.update(
        tagged_examples(nlp),
        sgd=optimizer,
        exclude=["bio_tagger"],
        annotates=["bio_tagger", "look_at_labels"],
    )
    assert seen == PARTS
    assert tagger_of(nlp).to_bytes(exclude=["vocab"]) == weights


def test_an_annotating_tagger_goes_on_learning(fitted: Language):
    nlp = copy.deepcopy(fitted)
    examples = tagged_examples(nlp)
    optimizer = nlp.create_optimizer()
    for _ in range(2):
        losses = nlp.update(examples, sgd=optimizer, annotates=["bio_tagger"])
    assert losses["bio_tagger"] < 0.5
    assert [parts_of(doc) for doc in nlp.pipe(TEXTS)] == PARTS


def test_saved_with_another_scheme_or_size(fitted: Language, tmp_path: Path):
    for key, value, message in [
        ("scheme", "BIO", "scheme: expected one of 'none', got 'BIO'"),
        ("labels", ["ADV"], "labels: expected labels for the 4 tags of the trained head, got 1"),
    ]:
        fitted.to_disk(tmp_path / key)
        (tmp_path / key / "bio_tagger" / "checksums.json").unlink()
        cfg = tmp_path / key / "bio_tagger" / "cfg"
        srsly.write_json(cfg, {**srsly.read_json(cfg), key: value})
        with pytest.raises(ValueError, match=message):
            spacy.load(tmp_path / key)


def test_gold_of_an_extension_goes_through_a_docbin(tiny_encoder: Path, tmp_path: Path):
    nlp = make_bio_tagger(tiny_encoder, target="_.kind_of_word")
    docs = [eg.reference for eg in tagged_examples(nlp, "_.kind_of_word")]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "train.spacy")
    corpus = spacy.training.Corpus(tmp_path / "train.spacy")
    tagger_of(nlp).initialize(lambda: corpus(nlp))
    assert tagger_of(nlp).labels == ("adv", "pron", "propn", "verb")


SCRIPT = """
import sys, pickle, warnings
import spacy
warnings.simplefilter("error")
with open(sys.argv[1], "rb") as file:
    nlp = pickle.load(file)
docs = list(nlp.pipe(eval(sys.argv[2]), n_process=int(sys.argv[3])))
print([[(t._.kind_of_word, t._.confidence is not None) for t in doc] for doc in docs])
"""


@pytest.mark.parametrize("n_process", [1, 2])
def test_a_pickled_pipeline_in_another_process(
    tiny_encoder: Path, tmp_path: Path, run_python, n_process: int
):
    nlp = make_bio_tagger(tiny_encoder, target="_.kind_of_word")
    tagger_of(nlp).initialize(lambda: tagged_examples(nlp, "_.kind_of_word"))
    (tmp_path / "nlp.pickle").write_bytes(pickle.dumps(nlp))
    expected = [[(t._.kind_of_word, True) for t in doc] for doc in nlp.pipe(TEXTS)]
    out = run_python(SCRIPT, tmp_path / "nlp.pickle", TEXTS, n_process)
    assert eval(out.splitlines()[-1]) == expected


def test_the_class_is_exported():
    import spacy_bio_crf

    assert spacy_bio_crf.TokenTagger is TokenTagger
