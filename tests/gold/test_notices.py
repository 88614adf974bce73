"""What training leaves aside is counted over all documents, and said once."""

import warnings

import pytest
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.errors import BioError
from tests.support.pipelines import MakeNlp, make_example, make_examples


def said(record: list[warnings.WarningMessage]) -> list[str]:
    return [str(w.message) for w in record if "bio-ner debug" in str(w.message)]


def misfit(nlp) -> Example:
    """ "New York" is an entity, and the predicted Doc has the token "Yorkshire"."""
    reference = Doc(
        nlp.vocab, words=["In", "New", "York", "shire"], spaces=[True, True, False, False]
    )
    reference.set_ents([Span(reference, 1, 3, label="LOC")])
    return Example(Doc(nlp.vocab, words=["In", "New", "Yorkshire"]), reference)


def bare(nlp) -> list[Example]:
    """The encoder's clean-up deletes U+FFFD."""
    return [
        make_example(nlp, ["Bo", "\ufffd", "\n", "met", "Ana"], [(0, 2, "PER")]),
        make_example(nlp, ["\ufffd\ufffd"], [(0, 1, "PER")]),
    ]


def test_initialize_counts_all_training_documents(make_nlp: MakeNlp):
    nlp = make_nlp()
    examples = [*make_examples(nlp), misfit(nlp), misfit(nlp), *bare(nlp)]
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)
    misfits, tokens = said(record)
    entities = sum(len(eg.reference.ents) for eg in examples)
    assert misfits.startswith(f"2 of {entities} entities in 10 training documents do not fit the")
    assert 'their tokens count as unannotated (misaligned = "missing")' in misfits
    assert "The first is 'New York' (LOC), token 1 of 'In New Yorkshire'." in misfits
    solid = sum(not t.is_space for eg in examples for t in eg.predicted)
    assert tokens.startswith(f"2 of {solid} tokens in 10 training documents have no sub-word in")
    assert "and 1 entities consist of such tokens alone" in tokens
    assert "The first is '\ufffd', token 1 of 'Bo" in tokens


def test_without_a_look_at_the_data_the_first_batch_tells(make_nlp: MakeNlp):
    nlp = make_nlp()
    clean = make_examples(nlp)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        component = nlp.get_pipe("bio_ner")
        component.initialize(lambda: [*clean, misfit(nlp)], nlp=nlp, labels=["LOC", "PER"])
        assert said(record) == []
        nlp.update(clean)
        assert said(record) == []
        for _ in range(2):
            nlp.update([*clean, misfit(nlp)])
        assert len(said(record)) == 1
        assert "in 7 documents of a batch do not fit" in said(record)[0]
        for _ in range(2):
            nlp.update(bare(nlp))
    assert [message.split(" tokens ")[0] for message in said(record)[1:]] == ["2 of 5"]


def test_every_training_says_it_again(make_nlp: MakeNlp):
    nlp = make_nlp()
    examples = [*make_examples(nlp), misfit(nlp)]
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        nlp.initialize(lambda: examples)
        nlp.initialize(lambda: examples)
    assert len(said(record)) == 2


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [("expand", "they take in every token"), ("contract", "they keep the tokens that lie inside")],
)
def test_the_policy_is_said(make_nlp: MakeNlp, policy: str, outcome: str):
    nlp = make_nlp(misaligned=policy)
    with pytest.warns(UserWarning, match=outcome):
        nlp.initialize(lambda: [*make_examples(nlp), misfit(nlp)])


def test_strict_stops_before_training(make_nlp: MakeNlp):
    nlp = make_nlp(misaligned="strict")
    with pytest.raises(BioError, match=r"document 'In New Yorkshire': entity 'New York' \(LOC"):
        nlp.initialize(lambda: [*make_examples(nlp), misfit(nlp)])


def test_clean_data_give_no_warning(make_nlp: MakeNlp):
    nlp = make_nlp()
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        optimizer = nlp.initialize(lambda: make_examples(nlp))
        nlp.update(make_examples(nlp), sgd=optimizer)
    assert said(record) == []


@pytest.mark.parametrize(("n", "most"), [(1, False), (30, True)])
def test_most_of_the_gold_lost_is_said_first(make_nlp: MakeNlp, n: int, most: bool):
    nlp = make_nlp()
    examples = [*make_examples(nlp), *[misfit(nlp) for _ in range(n)]]
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        nlp.initialize(lambda: examples)
    (message,) = said(record)
    assert message.startswith("MOST OF THE GOLD IS LOST: set nlp.lang") == most
