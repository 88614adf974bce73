"""Selection from files: the texts are those of the definition, whatever happens in between."""

import json
import math
from functools import partial

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_bio_crf.bulk import AnnotateError
from spacy_bio_crf.bulk.tasks import TASK_FORMS
from spacy_bio_crf.corpora import read
from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.selection import Strategy, document_vectors, k_center, select
from tests.support.pipelines import SENTENCES

NAMES = ["Ana", "Bo", "Lisbon", "Berlin", "Washington", "New York", "nobody", "Silva"]
TEXTS = [" ".join(words) for words, _ in SENTENCES]
TEXTS += [f"{a} met {b} in {c} ." for a in NAMES[:4] for b in NAMES[2:6] for c in NAMES[4:]]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    rows = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def doubts(trained, texts):
    """The rows of all texts, in order."""
    folder = texts.with_name("all.jsonl")
    select(trained, texts, texts.with_name("x.jsonl"), n=1, scores=folder)
    (part,) = folder.glob("part-*")
    return rows_of(part)


def test_the_best_are_written_in_order(trained, texts, doubts):
    output = texts.with_name("out.jsonl")
    for name, key in {
        "entropy": lambda row: row["selection"]["entropy"],
        "least-confidence": lambda row: -row["selection"]["best"],
        "margin": lambda row: row["selection"]["second"] - row["selection"]["best"],
    }.items():
        done = select(trained, texts, output, n=7, strategy=Strategy(name), force=True)
        assert (done.chosen, done.scored.documents, done.excluded) == (7, len(TEXTS), 0)
        found = rows_of(output)
        expected = sorted(doubts, key=key, reverse=True)[:7]
        assert [row["id"] for row in found] == [row["id"] for row in expected]
        assert [row["selection"]["rank"] for row in found] == [*range(1, 8)]
        for row, before in zip(found, expected, strict=True):
            assert row["selection"]["score"] == pytest.approx(key(before))
            assert row["selection"]["strategy"] == name
            assert row["entities"] == before["entities"]
    assert [path.name for path in texts.parent.glob("*.scores.jsonl")] == []


def test_confident_texts(trained, texts, doubts):
    folder, output = texts.with_name("all.jsonl"), texts.with_name("out.jsonl")
    found = sorted((row["selection"]["best"] for row in doubts if row["entities"]), reverse=True)
    least = math.exp(found[4]) - 1e-9
    strategy = Strategy("confident", min_probability=least)
    done = select(trained, texts, output, n=99, strategy=strategy, scores=folder)
    rows = rows_of(output)
    assert done.chosen == 5 < len(found) < len(doubts)
    assert [row["selection"]["best"] for row in rows] == found[:5]
    assert all(row["entities"] for row in rows)
    # They are gold for a training, as they are.
    (docs, _) = read(output, lang="en")
    assert [[ent.text for ent in doc.ents] for doc in docs] == [
        [row["text"][ent["start"] : ent["end"]] for ent in row["entities"]] for row in rows
    ]


def test_a_folder_of_scores_serves_other_choices(trained, texts, doubts, monkeypatch):
    folder, output = texts.with_name("all.jsonl"), texts.with_name("out.jsonl")
    monkeypatch.setattr(trained.get_pipe("bio_ner"), "predict", None)
    rare = Strategy("rare", per_token=True, labels=("LOC",))
    select(trained, texts, output, n=3, strategy=rare, scores=folder)
    rates = [row["selection"]["expected"]["LOC"] / row["selection"]["tokens"] for row in doubts]
    found = [row["selection"]["score"] for row in rows_of(output)]
    assert found == pytest.approx(sorted(rates, reverse=True)[:3])


def test_random_does_not_depend_on_the_number(trained, texts, doubts):
    folder, output = texts.with_name("all.jsonl"), texts.with_name("out.jsonl")
    chosen = {}
    for seed, n in (0, 5), (0, 10), (1, 5):
        strategy = Strategy("random", seed=seed)
        select(trained, texts, output, n=n, strategy=strategy, scores=folder, force=True)
        chosen[seed, n] = [row["id"] for row in rows_of(output)]
    assert chosen[0, 10][:5] == chosen[0, 5] != chosen[1, 5]


