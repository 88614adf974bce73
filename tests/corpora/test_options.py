from dataclasses import FrozenInstanceError, fields, replace

import pytest

from spacy_bio_crf.corpora import INPUT_FORMATS, ConvertError, ConvertOptions
from tests.support.convert_tools import make_doc, save

OPTIONS = {option.name: option for option in fields(ConvertOptions)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "bart"}, "format: expected one of 'auto', 'columns', 'csv', 'conllu', 'data"),
        ({"scheme": "BLUE"}, "scheme: expected one of BIO"),
        ({"repair": "fix"}, "repair: expected one of 'begin', 'discard', got 'fix'"),
        ({"misaligned": "x"}, "misaligned: expected one of 'strict', 'expand', 'contract', 'mis"),
        ({"overlaps": "x"}, "overlaps: expected one of 'longest', 'first', 'error', got 'x'"),
        ({"discontinuous": "x"}, "discontinuous: expected one of 'missing', 'cover', 'parts', 'e"),
        ({"scenario": "x"}, "scenario: expected one of 'total', 'selective', got 'x'"),
        ({"alternatives": "x"}, "alternatives: expected one of 'most', 'coverage', got 'x'"),
        ({"tag_column": 0}, "tag_column: expected 1 for the first column or -1 for the last, got"),
        ({"token_column": 0}, "token_column: expected 1 for the first column or -1 for the last"),
        ({"n_sents": 0}, "n_sents: expected 1 or more, got 0"),
        ({"n_sents": 2, "group_docs": True}, "n_sents: expected 1 with `group_docs`, got 2"),
        ({"rename": {"X": ""}}, "rename: expected two labels that are not empty, got 'X' to ''"),
        ({"rename": {"X": "Y"}, "drop": ["X"]}, "drop: expected labels that `rename` does not ha"),
        ({"labels_annotated": "X"}, "labels_annotated: expected a sequence of strings, got 'X'"),
        ({"drop": "X"}, "drop: expected a sequence of strings, got 'X'"),
        ({"encoding": "base64"}, "encoding: expected an encoding that Python has, got 'base64'"),
        ({"tag_names": "O,B-X"}, "tag_names: expected a sequence of strings, got 'O,B-X'"),
        ({"split": "80"}, "split: expected two or three shares above 0 such as 80/20 or 80/10/10"),
    ],
)
def test_values_are_checked_at_once(options, message):
    with pytest.raises(ConvertError) as caught:
        ConvertOptions(**options)
    assert str(caught.value).startswith(message)


def test_values_are_brought_into_one_form():
    options = ConvertOptions(scheme="iob2", tag_names=["O", "B-X"], drop=["A"], split="80/10/10")
    assert (options.scheme, options.tag_names, options.drop) == ("BIO", ("O", "B-X"), ("A",))
    assert options.shares == (80, 10, 10) and ConvertOptions().shares == ()
    assert ConvertOptions(tag_names=[]).tag_names is None
    assert replace(options, rename=None).rename == {}
    with pytest.raises(FrozenInstanceError):
        options.scheme = "BIO"


# For each option a value that is not its default.
OTHER = {
    "format": "columns", "scheme": "BIO", "token_column": 2, "tag_column": 2, "repair": "discard",
    "spans_key": "x", "tag_labels": "keep", "offsets": "bytes", "ends": "inclusive",
    "no_spans": "empty", "answers": "binary", "incorrect_spans_key": "x",
    "predictions": True, "annotation": "last",
    "text_key": "x", "tags_key": "x", "tag_names": ("O",), "discontinuous": "cover",
    "scenario": "selective", "alternatives": "coverage", "misaligned": "expand",
    "overlaps": "first", "lang": "pt", "n_sents": 2, "group_docs": True, "split": "1/1", "seed": 1,
    "rename": {"A": "B"}, "drop": ("A",), "force": True, "encoding": "latin-1",
    "entity_elements": ("a",), "label": "X", "split_tokens": True, "token_prefix": "x",
    "untagged": True, "skip_bad": True, "pos_column": 2, "chunk_column": 2, "layers": True,
    "gold_spans_key": "x", "labels_annotated": ("A",), "ignore": ("A",),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_the_format_does_not_use_is_rejected(name):
    needed = {"layers": True} if name == "gold_spans_key" else {}
    options = ConvertOptions(**{name: OTHER[name], **needed})
    used_by = OPTIONS[name].metadata["formats"]
    for format in INPUT_FORMATS:
        if not used_by or format in used_by:
            options.check_format(format)
        else:
            with pytest.raises(ConvertError) as caught:
                options.check_format(format)
            assert str(caught.value) == (
                f"{name}: expected input in a format that uses it ({', '.join(used_by)}), "
                f"got {format}"
            )


def test_only_the_formats_that_read_an_option_are_named():
    """Counted by hand from the readers and the builder."""
    used = {name: set(o.metadata["formats"]) for name, o in OPTIONS.items()}
    tagged = {"columns", "csv", "conllu", "datasets"}
    sentences = tagged | {"token-spans", "conll2012"}
    texts = {"jsonl", "label-studio", "argilla", "brat", "xml", "webanno", "pubtator"}
    assert {name: formats for name, formats in used.items() if formats} == {
        **dict.fromkeys(("scheme", "repair", "label", "token_prefix"), tagged),
        "skip_bad": tagged | {"jsonl", "brat"},
        **dict.fromkeys(("n_sents", "group_docs"), sentences),
        "untagged": {"columns"},
        **dict.fromkeys(("token_column", "tag_column"), {"columns", "csv"}),
        "tags_key": {"datasets"},
        "tag_names": {"datasets", "csv"},
        **dict.fromkeys(("encoding", "tag_labels"), sentences | texts),
        **dict.fromkeys(("text_key", "offsets"), {"jsonl", "label-studio", "argilla"}),
        "spans_key": {"jsonl", "token-spans", "argilla"},
        "no_spans": {"jsonl", "token-spans"},
        "ends": {"jsonl", "label-studio", "argilla", "token-spans"},
        **dict.fromkeys(("answers", "incorrect_spans_key"), {"jsonl"}),
        **dict.fromkeys(("annotation", "predictions"), {"label-studio", "argilla"}),
        "discontinuous": {"brat"},
        **dict.fromkeys(("scenario", "alternatives"), {"xml"}),
        "entity_elements": {"xml", "webanno"},
        **dict.fromkeys(("misaligned", "split_tokens", "ignore"), texts),
        "overlaps": texts | {"conllu", "token-spans", "conll2012"},
        **dict.fromkeys(("pos_column", "chunk_column"), {"columns"}),
        **dict.fromkeys(
            ("layers", "gold_spans_key"),
            texts | {"columns", "conllu", "token-spans", "conll2012"},
        ),
    }


@pytest.mark.parametrize("option", [{"n_sents": 2}, {"group_docs": True}])
def test_options_are_rejected_before_anything_is_written(folder, option):
    path = save([make_doc(["a"], [False])], folder.path / "a.spacy")
    assert folder.error(path, **option) == (
        f"{next(iter(option))}: expected input in a format that uses it (columns, csv, conllu, "
        "datasets, token-spans, conll2012), got spacy"
    )


def test_every_format_is_a_choice():
    assert list(OPTIONS["format"].metadata["choices"]) == ["auto", *INPUT_FORMATS]
