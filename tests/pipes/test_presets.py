"""Entities that earlier components have set: kept as spaCy's own `ner` keeps them, or replaced."""

import itertools

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span, Token

from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, spans_of, train

WORDS = SENTENCES[0][0]  # Ana Ruiz met Bo in New York City .
GOLD = SENTENCES[0][1]  # (0, 2) PER, (3, 4) PER, (5, 8) LOC
OVERWRITTEN, KEPT = True, False


@pytest.fixture(scope="module")
def ner() -> Language:
    """spaCy's `ner`, which has learnt the same sentences."""
    nlp = spacy.blank("en")
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 32,
        "depth": 2,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
    }
    nlp.add_pipe("ner", config={"model": {"tok2vec": tok2vec}})
    return train(nlp, make_examples(nlp), steps=30, lr=1e-2)


@pytest.fixture(scope="module")
def overwriting(make_nlp: MakeNlp) -> Language:
    nlp = make_nlp(overwrite=True, encoder_options={"dropout": 0.0})
    return train(nlp, make_examples(nlp))


def preset_doc(nlp: Language, ents=(), *, blocked=(), missing=(), default="outside") -> Doc:
    """The first training sentence with something set by someone else."""
    doc = Doc(nlp.vocab, words=WORDS)
    doc.set_ents(
        [Span(doc, *ent[:2], label=ent[2], kb_id="Q1", span_id="id1") for ent in ents],
        blocked=[doc[i : i + 1] for i in blocked],
        missing=[doc[i : i + 1] for i in missing],
        default=default,
    )
    return doc


def token_state(token: Token) -> tuple:
    return token.ent_iob, token.ent_type_, token.ent_kb_id_, token.ent_id_


def run(nlp: Language, doc: Doc) -> Doc:
    (_, component) = nlp.pipeline[-1]
    return component(doc)


def test_both_have_learnt_the_sentences(trained: Language, ner: Language):
    for nlp in (trained, ner):
        assert spans_of(run(nlp, Doc(nlp.vocab, words=WORDS))) == GOLD


PRESETS = [
    {"ents": [(0, 1, "ORG")]},  # half of an entity, with another label
    {"ents": [(0, 2, "PER")]},  # what the model would find
    {"ents": [(1, 4, "LOC")]},  # across two entities
    {"ents": [(2, 3, "PER")]},  # between two entities of the same label
    {"ents": [(4, 5, "LOC")]},  # right before an entity of the same label
    {"ents": [(5, 6, "LOC")]},  # the beginning of an entity
    {"ents": [(6, 7, "LOC")]},  # its middle
    {"ents": [(7, 9, "LOC")]},  # its end and more
    {"ents": [(0, 9, "LAW")]},  # everything
    {"ents": [(0, 1, "PER"), (1, 2, "PER"), (8, 9, "LOC")]},
    {"blocked": [0]},
    {"blocked": [1]},
    {"blocked": [6]},
    {"blocked": [0, 1, 3, 5, 6, 7]},
    {"blocked": range(9)},
    {"ents": [(5, 8, "FAC")], "blocked": [3, 4]},
    {"missing": [0, 3, 5]},
    {"missing": range(9)},
    {"ents": [(3, 4, "ORG")], "missing": [5, 6, 7], "default": "missing"},
    {"ents": [(3, 4, "ORG")], "blocked": [0, 8], "default": "missing"},
]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_kept_as_spacys_ner_keeps_them(trained: Language, ner: Language, preset: dict):
    ours, theirs = (run(nlp, preset_doc(nlp, **preset)) for nlp in (trained, ner))
    before = preset_doc(trained, **preset)
    held = [i for i, token in enumerate(before) if token.ent_iob in (1, 3)]
    for i in held:
        assert token_state(ours[i]) == token_state(theirs[i]) == token_state(before[i])
    # What nobody has set is an entity of the model's own or outside; nothing stays missing.
    for doc in (ours, theirs):
        assert all(token.ent_iob in (1, 2, 3) for token in doc)
    blocked = set(preset.get("blocked", ()))
    for i, token in enumerate(ours):
        assert (token.ent_iob == 3 and not token.ent_type_) == (i in blocked)
    for ent in preset.get("ents", ()):
        assert ent in spans_of(ours) and ent in spans_of(theirs)
    # Entities of the model stand beside those, whole as they are learnt where nothing is in the
    # way.
    for start, end, label in GOLD:
        around = set(range(start - 1, end + 1)) & set(held)
        if not around:
            assert (start, end, label) in spans_of(ours)