def test_diverse_texts(trained, texts, doubts):
    folder, output = texts.with_name("all.jsonl"), texts.with_name("out.jsonl")
    select(trained, texts, output, n=6, diverse=True, pool=20, scores=folder)
    best = sorted(doubts, key=lambda row: row["selection"]["entropy"], reverse=True)[:20]
    ner = trained.get_pipe("bio_ner")
    vectors = document_vectors(trained, ner, [row["text"] for row in best])
    expected = [best[i]["id"] for i in k_center(vectors, 6)]
    assert [row["id"] for row in rows_of(output)] == expected
    assert expected != [row["id"] for row in best[:6]]


def test_annotated_texts_are_excluded(trained, texts, doubts):
    folder, output = texts.with_name("all.jsonl"), texts.with_name("out.jsonl")
    gold = DocBin()
    for words, ents in SENTENCES:
        doc = Doc(trained.vocab, words=words)
        doc.set_ents([Span(doc, *ent) for ent in ents])
        gold.add(doc)
    gold.to_disk(texts.with_name("gold.spacy"))
    first = texts.with_name("first.jsonl")
    done = select(trained, texts, first, n=5, exclude=[texts.with_name("gold.spacy")])
    assert done.excluded == len(SENTENCES)
    handed = [texts.with_name("gold.spacy"), first]
    done = select(trained, texts, output, n=999, exclude=handed, scores=folder)
    assert done.excluded == len(SENTENCES) + 5
    found = {row["id"] for row in rows_of(output)}
    assert done.chosen == len(found) == len(TEXTS) - len(SENTENCES) - 5
    assert not found & {*range(len(SENTENCES)), *(row["id"] for row in rows_of(first))}


@pytest.mark.parametrize("key", ["text", "body"])
def test_no_text_is_handed_out_twice(trained, tmp_path, key):
    path = tmp_path / "texts.jsonl"
    rows = [{"id": i, key: text, "document": "d"} for i, text in enumerate(TEXTS[:20])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"text_key": key, "scores": tmp_path / "all.jsonl"}
    handed = []
    for form in TASK_FORMS:
        output = tmp_path / f"{form}.json"
        done = select(trained, path, output, n=3, form=form, exclude=handed, **options)
        assert (done.chosen, done.excluded) == (3, 3 * len(handed))
        handed.append(output)
    select(trained, path, tmp_path / "rest.jsonl", n=99, exclude=handed, **options)
    assert len(rows_of(tmp_path / "rest.jsonl")) == 5


