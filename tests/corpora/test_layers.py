"""`layers`: every format keeps the entities that share tokens, and `overlaps` is for doc.ents."""

import json
from pathlib import Path

import pytest
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_bio_crf.corpora import ConvertOptions, convert, read
from spacy_bio_crf.corpora.readers.entity_values import SEVERAL_LABELS
from spacy_bio_crf.errors import ConvertError
from spacy_bio_crf.gold.layers import read_layers
from tests.support.paths import ROOT

GERMEVAL = """\
# http://de.wikipedia.org/wiki/x [2009-10-17]
1\tDie\tO\tO
2\tUniversität\tB-ORG\tO
3\tPorto\tI-ORG\tB-LOC
4\truft\tO\tO

1\tBo\tB-PER\tO
2\tging\tO\tO
3\tnach\tO\tO
4\tBonn\tB-LOC\tO
"""
CONLL2003 = "EU\tNNP\tB-NP\tB-ORG\nrejects\tVBZ\tB-VP\tO\nGerman\tJJ\tB-NP\tB-MISC\n"
TEXT = "The University of Porto hired Ana Ruiz."
SPANS = [(4, 23, "ORG"), (18, 23, "LOC"), (30, 38, "PER")]
EXPECTED = [(1, 4, "ORG"), (3, 4, "LOC"), (5, 7, "PER")]
BRAT = "\n".join(
    f"T{i}\t{label} {s} {e}\t{TEXT[s:e]}" for i, (s, e, label) in enumerate(SPANS, start=1)
)
STUDIO = [
    {
        "id": 1,
        "data": {"text": TEXT},
        "annotations": [
            {
                "result": [
                    {
                        "type": "labels",
                        "value": {"start": s, "end": e, "text": TEXT[s:e], "labels": [label]},
                    }
                    for s, e, label in SPANS
                ]
            }
        ],
    }
]
GLINER = {
    "tokenized_text": TEXT[:-1].split() + ["."],
    "ner": [[1, 3, "ORG"], [3, 3, "LOC"], [5, 6, "PER"]],
}
FILES = {
    "brat": {"a.txt": TEXT, "a.ann": BRAT},
    "studio": {"a.json": json.dumps(STUDIO)},
    "jsonl": {"a.jsonl": json.dumps({"text": TEXT, "spans": [list(s) for s in SPANS]})},
    "gliner": {"a.jsonl": json.dumps(GLINER)},
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def gold(doc, key: str = "gold_spans") -> list:
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]


def ents(doc) -> list:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


@pytest.mark.parametrize("name", FILES)
def test_formats_keep_overlapping_entities(tmp_path: Path, name: str):
    path = write(tmp_path, FILES[name])
    (doc,), summary = read(path, layers=True)
    assert sorted(gold(doc)) == EXPECTED
    assert ents(doc) == [EXPECTED[0], EXPECTED[2]]
    assert "gold_spans_missing" not in doc.spans
    assert summary.entities == {"ORG": 1, "LOC": 1, "PER": 1}
    assert not summary.lost and not summary.dropped
    (remark,) = [r for r in summary.remarks if "share tokens with others" in r]
    assert summary.remarks[remark] == 1
    (flat,), summary = read(path)
    assert not flat.spans
    assert [lost.label for lost in summary.lost] == ["LOC"]


def test_both_columns_of_germeval(tmp_path: Path):
    path = write(tmp_path, {"a.tsv": GERMEVAL})
    (first, second), summary = read(path / "a.tsv", layers=True)
    assert gold(first) == [(1, 3, "ORG"), (2, 3, "LOC")]
    assert ents(first) == [(1, 3, "ORG")]
    assert gold(second) == [(0, 1, "PER"), (3, 4, "LOC")]
    assert any("columns 3, 4, all of which were read" in remark for remark in summary.remarks)
    (first, _), summary = read(path / "a.tsv")
    assert ents(first) == [(1, 3, "ORG")] and not first.spans
    assert any("of which 3 was read" in remark for remark in summary.remarks)


def test_an_unknown_tag_in_the_second_column_is_named(tmp_path: Path):
    path = write(tmp_path, {"a.tsv": GERMEVAL.replace("Bonn\tB-LOC\tO", "Bonn\tB-LOC\tE-LOC")})
    with pytest.raises(ConvertError, match="a.tsv, line 10: .*E-LOC"):
        read(path / "a.tsv", layers=True)


def test_chunks_are_no_layer(tmp_path: Path):
    path = write(tmp_path, {"a.conll": CONLL2003 * 5})
    (doc,), _ = read(path / "a.conll", layers=True)
    assert {label for _, _, label in gold(doc)} == {"ORG", "MISC"}


def test_labels_are_renamed_and_dropped(tmp_path: Path):
    path = write(tmp_path, FILES["jsonl"])
    (doc,), _ = read(path, layers=True, rename={"LOC": "GPE"}, drop=("PER",))
    assert gold(doc) == [(1, 4, "ORG"), (3, 4, "GPE")]


