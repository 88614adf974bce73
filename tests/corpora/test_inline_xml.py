import pytest

from tests.support.convert_tools import plain

HAREM = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE colHAREM SYSTEM "harem.dtd">
<colHAREM versao="1">
<DOC DOCID="d-1">
<P>O <EM ID="1" CATEG="PESSOA" TIPO="INDIVIDUAL">João</EM> &amp; a <EM ID="2"
CATEG="ABSTRACCAO|ORGANIZACAO">Justiça</EM>.</P>
<P><ALT><EM ID="3" CATEG="ACONTECIMENTO">Amora-Porto</EM>|<EM ID="4"
CATEG="ORGANIZACAO">Amora</EM> - <EM CATEG="PESSOA">Porto</EM></ALT> em
<EM CATEG="COISA">Fiat</EM></P>
<OMITIDO>Rui 3</OMITIDO> <EM>Sé</EM> fim
</DOC>
<DOC><DOCID>d-2</DOCID> <EM CATEG="TEMPO">1999</EM> ! </DOC>
</colHAREM>
"""


@pytest.fixture
def harem(folder):
    return folder.write(HAREM.encode("latin-1"), "a.xml")


def test_harem_total(folder, harem):
    docs, summary = folder.convert(harem, lang="pt")
    ents = [("João", "PESSOA"), ("Justiça", "ABSTRACCAO")]
    ents += [("Amora", "ORGANIZACAO"), ("Porto", "PESSOA"), ("Fiat", "COISA")]
    assert plain(docs[0]) == (
        "O João & a Justiça.\nAmora - Porto em\nFiat\nRui 3 Sé fim",
        ents,
    )
    assert [t.text for t in docs[0] if t.ent_iob == 0] == ["Rui", "3", "Sé"]
    assert plain(docs[1]) == ("1999 !", [("1999", "TEMPO")])
    assert [doc.user_data for doc in docs] == [
        {"source": "a.xml:4", "document_id": "d-1"},
        {"source": "a.xml:12", "document_id": "d-2"},
    ]
    assert sorted(summary.remarks.values()) == [1, 1, 1] and not summary.dropped
    assert summary.misaligned == []
    assert list(summary.notes) == ["XML with entities, total scenario"]


def test_harem_selective(folder, harem):
    docs, summary = folder.convert(harem, scenario="selective")
    assert plain(docs[0])[1] == [
        ("João", "PESSOA"),
        ("Justiça", "ORGANIZACAO"),
        ("Amora", "ORGANIZACAO"),
        ("Porto", "PESSOA"),
    ]
    assert [t.ent_iob_ for t in docs[0] if t.text == "Fiat"] == ["O"]
    # The event stands in the alternative that was not taken.
    assert dict(summary.dropped) == {"category COISA (not in the selective scenario)": 1}


def test_alternatives(folder, harem):
    docs, summary = folder.convert(harem, alternatives="coverage")
    assert plain(docs[0])[0].split("\n")[1] == "Amora-Porto em"
    # The tokenizer leaves "Amora-Porto" whole or not, but the entity takes in all of it.
    assert ("Amora-Porto", "ACONTECIMENTO") in plain(docs[0])[1]
    docs, _ = folder.convert(harem, alternatives="coverage", scenario="selective")
    assert ("Porto", "PESSOA") in plain(docs[0])[1]


@pytest.mark.parametrize(
    ("alt", "text", "ents"),
    [
        ("A b|<EM CATEG='X'>A b</EM>", "A b", [("A b", "X")]),
        ("<EM CATEG='X'>A</EM> b|<EM CATEG='Y'>A b</EM>", "A b", [("A", "X")]),
        ("<EM CATEG='X'>A | b</EM>|c", "A | b", [("A | b", "X")]),
        ("a|b|c", "a", []),
    ],
)
def test_alternatives_alone(folder, alt, text, ents):
    docs, _ = folder.convert(
        folder.write(f"s <ALT>{alt}</ALT> <EM CATEG='Z'>e</EM>", "a.xml"), format="xml"
    )
    assert plain(docs[0]) == (f"s {text} e", [*ents, ("e", "Z")])
    content = f"s <EM CATEG='Z'>e <ALT>{alt}</ALT></EM> |"
    docs, _ = folder.convert(folder.write(content, "a.xml"), overlaps="longest")
    assert plain(docs[0]) == (f"s e {text} |", [(f"e {text}", "Z")])


def test_coverage_is_that_of_all_entities(folder):
    content = (
        "<DOC><ALT><EM CATEG='X'>Ana Ruiz</EM> de Sousa|"
        "<EM CATEG='Y'>Ana</EM> Ruiz <EM CATEG='Y'>de Sousa</EM></ALT></DOC>"
    )
    docs, _ = folder.convert(folder.write(content, "a.xml"), alternatives="coverage")
    assert plain(docs[0]) == ("Ana Ruiz de Sousa", [("Ana", "Y"), ("de Sousa", "Y")])


def test_text_without_a_root(folder):
    content = '\ufeff<ENAMEX TYPE="PERSON">Ana</ENAMEX> ran\non <TIMEX TYPE="DATE">Monday</TIMEX>\n'
    for name in "a.xml", "a.txt", "a.sgml":
        docs, summary = folder.convert(folder.write(content, name))
        assert plain(docs[0]) == ("Ana ran\non Monday", [("Ana", "PERSON"), ("Monday", "DATE")])


def test_nested_and_misaligned_entities(folder):
    content = '<x>\n<EM CATEG="A">Ana <EM CATEG="B">Rui</EM></EM>\no<EM CATEG="C">Rio</EM></x>'
    path = folder.write(content, "a.xml")
    docs, summary = folder.convert(path)
    assert plain(docs[0])[1] == [("Ana Rui", "A")]
    assert dict(summary.dropped) == {"entity that overlaps another (the longest one stays)": 1}
    (found,) = summary.misaligned
    assert found.place.endswith("a.xml, line 3") and found[1:] == ("Rio", "C")
    assert [t.ent_iob_ for t in docs[0]][-1] == ""


def test_own_document_type(folder):
    content = '<!DOCTYPE d [<!ENTITY a "Ana">]>\n<d>\n<EM CATEG="X">&a;</EM> &b;</d>'
    path = folder.write(content, "a.xml")
    assert folder.error(path) == "a.xml, line 3: expected well-formed XML, got undefined entity"
    docs, _ = folder.convert(folder.write(content.replace(" &b;", ""), "a.xml"))
    assert plain(docs[0]) == ("Ana", [("Ana", "X")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "<?xml version='1.0'?>\n<a>\n<b></a>",
            "a.xml, line 3: expected well-formed XML, got mismatched",
        ),
        ("<a>\n<EM CATEG='X'>b", "a.xml, line 2: expected well-formed XML, got "),
        (
            "<EM CATEG='X'>b</EM>\n a & b",
            "a.xml, line 2: expected well-formed XML, got not well-formed",
        ),
        (
            b"<EM CATEG='X'>\xe9</EM>",
            "a.xml, line 1: expected UTF-8, got byte 0xe9; name the file's encoding with `enc",
        ),
        (
            "<?xml version='1.0' encoding='nix'?><EM CATEG='X'>e</EM>",
            "a.xml, line 1: expected a declaration of an encoding that Python has, got 'nix'",
        ),
        ("<EM CATEG='X'>\n</EM>", "a.xml: expected a sentence with a token, got none"),
        ("<a text='Ana'/>", "got the elements a (1); name those that are entities"),
    ],
)
def test_bad_xml(folder, content, message):
    assert message in folder.error(folder.write(content, "a.xml"), format="xml")


def test_text_outside_of_documents_is_counted(folder):
    content = "<c>before<DOC><EM CATEG='X'>a</EM></DOC> <DOC>b</DOC>after</c>"
    docs, summary = folder.convert(folder.write(content, "a.xml"))
    assert [doc.text for doc in docs] == ["a", "b"]
    assert dict(summary.dropped) == {"text outside of a DOC element": 2}


GENIA = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE set SYSTEM "gpml.dtd">
<set>
<article><title><sentence><cons lex="IL-2_gene" sem="G#other_name"><cons lex="IL-2"
sem="G#protein_molecule">IL-2</cons> gene</cons> in <cons lex="x" sem="(AND G#virus
G#cell_line)">HIV and X9</cons></sentence></title></article>
<article><abstract><sentence><cons lex="y">Y</cons> none</sentence></abstract></article>
</set>
"""


