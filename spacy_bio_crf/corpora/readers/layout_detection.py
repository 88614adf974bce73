"""Detection of a column file's layout by its first lines: separator, columns, header row."""

import re
from collections import Counter
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import numbered_lines
from ...tags.schemes import MISSING, OUTSIDE, split_tag
from ...tags.targets import UNIVERSAL
from ..options import DEFAULTS, ConvertOptions
from .layout import Layout, is_docstart, looks_like_comment, shown, split_fields
from .tag_forms import PLAIN, USUAL, detect_form

SAMPLE_LINES = 2000
_TOKEN_NUMBER = re.compile(r"[0-9]+([.-][0-9]+)?")
# Labels of phrases, as in the third column of CoNLL-2003
_PHRASE = re.compile("(ADJ|ADV|CONJ|N|P|V|A)[PC]|CONJP|INTJ|LST|PRT|SBAR|UCP")
MOST_PARTS = 100  # of speech; a column with more values is another one
NO_PART = ("", "_", MISSING)  # values of a column that has no part of speech for a token
_MANY = 100  # rows from which on shares tell phrases from entities
TOKEN_HEADS = frozenset({"token", "tokens", "word", "words", "form", "gold_token", "token_text"})
_OTHER_HEADS = TOKEN_HEADS | {"text", "pos", "lemma", "chunk", "id"}
_TAG_HEAD = re.compile(
    "(gold[ _-]?)?((bio|iob2?|ner?|named)?[ _-]?(tag|label|entity|entities)s?|ner?|iob2?|bio|gold)"
    "|ne[_-](coarse|fine).*"
)


def is_tag_head(name: str) -> bool:
    """Whether a name stands at the head of a column of tags."""
    return _TAG_HEAD.fullmatch(name.strip().lower()) is not None


def detect_layout(
    path: Path,
    options: ConvertOptions = DEFAULTS,
    *,
    token: int | None = None,
    tag: int | None = None,
    pos: int | None = None,
    chunk: int | None = None,
) -> Layout | None:
    """Detect a file's layout by its first lines; None if it has no rows.

    The tags' column is the first one with entities that are not just phrases such as NP. The
    tokens' column is the first one of the others, after a column of token numbers.

    token (int | None): The tokens' column if it is known, from 0, negative from the end.
    tag (int | None): The tags' column likewise.
    pos (int | None), chunk (int | None): Those of parts of speech and phrases. If neither is given,
        phrases are found by their labels, and parts of speech in the column before them, as in
        CoNLL-2000 and CoNLL-2003.
    RAISES: ConvertError if there is no column of tags.
    """
    sample = _sample(path, options.encoding)
    if not sample:
        return None
    # A comment may have TABs in a file separated by spaces, a token may be "#" in one with TABs.
    certain = [(number, text) for number, text in sample if not looks_like_comment(text)] or sample
    tabs = 2 * sum("\t" in text.rstrip() for _, text in certain) >= len(certain)
    sample = sample if tabs else certain
    rows = [split_fields(text, tabs=tabs) for _, text in sample]
    # After a column of numbers each line that begins with "#" is a comment.
    numbered = [fields for fields in rows if not fields[0].startswith("#")]
    indexed = bool(numbered) and _are_token_numbers([fields[0] for fields in numbered])
    indexed &= all(len(fields) >= 3 - options.untagged for fields in numbered)
    rows = numbered if indexed else rows
    names = _header(rows) if rows else None
    header = sample[0][0] if names else 0
    rows = rows[bool(names) :] or rows
    widths = Counter(map(len, rows))
    width = max(widths, key=lambda n: (widths[n], n))
    for option, column in (
        ("token_column", token),
        ("tag_column", tag),
        ("pos_column", pos),
        ("chunk_column", chunk),
    ):
        if column is not None and not -width <= column < width:
            expected = f"one of the {width} columns of {path}"
            raise ConvertError(describe(option, expected=expected, got=shown(column)))
    others: list[int] = []
    phrases: set[int] = set()
    full = [fields for fields in rows if len(fields) == width]
    if token is None and names and len(names) == width:
        token = next((n for n, name in enumerate(names) if name in TOKEN_HEADS), None)
    untagged = options.untagged
    if untagged:
        tag = token = token if token is not None else int(indexed and width > 1)
    elif tag is None:
        found = _tag_columns(full, width, token, indexed, options.label)
        if not found:
            line, text = sample[0]
            expected = (
                "columns separated by tabs or spaces, one of them with tags such as 'O' and 'B-PER'"
            )
            remedy = "name the column with `tag_column`"
            if width == 1:
                remedy = "set `untagged` if the tokens have no tags"
                if "," in text:
                    remedy = "name the format with `format` (csv for columns between commas)"
            place = f"{path}, line {line}"
            raise ConvertError(describe(place, expected=expected, got=text, remedy=remedy))
        if token is None and len(found) == width - indexed:
            found = found[1:] or found  # the first one is that of the tokens
        (tag, *others), phrases = _by_likelihood(full, found)
    if token is None:
        taken = {tag % width, *others} | ({0} if indexed else set())
        token = next((n for n in range(width) if n not in taken), 0)
    if token % width == tag % width and not untagged:
        expected = f"token and tag in different ones of {width} columns"
        got = Plain(f"both in column {shown(tag)}")
        raise ConvertError(describe(str(path), expected=expected, got=got))
    form = detect_form(Counter(fields[tag].strip() for fields in full), options.label)
    others = [n for n in others if n != token]
    if pos is None and chunk is None:
        pos, chunk = _pos_and_chunk(full, {token % width, *([] if untagged else [tag % width])})
    others = [n for n in others if chunk is None or n != chunk % width]
    values = {fields[pos].strip() for fields in full} if pos is not None else set()
    return Layout(
        tabs=tabs,
        width=width,
        token=token,
        tag=tag,
        indexed=indexed,
        other_tags=tuple(others),
        form=form,
        header=header,
        untagged=untagged,
        pos=pos,
        universal=values <= {*UNIVERSAL, *NO_PART},
        chunk=chunk,
        layers=tuple(sorted(n for n in others if n not in phrases)),
    )


