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
        ("<a>\n</a>", "a.xml: expected a sentence with a token, got none"),
    ],
)
def test_bad_xml(folder, content, message):
    assert message in folder.error(folder.write(content, "a.xml"), format="xml")


def test_text_outside_of_documents_is_counted(folder):
    content = "<c>before<DOC><EM CATEG='X'>a</EM></DOC> <DOC>b</DOC>after</c>"
    docs, summary = folder.convert(folder.write(content, "a.xml"))
    assert [doc.text for doc in docs] == ["a", "b"]
    assert dict(summary.dropped) == {"text outside of a DOC element": 2}