def test_genia(folder):
    docs, summary = folder.convert(folder.write(GENIA, "a.xml"))
    assert list(map(plain, docs)) == [
        ("IL-2 gene in HIV and X9", [("IL-2 gene", "other_name"), ("HIV and X9", "virus")]),
        ("Y none", []),
    ]
    assert [t.ent_iob_ for t in docs[1]] == ["", "O"]
    assert dict(summary.dropped) == {"entity that overlaps another (the longest one stays)": 1}


TAGS = """<?xml version="1.0" encoding="UTF-8" ?>
<deIdi2b2>
<TEXT><![CDATA[

Name: Ana  Ruiz & son
on 3/4]]></TEXT>
<TAGS>
<NAME id="P0" start="8" end="17" text="Ana Ruiz" TYPE="PATIENT" comment="" />
<DATE id="P1" start="27" end="30" text="3/4"/>
<SMOKER id="P2" start="-1" end="-1" text="no"/>
</TAGS>
</deIdi2b2>
"""


def test_tags_with_offsets(folder):
    docs, summary = folder.convert(folder.write(TAGS, "110-01.xml"))
    text = "\n\nName: Ana  Ruiz & son\non 3/4"
    assert docs[0].text == text
    assert plain(docs[0])[1] == [("Ana  Ruiz", "PATIENT"), ("3/4", "DATE")]
    assert docs[0].user_data["document_id"] == "110-01"
    assert dict(summary.dropped) == {"element of TAGS that has no place in the text": 1}
    bare = TAGS[: TAGS.index("<NAME")] + "</TAGS></deIdi2b2>"
    docs, _ = folder.convert(folder.write(bare, "b.xml"))
    assert plain(docs[0]) == (text, []) and docs[0][0].ent_iob_ == "O"
    other = TAGS.replace("start=", "begin=")
    assert "or with offsets in an element TAGS, got the elements" in folder.error(
        folder.write(other, "d.xml")
    )
    wrong = TAGS.replace('end="30"', 'end="29"')
    assert folder.error(folder.write(wrong, "c.xml")) == (
        "c.xml, line 9: expected '3/4' (DATE) at characters 27 to 29, got '3/'"
    )


