"""Entities' offsets as tools count them: in characters, or as JavaScript does, or with line ends of
one character each."""

from collections.abc import Sequence

# In which units to count, most likely first: are characters beyond U+FFFF two units (UTF-16, as in
# JavaScript)? Is a CR LF one unit (as in browsers)?
_WAYS = ((False, False), (True, False), (False, True), (True, True))

Offsets = tuple[int, int]


def in_characters(text: str, spans: Sequence[tuple[int, int, str]]) -> list[Offsets] | None:
    """Find out how offsets are counted, from the text that each span is said to have.

    text (str): The text.
    spans (Sequence[tuple[int, int, str]]): Start, exclusive end and the text between, with which
        white space is not compared.
    RETURNS (list[tuple[int, int]] | None): Starts and exclusive ends in characters; None if no way
        of counting gives every span its text.
    """
    for utf16, crlf in _WAYS:
        if utf16 and text.isascii() or crlf and "\r\n" not in text:
            continue
        found = _converted(text, spans, utf16=utf16, crlf=crlf)
        if found is not None:
            return found
    return None


def _converted(
    text: str, spans: Sequence[tuple[int, int, str]], *, utf16: bool, crlf: bool
) -> list[Offsets] | None:
    place: dict[int, int] | None = None  # unit -> character
    if utf16 or crlf:
        place, unit = {}, 0
        for i, char in enumerate(text):
            place[unit] = i
            if not (crlf and char == "\r" and text.startswith("\n", i + 1)):
                unit += 2 if utf16 and char > "\uffff" else 1
        place[unit] = len(text)
    found = []
    for start, end, expected in spans:
        first, last = (start, end) if place is None else (place.get(start), place.get(end))
        if first is None or last is None or not 0 <= first < last <= len(text):
            return None
        if text[first:last].split() != expected.split():
            return None
        found.append((first, last))
    return found
