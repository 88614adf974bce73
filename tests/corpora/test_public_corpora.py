import pytest
from spacy.attrs import ENT_IOB
from spacy.tokens import DocBin

from spacy_bio_crf.corpora import convert
from tests.support.convert_tools import everything, in_tokens, load
from tests.support.paths import CORPORA, needs_corpora


def lener_documents(part):
    folder = CORPORA / "lener_br" / "leNER-Br" / part
    return [p.relative_to(CORPORA) for p in sorted(folder.glob("*.conll")) if p.stem != part]


COUNTS = [
    # file, sentences, tokens with the empty ones, empty tokens, entities, labels, layout
    ("wnut17/wnut17train.conll", 3394, 62730, 0, 1975, 6, "BIO, tabs"),
    ("wnut17/emerging.dev.conll", 1009, 15733, 0, 836, 6, "BIO, tabs"),
    ("wnut17/emerging.test.annotated", 1287, 23394, 0, 1079, 6, "BIO, tabs"),
    ("btc/btc.train", 6338, 99933, 0, 8779, 3, "BIO, tabs"),
    ("btc/btc.dev", 1001, 15027, 3, 1730, 3, "BIO, tabs"),
    ("btc/btc.test", 2001, 35428, 2, 4376, 3, "BIO, tabs"),
    ("lener_br/leNER-Br/train/train.conll", 7827, 229277, 0, 8894, 6, "BIO, spaces"),
    ("lener_br/leNER-Br/dev/dev.conll", 1176, 41166, 0, 1818, 6, "BIO, spaces"),
    ("lener_br/leNER-Br/test/test.conll", 1389, 47630, 0, 1536, 6, "BIO, spaces"),
    ("uner_pt_bosque/train.iob2", 7018, 171776, 0, 8101, 3, "BIO, tabs"),
    ("uner_pt_bosque/dev.iob2", 1172, 28447, 0, 1401, 3, "BIO, tabs"),
    ("uner_pt_bosque/test.iob2", 1167, 27604, 0, 1215, 3, "BIO, tabs"),
    ("sec_filings/FIN5.train.txt", 1164, 41010, 0, 1168, 4, "IOB1, spaces"),
    ("sec_filings/FIN3.test.txt", 303, 13246, 0, 318, 4, "IOB1, spaces"),
    ("bc5cdr/IOBES/train.tsv", 4560, 118170, 0, 9385, 2, "BIOES, tabs"),
    ("bc5cdr/IOBES/devel.tsv", 4581, 117453, 0, 9593, 2, "BIOES, tabs"),
    ("bc5cdr/IOBES/test.tsv", 4797, 124750, 0, 9809, 2, "BIOES, tabs"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Convert corpus files, each selection once; return the output's path and the summary."""
    folder, done = tmp_path_factory.mktemp("corpora"), {}

    def convert_once(*files, **options):
        key = (files, *options.items())
        if key not in done:
            output = folder / f"{len(done)}.spacy"
            done[key] = output, convert([CORPORA / name for name in files], output, **options)
        return done[key]

    return convert_once


@needs_corpora
@pytest.mark.parametrize(
    ("file", "sentences", "tokens", "empty", "entities", "labels", "layout"),
    COUNTS,
    ids=[c[0] for c in COUNTS],
)
def test_corpora(corpus, file, sentences, tokens, empty, entities, labels, layout):
    output, summary = corpus(file)
    docs = DocBin().from_disk(output)
    iob = [tokens[:, docs.attrs.index(ENT_IOB)] for tokens in docs.tokens]
    # One sentence of btc.dev is a single empty token: no Doc can hold it.
    without_tokens = summary.dropped["sentence without tokens"]
    assert without_tokens == (1 if file == "btc/btc.dev" else 0)
    assert summary.sentences == len(docs) + without_tokens == sentences
    assert summary.dropped["empty token"] == empty
    assert summary.tokens == sum(map(len, iob)) == tokens - empty
    assert sum(summary.entities.values()) == sum((doc == 3).sum() for doc in iob) == entities
    assert len(summary.entities) == labels
    assert summary.repairs == []
    assert [note.split(", token")[0] for note in summary.notes] == [layout]


@needs_corpora
@pytest.mark.parametrize(
    ("files", "documents", "sentences"),
    [
        (lener_documents("train"), 50, 7827),
        (lener_documents("dev"), 10, 1176),
        (lener_documents("test"), 10, 1389),
        (["sec_filings/FIN5.train.txt"], 5, 1164),
        (["sec_filings/FIN3.test.txt"], 3, 303),
        (["uner_pt_bosque/test.iob2"], 39, 1167),
    ],
    ids=["lener-train", "lener-dev", "lener-test", "sec-train", "sec-test", "uner-test"],
)
def test_corpora_by_document(corpus, files, documents, sentences):
    output, summary = corpus(*files, group_docs=True)
    docs = load(output)
    assert summary.documents == len(docs) == documents
    assert summary.sentences == sum(len(list(doc.sents)) for doc in docs)
    assert summary.sentences == sentences
    if "lener" in str(files[0]):
        assert all(340 <= len(doc) <= 22640 for doc in docs)


@needs_corpora
def test_documents_have_the_same_sentences(corpus):
    for file in ("sec_filings/FIN3.test.txt", "uner_pt_bosque/test.iob2"):
        whole = [
            sent.as_doc() for doc in load(corpus(file, group_docs=True)[0]) for sent in doc.sents
        ]
        assert list(map(in_tokens, whole)) == list(map(in_tokens, load(corpus(file)[0])))


@needs_corpora
@pytest.mark.parametrize("name", ["devel.tsv"])
def test_bc5cdr_in_two_schemes_gives_the_same_bytes(corpus, name):
    (iob, summary), (iobes, _) = corpus(f"bc5cdr/IOB/{name}"), corpus(f"bc5cdr/IOBES/{name}")
    assert next(iter(summary.notes)).startswith("BIO, tabs")
    assert iob.read_bytes() == iobes.read_bytes()


@needs_corpora
@pytest.mark.parametrize("name", ["btc/btc.dev"])
def test_corpora_survive(tmp_path, name):
    convert([CORPORA / name], tmp_path / "a.spacy", group_docs=True)
    expected = [e[:5] for e in map(everything, load(tmp_path / "a.spacy"))]
    for middle in "b.jsonl", "b.conll":
        convert([tmp_path / "a.spacy"], tmp_path / middle)
        options = {"group_docs": True} if middle == "b.conll" else {}
        convert([tmp_path / middle], tmp_path / "c.spacy", force=True, **options)
        assert [e[:5] for e in map(everything, load(tmp_path / "c.spacy"))] == expected