@pytest.mark.parametrize("overlaps", ["longest", "first"])
def test_the_rule_is_for_doc_ents(tmp_path: Path, overlaps: str):
    spans = [(18, 23, "LOC"), (4, 23, "ORG")]
    path = write(tmp_path, {"a.jsonl": json.dumps({"text": TEXT, "spans": spans})})
    (doc,), _ = read(path, layers=True, overlaps=overlaps)
    assert [label for _, _, label in ents(doc)] == [{"longest": "ORG", "first": "LOC"}[overlaps]]
    assert sorted(gold(doc)) == EXPECTED[:2]


def test_what_is_unknown_stays_unknown(tmp_path: Path):
    """An entity that fits no tokens is unknown to its label's group alone."""
    spans = [(4, 23, "ORG"), (18, 21, "LOC"), {"start": 30, "end": 38}]
    path = write(tmp_path, {"a.jsonl": json.dumps({"text": TEXT, "spans": spans})})
    (doc,), summary = read(path, layers=True)
    assert gold(doc) == [(1, 4, "ORG")]
    assert gold(doc, "gold_spans_missing") == [(3, 4, "LOC"), (5, 7, "")]
    assert [entity.label for entity in summary.misaligned] == ["LOC"]
    found = read_layers(Example(doc.copy(), doc), [["ORG"], ["LOC"]], gold_key="gold_spans")
    assert (~found.layers[0].known).nonzero()[0].tolist() == [5, 6]
    assert (~found.layers[1].known).nonzero()[0].tolist() == [3, 5, 6]


def test_unannotated_words_of_columns(tmp_path: Path):
    path = write(tmp_path, {"a.conll": "Bo\tB-PER\nleft\t-\nPorto\tB-LOC\nnow\tO\n"})
    (doc,), _ = read(path / "a.conll", layers=True)
    assert gold(doc, "gold_spans_missing") == [(1, 2, "")]


def test_sentences_of_a_doc_are_shifted(tmp_path: Path):
    path = write(tmp_path, {"a.tsv": GERMEVAL})
    (doc,), _ = read(path / "a.tsv", layers=True, n_sents=2)
    assert gold(doc) == [(1, 3, "ORG"), (2, 3, "LOC"), (4, 5, "PER"), (7, 8, "LOC")]


def test_a_docbin_holds_the_layers(tmp_path: Path):
    path = write(tmp_path, FILES["brat"])
    convert(path, tmp_path / "out.spacy", layers=True, gold_spans_key="sc")
    (doc,) = DocBin().from_disk(tmp_path / "out.spacy").get_docs(Vocab())
    assert sorted(gold(doc, "sc")) == EXPECTED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": True, "overlaps": "error"}, "overlaps: expected longest or first with `lay"),
        ({"gold_spans_key": "x"}, "gold_spans_key: expected `layers` with it, got none"),
        ({"layers": True, "gold_spans_key": ""}, "gold_spans_key: expected a name of a group"),
    ],
)
def test_options_that_do_not_fit(options: dict, message: str):
    with pytest.raises(ConvertError, match=message):
        ConvertOptions(**options)


def test_only_docbins_hold_layers(tmp_path: Path):
    path = write(tmp_path, FILES["jsonl"])
    with pytest.raises(ConvertError, match="out.jsonl: expected an output file whose name ends in"):
        convert(path, tmp_path / "out.jsonl", layers=True)


def test_the_corpus_of_the_project(tmp_path: Path):
    docs = [doc for part in ("train", "dev")
            for doc in read(ROOT / "assets" / f"layered-{part}.jsonl", layers=True)[0]]  # fmt: skip
    assert len(docs) == 300
    assert all("gold_spans_missing" not in doc.spans for doc in docs)
    nested = sum(len(doc.spans["gold_spans"]) > len(doc.ents) for doc in docs)
    assert nested > 100
    labels = {span.label_ for doc in docs for span in doc.spans["gold_spans"]}
    assert labels == {"ORG", "EVENT", "ROLE", "PER", "LOC"}


@pytest.mark.parametrize("form", ["jsonl", "label-studio", "argilla", "token-spans"])
def test_an_entity_with_several_labels(tmp_path, form):
    region = {"start": 0, "end": 3, "labels": ["PER", "POET"]}
    task = {"value": region, "type": "labels"}
    answers = {"names": [{"value": [{"start": 0, "end": 3, "label": ["PER", "POET"]}]}]}
    record = {
        "jsonl": {"text": "Ana ran", "label": [region]},
        "label-studio": {"data": {"text": "Ana ran"}, "annotations": [{"result": [task]}]},
        "argilla": {"fields": {"text": "Ana ran"}, "responses": answers},
        "token-spans": {"tokens": ["Ana", "ran"], "entities": [{**region, "end": 1}]},
    }[form]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record))
    (doc,), summary = read(path, layers=True)
    found = {(span.start, span.end, span.label_) for span in doc.spans["gold_spans"]}
    assert found == {(0, 1, "PER"), (0, 1, "POET")} and [e.label_ for e in doc.ents] == ["PER"]
    assert SEVERAL_LABELS not in summary.remarks
    (doc,), summary = read(path)
    assert [e.label_ for e in doc.ents] == ["PER"] and summary.remarks[SEVERAL_LABELS] == 1
