"""Coverage of documents by annotation."""

from spacy_bio_crf.debug.coverage import check_coverage, check_documents, document_figures
from spacy_bio_crf.debug.findings import Recorder
from tests.support.debug_tools import make_doc


def counts(recorder: Recorder) -> dict[str, int]:
    return {finding.check: finding.count for finding in recorder.findings()}


def test_documents_with_tokens_and_their_labels():
    recorder = Recorder("train", 5)
    docs = [make_doc(["a"]), make_doc([]), make_doc(["b"])]
    assert check_documents(docs, recorder) == ([docs[0], docs[2]], None)
    assert counts(recorder) == {"empty_documents": 1}
    for doc, labels in ((docs[0], ["PER"]), (docs[2], ["LOC", "ORG"])):
        doc.user_data["labels_annotated"] = labels
    recorder = Recorder("train", 5)
    assert check_documents(docs, recorder)[1] == {"PER", "LOC", "ORG"}
    assert counts(recorder) == {"empty_documents": 1, "partly_annotated": 2}
    # One document with all labels: the data annotate all of them.
    assert check_documents([*docs, make_doc(["c"])], recorder)[1] is None
    assert check_documents([], recorder) == ([], set())


def test_tokens_and_documents_without_annotation():
    recorder, doc = Recorder("train", 5), make_doc(["a", "b", "c"], source="f:3")
    for missing, n_tokens in (([], 3), ([1, 2], 3), ([0, 1, 2], 3), ([0, 2], 2)):
        check_coverage(doc, missing, n_tokens, recorder)
    assert counts(recorder) == {"no_annotation": 2, "missing_tokens": 2}
    (example,) = next(f for f in recorder.findings() if f.check == "missing_tokens").examples
    assert (example.place, example.text, example.start, example.end) == ("f:3", "b", 1, 2)


def test_figures_of_documents():
    docs = [make_doc(["a"] * n) for n in (3, 128, 129, 0)]
    figures = document_figures(docs)
    assert (figures["documents"], figures["tokens"], figures["longest_document"]) == (4, 260, 129)
    assert figures["documents_over"] == {"128": 1, "256": 0, "400": 0, "512": 0}
    assert document_figures([])["longest_document"] == 0
