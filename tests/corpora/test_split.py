from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.corpora import ConvertError, Leaks, convert
from spacy_bio_crf.corpora.split import _part_sizes as part_sizes
from tests.support.convert_tools import load

PARTS = ("train", "dev", "test")


def split(folder, path, name="out.spacy", **options):
    output = folder.path / "out" / name
    summary = convert([path], output, force=True, **options)
    assert list(summary.outputs) == sorted(
        (output.with_name(f"out-{part}{output.suffix}") for part in PARTS),
        key=lambda p: PARTS.index(p.stem.removeprefix("out-")),
    )
    assert {p.name for p in output.parent.iterdir()} >= {p.name for p in summary.outputs}
    return [[doc.text for doc in load(p)] for p in summary.outputs], summary


def texts(n, start=0):
    return [{"text": f"text{i}", "spans": []} for i in range(start, start + n)]


def test_shares_and_reproducibility(folder):
    path = folder.write(texts(50), "a.jsonl")
    parts, summary = split(folder, path, split="80/10/10", seed=3)
    assert list(map(len, parts)) == [40, 5, 5] == list(summary.outputs.values())
    assert sorted(sum(parts, [])) == sorted(f"text{i}" for i in range(50))
    for part in parts:
        assert part == sorted(part, key=lambda t: int(t[4:]))  # the order of the input
    assert parts[0] != [f"text{i}" for i in range(40)]
    assert split(folder, path, split="80/10/10", seed=3)[0] == parts
    assert split(folder, path, split="8/1/1", seed=3)[0] == parts
    assert split(folder, path, split="80/10/10", seed=4)[0] != parts
    assert summary.split_by == "documents" and summary.leaks == []
    assert not (folder.path / "out" / "out.spacy").exists()


def test_a_split_is_the_same_everywhere(folder):
    """Python's generator is the same on every machine, so a seed names a split."""
    path = folder.write(texts(10), "a.jsonl")
    parts, _ = split(folder, path, split="60/20/20")
    assert parts[1:] == [["text0", "text2"], ["text6", "text9"]]


def test_documents_stay_together(folder):
    content = "".join(
        f"# newdoc id = d{i}\n" + "".join(f"d{i}\tO\n.\tB-X\n\n" for _ in range(i + 1))
        for i in range(10)
    )
    parts, summary = split(folder, folder.write(content, "a.conll"), split="60/20/20")
    assert [len(set(part)) for part in parts] == [6, 2, 2]
    assert sorted(Counter(sum(parts, [])).values()) == list(range(1, 11))
    assert summary.split_by == "documents"


def test_docs_that_were_cut_from_one_document_stay_together(folder):
    content = "".join(
        f"# newdoc id = d{i}\n" + "".join(f"d{i}\tO\n\n" for _ in range(3)) for i in range(10)
    )
    whole = folder.path / "whole.jsonl"
    for name in "whole.jsonl", "whole.spacy":
        whole = folder.path / name
        convert(folder.write(content, "a.conll"), whole, scheme="BIO")
        parts, summary = split(folder, whole, split="60/20/20")
        assert [len(set(part)) for part in parts] == [6, 2, 2]
        assert summary.documents == 30 and summary.leaks == []


def test_without_documents_sentences_are_dealt_out(folder):
    path = folder.write("".join(f"w{i}\tB-X\n\n" for i in range(20)), "a.conll")
    parts, summary = split(folder, path, split="80/10/10")
    assert list(map(len, parts)) == [16, 2, 2]
    assert summary.split_by.startswith("sentences or groups of them (there are fewer documents")


def test_two_parts_and_other_outputs(folder):
    path = folder.write(texts(4), "a.jsonl")
    summary = convert([path], folder.path / "b.jsonl", split="3/1")
    assert [(p.name, n) for p, n in summary.outputs.items()] == [
        ("b-train.jsonl", 3),
        ("b-dev.jsonl", 1),
    ]
    assert (folder.path / "b-train.jsonl").read_text().count("\n") == 3


def test_leaks(folder):
    """Two texts are the same but for white space; of others, one sentence is the same."""
    records = [{"text": t, "spans": []} for t in ("Same  text", "Same text", "Same text ", "x")]
    parts, summary = split(folder, folder.write(records, "a.jsonl"), split="1/1/2")
    assert {leak.parts for leak in summary.leaks} <= {
        ("train", "dev"),
        ("train", "test"),
        ("dev", "test"),
    }
    flat = [{" ".join(t.split()) for t in part} for part in parts]
    shared = sum("Same text" in part for part in flat)
    assert shared >= 2 and len(summary.leaks) == shared * (shared - 1) // 2
    assert all(leak[1:] == (1, 1, "Same text") for leak in summary.leaks)
    content = "".join(f"# newdoc\nw{i}\tO\n\nsame\tB-X\nagain\tI-X\n\n" for i in range(3))
    _, summary = split(folder, folder.write(content, "b.conll"), split="1/1/1", group_docs=True)
    assert summary.leaks == [
        Leaks(pair, 0, 1, "same again")
        for pair in (("train", "dev"), ("train", "test"), ("dev", "test"))
    ]


@pytest.mark.parametrize("shares", ["80", "80/10/10/10", "80/0", "80/x", "", "-8/2", "0.8/0.2"])
def test_bad_shares(folder, shares):
    path = folder.write(texts(5), "a.jsonl")
    message = folder.error(path, split=shares)
    assert message.startswith("split: expected two or three shares above 0 such as 80/20")
    assert message.endswith(f", got {shares!r}")


def test_bad_outputs(folder):
    path = folder.write(texts(2), "a.jsonl")
    assert (
        folder.error(path, split="8/1/1") == "split: expected 3 documents, one for each part, got 2"
    )
    (folder.path / "b-dev.spacy").write_text("old")
    with pytest.raises(
        ConvertError, match="b-dev.spacy: expected no file, got an existing file; use `force`"
    ):
        convert([path], folder.path / "b.spacy", split="1/1")
    assert {p.name for p in folder.path.iterdir()} == {"a.jsonl", "b-dev.spacy"}


@given(st.lists(st.integers(1, 90), min_size=2, max_size=3), st.integers(3, 300))
def test_sizes(shares, n):
    sizes = part_sizes(n, shares)
    assert sum(sizes) == n and min(sizes) >= 1
    exact = [n * share / sum(shares) for share in shares]
    if min(exact) >= 1:
        assert all(abs(size - e) < 1 for size, e in zip(sizes, exact, strict=True))
