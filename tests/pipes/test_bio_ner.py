"""The factory, its options, and entities on documents."""

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.heads.decode import Entities
from spacy_bio_crf.pipes.bio_ner import EntityTask, find_component
from tests.support.components import component, initialized
from tests.support.pipelines import MakeNlp, spans_of

# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "IOB"}, "scheme: expected one of 'BIO', 'BILUO', got 'IOB'"),
        ({"repair": "guess"}, "repair: expected one of 'begin', 'discard', got 'guess'"),
        ({"misaligned": "lax"}, "misaligned: expected one of 'strict', .*, got 'lax'"),
        ({"threshold": 1.5}, "threshold: expected a probability, 0 to 1, got 1.5"),
        ({"buffer_tokens": -1}, "buffer_tokens: expected a whole number, 0 or more, got -1"),
        ({"subword_labels": "last"}, "subword_labels: expected one of 'first', 'all', got"),
    ],
)
def test_options_out_of_range(make_nlp: MakeNlp, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        make_nlp(**options)


def test_options_are_attributes_that_count(make_nlp: MakeNlp):
    options = {
        "repair": "discard",
        "overwrite": True,
        "misaligned": "expand",
        "incorrect_spans_key": "wrong",
        "spans_key": None,
        "threshold": 0.25,
        "buffer_tokens": 7,
    }
    ner = component(make_nlp(**options))
    assert {name: getattr(ner, name) for name in options} == options
    assert isinstance(ner.task, EntityTask)
    ner.threshold, ner.spans_key = 0.5, "found"
    assert (ner.task.threshold, ner.task.spans_key) == (0.5, "found")
    assert component(make_nlp()).threshold == 0.0


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("threshold", [90, -0.1, float("nan"), "0.9", None, True], "a probability, 0 to 1"),
        ("temperature", [0, -1.0, float("nan"), float("inf"), "2", None, True], "a number above 0"),
        ("buffer_tokens", [-1, 2.5, "many", True], "a whole number, 0 or more"),
        ("repair", ["guess", None, ["begin"]], "one of 'begin', 'discard'"),
        ("misaligned", ["lax", None], "one of 'strict', "),
        ("overwrite", ["no", 2, None], "true or false"),
        ("spans_key", ["", 7], "a name of a group or none"),
        ("incorrect_spans_key", ["", 7], "a name of a group or none"),
        ("precision", ["fp8", None, 16], "one of 'fp32', "),
    ],
)
def test_attributes_out_of_range_are_refused_and_nothing_changes(
    make_nlp: MakeNlp, name: str, values: list, expected: str
):
    ner = component(make_nlp())
    before = getattr(ner, name)
    for value in values:
        with pytest.raises(ValueError, match=f"^{name}: expected {expected}.*, got "):
            setattr(ner, name, value)
        assert getattr(ner, name) == before


def test_attributes_take_numbers_of_numpy(make_nlp: MakeNlp):
    ner = component(make_nlp())
    ner.threshold, ner.temperature = np.float32(0.5), np.float64(2.0)
    ner.buffer_tokens = np.int64(7)
    assert (ner.threshold, ner.temperature, ner.buffer_tokens) == (0.5, 2.0, 7)
    assert type(ner.cfg["temperature"]) is float


def test_the_scheme_is_read_only(make_nlp: MakeNlp):
    ner = component(make_nlp())
    assert ner.scheme == "BIO"
    with pytest.raises(AttributeError):
        ner.scheme = "BILUO"


@pytest.mark.parametrize("k", [0, -1, 1.5, "2", None, True])
def test_k_is_a_number_of_analyses(trained: Language, k):
    with pytest.raises(ValueError, match="^k: expected a whole number, 1 or more, got"):
        component(trained).kbest([trained.make_doc("Ana")], k)


@pytest.mark.parametrize("repair", ["begin", "discard"])
def test_repair_reads_stray_tags_where_decoding_is_free(make_nlp: MakeNlp, repair: str):
    """Weights that say I-LOC everywhere: one entity that begins with a stray tag, or none."""
    nlp = make_nlp("softmax", repair=repair, head_options={"constrained": False})
    ner = initialized(nlp)
    dense = ner.model.get_ref("emitter").shims[0].network.dense
    with torch.no_grad():
        dense.weight.zero_()
        dense.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]))
    expected = [(0, 3, "LOC")] if repair == "begin" else []
    assert spans_of(nlp("Ana met Bo")) == expected


def test_constrained_decoding_begins_what_has_to_begin(make_nlp: MakeNlp):
    nlp = make_nlp("softmax")
    ner = initialized(nlp)
    dense = ner.model.get_ref("emitter").shims[0].network.dense
    with torch.no_grad():
        dense.weight.zero_()
        dense.bias.copy_(torch.tensor([0.0, 0.5, 1.0, 0.0, 0.0]))
    assert ner.lattice([nlp.make_doc("Ana met Bo")]).emissions.argmax(dim=1).tolist() == [2, 2, 2]
    assert ner.marginals([nlp.make_doc("Ana met Bo")])[0][0, 2] == 0.0
    assert spans_of(nlp("Ana met Bo")) == [(0, 3, "LOC")]