def test_texts_twice_and_texts_of_nothing(trained, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("Ana met Bo\n\nAna  met Bo\n \nNobody\n")
    done = select(trained, path, tmp_path / "out.jsonl", n=10)
    assert done.chosen == 2 and done.scored.documents == 5
    assert {row["text"] for row in rows_of(tmp_path / "out.jsonl")} == {"Ana met Bo", "Nobody"}


def test_a_run_that_ended_goes_on(trained, texts, monkeypatch):
    ner = trained.get_pipe("bio_ner")
    whole, output = texts.with_name("whole.jsonl"), texts.with_name("out.jsonl")
    options = {"docs_per_file": 10, "n": 4}
    select(trained, texts, whole, **options)
    predict, seen = ner.predict, []

    def failing(docs):
        docs = list(docs)
        seen.extend(docs)
        if len(seen) > 35:
            raise KeyboardInterrupt
        return predict(docs)

    monkeypatch.setattr(ner, "predict", failing)
    with pytest.raises(KeyboardInterrupt):
        select(trained, texts, output, **options)
    assert not output.exists()
    assert len([*texts.with_name("out.jsonl.scores.jsonl").glob("part-*")]) == 3
    seen.clear()
    monkeypatch.setattr(ner, "predict", predict)
    done = select(trained, texts, output, **options)
    assert done.scored.documents == len(TEXTS)
    assert output.read_bytes() == whole.read_bytes()


def test_two_processes(trained, texts):
    one, two = texts.with_name("one.jsonl"), texts.with_name("two.jsonl")
    for output, n_process in (one, 1), (two, 2):
        select(trained, texts, output, n=5, docs_per_file=10, n_process=n_process)
    assert [row["id"] for row in rows_of(one)] == [row["id"] for row in rows_of(two)]


@pytest.mark.slow
def test_processes_that_load_the_pipeline(trained, texts):
    trained.to_disk(texts.with_name("model"))
    load = partial(spacy.load, texts.with_name("model"))
    nlp, output = load(), texts.with_name("out.jsonl")
    select(nlp, texts, output, n=5, docs_per_file=20, n_process=2, load=load)
    select(nlp, texts, texts.with_name("one.jsonl"), n=5)
    ids = [[row["id"] for row in rows_of(texts.with_name(f"{n}.jsonl"))] for n in ("out", "one")]
    assert ids[0] == ids[1]


def test_tables_are_read(trained, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pa.table({"text": TEXTS, "n": [*range(len(TEXTS))]}), tmp_path / "a.parquet")
    select(trained, tmp_path / "a.parquet", tmp_path / "out.jsonl", n=2)
    assert all(row["n"] == TEXTS.index(row["text"]) for row in rows_of(tmp_path / "out.jsonl"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: expected a whole number, 1 or more, got 0"),
        ({"pool": 9}, "pool: expected n or more, with `diverse`, got 9 without it"),
        ({"pool": 1, "diverse": True}, "pool: expected n or more, with `diverse`, got 1, and n ="),
        ({"form": "x"}, "form: expected one of 'jsonl', 'prodigy', 'label-studio', 'doccano', 'a"),
        ({"scores": "out"}, "scores: expected a folder whose name ends in .jsonl, got 'out'"),
        ({"strategy": Strategy("rare", labels=("X",))}, "labels: expected labels of ['LOC', 'PE"),
        ({"component": "x"}, "component: expected a bio_ner of bio_ner, got 'x'"),
    ],
)
def test_options_that_do_not_fit(trained, texts, options, message):
    if "scores" in options:
        options = {"scores": texts.with_name(options["scores"])}
    output = texts.with_name("out.jsonl")
    with pytest.raises((AnnotateError, SettingsError, ValueError)) as caught:
        select(trained, texts, output, **{"n": 2, **options})
    assert str(caught.value).replace(f"{texts.parent}/", "").startswith(message)
    assert not output.exists()


@pytest.mark.parametrize("form", TASK_FORMS)
def test_an_input_without_texts(trained, tmp_path, form):
    source, output = tmp_path / "texts.txt", tmp_path / "out"
    source.write_text("")
    for _ in range(2):
        done = select(trained, source, output, n=2, diverse=True, form=form, force=True)
        assert (done.chosen, done.scored.documents) == (0, 0)
        assert output.read_text().split() in ([], ["[]"])
        assert {path.name for path in tmp_path.iterdir()} == {"texts.txt", "out"}


def test_an_output_is_not_written_over(trained, texts):
    output = texts.with_name("out.jsonl")
    output.write_text("mine")
    with pytest.raises(AnnotateError, match="out.jsonl: expected a new file, got an existing one"):
        select(trained, texts, output, n=1)
    with pytest.raises(AnnotateError, match="expected a new file, got a folder"):
        select(trained, texts, texts.parent, n=1, force=True)
    assert output.read_text() == "mine"
    select(trained, texts, output, n=1, force=True)
    assert len(rows_of(output)) == 1


def test_scores_of_another_component_or_of_none(trained, texts):
    from spacy_bio_crf.bulk import annotate

    annotate(trained, texts, texts.with_name("all.jsonl"), one_file=False)
    wanted = "expected the component that is in doubt of an earl"
    with pytest.raises(AnnotateError, match=wanted):
        select(trained, texts, texts.with_name("o.jsonl"), n=1, scores=texts.with_name("all.jsonl"))