def test_blocked_tokens_stay_blocked(trained: Language):
    doc = run(trained, preset_doc(trained, blocked=[0, 4]))
    assert [doc[i].ent_iob for i in (0, 4)] == [3, 3]
    assert [doc[i].ent_type for i in (0, 4)] == [0, 0]
    assert not any(start <= i < end for start, end, _ in spans_of(doc) for i in (0, 4))
    # Another round changes nothing.
    states = [token_state(token) for token in doc]
    assert [token_state(token) for token in run(trained, doc)] == states


def test_links_and_ids_are_kept(trained: Language):
    doc = run(trained, preset_doc(trained, [(5, 8, "LOC")]))
    (york,) = [ent for ent in doc.ents if ent.start == 5]
    assert (york.label_, york.kb_id_, york.ent_id_) == ("LOC", "Q1", "id1")
    (ana, *_) = doc.ents
    assert (ana.label_, ana.kb_id_, ana.ent_id_) == ("PER", "", "")


@pytest.mark.parametrize(("start", "end"), [(2, 3), (4, 5), (8, 9)])
@pytest.mark.parametrize("label", ["PER", "LOC", "ORG"])
def test_a_preset_never_grows_or_merges(trained: Language, start: int, end: int, label: str):
    doc = run(trained, preset_doc(trained, [(start, end, label)]))
    assert (start, end, label) in spans_of(doc)
    for before, after in itertools.pairwise(spans_of(doc)):
        assert before[1] <= after[0]


def test_a_preset_splits_what_the_model_would_take_as_one(trained: Language):
    doc = run(trained, preset_doc(trained, [(6, 7, "LOC")]))
    found = spans_of(doc)
    assert (6, 7, "LOC") in found
    assert doc[6].ent_iob_ == "B"
    assert all(not (start < 6 < end) for start, end, _ in found)
    if any(start == 7 for start, *_ in found):
        assert doc[7].ent_iob_ == "B"


def test_neighbours_are_decoded_knowing_the_preset(make_nlp: MakeNlp):
    """Every token alone would be I-PER, and a PER has to begin anew after what is set."""
    nlp = make_nlp("softmax")
    nlp.initialize(lambda: make_examples(nlp))
    dense = nlp.get_pipe("bio_ner").model.get_ref("emitter").shims[0].network.dense
    with torch.no_grad():
        dense.weight.zero_()
        # O, B-LOC, I-LOC, B-PER, I-PER
        dense.bias.copy_(torch.tensor([0.0, -5.0, -5.0, -0.5, 1.0]))
    assert spans_of(nlp(Doc(nlp.vocab, words=WORDS))) == [(0, 9, "PER")]
    doc = run(nlp, preset_doc(nlp, [(0, 1, "PER")], blocked=[4]))
    assert spans_of(doc) == [(0, 1, "PER"), (1, 4, "PER"), (5, 9, "PER")]
    doc = run(nlp, preset_doc(nlp, [(1, 2, "ORG")], blocked=[3]))
    # Tokens 0 and 2 alone: -0.5 for a PER of one token loses against 0 for outside.
    assert spans_of(doc) == [(1, 2, "ORG"), (4, 9, "PER")]


@pytest.mark.parametrize("scheme", ["BIO", "BILUO"])
@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_untrained_models_keep_presets_too(make_nlp, head: str, constrained: bool, scheme: str):
    """Scores at random find many entities: none may touch a preset, whatever the settings."""
    nlp = make_nlp(head, scheme=scheme, head_options={"constrained": constrained})
    nlp.initialize(lambda: make_examples(nlp))
    for preset in PRESETS:
        before, doc = preset_doc(nlp, **preset), run(nlp, preset_doc(nlp, **preset))
        for token, now in zip(before, doc, strict=True):
            if token.ent_iob in (1, 3):
                assert token_state(now) == token_state(token)
        assert set(preset.get("ents", ())) <= set(spans_of(doc))


