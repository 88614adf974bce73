"""The local engine: what it reads and writes, bad records, failing documents, options."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spacy.language import Language
from spacy.training import Corpus

from spacy_bio_crf.bulk import AnnotateError, annotate
from spacy_bio_crf.corpora import convert
from tests.support.annotate_tools import Fuse, folder, found, load_docs, make_ruler  # noqa: F401
from tests.support.pipelines import SENTENCES

# ruff: noqa: F811

TEXTS = ["Ana Ruiz is in Rio", "", "nobody", "😀 in Rio, Ana Ruiz\u2028é", "  Rio  ", "Rio\tRio"]


def test_a_text_file_has_a_document_on_each_line(folder):
    path = folder.write("a.txt", "\ufeff" + "\n".join(TEXTS[:3]) + "\r\n" + "\n".join(TEXTS[3:]))
    expected = [{"text": text, "entities": found(text)} for text in TEXTS]
    assert folder.rows(path) == expected
    assert sum(len(row["entities"]) for row in expected) == 7


def test_a_folder_of_text_has_a_document_in_each_file(folder):
    folder.write("in/b.txt", "Ana Ruiz\r\nRio\n")
    folder.write("in/a/z.txt", "\ufeffRio")
    folder.write("in/c.txt", "")
    folder.write("in/.hidden.txt", "no")
    folder.write("in/.git/x.txt", "no")
    folder.write("in/README.md", "no")
    rows = folder.rows(folder.path / "in")
    assert [(row["source"], row["text"]) for row in rows] == [
        ("a/z.txt", "Rio"),
        ("b.txt", "Ana Ruiz\r\nRio\n"),
        ("c.txt", ""),
    ]
    assert rows[1]["entities"] == found("Ana Ruiz\r\nRio\n")


def test_links_to_folders_are_followed(folder):
    folder.write("in/a.txt", "Rio")
    folder.write("other/b.txt", "Ana Ruiz")
    (folder.path / "in" / "link").symlink_to("../other")
    rows = folder.rows(folder.path / "in")
    assert [row["source"] for row in rows] == ["a.txt", "link/b.txt"]
    (folder.path / "in" / "lost.txt").symlink_to("nowhere.txt")
    with pytest.raises(FileNotFoundError, match="lost.txt"):
        folder.annotate(folder.path / "in", "other.jsonl")


def test_json_lines_are_kept_to_the_letter(folder):
    line = ' { "id":1.50, "\\u00e9": [1e400, 12345678901234567890123], "text" : "R\\u0069o \\n"  } '
    path = folder.write("a.jsonl", f"\ufeff{line}\r\n\n   \n{line.strip()}")
    target = folder.annotate(path)
    entities = ', "entities": [{"start": 0, "end": 3, "label": "LOC"}]}\n'
    assert target.read_text() == 2 * (line.strip()[:-1].rstrip() + entities)


def test_keys_are_chosen(folder):
    path = folder.write("a.jsonl", [{"body": "Rio", "text": 1, "entities": "old"}])
    assert folder.rows(path, text_key="body", entities_key="ner") == [
        {"body": "Rio", "text": 1, "entities": "old", "ner": found("Rio")}
    ]


def test_a_folder_of_json_lines_is_read_in_order(folder):
    for name, ids in ("in/2.jsonl", [3]), ("in/1.jsonl", [1, 2]), ("in/3.ndjson", [4]):
        folder.write(name, [{"text": "Rio", "id": i} for i in ids])
    assert [row["id"] for row in folder.rows(folder.path / "in", batch_size=3)] == [1, 2, 3, 4]


def test_format_by_option(folder):
    path = folder.write("a.dat", '{"text": "Rio"}\n')
    assert folder.rows(path, format="text") == [
        {"text": '{"text": "Rio"}', "entities": [{"start": 10, "end": 13, "label": "LOC"}]}
    ]
    assert folder.rows(path, "b.jsonl", format="jsonl")[0]["text"] == "Rio"
    folder.write("in/x", "Rio")
    assert folder.rows(folder.path / "in", "c.jsonl", format="text")[0]["source"] == "x"


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_input_without_records(folder, content):
    path = folder.write("a.jsonl", content)
    assert folder.rows(path) == []
    assert load_docs(folder.annotate(path, "out.spacy")) == []


def test_confidence_of_bio_ner(folder, trained):
    texts = [" ".join(words) for words, _ in SENTENCES] * 3
    path = folder.write("a.txt", "\n".join(texts))
    rows = folder.rows(path, nlp=trained, batch_size=4)
    assert [row["text"] for row in rows] == texts
    for row in rows:
        doc = trained(row["text"])
        expected = [(e.start_char, e.end_char, e.label_) for e in doc.ents]
        assert [(e["start"], e["end"], e["label"]) for e in row["entities"]] == expected
        scores = [e["score"] for e in row["entities"]]
        assert scores == pytest.approx([e._.confidence for e in doc.ents], abs=1e-5)
    assert sum(len(row["entities"]) for row in rows) == 3 * 12


def test_docs(folder):
    path = folder.write(
        "a.jsonl", [{"text": t, "id": i, "big": 1 << 70} for i, t in enumerate(TEXTS)]
    )
    docs = load_docs(folder.annotate(path, "out.spacy", docs_per_file=4, one_file=True))
    assert [doc.text for doc in docs] == TEXTS
    for i, doc in enumerate(docs):
        spans = [{"start": e.start_char, "end": e.end_char, "label": e.label_} for e in doc.ents]
        assert spans == found(doc.text)
        assert doc.user_data["source"] == f"{path}, line {i + 1}"
        assert doc.user_data["record"] == {"id": i, "big": str(1 << 70)}


@pytest.mark.skipif(os.name != "posix", reason="names of files are Unicode")
def test_docs_from_files_whose_names_are_not_utf8(folder):
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        folder.write(f"in/{name}", "Rio")
    except OSError:
        pytest.skip("the file system has no such names")
    (doc,) = load_docs(folder.annotate(folder.path / "in", "out.spacy"))
    assert doc.user_data["source"].endswith("/in/caf?.txt")


def test_docs_keep_their_scores(folder, trained):
    path = folder.write("a.txt", " ".join(SENTENCES[0][0]))
    (doc,) = load_docs(folder.annotate(path, "out.spacy", nlp=trained))
    assert len(doc.ents) == 3
    for ent in doc.ents:
        assert 0 < ent._.confidence <= 1


def test_docs_in_several_files(folder):
    path = folder.write("a.txt", "\n".join(f"Rio {i}" for i in range(20)))
    target = folder.annotate(path, "out.spacy", docs_per_file=7)
    sizes = [len(load_docs(file)) for file in sorted(target.glob("*.spacy"))]
    assert sizes == [7, 7, 6]
    examples = list(Corpus(target)(folder.nlp))
    assert [eg.reference.text for eg in examples] == [f"Rio {i}" for i in range(20)]
    # Over a folder of other parts, over a folder as a file, and over a file.
    folder.annotate(path, "out.spacy", docs_per_file=99, restart=True)
    assert len(list(target.glob("*.spacy"))) == 1
    folder.annotate(path, "out.spacy", force=True)
    assert len(load_docs(target)) == 20
    folder.annotate(path, "out.spacy", docs_per_file=10, force=True)
    assert len(list(target.glob("*.spacy"))) == 2


@pytest.mark.parametrize(
    ("output", "options", "suffixes"),
    [
        ("out", {}, [".jsonl"] * 3),
        ("out", {"one_file": True}, None),
        ("out.jsonl", {"one_file": False}, [".jsonl"] * 3),
        ("out.parquet", {"one_file": False}, [".parquet"] * 3),
        ("out.jsonl", {"one_file": True, "docs_per_file": 10}, None),
        ("out.jsonl", {"docs_per_file": 10}, [".jsonl"] * 2),
    ],
)
def test_a_folder_of_parts_or_one_file(folder, monkeypatch, output, options, suffixes):
    monkeypatch.setattr("spacy_bio_crf.bulk.local.PART_DOCUMENTS", 7)
    path = folder.write("a.txt", "\n".join(f"Rio {i}" for i in range(20)))
    target = folder.annotate(path, output, **options)
    if suffixes is None:
        assert len(target.read_text("utf-8").splitlines()) == 20
    else:
        assert [file.suffix for file in sorted(target.glob("[!_.]*"))] == suffixes
        assert folder.finished(output) == [*range(len(suffixes))]


def test_the_name_of_a_part_has_its_account(folder):
    path = folder.write("a.txt", "Ana Ruiz in Rio\nRio\npoison\nno")
    target = folder.annotate(path, "out", docs_per_file=3, skip_bad=True)
    names = sorted(file.name for file in target.glob("part-*"))
    assert names == ["part-0000000-2-5-3-1.jsonl", "part-0000001-1-1-0-0.jsonl"]


def test_convert_reads_the_output(folder):
    path = folder.write("a.jsonl", [{"text": text} for text in TEXTS if text])
    convert([folder.annotate(path)], folder.path / "back.spacy")
    for doc in load_docs(folder.path / "back.spacy"):
        spans = [{"start": e.start_char, "end": e.end_char, "label": e.label_} for e in doc.ents]
        assert spans == found(doc.text)


# -- bad records ----------------------------------------------------------------------------------

DEEP = "[" * 100_000
BAD = [
    (
        b'{"text": "a"',
        "expected a JSON object, got '{\"text\": \"a\"': Expecting ','",
    ),
    (b"[1]", "expected a JSON object, got '[1]'"),
    (b'"text"', "expected a JSON object, got '\"text\"'"),
    (DEEP.encode(), f"expected a JSON object, got '{DEEP[:60]}'"),
    (b'{"a": 1, "b": 2}', "expected the key 'text' (`text_key`), got the keys 'a', 'b'"),
    (b"{}", "expected the key 'text' (`text_key`), got the keys none"),
    (b'{"text": null}', "expected a string under 'text', got None"),
    (b'{"text": ["a"]}', "expected a string under 'text', got ['a']"),
    (b'{"text": "caf\xe9"}', "expected UTF-8, got byte 0xe9"),
    (b'{"text": "\\ud83d"}', "expected Unicode text, got half a surrogate pair in it: '\\ud83d'"),
    (b'{"text": "a", "entities": 1}', "expected no key 'entities'; name another one with `en"),
    (b'{"text": "poison"}', "the pipeline failed: RuntimeError: can't read poison"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
@pytest.mark.parametrize("batch_size", [1, 100])
def test_a_bad_record_stops_the_run_and_is_named(folder, line, message, batch_size):
    good = b'{"text": "Rio"}\n'
    path = folder.write("a.jsonl", 2 * good + b"\n" + line + b"\n" + good)
    error = folder.error(path, batch_size=batch_size)
    assert error.startswith(f"a.jsonl, line 4: {message}")
    assert error.endswith("; `skip_bad` leaves such records out")


@pytest.mark.parametrize("size", [1, 3, 100])
def test_bad_records_are_skipped_by_choice(folder, size):
    lines, expected = [], []
    for i, (line, _) in enumerate(BAD):
        lines += [b'{"text": "Ana Ruiz %d"}' % i, line]
        expected.append({"text": f"Ana Ruiz {i}", "entities": found("Ana Ruiz")})
    path = folder.write("a.jsonl", b"\n".join(lines))
    seen = []
    options = {"skip_bad": True, "batch_size": 2, "docs_per_file": size, "one_file": True}
    assert folder.rows(path, report=seen.append, **options) == expected
    skipped = [bad for progress in seen for bad in progress.skipped]
    # The pipeline's failures are known later than the reader's.
    assert sorted(int(bad.place.split()[-1]) for bad in skipped) == [*range(2, 25, 2)]
    assert [m for _, m in BAD if not any(b.reason.startswith(m) for b in skipped)] == []
    counts = seen[-1].counts
    assert (counts.documents, counts.skipped, counts.entities) == (12, 12, 12)
    assert counts.words == sum(len(folder.nlp.make_doc(row["text"])) for row in expected)
    docs = load_docs(folder.annotate(path, "out.spacy", **options))
    assert [doc.text for doc in docs] == [row["text"] for row in expected]
    assert [doc.user_data["source"][-2:].strip() for doc in docs] == [
        str(i) for i in range(1, 24, 2)
    ]


def test_bad_text(folder):
    path = folder.write("a.txt", b"Rio\n\xff\nRio")
    assert folder.error(path).startswith("a.txt, line 2: expected UTF-8, got byte 0xff")
    assert len(folder.rows(path, skip_bad=True)) == 2
    folder.write("in/a.txt", b"x\ny\xff")
    assert folder.error(folder.path / "in", "b.jsonl").startswith(
        "in/a.txt: expected UTF-8, got byte 0xff on line 2"
    )


def test_a_document_that_is_too_long(folder):
    folder.nlp.max_length = 10
    path = folder.write("a.txt", "Rio\nAna Ruiz is in Rio\nRio")
    told = (
        "a.txt, line 2: the pipeline failed: expected at most 10 characters, got 18; --max-length"
    )
    assert told in folder.error(path)
    assert [row["text"] for row in folder.rows(path, skip_bad=True)] == ["Rio", "Rio"]


def test_an_error_handler_that_drops_documents_shifts_none(folder):
    """As `bio_ner` does it: a whole batch comes back with fewer documents."""

    class Dropping:
        def __call__(self, doc):
            if "bad" in doc.text:
                raise RuntimeError(doc.text)
            return doc

        def pipe(self, docs, **options):
            return (doc for doc in docs if "bad" not in doc.text)

    Language.component("dropping", func=Dropping())
    folder.nlp.add_pipe("dropping")
    path = folder.write("a.txt", "Rio\nbad\nAna Ruiz\nbad\n\nRio Rio")
    rows = folder.rows(path, skip_bad=True)
    assert [(row["text"], row["entities"]) for row in rows] == [
        (text, found(text)) for text in ["Rio", "Ana Ruiz", "", "Rio Rio"]
    ]


def test_a_pipeline_that_changes_the_text_fails(folder, monkeypatch):
    make_doc = folder.nlp.make_doc
    monkeypatch.setattr(folder.nlp, "make_doc", lambda text: make_doc(text.lower()))
    path = folder.write("a.txt", "rio\nRio")
    assert "a.txt, line 2: the pipeline failed: expected a Doc with the rec" in folder.error(path)


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "output", "options", "message"),
    [
        (
            "a.txt",
            "out.csv",
            {},
            "out.csv: expected .jsonl, .parquet, .spacy or no suffix, got .csv",
        ),
        ("a.txt", "out.spacy", {"docs_per_file": 0}, "docs_per_file: expected 1 or more, got 0"),
        ("a.txt", "out.jsonl", {"batch_size": 0}, "batch_size: expected 1 or more, got 0"),
        ("a.txt", "out.jsonl", {"n_process": 0}, "n_process: expected 1 or more, got 0"),
        ("a.txt", "out", {"shard": (0, 2)}, "shard: expected I/N with I from 1 to N, got 0/2"),
        ("a.txt", "out", {"shard": (3, 2)}, "shard: expected I/N with I from 1 to N, got 3/2"),
        (
            "a.txt",
            "out",
            {"shard": (1, 2), "restart": True},
            "restart: expected a run without `shard`, got 1/2; remove the output before the first",
        ),
        (
            "mixed",
            "mixed/out.jsonl",
            {"format": "text"},
            "mixed/out.jsonl: expected an output outside of the input mixed",
        ),
        ("mixed", "mixed", {"format": "text"}, "mixed: expected an output outside of the input"),
    ],
)
def test_what_cannot_be(folder, path, output, options, message):
    folder.write("a.txt", "Rio")
    folder.write("mixed/a.txt", "")
    with pytest.raises(AnnotateError) as caught:
        folder.annotate(folder.path / path, output, **options)
    assert str(caught.value).replace(f"{folder.path}/", "").startswith(message)
    assert {file.name for file in folder.path.iterdir()} == {"a.txt", "mixed"}
    assert (folder.path / "mixed" / "a.txt").exists()


@pytest.mark.parametrize("output", [".", ".."])
def test_one_file_needs_a_name(folder, monkeypatch, output):
    path = folder.write("a.txt", "Rio")
    (folder.path / "in" / "it").mkdir(parents=True)
    monkeypatch.chdir(folder.path / "in" / "it")
    with pytest.raises(AnnotateError, match=r"output: expected the name of a file, got '\.+'"):
        annotate(folder.nlp, path, Path(output), one_file=True)


def test_an_output_is_written_over_by_choice_only(folder):
    path = folder.write("a.txt", "Rio")
    folder.write("out.jsonl", "old")
    with pytest.raises(AnnotateError, match="out.jsonl exists already; `force` writes over it"):
        folder.annotate(path)
    assert (folder.path / "out.jsonl").read_text() == "old"
    assert len(folder.rows(path, force=True)) == 1
    with pytest.raises(AnnotateError, match="outside of the input"):
        folder.annotate(folder.path / "out.jsonl", force=True)


@pytest.mark.parametrize("options", [{}, {"force": True}, {"restart": True}])
@pytest.mark.parametrize("output", ["out", "out.jsonl", "out.jsonl.parts"])
def test_a_folder_of_other_files_is_never_written_over(folder, options, output):
    path = folder.write("a.txt", "Rio")
    mine = folder.write(f"{output}/mine.jsonl", "{}")
    message = "expected a new folder, or the parts of an earlier run, got 'mine.jsonl'"
    with pytest.raises(AnnotateError, match=message):
        folder.annotate(path, output.removesuffix(".parts"), **options)
    assert list(mine.parent.iterdir()) == [mine]


def test_a_full_disk_is_named(folder, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("spacy_bio_crf.bulk.outputs.Output.write", full)
    path = folder.write("a.txt", "Rio")
    error = folder.error(path)
    assert error.startswith("out.jsonl.parts/part-0000000-1-1-1-0.jsonl: the part can't be written")
    assert "No space left on device" in error
    assert folder.finished() == []


# -- shards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["out", "out.jsonl"])
def test_shards_share_the_parts(folder, output):
    path = folder.write("a.txt", "\n".join(f"Rio {i}" for i in range(50)))
    options = {"docs_per_file": 4, "one_file": output == "out.jsonl"}
    seen = []
    for first in 3, 1, 2:
        seen.clear()
        Fuse.seen = 0
        folder.annotate(path, output, shard=(first, 3), report=seen.append, **options)
        assert seen[0].done == 0 and seen[-1].done == seen[-1].total
        assert seen[-1].counts.documents == Fuse.seen < 20
        assert not (folder.path / "out.jsonl").exists()
    assert folder.finished(output) == [*range(13)]
    # The rest: nothing, or to join.
    Fuse.seen = 0
    target = folder.annotate(path, output, report=seen.append, **options)
    assert Fuse.seen == 0 and seen[-1].counts.documents == 50
    files = [target] if target.is_file() else sorted(target.glob("part-*"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [row["text"] for row in rows] == [f"Rio {i}" for i in range(50)]


def test_a_run_does_what_shards_have_left(folder):
    path = folder.write("a.txt", "\n".join(f"Rio {i}" for i in range(50)))
    options = {"docs_per_file": 4, "one_file": True}
    folder.annotate(path, shard=(2, 3), **options)
    assert folder.finished() == [1, 4, 7, 10]
    Fuse.seen = 0
    assert [row["text"] for row in folder.rows(path, **options)] == [f"Rio {i}" for i in range(50)]
    assert Fuse.seen == 50 - 16


# -- memory ---------------------------------------------------------------------------------------


MEMORY = """
import sys
from pathlib import Path
import spacy
from spacy_bio_crf.bulk import annotate

nlp = spacy.blank("en")
path, output = map(Path, sys.argv[1:])
# No word is there twice.
with path.open("w") as file:
    for i in range(3000):
        file.write(" ".join(f"w{i}x{j}" for j in range(40)) + "\\n")
page, seen = 4096, {}

def report(progress):
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
    seen[progress.counts.documents] = resident

annotate(nlp, path, output, docs_per_file=200, one_file=True, report=report)
print(seen[3000] - seen[600])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_input(folder, run_python):
    """Without forgetting words, 100,000 new ones take 35 MB."""
    grown = int(run_python(MEMORY, folder.path / "a.txt", folder.path / "out.jsonl"))
    assert grown < 10_000_000


def test_what_a_pipeline_does_not_need_is_not_imported():
    program = (
        "import sys; import spacy_bio_crf.bulk; "
        "sys.exit(any(name in sys.modules for name in ('transformers', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
