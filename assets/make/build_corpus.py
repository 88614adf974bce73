"""Build the column files of the project's own corpus from its plain-text sources.

The sources hold one sentence per line with inline entities, `[Ada Lovelace](PER)`. Each split has a
hand-written file per language. The training split also has sentence templates, filled with names
from lexicons. The result is one two-column file per split (`token<TAB>tag`, IOB2,
`-DOCSTART-<TAB>O` at the start of a document), English before Portuguese.

    python assets/make/build_corpus.py --source assets/source --out assets --seed 0

The same sources and seed give the same bytes.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import spacy
from corpus_source import LABELS, LANGS, Sentence, SourceError, fold, read_sentences
from corpus_templates import fill_templates
from spacy.language import Language

SPLITS = ("train", "dev", "test")
DOCSTART = "-DOCSTART-\tO\n\n"
# Headings name a genre in the language of the text; the table of counts names it once.
GENRES = {
    "anuncio": "job",
    "ata": "minutes",
    "aviso": "notice",
    "ciencia": "science",
    "cronica": "essay",
    "desporto": "sport",
    "email": "mail",
    "ensaio": "essay",
    "entrevista": "interview",
    "esporte": "sport",
    "historia": "history",
    "job-ad": "job",
    "juridico": "legal",
    "legendas": "captions",
    "lista": "list",
    "manchetes": "headlines",
    "noticia": "news",
    "receita": "recipe",
    "relatorio": "report",
    "resenha": "review",
    "suporte": "support",
    "tabela": "table",
    "viagem": "travel",
}


def without_surfaces(
    sentences: list[Sentence], forbidden: set[str]
) -> tuple[list[Sentence], list[Sentence]]:
    """Split sentences into those without and those with a forbidden (folded) entity surface."""
    kept: list[Sentence] = []
    dropped: list[Sentence] = []
    for sentence in sentences:
        clash = any(fold(surface) in forbidden for surface in sentence.surfaces)
        (dropped if clash else kept).append(sentence)
    return kept, dropped


def on_token_borders(sentence: Sentence, tokenizer: Language) -> bool:
    """RETURNS (bool): Whether every entity begins and ends at a token border."""
    doc = tokenizer(sentence.text)
    return all(doc.char_span(start, end) is not None for start, end, _ in sentence.entities)


def tag_tokens(sentence: Sentence, tokenizer: Language) -> list[tuple[str, str]]:
    """Tokenize a sentence and give each token its IOB2 tag.

    RETURNS (list[tuple[str, str]]): (token, tag) pairs.
    RAISES: SourceError where an entity begins or ends inside a token.
    """
    doc = tokenizer(sentence.text)
    tags = ["O"] * len(doc)
    for start, end, label in sentence.entities:
        span = doc.char_span(start, end)
        if span is None:
            near = [t.text for t in doc if t.idx < end and t.idx + len(t) > start]
            raise SourceError(
                f"{sentence.where}: entity {sentence.text[start:end]!r} begins or ends inside a "
                f"token: expected it to cover whole tokens of {near}"
            )
        tags[span.start : span.end] = [f"B-{label}"] + [f"I-{label}"] * (len(span) - 1)
    return [(token.text, tag) for token, tag in zip(doc, tags, strict=True)]


def to_columns(sentences: list[Sentence], tokenizers: dict[str, Language]) -> str:
    """The text of a column file: `token<TAB>tag`, a blank line after each sentence."""
    parts, document = [], None
    for sentence in sentences:
        if (sentence.lang, sentence.document) != document:
            document = (sentence.lang, sentence.document)
            parts.append(DOCSTART)
        rows = tag_tokens(sentence, tokenizers[sentence.lang])
        parts.append("".join(f"{token}\t{tag}\n" for token, tag in rows) + "\n")
    return "".join(parts)


def count_table(splits: dict[str, list[Sentence]]) -> str:
    """A Markdown table: sentences and entities of each split, by language, label and genre."""
    counts = []
    genres: set[str] = set()
    for sentences in splits.values():
        count = Counter({"sentences": len(sentences)})
        count["documents"] = len({(s.lang, s.document) for s in sentences})
        for sentence in sentences:
            labels = [label for _, _, label in sentence.entities]
            genre = GENRES.get(sentence.genre, sentence.genre)
            genres.add(genre)
            count.update(labels)
            count["entities"] += len(labels)
            count["sentences without an entity"] += not labels
            count[f"sentences, {sentence.lang}"] += 1
            count[f"sentences, {genre}"] += 1
        counts.append(count)
    rows = ["documents", "sentences", *(f"sentences, {lang}" for lang in LANGS)]
    rows += ["sentences without an entity", "entities", *LABELS]
    rows += [f"sentences, {genre}" for genre in sorted(genres)]
    lines = ["| | " + " | ".join(splits) + " |", "|---|" + "---:|" * len(splits)]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(f"{count[row]:,}" for count in counts) + " |")
    return "\n".join(lines) + "\n"


def build(source: Path, out: Path, *, seed: int = 0, fillings: int = 2) -> str:
    """Write `train.conll`, `dev.conll` and `test.conll`.

    A training sentence is left out if the surface of one of its entities is that of an entity in
    the test set.

    source (Path): Folder of the source texts, templates and lexicons.
    out (Path): Folder of the column files.
    seed (int): Determines which names fill which template.
    fillings (int): Sentences from each template.
    RETURNS (str): A report: the sentences left out, and a table of counts.
    """
    splits = {
        split: [s for lang in LANGS for s in read_sentences(source / f"{split}.{lang}.txt", lang)]
        for split in SPLITS
    }
    tested = {fold(surface) for s in splits["test"] for surface in s.surfaces}
    by_hand, cut = without_surfaces(splits["train"], tested)
    filled, skipped = without_surfaces(fill_templates(source, seed, fillings), tested)
    # A tokenizer may join a name to the period after it ("Model S." ends in the token "S.").
    # In a text written by hand that is an error; a filling is left out.
    tokenizers = {lang: spacy.blank(lang) for lang in LANGS}
    whole = [s for s in filled if on_token_borders(s, tokenizers[s.lang])]
    splits["train"] = by_hand + whole

    columns = {split: to_columns(sentences, tokenizers) for split, sentences in splits.items()}
    out.mkdir(parents=True, exist_ok=True)
    for split, text in columns.items():
        (out / f"{split}.conll").write_bytes(text.encode("utf-8"))
    return (
        f"Left out of train for a surface of the test set: {len(cut)} sentences written by hand, "
        f"{len(skipped)} fillings of templates.\n"
        f"Left out of train for a name that shares a token with its neighbor: "
        f"{len(filled) - len(whole)} fillings of templates.\n\n{count_table(splits)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the column files of the corpus.")
    parser.add_argument("--source", type=Path, default=Path("assets/source"))
    parser.add_argument("--out", type=Path, default=Path("assets"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fillings", type=int, default=2, help="sentences from each template")
    args = parser.parse_args()
    try:
        print(build(args.source, args.out, seed=args.seed, fillings=args.fillings), end="")
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
