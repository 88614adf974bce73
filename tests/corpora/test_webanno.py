import pytest

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.readers.char_spans import NO_LABEL
from tests.support.convert_tools import plain

HEAD = "#FORMAT=WebAnno TSV 3.3\n#T_SP=webanno.custom.Entity|value|note\n\n\n"
ROWS = (
    "#Text=Ana 😀 Ruiz ran.\n"
    "1-1\t0-3\tAna\tPER[1]\t_\t\n1-2\t4-6\t😀\tPER[1]\t_\t\n"
    "1-3\t7-11\tRuiz\tPER[1]|LAST\\_NAME[2]\t_\t\n"
    "1-4\t12-15\tran\t*[3]\t_\t\n1-5\t15-16\t.\t_\t_\t\n\n"
    "#Text=To Rio\n2-1\t17-19\tTo\t_\t_\t\n2-2\t20-23\tRio\tLOC\t_\t\n2-2.1\t20-22\tRi\tX\t_\t\n"
)


def test_webanno(folder):
    docs, summary = folder.convert(folder.write(HEAD + ROWS, "d.tsv"))
    (doc,) = docs
    assert plain(doc) == ("Ana 😀 Ruiz ran.\nTo Rio", [("Ana 😀 Ruiz", "PER"), ("Rio", "LOC")])
    assert [t.text for t in doc if t.ent_iob == 0] == ["ran"]
    assert [t.text for t in doc if t.is_sent_start] == ["Ana", "To"]
    assert (doc.user_data["source"], doc.user_data["document_id"]) == ("d.tsv:6", "d")
    assert [(m.text, m.label) for m in summary.misaligned] == [("Ri", "X")]
    assert [(one.text, one.label) for one in summary.lost] == [("ran", ""), ("Ruiz", "LAST_NAME")]
    assert dict(summary.notes) == {"WebAnno TSV 3, webanno.custom.Entity@value": 1}


def test_a_folder_for_each_document(folder):
    """As INCEpTION exports them: all files have the name of the annotator."""
    for name in "a.txt", "b.txt":
        folder.write(HEAD + ROWS, f"in/{name}/anna.tsv")
    docs, _ = folder.convert(folder.path / "in")
    assert [doc.user_data["document_id"] for doc in docs] == ["a.txt/anna", "b.txt/anna"]
    converted = folder.path / "out" / "docs.spacy"
    summary = convert(converted, folder.path / "part.spacy", split="50/50")
    assert summary.split_by == "documents"


def test_a_sentence_that_begins_with_white_space(folder):
    rows = "#Text= Ana\n1-1\t1-4\tAna\tPER\t_\t\n\n#Text=\n#Text=\tRio \n2-1\t7-10\tRio\tLOC\t_\t\n"
    (doc,), _ = folder.convert(folder.write(HEAD + rows, "d.tsv"))
    assert doc.text == " Ana\n\n\tRio " and plain(doc)[1] == [("Ana", "PER"), ("Rio", "LOC")]


LAYERS = (
    "#FORMAT=WebAnno TSV 3.2\n#T_SP=de.tudarmstadt.api.lexmorph.type.pos.POS|PosValue\n"
    "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value\n"
    "#T_RL=x.Dependency|DependencyType|BT_x\n#T_SP=webanno.custom.Cue|kind\n\n"
    "#Text=Ana ran\n1-1\t0-3\tAna\tNN\tQ1\tPER\t_\t_\tc\t\n1-2\t4-7\tran\tVB\t_\t_\t_\t_\t_\t\n"
)


def test_layers(folder):
    path = folder.write(LAYERS, "a.tsv")
    assert plain(folder.convert(path)[0][0])[1] == [("Ana", "PER")]
    for name, label in (
        ("Cue", "c"),
        ("webanno.custom.Cue@kind", "c"),
        ("NamedEntity@identifier", "Q1"),
    ):
        docs, _ = folder.convert(path, entity_elements=[name])
        assert plain(docs[0])[1] == [("Ana", label)]
    other = LAYERS.replace("ner.type.NamedEntity", "x.Something")
    message = folder.error(folder.write(other, "a.tsv"))
    assert message.startswith(
        "a.tsv: expected one layer of spans that may be entities, got de.tudar"
    )
    assert message.endswith(
        "webanno.custom.Cue@kind; name it with `entity_elements`, as LAYER@FEATURE"
    )


def test_a_layer_without_features_has_a_column(folder):
    head = "#FORMAT=WebAnno TSV 3.2\n#T_SP=webanno.custom.Mark\n#T_SP=webanno.custom.Entity|value\n"
    rows = "#Text=Ana ran\n1-1\t0-3\tAna\t*\tPER\t\n1-2\t4-7\tran\t_\t_\t\n"
    docs, _ = folder.convert(folder.write(f"{head}\n{rows}", "a.tsv"))
    assert plain(docs[0])[1] == [("Ana", "PER")]
    assert all(token.ent_iob for token in docs[0])


def test_entities_without_a_label_are_unknown_and_counted(folder):
    head = "#FORMAT=WebAnno TSV 3.2\n#T_SP=webanno.custom.Mark|\n\n#Text=Ana Ruiz ran\n"
    rows = "1-1\t0-3\tAna\t*[1]\t\n1-2\t4-8\tRuiz\t*[1]\t\n1-3\t9-12\tran\t_\t\n"
    (doc,), summary = folder.convert(folder.write(head + rows, "a.tsv"))
    assert plain(doc) == ("Ana Ruiz ran", []) and [t.ent_iob_ for t in doc] == ["", "", "O"]
    assert dict(summary.dropped) == {NO_LABEL: 1} and summary.lost[0].text == "Ana Ruiz"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1-1\tx\tAna\t_\t_\n",
            "line 6: expected a row such as '1-1<TAB>0-3<TAB>Ana<TAB>PER', got",
        ),
        ("1-1\t0-9\tAna\t_\t_\n", "line 6: expected a token of its #Text, got the offsets 0-9"),
        ("Ana\n", "line 6: expected a row such as"),
    ],
)
def test_bad_rows(folder, row, message):
    assert message in folder.error(folder.write(f"{HEAD}#Text=Ana\n{row}", "a.tsv"))
