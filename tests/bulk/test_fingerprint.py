"""Pipelines that workers load."""

import pytest
import spacy

from spacy_bio_crf.bulk import AnnotateError
from spacy_bio_crf.bulk.fingerprint import check_digest, load_model, load_same, pipeline_digest
from tests.support.annotate_tools import make_ruler

CODE = """
from spacy.language import Language

@Language.component("fingerprint_mark")
def mark(doc):
    return doc
"""


@pytest.fixture
def model(tmp_path):
    make_ruler().to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_all_options_arrive(tmp_path, model, monkeypatch):
    code, gpus = tmp_path / "code.py", []
    code.write_text(CODE)
    monkeypatch.setattr(spacy, "require_gpu", gpus.append)
    nlp = load_model(str(model), code, 2, 17)
    assert nlp.max_length == 17 and gpus == [2]
    assert nlp.has_factory("fingerprint_mark")
    load_model(model)
    assert gpus == [2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "FileNotFoundError: "),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ],
)
def test_code_that_can_not_be_imported(tmp_path, model, content, told):
    code = tmp_path / "code.py"
    if content:
        code.write_text(content)
    with pytest.raises(AnnotateError) as caught:
        load_model(model, code)
    assert str(caught.value).startswith(f"{code}: expected code that can be imported, got {told}")


def test_what_is_no_pipeline(tmp_path, monkeypatch):
    with pytest.raises(AnnotateError, match="no_such_package: expected a pipeline: "):
        load_model("no_such_package")
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(AnnotateError, match=": expected a pipeline: "):
        load_model(tmp_path)


def test_no_gpu(model, monkeypatch):
    def refused(gpu_id):
        raise ValueError("no GPU")

    monkeypatch.setattr(spacy, "require_gpu", refused)
    with pytest.raises(AnnotateError, match="gpu_id: expected -1 for the CPU.*got 0.*: no GPU"):
        load_model(model, gpu_id=0)


def test_another_pipeline(model):
    nlp = spacy.load(model)
    digest = pipeline_digest(nlp)
    check_digest(nlp, None, digest)
    assert load_model(model, digest=digest).pipe_names == nlp.pipe_names
    assert load_same(lambda: nlp, None, digest) is nlp
    wanted = f"{model}: expected the pipeline with which the run began, 'x', got '{digest}'"
    for call in (
        lambda: check_digest(nlp, None, "x"),
        lambda: load_model(model, digest="x"),
    ):
        with pytest.raises(AnnotateError) as caught:
            call()
        assert str(caught.value) == wanted
    with pytest.raises(AnnotateError) as caught:
        load_same(lambda: nlp, None, "x")
    assert str(caught.value) == f"{wanted}; `restart` begins anew"
    with pytest.raises(AnnotateError, match="^the pipeline: expected the pipeline with which the"):
        check_digest(make_ruler(), None, "x")