@pytest.mark.parametrize("head", ["", "<?xml version='1.0'?>\n", "<!DOCTYPE corpus>\n"])
def test_elements_that_may_be_entities_are_named(folder, head):
    content = "<corpus>\n<s><person>Ana</person> ran to <Place kind='town'>Rio</Place></s></corpus>"
    path = folder.write(head + content, "a.xml")
    message = folder.error(path)
    assert message.startswith("a.xml: expected entities as elements (EM, ENAMEX, TIMEX, NUMEX, CO")
    assert message.endswith(
        "got the elements corpus (1), s (1), person (1), Place (1); name those that are entities "
        "with `entity_elements`"
    )
    docs, _ = folder.convert(path, entity_elements=["person", "Place@kind"])
    assert plain(docs[0])[1] == [("Ana", "person"), ("Rio", "town")]
    assert "got the elements corpus (1)" in folder.error(path, entity_elements=["PERS"])


def test_a_text_without_entities_beside_others(folder):
    paths = folder.write("<EM CATEG='X'>Ana</EM>", "a.xml"), folder.write("<p>Bo</p>", "b.xml")
    docs, _ = folder.convert(*paths, format="xml")
    assert [plain(doc) for doc in docs] == [("Ana", [("Ana", "X")]), ("Bo", [])]


def test_categories_of_harem_as_elements(folder):
    content = '<DOC><DOCID>h</DOCID><LOCAL TIPO="V">Rio</LOCAL> e <pessoa>Ana</pessoa></DOC>'
    docs, _ = folder.convert(folder.write(content, "a.sgml"))
    assert plain(docs[0]) == ("Rio e Ana", [("Rio", "LOCAL"), ("Ana", "pessoa")])


def test_entities_in_text_that_the_evaluation_leaves_out(folder):
    content = (
        "<DOC><EM CATEG='A'>Bo</EM> <OMITIDO>de <EM CATEG='B'>Rui</EM> e <ALT><EM CATEG='B'>Sé</EM>"
        "|Sé</ALT></OMITIDO> <EM CATEG='C'>Rio</EM> <EM CATEG='D'>a <OMITIDO>b</OMITIDO></EM></DOC>"
    )
    docs, summary = folder.convert(folder.write(content, "a.xml"))
    ents = [("Bo", "A"), ("Rio", "C"), ("a b", "D")]
    assert plain(docs[0]) == ("Bo de Rui e Sé Rio a b", ents)
    assert [t.text for t in docs[0] if t.ent_iob == 0] == ["de", "Rui", "e", "Sé"]
    assert dict(summary.dropped) == {
        "entity in text that the evaluation leaves out (OMITIDO)": 2,
    }
