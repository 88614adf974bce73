"""Pipelines made of token classifiers: scores, entities, training, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import DocBin

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.export.importing import import_checkpoint
from spacy_bio_crf.tags.schemes import spans_of_tags
from tests.support.classifiers import (
    NAMES,
    Found,
    found_by_transformers,
    load_reference,
    logits_of,
    make_texts,
    write_classifier_checkpoint,
)
from tests.support.components import component
from tests.support.pipelines import make_examples, spans_of
from tests.support.taggers import tagger_of
from tests.support.tiny_models import FAMILIES

N_TEXTS = 200
TEXT = "Maria mora em Paulo"


def found(nlp: Language, texts: list[str]) -> list[list[Found]]:
    return [[(e.start_char, e.end_char, e.label_) for e in doc.ents] for doc in nlp.pipe(texts)]


@pytest.fixture(scope="module", params=list(FAMILIES))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier_checkpoint(tmp_path_factory.mktemp(request.param), request.param)


def test_emissions_are_the_logits(checkpoint: Path, tmp_path: Path):
    nlp, _ = import_checkpoint(str(checkpoint), lang="xx")
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    reference = load_reference(checkpoint)
    pipe = component(nlp)
    order = [pipe.tagset.ids[name] for name in NAMES]
    for text in make_texts(40, checkpoint):
        (lattice, again) = (component(n).lattice([n.make_doc(text)]) for n in (nlp, loaded))
        expected = logits_of(reference, text)
        torch.testing.assert_close(lattice.emissions[:, order], expected, atol=1e-5, rtol=0)
        assert torch.equal(lattice.emissions, again.emissions)


def test_entities_are_those_of_transformers(checkpoint: Path):
    nlp, _ = import_checkpoint(str(checkpoint), lang="xx")
    texts = make_texts(N_TEXTS, checkpoint)
    expected = found_by_transformers(checkpoint, texts)
    assert {label for ents in expected for _, _, label in ents} == {"PER", "LOC"}
    assert found(nlp, texts) == expected


@pytest.mark.parametrize(
    ("names", "scheme", "added"),
    [
        (("I-PER", "O", "I-LOC", "B-LOC"), "IOB1", {"B-PER"}),
        (("PER", "LOC", "O", "MISC"), "IO", {"B-PER", "B-LOC", "B-MISC"}),
        (("B-PER", "O", "B-LOC", "I-LOC"), "BIO", {"I-PER"}),
    ],
)
@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_labels_that_bio_can_not_hold(
    names: tuple[str, ...], scheme: str, added: set[str], head: str, tmp_path: Path
):
    """Tags that were never listed are never found, be it by argmax or by an untrained CRF."""
    write_classifier_checkpoint(tmp_path, names=names)
    nlp, rows = import_checkpoint(str(tmp_path), lang="xx", head=head)
    assert rows.scheme == scheme and {rows.tagset.tags[i] for i in rows.added} == added
    texts = make_texts(N_TEXTS, tmp_path)
    expected = found_by_transformers(tmp_path, texts)
    assert sum(map(len, expected)) > 100
    if (head, scheme) != ("crf", "BIO"):
        assert found(nlp, texts) == expected
    lattice = component(nlp).lattice([nlp.make_doc(text) for text in texts])
    best = lattice.emissions.argmax(dim=1)
    assert not set(best.tolist()) & set(rows.added)


@pytest.mark.parametrize(
    ("scheme", "closing"), [("BIOES", "BIES"), ("BILUO", "BILU"), ("BMEWO", "BMEW")]
)
def test_schemes_with_closing_tags(scheme: str, closing: str, tmp_path: Path):
    names = ("O", *(f"{prefix}-{label}" for prefix in closing for label in ("PER", "LOC")))
    write_classifier_checkpoint(tmp_path, names=names)
    nlp, rows = import_checkpoint(str(tmp_path), lang="xx")
    assert (rows.scheme, rows.tagset.scheme, rows.added) == (scheme, "BILUO", ())
    reference = load_reference(tmp_path)
    for doc in nlp.pipe(make_texts(N_TEXTS, tmp_path)):
        tags = [names[i] for i in logits_of(reference, doc.text).argmax(dim=1).tolist()]
        assert spans_of(doc) == spans_of_tags(tags, scheme=scheme)[0]


def test_legal_sequences_by_choice(tmp_path: Path):
    write_classifier_checkpoint(tmp_path)
    free, _ = import_checkpoint(str(tmp_path), lang="xx")
    legal, _ = import_checkpoint(str(tmp_path), lang="xx", constrained=True)
    crf, _ = import_checkpoint(str(tmp_path), lang="xx", head="crf")
    texts = make_texts(N_TEXTS, tmp_path)
    assert found(legal, texts) == found(crf, texts) != found(free, texts)
    assert component(crf).head.crf and component(crf).head.constrained


def test_rows_left_out_and_named_by_the_caller(tmp_path: Path):
    write_classifier_checkpoint(tmp_path, names=[f"LABEL_{i}" for i in range(4)])
    with pytest.raises(BioError, match="labels: expected names .*, such as LABEL_0; .* --labels"):
        import_checkpoint(str(tmp_path), lang="xx")
    nlp, rows = import_checkpoint(str(tmp_path), lang="xx", labels=["-", "B-X", "I-X", "O"])
    assert rows.unused == (0,) and component(nlp).tagset.tags == ("O", "B-X", "I-X")
    reference = load_reference(tmp_path)
    lattice = component(nlp).lattice([nlp.make_doc(TEXT)])
    expected = logits_of(reference, TEXT)[:, [3, 1, 2]]
    torch.testing.assert_close(lattice.emissions, expected, atol=1e-5, rtol=0)
    with pytest.raises(BioError, match="labels: expected 4 labels, .*, got 2"):
        import_checkpoint(str(tmp_path), lang="xx", labels=["O", "X"])


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("names", [NAMES, ("PER", "LOC", "O")])
def test_a_crf_learns_on(family: str, names: tuple[str, ...], tmp_path: Path):
    write_classifier_checkpoint(tmp_path, family, names)
    nlp, _ = import_checkpoint(str(tmp_path), lang="xx", head="crf")
    before = component(nlp).transition_scores()[1].copy()
    assert not before.any()
    examples = make_examples(nlp)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 2e-3
    losses = [nlp.update(examples, sgd=optimizer)["bio_ner"] for _ in range(40)]
    assert losses[0] < 15.0 and losses[-1] < 0.05 * losses[0]
    docs = [nlp(example.reference.text) for example in examples]
    assert [spans_of(doc) for doc in docs] == [spans_of(eg.reference) for eg in examples]
    assert component(nlp).transition_scores()[1].any()


def test_spacy_train_goes_on_with_it(tmp_path: Path):
    """The config of docs/hugging-face.md."""
    write_classifier_checkpoint(tmp_path / "checkpoint")
    nlp, _ = import_checkpoint(str(tmp_path / "checkpoint"), lang="xx", head="crf")
    nlp.to_disk(tmp_path / "imported")
    docs = [example.reference for example in make_examples(nlp)]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    page = (Path(__file__).parents[2] / "docs" / "hugging-face.md").read_text(encoding="utf-8")
    (tmp_path / "train.cfg").write_text(page.partition("```ini\n")[2].partition("```")[0])
    overrides: dict[str, Any] = {
        "paths.pipeline": str(tmp_path / "imported"),
        "paths.train": str(tmp_path / "train.spacy"),
        "paths.dev": str(tmp_path / "train.spacy"),
        "training.max_steps": 2,
    }
    spacy_train(tmp_path / "train.cfg", tmp_path / "out", overrides=overrides)
    trained = spacy.load(tmp_path / "out" / "model-last")
    assert component(trained).head.crf and component(trained).tagset == component(nlp).tagset
    ours, theirs = (component(n).lattice([n.make_doc(TEXT)]).emissions for n in (nlp, trained))
    torch.testing.assert_close(ours, theirs, atol=1.0, rtol=0)
    assert not torch.equal(ours, theirs)


def test_arguments_out_of_range(tmp_path: Path):
    write_classifier_checkpoint(tmp_path, names=("PER", "O"))
    with pytest.raises(BioError, match="head: expected one of 'softmax', 'crf', got 'lstm'"):
        import_checkpoint(str(tmp_path), lang="xx", head="lstm")
    with pytest.raises(BioError, match="lang: expected the code of a language .*, got 'qqq'"):
        import_checkpoint(str(tmp_path), lang="qqq")
    with pytest.raises(BioError, match="constrained: expected false for labels in IO"):
        import_checkpoint(str(tmp_path), lang="xx", constrained=True)
    with pytest.raises(ValueError, match="scheme: expected one of .*, got 'BILOUS'"):
        import_checkpoint(str(tmp_path), lang="xx", scheme="BILOUS")


def test_a_modernbert_of_another_activation(tmp_path: Path):
    """Its layers are there, and compute something else."""
    write_classifier_checkpoint(tmp_path, "modernbert", classifier_activation="relu")
    with pytest.raises(BioError, match="one linear layer .*, got other logits than those of its"):
        import_checkpoint(str(tmp_path), lang="xx")


@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_labels_of_tokens(head: str, tmp_path: Path):
    """The label of a word is the best one of its first sub-word."""
    names = ("NOUN", "-", "VERB", "DET")
    write_classifier_checkpoint(tmp_path / "checkpoint", names=("NOUN", "X1", "VERB", "DET"))
    nlp, rows = import_checkpoint(
        str(tmp_path / "checkpoint"), lang="xx", head=head, labels=names, target="pos"
    )
    assert rows.unused == (1,) and rows.scheme == "none"
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert tagger_of(loaded).labels == ("NOUN", "VERB", "DET")
    assert tagger_of(loaded).head.crf == (head == "crf")
    reference, seen = load_reference(tmp_path / "checkpoint"), set()
    for text in make_texts(40, tmp_path / "checkpoint"):
        logits = logits_of(reference, text)[:, [0, 2, 3]]
        expected = [tagger_of(loaded).labels[i] for i in logits.argmax(dim=1).tolist()]
        assert [t.pos_ for t in loaded(text)] == [t.pos_ for t in nlp(text)] == expected
        seen |= {*expected}
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "lemma"}, "target: expected one of 'tag', 'pos', 'morph'"),
        ({"target": "pos"}, "label: expected one of ADJ, .*, got 'B-PER'; rename it"),
        ({"target": "tag", "scheme": "BIO"}, "scheme: expected none beside `target`.*'BIO'"),
        ({"target": "tag", "constrained": True}, "constrained: expected none beside `target`"),
    ],
)
def test_targets_that_are_refused(options: dict[str, Any], message: str, tmp_path: Path):
    write_classifier_checkpoint(tmp_path)
    with pytest.raises(BioError, match=message):
        import_checkpoint(str(tmp_path), lang="xx", **options)