def test_the_policy_for_misaligned_entities_arrives(make_nlp: MakeNlp):
    nlp = spacy.blank("en")
    reference = Doc(nlp.vocab, words=["ab", "c"], spaces=[False, False])
    reference.set_ents([Span(reference, 0, 1, "X")])
    for policy, learns in ("missing", False), ("expand", True), ("contract", False):
        ner = component(make_nlp(misaligned=policy))
        ner.initialize(lambda: [Example(Doc(nlp.vocab, words=["abc"]), reference)], labels=["X"])
        loss = ner.update([Example(Doc(nlp.vocab, words=["abc"]), reference)])["bio_ner"]
        assert (loss > 0.1) == learns


# -- entities and the tokens they may cover --------------------------------------------------------


def test_an_entity_never_begins_or_ends_on_white_space(trained: Language):
    words = ["\n", "Ana", "  ", "Ruiz", "\n\n", "met", " ", "Bo", "\t"]
    doc = component(trained)(Doc(trained.vocab, words=words, spaces=[False] * len(words)))
    assert [ent.text for ent in doc.ents] == ["Ana  Ruiz", "Bo"]
    assert spans_of(doc) == [(1, 4, "PER"), (7, 8, "PER")]
    assert [token.ent_iob_ for token in doc] == list("OBIIOOOBO")


def test_a_token_without_a_subword_stays_inside(trained: Language):
    words = ["\ufffd", "They", "flew", "New", "\u200b", "York", "\ufffd", "Lisbon", "twice"]
    doc = component(trained)(Doc(trained.vocab, words=words))
    (subwords,) = component(trained).model.get_ref("encoder").shims[0].text.cut([doc])
    assert [i for i, n in enumerate(subwords.lengths) if n == 0] == [0, 4, 6]
    assert spans_of(doc) == [(3, 6, "LOC"), (7, 8, "LOC")]
    assert [token.ent_iob_ for token in doc] == list("OOOBIIOBO")


@pytest.mark.parametrize("text", ["", " ", "\n \n", "\ufffd", "\ufffd \u200b\n"])
def test_documents_without_a_subword(trained: Language, text: str):
    doc = trained(text)
    assert doc.ents == ()
    assert doc.text == text
    assert all(token.ent_iob_ == "O" for token in doc)


def test_no_documents(trained: Language):
    assert component(trained).predict([]) == []
    assert list(trained.pipe([])) == []


@pytest.mark.parametrize("spans_key", [None, "found"])
def test_nothing_else_is_left_on_the_document(trained: Language, monkeypatch, spans_key):
    monkeypatch.setattr(component(trained), "spans_key", spans_key)
    doc = trained("Ana Ruiz met Bo in New York City .")
    assert doc.ents
    assert doc.user_data == {}
    assert doc.tensor.size == 0
    assert list(doc.spans) == ([] if spans_key is None else [spans_key])
    again = Doc(trained.vocab).from_bytes(doc.to_bytes())
    assert spans_of(again) == spans_of(doc)


def test_predict_leaves_the_document_alone(trained: Language):
    doc = trained.make_doc("Ana Ruiz met Bo")
    before = doc.to_bytes()
    component(trained).predict([doc])
    assert doc.to_bytes() == before


def test_all_tokens_are_annotated_after_it(trained: Language):
    doc = trained("Nobody met Ana")
    assert [token.ent_iob_ for token in doc] == ["O", "O", "B"]


def test_links_of_replaced_entities_go(trained: Language):
    task = EntityTask("begin", True, "missing", None, None, 0.0)
    doc = Doc(trained.vocab, words=["Ana", "met", "Bo"])
    doc.set_ents([Span(doc, 0, 1, label="PER", kb_id="Q1", span_id="id1")])
    task.write(doc, Entities(None, [(0, 1, "PER")]))
    assert spans_of(doc) == [(0, 1, "PER")] and doc.ents[0].kb_id_ == doc.ents[0].ent_id_ == ""


# -- finding it -----------------------------------------------------------------------------------


def test_find_component(make_nlp: MakeNlp):
    nlp = make_nlp()
    assert find_component(nlp) == ("bio_ner", nlp.get_pipe("bio_ner"))
    make_nlp(name="other", nlp=nlp)
    nlp.add_pipe("sentencizer")
    assert find_component(nlp, "other") == ("other", nlp.get_pipe("other"))
    message = "component: expected one bio_ner, got bio_ner, other; name one of them"
    with pytest.raises(SettingsError, match=message):
        find_component(nlp)
    message = "component: expected a bio_ner of bio_ner, other, got 'sentencizer'"
    with pytest.raises(SettingsError, match=message):
        find_component(nlp, "sentencizer")
    with pytest.raises(SettingsError, match="component: expected one bio_ner, got none$"):
        find_component(spacy.blank("en"))