def _pos_and_chunk(rows: list[list[str]], taken: set[int]) -> tuple[int | None, int | None]:
    """The columns of parts of speech and of phrases, from 0, if a file has both.

    taken (set[int]): The columns of tokens and tags; phrases may be the tags.
    """
    for n in range(1, len(rows[0])):
        tags = {fields[n].strip() for fields in rows} - {OUTSIDE, MISSING}
        phrases = bool(tags) and all(_is_usual(tag) and _PHRASE.fullmatch(tag[2:]) for tag in tags)
        values = {fields[n - 1].strip() for fields in rows}
        if phrases and n - 1 not in taken and len(values) <= MOST_PARTS:
            return n - 1, n
    return None, None


def _sample(path: Path, encoding: str) -> list[tuple[int, str]]:
    """The first lines that are rows if TABs separate columns, with their numbers."""
    sample = []
    for number, text in numbered_lines(path, ConvertError, encoding=encoding):
        if not text.strip() or is_docstart(text):
            continue
        if "\t" not in text and looks_like_comment(text):
            continue
        sample.append((number, text))
        if len(sample) == SAMPLE_LINES:
            break
    return sample


def _are_token_numbers(values: list[str]) -> bool:
    """Whether the values count 1, 2, 3 … and restart now and then. A range as in CoNLL-U passes."""
    before = 0
    for value in values:
        if not _TOKEN_NUMBER.fullmatch(value):
            return False
        if value.isdigit():
            if int(value) not in (0, 1, before + 1):
                return False
            before = int(value)
    return True


def _tag_columns(
    rows: list[list[str]], width: int, token: int | None, indexed: bool, label: str
) -> list[int]:
    """The columns most of whose values are tags. Missing tags ("-") are no evidence.

    Without one, columns of tags in another form; without these, a last column of missing tags.
    """
    columns = [n for n in range(width) if token is None or n != token % width]
    counts = {n: Counter(fields[n].strip() for fields in rows) for n in columns}
    forms = {n: detect_form(counts[n], label) for n in columns}
    known = {n: counts[n].total() - counts[n][MISSING] for n in columns}
    found = []
    for n in columns:
        tags = sum(k for tag, k in counts[n].items() if tag == OUTSIDE or _is_usual(tag))
        if forms[n] is not PLAIN and known[n] and 2 * tags >= known[n]:
            found.append(n)
    if found:
        return found
    likely_token = int(indexed) if token is None else -1
    for n, form in forms.items():
        if form is PLAIN:
            # Words may be labels, and "O" is a word; but words are many, and "O" is rarer.
            outside = counts[n][OUTSIDE] + counts[n][OUTSIDE.lower()]
            plausible = n != likely_token and (
                outside == max(counts[n].values()) or 5 * outside >= known[n]
            )
        else:
            plausible = all(map(form.fits, counts[n])) and counts[n].keys() != {MISSING}
        if plausible:
            found.append(n)
    # Labels may stand before their tokens, too, if there is nothing else.
    first = counts.get(likely_token, Counter())
    if not found and width > 1 and 2 * first[OUTSIDE] > known.get(likely_token, 0):
        found = [likely_token] if forms[likely_token] is PLAIN else []
    if not found and width > 1 and counts.get(width - 1, {}).keys() == {MISSING}:
        found.append(width - 1)
    return found


def _is_usual(value: str) -> bool:
    try:
        split_tag(value)
    except ValueError:
        return False
    return True


def _by_likelihood(rows: list[list[str]], columns: list[int]) -> tuple[list[int], set[int]]:
    """Columns of tags with entities, or else the first one: entities first, phrases last; and those
    of phrases."""
    shares, phrases = {}, set()
    for n in columns:
        values = [fields[n].strip() for fields in rows]
        inside = {value for value in values if value not in (OUTSIDE, MISSING)}
        if inside:
            shares[n] = sum(value in inside for value in values) / len(rows)
            if all(_PHRASE.fullmatch(value[2:]) for value in inside):
                phrases.add(n)
    if len(rows) >= _MANY and shares and min(shares.values()) < 0.5:
        phrases |= {n for n, share in shares.items() if share > 0.6}
    return sorted(shares, key=lambda n: (n in phrases, n)) or columns[:1], phrases


def _header(rows: list[list[str]]) -> list[str] | None:
    """The names in the first row, if it is a header row."""
    names = [field.strip().lower() for field in rows[0]]
    heads = [n for n, name in enumerate(names) if is_tag_head(name)]
    if not heads or len(names) < 2 or any(map(USUAL.fits, rows[0])):
        return None
    if not _OTHER_HEADS.isdisjoint(names):
        return names
    # The other names may be of any language, but a name is not a tag of the rows below.
    at = heads[-1]
    again = any(len(row) > at and row[at].strip().lower() == names[at] for row in rows[1:])
    return None if again or len(rows) < 2 else names