@pytest.mark.parametrize("words", [["New", "\n", "York"], ["New", "\ufffd", "York"]])
def test_blocked_tokens_without_a_subword_part_their_neighbours(trained: Language, words):
    """No row of the sequence stands for the token in the middle, yet no entity may cross it."""
    words = ["They", "flew", *words, "Lisbon", "twice"]
    doc = Doc(trained.vocab, words=words)
    assert (2, 5, "LOC") in spans_of(run(trained, doc))
    doc = Doc(trained.vocab, words=words)
    doc.set_ents([], blocked=[doc[3:4]])
    run(trained, doc)
    assert doc[3].ent_iob == 3 and doc[3].ent_type == 0
    assert (2, 3, "LOC") in spans_of(doc)
    assert all(start > 3 or end <= 3 for start, end, _ in spans_of(doc))


def test_a_preset_without_a_subword_stays(trained: Language):
    words = ["Ana", "\ufffd", "met", "Bo"]
    doc = Doc(trained.vocab, words=words)
    doc.set_ents([Span(doc, 1, 2, label="SIGN")])
    assert (1, 2, "SIGN") in spans_of(run(trained, doc))


def test_presets_in_some_documents_of_a_batch_only(trained: Language):
    docs = [
        Doc(trained.vocab, words=WORDS),
        Doc(trained.vocab, words=[]),
        preset_doc(trained, [(0, 1, "ORG")], blocked=[3]),
        Doc(trained.vocab, words=["\n"]),
        Doc(trained.vocab, words=WORDS),
    ]
    one, _, preset, _, two = trained.get_pipe("bio_ner").pipe(docs)
    assert spans_of(one) == spans_of(two) == GOLD
    alone = run(trained, preset_doc(trained, [(0, 1, "ORG")], blocked=[3]))
    assert [token_state(t) for t in preset] == [token_state(t) for t in alone]


# -- overwrite ------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_overwrite_replaces_everything(overwriting: Language, preset: dict):
    doc = run(overwriting, preset_doc(overwriting, **preset))
    assert spans_of(doc) == GOLD
    assert [token.ent_iob_ for token in doc] == list("BIOBOBIIO")
    assert {(token.ent_kb_id_, token.ent_id_) for token in doc} == {("", "")}


# -- several components ---------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [OVERWRITTEN, KEPT])
def test_two_in_one_pipeline(make_nlp: MakeNlp, trained: Language, overwrite: bool):
    """The second has learnt to call everything of "Ana Ruiz" and "Lisbon" something else."""
    others = [
        (["Ana", "Ruiz", "met", "Bo", "in", "New", "York", "City", "."], [(0, 2, "STAR")]),
        (["Bo", "moved", "from", "Lisbon", "to", "Berlin", "."], [(3, 4, "PORT"), (6, 7, "DOT")]),
    ]
    second = make_nlp(name="second", overwrite=overwrite, encoder_options={"dropout": 0.0})
    train(second, [make_example(second, *other) for other in others])
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", name="bio_ner", source=trained)
    nlp.add_pipe("second", source=second)
    found = [spans_of(doc) for doc in nlp.pipe(Doc(nlp.vocab, words=w) for w, _ in others)]
    if overwrite:
        assert found == [ents for _, ents in others]
    else:
        assert found == [GOLD, [*SENTENCES[1][1], (6, 7, "DOT")]]


def test_after_an_entity_ruler(trained: Language):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "EVENT", "pattern": "met Bo", "id": "meeting"}])
    nlp.add_pipe("bio_ner", source=trained)
    doc = nlp(Doc(nlp.vocab, words=WORDS))
    assert spans_of(doc) == [(0, 2, "PER"), (2, 4, "EVENT"), (5, 8, "LOC")]
    assert doc.ents[1].ent_id_ == "meeting"


def test_before_an_entity_ruler(trained: Language):
    nlp = spacy.blank("en")
    nlp.add_pipe("bio_ner", source=trained)
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "CITY", "pattern": "York City"}, {"label": "DOT", "pattern": "."}]
    )
    assert spans_of(nlp(Doc(nlp.vocab, words=WORDS))) == [*GOLD, (8, 9, "DOT")]


def test_training_looks_at_the_reference_and_not_at_presets(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    nlp.initialize(lambda: make_examples(nlp))
    component = nlp.get_pipe("bio_ner")
    plain, preset = make_examples(nlp), make_examples(nlp)
    for example in preset:
        example.predicted.set_ents([Span(example.predicted, 0, 1, label="ORG")])
    assert component.update(preset) == component.update(plain)
