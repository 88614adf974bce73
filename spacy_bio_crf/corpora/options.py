"""Options of a conversion, with their choices and the formats that use them.

The fields of `ConvertOptions` are the one place where an option is described. The command's
options and the table in docs/formats.md are made from their metadata.
"""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from importlib.metadata import entry_points
from typing import Any

from ..errors import ConvertError, Plain, check_choice, describe
from ..gold.misfits import POLICIES
from ..io import UTF8
from ..tags.schemes import REPAIRS, scheme_name

DETECT = "auto"  # the format, scheme or prefix is found by the content
IO = "IO"  # the scheme of files with labels for tags
TAGGED_FORMATS = ("columns", "csv", "conllu", "datasets")  # a tag for each token
SENTENCE_FORMATS = (*TAGGED_FORMATS, "token-spans", "conll2012")  # entities in tokens
TEXT_FORMATS = ("jsonl", "label-studio", "argilla", "brat", "xml", "webanno", "pubtator")
LAYERED_FORMATS = (*TEXT_FORMATS, "columns", "conllu", "token-spans", "conll2012")
GOLD_SPANS_KEY = "gold_spans"
READERS = "spacy_bio_crf_readers"  # the entry points of other packages' formats
PLUGINS = {found.name: found for found in entry_points(group=READERS)}
SPAN_FORMATS = ("jsonl", "token-spans")  # records with a key for entities
TASK_FORMATS = ("label-studio", "argilla")  # several answers to a text, and predictions
_REPAIR_MEANINGS = {
    "begin": "a stray I- begins an entity, and an open entity is closed",
    "discard": "they are no entity",
}
_POLICY_MEANINGS = {
    "strict": "an error",
    "expand": "they take in each token they touch",
    "contract": "they keep the tokens inside, or are treated as missing if there are none",
    "missing": "the tokens they touch are left unannotated, never O",
}


