"""Evaluation by several processes: the scores of one."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Corpus, Example
from spacy.training.initialize import init_nlp

from spacy_bio_crf.training.processes import Processes
from spacy_bio_crf.training.shared_evaluation import SharedEvaluation
from tests.support.together import run_together
from tests.support.trainings import TAGGER, TOK2VEC, bio_ner, run_training, write_training

pytestmark = pytest.mark.filterwarnings("ignore:The pre-trained transformer")


def plain(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: score for name, score in scores.items() if name != "speed"}


@pytest.mark.parametrize("count", [2, 3])
def test_scores_of_one_process(count: int, tiny_encoder: Path, tmp_path: Path):
    config = write_training(
        tmp_path,
        {"tok2vec": TOK2VEC, "tagger": TAGGER, "bio_ner": bio_ner(tiny_encoder)},
        training={"max_steps": 7},
    )
    run_training(config, tmp_path)
    nlp = spacy.load(tmp_path / "model-last")
    examples = list(Corpus(tmp_path / "dev.spacy")(nlp))
    expected = nlp.evaluate(examples)
    assert len(examples) == 8 and 0 < expected["tag_acc"] < 1

    def work(processes: Processes) -> None:
        found = SharedEvaluation(nlp, processes).evaluate(iter(examples))
        (tmp_path / f"{processes.rank}.json").write_text(json.dumps(found))

    assert run_together(work, count) == [0] * count
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(count)]
    assert all(one == found[0] for one in found) and found[0]["speed"] > 0
    assert plain(found[0]) == json.loads(json.dumps(plain(expected)))


def test_each_process_annotates_its_share_alone(tiny_encoder: Path, tmp_path: Path):
    config = write_training(tmp_path, {"bio_ner": bio_ner(tiny_encoder)})
    nlp = init_nlp(spacy.util.load_config(config))
    examples = list(Corpus(tmp_path / "dev.spacy")(nlp))[:3]
    seen: list[int] = []

    @spacy.Language.component("test_count_documents")
    def count(doc):
        seen.append(1)
        return doc

    nlp.add_pipe("test_count_documents")

    def work(processes: Processes) -> None:
        SharedEvaluation(nlp, processes).evaluate(examples)
        (tmp_path / f"{processes.rank}").write_text(str(len(seen)))

    # The last one has none.
    assert run_together(work, 4) == [0] * 4
    assert [(tmp_path / str(rank)).read_text() for rank in range(4)] == ["1", "1", "1", "0"]


def test_a_document_that_is_dropped_has_no_predictions(tmp_path: Path):
    nlp = spacy.blank("en")
    ruler: Any = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": "Ana"}])

    @spacy.Language.component("test_fail_on_some")
    def fail(doc):
        if len(doc) in (3, 4):
            raise ValueError(doc.text)
        return doc

    nlp.add_pipe("test_fail_on_some")
    nlp.set_error_handler(lambda name, component, docs, error: None)
    examples = []
    for n in range(1, 8):
        reference = nlp.make_doc("Ana" + " left" * (n - 1))
        reference.ents = [Span(reference, 0, 1, "PER")]
        examples.append(Example(nlp.make_doc(reference.text), reference))

    def work(processes: Processes) -> None:
        found = SharedEvaluation(nlp, processes).evaluate(examples)
        (tmp_path / f"{processes.rank}.json").write_text(json.dumps(found))

    assert run_together(work, 2) == [0] * 2
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert all((one["ents_p"], one["ents_r"]) == (1.0, 5 / 7) for one in found)


def test_components_may_make_new_documents(tmp_path: Path):
    nlp = spacy.blank("en")

    @spacy.Language.component("test_new_documents")
    def renew(doc):
        return Doc(doc.vocab, words=["Ana"])

    nlp.add_pipe("test_new_documents")
    ruler: Any = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": "Ana"}])
    reference = Doc(nlp.vocab, words=["Ana"], ents=["B-PER"])
    examples = [Example(Doc(nlp.vocab, words=["Ana"]), reference) for _ in range(3)]

    def work(processes: Processes) -> None:
        found = SharedEvaluation(nlp, processes).evaluate(examples)
        (tmp_path / f"{processes.rank}.json").write_text(json.dumps(found))

    assert run_together(work, 2) == [0] * 2
    assert json.loads((tmp_path / "1.json").read_text())["ents_r"] == 1.0
