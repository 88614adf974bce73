"""Tables of pyarrow and pandas through `annotate_partition`, without Spark."""

import pyarrow as pa
import pytest
import spacy

from spacy_bio_crf.bulk import AnnotateError, annotate_rows, partition, pipeline_digest
from spacy_bio_crf.bulk.partition import annotate_partition
from tests.support.annotate_tools import PATTERNS

TEXTS = [f"Ana Ruiz {i} in Rio{' !' * (i % 5)}" for i in range(50)]
ROWS = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]


@pytest.fixture
def model(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def expected(model, rows=ROWS, **options):
    return annotate_rows(spacy.load(model), pa.Table.from_pylist(rows), **options).rows


def test_record_batches_of_arrow(model):
    batches = pa.Table.from_pylist(ROWS).to_batches(max_chunksize=13)
    found = list(annotate_partition(iter(batches), model))
    assert all(isinstance(batch, pa.RecordBatch) for batch in found)
    assert [batch.num_rows for batch in found] == [13, 13, 13, 11]
    assert pa.Table.from_batches(found).equals(expected(model))


def test_tables_of_arrow(model):
    (found,) = annotate_partition([pa.Table.from_pylist(ROWS)], model, entities_key="ents")
    assert isinstance(found, pa.Table)
    assert found.equals(expected(model, entities_key="ents"))


def test_frames_of_pandas(model):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(ROWS, index=range(100, 150))
    (found,) = annotate_partition([frame], model)
    assert isinstance(found, pd.DataFrame) and list(found.index) == list(frame.index)
    rows = annotate_rows(spacy.load(model), ROWS).rows
    assert found.to_dict("records") == rows
    assert list(frame.columns) == ["id", "text"]


@pytest.mark.parametrize("kind", ["table", "batch", "frame"])
def test_a_table_without_rows_keeps_its_columns(model, kind):
    table = pa.Table.from_pylist(ROWS)[:0]
    if kind == "frame":
        pytest.importorskip("pandas")
        table = table.to_pandas()
    elif kind == "batch":
        table = pa.RecordBatch.from_pylist([], schema=table.schema)
    (found,) = annotate_partition([table], model)
    names = list(found.columns) if kind == "frame" else found.schema.names
    assert names == ["id", "text", "entities"] and len(found) == 0


@pytest.mark.parametrize("kind", ["batch", "frame"])
def test_large_tables_are_cut_by_rows_and_by_text(model, monkeypatch, kind):
    monkeypatch.setattr(partition, "TABLE_DOCUMENTS", 20)
    monkeypatch.setattr(partition, "PART_BYTES", 100)
    rows = [{"text": text} for text in ["Rio " * 20] * 3 + ["Rio"] * 41]
    table = pa.Table.from_pylist(rows)
    if kind == "frame":
        pytest.importorskip("pandas")
    table = table.to_pandas() if kind == "frame" else table.to_batches()[0]
    found = list(annotate_partition([table], model))
    # Two of 80 characters are over the limit of bytes, as are one and seven short ones.
    assert [len(piece) for piece in found] == [2, 8, 20, 14]
    texts = [t for f in found for t in (f["text"] if kind == "frame" else f["text"].to_pylist())]
    assert texts == [row["text"] for row in rows]


@pytest.mark.parametrize("kind", ["batch", "frame"])
def test_bad_rows(model, kind):
    rows = [{"text": "Rio"}, {"text": None}, {"text": "Ana Ruiz"}]
    table = pa.Table.from_pylist(rows)
    if kind == "frame":
        pytest.importorskip("pandas")
    table = table.to_pandas() if kind == "frame" else table.to_batches()[0]
    with pytest.raises(AnnotateError, match="row 2: expected a string under 'text', got "):
        list(annotate_partition([table], model))
    (found,) = annotate_partition([table], model, skip_bad=True)
    texts = found["text"] if kind == "frame" else found["text"].to_pylist()
    assert list(texts) == ["Rio", "Ana Ruiz"]
    with pytest.raises(AnnotateError, match="row 1: expected the key 'body' "):
        list(annotate_partition([table], model, text_key="body"))
    with pytest.raises(AnnotateError, match="row 1: expected no key 'text'; name another one"):
        list(annotate_partition([table], model, entities_key="text"))


def test_a_process_loads_a_pipeline_once(model, monkeypatch):
    partition._load_once.cache_clear()
    loads = []
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda path: (loads.append(path), load(path))[1])
    for _ in range(3):
        list(annotate_partition(pa.Table.from_pylist(ROWS).to_batches(), model))
    assert loads == [model]


def test_the_pipeline_is_compared(model):
    batches = pa.Table.from_pylist(ROWS).to_batches()
    digest = pipeline_digest(spacy.load(model))
    assert len(list(annotate_partition(batches, model, digest=digest))) == 1
    (model / "meta.json").write_text((model / "meta.json").read_text() + "\n")
    partition._load_once.cache_clear()
    with pytest.raises(AnnotateError) as caught:
        list(annotate_partition(batches, model, digest=digest))
    other = pipeline_digest(spacy.load(model))
    wanted = f"expected the pipeline with which the run began, {digest!r}, got {other!r}"
    assert str(caught.value) == f"{model}: {wanted}"