def _option(
    default: Any,
    help: str,
    *,
    formats: Sequence[str] = (),
    choices: Mapping[str, str] | Sequence[str] = (),
    flags: Sequence[str] = (),
    metavar: str | None = None,
    only_convert: bool = False,
) -> Any:
    """A field with a description of the option as metadata.

    `flags` are its names on the command line, if not the field's name with two dashes, and
    `metavar` is the form of its value there. `only_convert`: `read` has no use for it.
    """
    metadata = {
        "help": help,
        "formats": tuple(formats),
        "choices": choices if isinstance(choices, Mapping) else dict.fromkeys(choices, ""),
        "flags": tuple(flags),
        "metavar": metavar,
        "only_convert": only_convert,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ConvertOptions:
    """Options of `convert` and `read`, checked when they are made.

    The metadata of each field has its "help", the "formats" that use it (all if empty) and its
    "choices" with their meanings. docs/formats.md lists them.

    RAISES: ConvertError if a value is not allowed, whatever the format.
    """

    format: str = _option(
        DETECT,
        "Format of the input; auto finds it by content",
        choices=(DETECT, *SENTENCE_FORMATS, *TEXT_FORMATS, "spacy", *PLUGINS),
    )
    encoding: str = _option(
        UTF8,
        "Encoding of text files, such as latin-1 or utf-16; an XML declaration takes precedence",
        formats=(*SENTENCE_FORMATS, *TEXT_FORMATS),
    )
    scheme: str = _option(
        DETECT,
        "Tag scheme: BIO (IOB2), IOB1, BIOES (IOBES), BILUO (BILOU), BMES, BMEWO, or IO for labels "
        "alone; auto finds it by the tags",
        formats=TAGGED_FORMATS,
    )
    label: str = _option(
        "ENTITY", "Label of tags that have none, such as B and I", formats=TAGGED_FORMATS
    )
    token_column: int | None = _option(
        None, "Column of the tokens: 1 is the first, -1 the last", formats=("columns", "csv")
    )
    tag_column: int | None = _option(
        None, "Column of the tags: 1 is the first, -1 the last", formats=("columns", "csv")
    )
    pos_column: int | None = _option(
        None,
        "Column of parts of speech, kept in `token.pos_` if all are universal ones, or else in "
        "`token.tag_`; found where a column of phrases follows it, as in CoNLL-2003",
        formats=("columns",),
    )
    chunk_column: int | None = _option(
        None,
        'Column of phrases such as B-NP, kept in `doc.spans["chunks"]`; found by its labels',
        formats=("columns",),
    )
    untagged: bool = _option(
        False, "There are no tags: all tokens are left unannotated", formats=("columns",)
    )
    token_prefix: str = _option(
        DETECT,
        "Prefix of tokens that is cut off, such as en: in WikiANN; auto finds a language's code "
        "that all tokens have, an empty value keeps it",
        formats=TAGGED_FORMATS,
    )
    skip_bad: bool = _option(
        False,
        "Leave out sentences or records with errors, and list them",
        formats=(*TAGGED_FORMATS, "jsonl", "brat"),
    )
    repair: str = _option(
        "begin",
        "Treatment of tags that break their scheme",
        formats=TAGGED_FORMATS,
        choices={rule: _REPAIR_MEANINGS[rule] for rule in REPAIRS},
    )
    text_key: str | None = _option(
        None, "Key of the text in JSON", formats=("jsonl", *TASK_FORMATS)
    )
    spans_key: str | None = _option(
        None, "Key of the entities, or Argilla's question", formats=(*SPAN_FORMATS, "argilla")
    )
    offsets: str = _option(
        DETECT,
        "Units in which entities' offsets count",
        formats=("jsonl", *TASK_FORMATS),
        choices={
            DETECT: "those that fit the entities' texts, or else characters",
            "characters": "Unicode code points, as in Python",
            "utf-16": "as in JavaScript, Java and C#",
            "bytes": "of UTF-8",
        },
    )
    ends: str = _option(
        DETECT,
        "Ends of entities in JSON",
        formats=(*SPAN_FORMATS, *TASK_FORMATS),
        choices={
            DETECT: "those that fit all entities and their texts, or else those usual for the form",
            "exclusive": "the position behind the entity",
            "inclusive": "the entity's last position",
        },
    )
    no_spans: str = _option(
        DETECT,
        "Texts in JSON without a key for entities",
        formats=SPAN_FORMATS,
        choices={
            DETECT: "those accepted in Prodigy or with an annotator's mark have no entity, others "
            "are unannotated",
            "empty": "they have no entity",
            "missing": "they are unannotated",
        },
    )
    answers: str = _option(
        DETECT,
        "Answers of Prodigy",
        formats=("jsonl",),
        choices={
            DETECT: "as the tasks' `_is_binary` and `_view_id` say",
            "binary": "to the entities shown: what else is in the text is unknown",
            "complete": "to the whole text",
        },
    )
    incorrect_spans_key: str = _option(
        "incorrect_spans",
        "Key in `doc.spans` for rejected entities; `bio_ner` has an option of this name",
        formats=("jsonl",),
    )
    annotation: str = _option(
        "first",
        "The annotation to read of a task that has several, none of them the ground truth",
        formats=TASK_FORMATS,
        choices=("first", "last", "error"),
    )
    predictions: bool = _option(
        False,
        "Read the predictions of tasks that nobody has annotated",
        formats=TASK_FORMATS,
    )
    tags_key: str | None = _option(
        None, "Key or column of the tags, such as fine_ner_tags", formats=("datasets",)
    )
    tag_names: tuple[str, ...] | None = _option(
        None, "Names of tag ids, in their order", formats=("datasets", "csv"), metavar="O,B-X,…"
    )
    discontinuous: str = _option(
        "missing",
        "Treatment of entities in several pieces",
        formats=("brat",),
        choices={
            "missing": "their tokens are left unannotated",
            "cover": "one entity from the first piece to the last",
            "parts": "an entity for each piece",
            "error": "an error",
        },
    )
    entity_elements: tuple[str, ...] = _option(
        (),
        "Elements that are entities, instead of those known: NAME@ATTRIBUTE, which has the label, "
        "or NAME, which is the label; may be repeated. In WebAnno's files LAYER@FEATURE",
        formats=("xml", "webanno"),
        flags=("--entity-element",),
        metavar="NAME@ATTRIBUTE",
    )
    scenario: str = _option(
        "total",
        "Categories of HAREM",
        formats=("xml",),
        choices={"total": "all ten", "selective": "PESSOA, ORGANIZACAO, LOCAL, TEMPO and VALOR"},
    )
    alternatives: str = _option(
        "most",
        "The alternative to read of HAREM's ALT",
        formats=("xml",),
        choices={
            "most": "the one with most entities",
            "coverage": "the one with most characters in entities",
        },
        flags=("--alt",),
    )
    misaligned: str = _option(
        "missing",
        "Treatment of entities that don't fit the tokens",
        formats=TEXT_FORMATS,
        choices={policy: _POLICY_MEANINGS[policy] for policy in POLICIES},
    )
    split_tokens: bool = _option(
        False,
        "Split tokens at the borders of entities, so that all entities fit",
        formats=TEXT_FORMATS,
    )
    overlaps: str = _option(
        "longest",
        "The entity that stays where entities share tokens",
        formats=(*TEXT_FORMATS, "conllu", "token-spans", "conll2012"),
        choices={
            "longest": "the longest, of equals the one that begins first",
            "first": "the one given first",
            "error": "an error",
        },
    )
    gold_spans_key: str = _option(
        GOLD_SPANS_KEY,
        "Key in `doc.spans` for the entities of `layers`; `bio_ner` has an option of this name",
        formats=LAYERED_FORMATS,
    )
    layers: bool = _option(
        False,
        "Keep all entities, those that share tokens too and those of all columns of tags but "
        "chunks, in `doc.spans`; `overlaps` chooses those of `doc.ents`",
        formats=LAYERED_FORMATS,
    )
    tag_labels: str = _option(
        "error",
        "Entities whose labels are tags such as B-PER",
        formats=(*SENTENCE_FORMATS, *TEXT_FORMATS),
        choices={
            "error": "an error, if all are such",
            "join": "their prefixes are taken off, and the pieces of an entity joined",
            "keep": "they are labels like others",
        },
    )
    lang: str = _option("en", "Language code of Docs and tokenizer", flags=("--lang", "-l"))
    n_sents: int = _option(
        1, "Sentences in a Doc, at most", formats=SENTENCE_FORMATS, flags=("--n-sents", "-n")
    )
    group_docs: bool = _option(
        False,
        "Make one Doc of each document mark (-DOCSTART-, # newdoc) or file",
        formats=SENTENCE_FORMATS,
    )
    split: str | None = _option(
        None,
        "Shares of two or three files, OUTPUT-train, OUTPUT-dev and OUTPUT-test, to which "
        "documents are dealt out at random",
        metavar="80/10/10",
        only_convert=True,
    )
    seed: int = _option(0, "Seed of the split", only_convert=True)
    rename: Mapping[str, str] = _option(
        {}, "Rename a label; may be repeated", flags=("--map",), metavar="OLD=NEW"
    )
    drop: tuple[str, ...] = _option(
        (), "Turn a label's entities into O; may be repeated", metavar="LABEL"
    )
    labels_annotated: tuple[str, ...] = _option(
        (), "Label that is annotated, if not all are; may be repeated", metavar="LABEL"
    )
    ignore: tuple[str, ...] = _option(
        (), "Leave a label's tokens unannotated; repeatable", formats=TEXT_FORMATS, metavar="LABEL"
    )
    force: bool = _option(
        False, "Overwrite an existing output", flags=("--force", "-F"), only_convert=True
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            if choices := option.metadata["choices"]:
                check_choice(option.name, getattr(self, option.name), choices, error=ConvertError)
        for name in ("tag_names", "drop", "labels_annotated", "entity_elements", "ignore"):
            if isinstance(getattr(self, name), str):
                _fail(name, "a sequence of strings", getattr(self, name))
            self._set(name, tuple(getattr(self, name) or ()))
        self._set("tag_names", self.tag_names or None)
        self._set("rename", dict(self.rename or {}))
        if self.scheme.upper() == IO:
            self._set("scheme", IO)
        elif self.scheme != DETECT:
            try:
                self._set("scheme", scheme_name(self.scheme))
            except ValueError as err:
                raise ConvertError(f"{err}; auto finds it by the tags") from None
        try:
            self._set("encoding", codecs.lookup(self.encoding).name)
            b" ".decode(self.encoding, errors="replace")  # which codecs such as base64 refuse
        except (LookupError, UnicodeError):
            _fail("encoding", "an encoding that Python has", self.encoding)
        for name in ("token_column", "tag_column", "pos_column", "chunk_column"):
            if getattr(self, name) == 0:
                _fail(name, "1 for the first column or -1 for the last", 0)
        if not self.label or self.label != self.label.strip():
            _fail("label", "a label", self.label)
        if self.n_sents < 1:
            _fail("n_sents", "1 or more", self.n_sents)
        if self.layers and self.overlaps == "error":
            _fail("overlaps", "longest or first with `layers`, which keeps all", self.overlaps)
        if not self.gold_spans_key:
            _fail("gold_spans_key", "a name of a group", self.gold_spans_key)
        if self.gold_spans_key != GOLD_SPANS_KEY and not self.layers:
            _fail("gold_spans_key", "`layers` with it", Plain("none"))
        if self.group_docs and self.n_sents != 1:
            _fail("n_sents", "1 with `group_docs`", self.n_sents)
        for old, new in self.rename.items():
            if not old or not new:
                _fail("rename", "two labels that are not empty", Plain(f"{old!r} to {new!r}"))
        for label in self.drop:
            if label in self.rename:
                _fail("drop", "labels that `rename` does not have", label)
        if self.split is not None:
            _read_shares(self.split)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def shares(self) -> tuple[int, ...]:
        """RETURNS (tuple[int, ...]): The parts' shares in the split; empty without a split."""
        return () if self.split is None else _read_shares(self.split)

    def check_format(self, format: str) -> None:
        """RAISES: ConvertError for an option given that the format has no use for."""
        for option in self._given():
            formats = option.metadata["formats"]
            if formats and format not in (*formats, *PLUGINS):
                expected = f"input in a format that uses it ({', '.join(formats)})"
                _fail(option.name, expected, Plain(format))

    def check_read_only(self) -> None:
        """RAISES: ConvertError for an option for the output that has been given."""
        for option in self._given():
            if option.metadata["only_convert"]:
                value = getattr(self, option.name)
                _fail(option.name, "no value where nothing is written", value)

    def _given(self) -> "list[Field[Any]]":
        """The options that do not have their default."""
        return [f for f in fields(self) if getattr(self, f.name) != getattr(DEFAULTS, f.name)]


def _read_shares(split: str) -> tuple[int, ...]:
    numbers = split.split("/")
    if len(numbers) not in (2, 3) or not all(n.isdecimal() and int(n) > 0 for n in numbers):
        _fail("split", "two or three shares above 0 such as 80/20 or 80/10/10", split)
    return tuple(map(int, numbers))


def _fail(option: str, expected: str, got: Any) -> None:
    raise ConvertError(describe(option, expected=expected, got=got))


DEFAULTS = ConvertOptions()
