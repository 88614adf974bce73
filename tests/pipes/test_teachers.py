"""Teachers: the scores of a lattice for a student's tokens and tags, and the entities of others."""

from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_bio_crf.combine import make_ensemble
from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.heads.loss import expected_counts
from spacy_bio_crf.pipes.teachers import EntityTeacher, LatticeTeacher
from tests.support.combined import TEXTS, make_member
from tests.support.components import component
from tests.support.pipelines import MakeNlp
from tests.support.tiny_models import write_checkpoint

CPU = torch.device("cpu")


def teacher_of(nlp: Language, student: Language) -> LatticeTeacher:
    return LatticeTeacher(nlp, "bio_ner", component(nlp), component(student))


def all_tokens(docs: list[Doc]) -> list[np.ndarray]:
    return [np.arange(len(doc)) for doc in docs]


@pytest.mark.parametrize("options", [{}, {"head": "softmax"}, {"groups": "per_label"}])
def test_posteriors_are_the_marginals_that_the_teacher_shows(make_nlp: MakeNlp, options: dict):
    teacher = make_member(make_nlp, seed=0, labels=("PER", "LOC"), **options)
    student = make_member(make_nlp, seed=1, **options)
    component(teacher).temperature = 1.7
    docs = [student.make_doc(text) for text in TEXTS]
    made = teacher_of(teacher, student)
    lattice = made.lattice(made.read(docs), all_tokens(docs), CPU)
    ner, theirs = component(student), component(teacher)
    order = [theirs.tag_names.index(tag) for tag in ner.tag_names]
    shown = np.concatenate(theirs.marginals(TEXTS))[:, order]
    groups = ner.tag_groups
    columns = [slice(0, 5)] if groups is None else groups.columns
    found = [expected_counts(lattice.part(own)).emissions.numpy() for own in columns]
    np.testing.assert_allclose(np.hstack(found), shown, atol=1e-5)
    assert not any(doc.ents for doc in docs)


def test_an_ensemble_teaches_with_subwords_of_its_own(make_nlp: MakeNlp, tmp_path: Path):
    other = write_checkpoint(tmp_path / "roberta", "roberta")
    members = {
        "a": make_member(make_nlp, seed=0),
        "b": make_member(make_nlp, seed=1, encoder_options={"name": str(other)}),
    }
    ensemble, student = make_ensemble(members), make_member(make_nlp, seed=2)
    docs = [student.make_doc(text) for text in TEXTS]
    made = teacher_of(ensemble, student)
    lattice = made.lattice(made.read(docs), all_tokens(docs), CPU)
    marginals = expected_counts(lattice).emissions.numpy()
    shown = np.concatenate(component(ensemble).marginals(TEXTS))
    np.testing.assert_allclose(marginals, shown, atol=1e-5)


def test_rows_are_those_of_the_student(make_nlp: MakeNlp):
    nlp = make_member(make_nlp, seed=0)
    made = teacher_of(nlp, make_member(make_nlp, seed=1))
    doc = Doc(nlp.vocab, words=["Ana", "\u200b", "met", "Bo"], spaces=[False, True, True, False])
    tokens, emissions = known = made.read([doc])[0]
    assert tokens.tolist() == [0, 2, 3]
    rows = made.lattice([known], [np.array([0, 1, 3])], CPU).emissions
    assert torch.equal(rows, torch.stack([emissions[0], torch.zeros(5), emissions[2]]))


def test_entities_that_come_before_are_known_to_the_teacher(make_nlp: MakeNlp):
    nlp = make_member(make_nlp, seed=0)
    ruler = nlp.add_pipe("entity_ruler", before="bio_ner")
    ruler.add_patterns([{"label": "LOC", "pattern": "Bo"}])  # type: ignore[attr-defined]
    student = make_member(make_nlp, seed=1)
    made = teacher_of(nlp, student)
    doc = student.make_doc("Ana met Bo")
    lattice = made.lattice(made.read([doc]), [np.arange(3)], CPU)
    place = component(student).tagset.ids["B-LOC"]
    assert expected_counts(lattice).emissions[2, place] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"labels": ("LOC", "ORG", "PER")},
            "teacher, labels: expected the same as in the",
        ),
        ({"scheme": "BILUO"}, "teacher, scheme: .* got BILUO, not BIO"),
        ({"groups": "per_label"}, "teacher, groups: .*, not None"),
    ],
)
def test_a_teacher_has_the_tags_of_the_student(make_nlp: MakeNlp, options: dict, message: str):
    with pytest.raises(SettingsError, match=message):
        teacher_of(make_member(make_nlp, seed=0, **options), make_member(make_nlp, seed=1))


def test_a_teacher_that_changes_tokens_before_is_refused(make_nlp: MakeNlp):
    teacher, student = (make_member(make_nlp, seed=i) for i in (0, 1))
    ruler = teacher.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "PER", "pattern": "Ana Ruiz"}])  # type: ignore[attr-defined]
    teacher.add_pipe("merge_entities", after="entity_ruler")
    made = teacher_of(teacher, student)
    message = r"teacher: expected the tokens of 'Ana Ruiz met .*got others, .*before 'bio_ner'"
    with pytest.raises(SettingsError, match=message):
        made.read([student.make_doc(text) for text in TEXTS])


def test_entities_may_be_merged_by_the_teacher(make_nlp: MakeNlp):
    teacher, student = spacy.blank("en"), make_member(make_nlp, seed=0)
    ruler = teacher.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "LOC", "pattern": "New York City"}])  # type: ignore[attr-defined]
    docs = [student.make_doc(text) for text in TEXTS]
    made = EntityTeacher(teacher, component(student))
    plain = made.lattice(made.read(docs), all_tokens(docs), CPU)
    teacher.add_pipe("merge_entities")
    merged = made.lattice(made.read(docs), all_tokens(docs), CPU)
    assert torch.equal(merged.emissions, plain.emissions)


@pytest.mark.parametrize("options", [{}, {"scheme": "BILUO"}, {"groups": "per_label"}])
def test_entities_of_any_pipeline_are_certain(make_nlp: MakeNlp, options: dict):
    student = make_member(make_nlp, seed=0, **options)
    nlp = spacy.blank("en")
    patterns = [
        {"label": "LOC", "pattern": "New York"},
        {"label": "PER", "pattern": "Bo"},
        {"label": "DAY", "pattern": "today"},
    ]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)  # type: ignore[attr-defined]
    made = EntityTeacher(nlp, component(student))
    docs = [student.make_doc(text) for text in ("Bo saw New York today", "Nobody")]
    lattice = made.lattice(made.read(docs), all_tokens(docs), CPU)
    assert not any(doc.ents for doc in docs)
    ner = component(student)
    groups = ner.tag_groups
    chains = (
        [(slice(0, len(ner.tag_names)), ner.tagset)]
        if groups is None
        else list(zip(groups.columns, groups.tagsets, strict=True))
    )
    found: set[tuple[int, int, str]] = set()
    for columns, tagset in chains:
        marginals = expected_counts(lattice.part(columns)).emissions.numpy()
        assert set(np.unique(marginals)) == {0.0, 1.0}
        found |= set(tagset.decode(marginals[:5].argmax(axis=1)))
        assert not tagset.decode(marginals[5:].argmax(axis=1))
    assert found == {(0, 1, "PER"), (2, 4, "LOC")}
