"""Sentence templates, filled with names from the lexicons.

A template has slots: `{PER} moved to {GPE}.` A word in a slot, `{em GPE}`, is joined to the article
that the name takes: `no Brasil`, `na Holanda`, `em Angola`. In English `{the LOC}` gives
`the Thames`, but `Mount Everest`. Articles stay outside the entity.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from corpus_source import LABELS, LANGS, Sentence, SourceError, fold, parse_line, read_lines

SECTION = re.compile(r"# lang: (en|pt|en pt)")
SLOT = re.compile(r"\{(?:(\w+) )?(\w+)\}")

# The word before a slot, as in `{em GPE}`, joined to the article of the name that fills it.
ARTICLES = {"en": ("the",), "pt": ("o", "a", "os", "as")}
CONTRACTIONS = {
    "the": {"the": "the"},
    "o": {"o": "o", "a": "a", "os": "os", "as": "as"},
    "de": {"o": "do", "a": "da", "os": "dos", "as": "das"},
    "em": {"o": "no", "a": "na", "os": "nos", "as": "nas"},
    "a": {"o": "ao", "a": "à", "os": "aos", "as": "às"},
    "por": {"o": "pelo", "a": "pela", "os": "pelos", "as": "pelas"},
}
# These words are articles themselves: before a name without an article they vanish.
ONLY_ARTICLE = ("the", "o")
# The share of fillings in capitals, and the share without any.
UPPER, LOWER = 0.05, 0.10


@dataclass(frozen=True)
class Name:
    """A lexicon entry: its surface and the article that it takes in running text."""

    surface: str
    article: str


def read_sections(path: Path) -> Iterator[tuple[str, str, str]]:
    """The lines of a file with `# lang:` headings: (place, language, line), once per language."""
    langs: list[str] = []
    for where, line in read_lines(path):
        if line.startswith("# "):
            section = SECTION.fullmatch(line)
            if not section:
                raise SourceError(f"{where}: {line!r}: expected '# lang: en', 'pt' or 'en pt'")
            langs = section[1].split()
            continue
        if not langs:
            raise SourceError(f"{where}: {line[:40]!r}: expected a heading '# lang: …' before it")
        for lang in langs:
            yield where, lang, line


def read_names(source: Path) -> dict[str, dict[str, list[Name]]]:
    """Read the lexicons `names.<label>.txt`: lines `surface` or `article | surface`.

    An article counts only in its own language, so names that both languages share can have the
    Portuguese one.

    RETURNS (dict[str, dict[str, list[Name]]]): The names by language, then by label.
    """
    names: dict[str, dict[str, list[Name]]]
    names = {lang: {label: [] for label in LABELS} for lang in LANGS}
    for label in LABELS:
        seen: dict[tuple[str, str], str] = {}
        for where, lang, line in read_sections(source / f"names.{label.lower()}.txt"):
            article, _, surface = line.rpartition(" | ")
            if article and article not in ARTICLES["en"] + ARTICLES["pt"]:
                raise SourceError(f"{where}: article {article!r}: expected one of {ARTICLES}")
            if (lang, fold(surface)) in seen:
                first = seen[lang, fold(surface)]
                raise SourceError(f"{where}: {surface!r} is also at {first}: expected it once")
            seen[lang, fold(surface)] = where
            article = article if article in ARTICLES[lang] else ""
            names[lang][label].append(Name(surface, article))
    return names


def with_article(word: str, name: Name) -> str:
    """Join a word to a name's article: `em` and `Brasil`, which takes `o`, give `no `.

    word (str): The word in the slot, "" for none; its first letter may be a capital.
    """
    if not word:
        return ""
    if name.article:
        joined = CONTRACTIONS[word.lower()][name.article]
    else:
        joined = "" if word.lower() in ONLY_ARTICLE else word.lower()
    if word[0].isupper():
        joined = joined.capitalize()
    return f"{joined} " if joined else ""


class Deck:
    """Names in random order; each is drawn once before any is drawn again."""

    def __init__(self, names: list[Name], rng: random.Random) -> None:
        self.names, self.rng, self.left = names, rng, list[Name]()

    def draw(self, used: list[str]) -> Name:
        """Draw the next name whose surface the sentence has not used."""
        while True:
            if not self.left:
                self.left = self.rng.sample(self.names, len(self.names))
            name = self.left.pop()
            if name.surface not in used:
                return name


def fill(template: str, decks: dict[str, Deck]) -> str:
    """Put a name into each slot of a template; the result is a source line."""
    used: list[str] = []
    line, done = "", 0
    for match in SLOT.finditer(template):
        name = decks[match[2]].draw(used)
        used.append(name.surface)
        line += template[done : match.start()] + with_article(match[1] or "", name)
        line += f"[{name.surface}]({match[2]})"
        done = match.end()
        # "Acme Inc." at the end of a sentence has one period, not two.
        if name.surface.endswith(".") and template[done : done + 1] == ".":
            done += 1
    return line + template[done:]


def check_template(template: str, lang: str, where: str, names: dict[str, list[Name]]) -> None:
    """RAISES: SourceError for a slot without a label, a name, or a word that the language has."""
    words = CONTRACTIONS.keys() - {"the"} if lang == "pt" else {"the"}
    for match in SLOT.finditer(template):
        word, label = (match[1] or "").lower(), match[2]
        if label not in LABELS:
            raise SourceError(f"{where}: slot {match[0]!r}: expected a label of {LABELS}")
        if word and word not in words:
            raise SourceError(f"{where}: slot {match[0]!r}: expected a word of {sorted(words)}")
    for label, slots in Counter(match[2] for match in SLOT.finditer(template)).items():
        if slots > len(names[label]):
            have = f"{len(names[label])} {label} names in {lang!r}"
            raise SourceError(f"{where}: {slots} {label} slots, {have}: expected one for each slot")
    if re.search(r"[{}\[\]]", SLOT.sub("", template)):
        raise SourceError(f"{where}: a stray bracket in {template!r}: expected '{{LABEL}}'")


def fill_templates(source: Path, seed: int, fillings: int) -> list[Sentence]:
    """Fill every template several times, in a random order within each language.

    Each filling is a document of its own: sentences of one template differ in their names alone,
    and would reveal each other's entities in one document.
    """
    rng = random.Random(seed)
    names = read_names(source)
    sentences: list[Sentence] = []
    templates = list(read_sections(source / "templates.txt"))
    for lang in LANGS:
        decks = {label: Deck(names[lang][label], rng) for label in LABELS}
        mine = [(where, line) for where, la, line in templates if la == lang]
        filled = []
        for where, template in mine:
            check_template(template, lang, where, names[lang])
            for number in range(fillings):
                line = fill(template, decks)
                sentence = parse_line(
                    line, lang=lang, genre="template", document=f"{where} {number}", where=where
                )
                filled.append(recase(sentence, rng.random()))
        rng.shuffle(filled)
        sentences += filled
    return sentences


def recase(sentence: Sentence, chance: float) -> Sentence:
    """Put a sentence in capitals or small letters, or leave it, by a number between 0 and 1."""
    if chance < UPPER:
        text = sentence.text.upper()
    elif chance < UPPER + LOWER:
        text = sentence.text.lower()
    else:
        return sentence
    # Capital "ß" has two letters, which would move the spans.
    if len(text) != len(sentence.text):
        return sentence
    return replace(sentence, text=text)
