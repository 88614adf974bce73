"""Forms in which files write tags, and their translation into prefix, hyphen and label.

form        B-PER I-PER O
lower case  b-per i-per o       the label stays as it is
label last  PER-B PER-I O       also with the other marks
other mark  B_PER I_PER O       also B:PER, B.PER, B/PER
bare        B     I     O       the label is an option
plain       PER   PER   O       scheme IO: neighbors of one label are one entity
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...tags.schemes import FILE_SCHEMES, MISSING, OUTSIDE, split_tag

_MARKS = tuple("-_:./|")
PREFIXES = frozenset(prefix for table in FILE_SCHEMES.values() for prefix in table)


@dataclass(frozen=True)
class TagForm:
    """A form of tags.

    name (str): Its name; empty for the usual one.
    translate (Callable[[str], str]): Returns the usual form of a tag that is not O or missing.
        RAISES: ValueError for values of other forms.
    """

    name: str
    translate: Callable[[str], str]

    def usual(self, tag: str) -> str:
        """Translate a tag. RAISES: ValueError for values of other forms."""
        if tag == MISSING or tag.upper() == OUTSIDE:
            return tag.upper()
        return self.translate(tag)

    def fits(self, tag: str) -> bool:
        """Whether a value is a tag of this form."""
        try:
            self.usual(tag)
        except ValueError:
            return False
        return True


def _prefix_first(tag: str) -> str:
    prefix, label = split_tag(tag[:1].upper() + tag[1:])
    return f"{prefix}-{label}"


def _label_last(tag: str) -> str:
    return _joined(tag[-1:], tag[:-2] if tag[-2:-1] in _MARKS else "", tag)


def _other_mark(tag: str) -> str:
    return _joined(tag[:1], tag[2:] if tag[1:2] in _MARKS else "", tag)


def _joined(prefix: str, label: str, tag: str) -> str:
    if prefix.upper() not in PREFIXES or not label:
        split_tag(tag)  # raises: no tag of the usual form comes here
    return f"{prefix.upper()}-{label}"


def _any_label(tag: str) -> str:
    if not tag or tag.isspace():
        split_tag(tag)
    return f"I-{tag}"


USUAL = TagForm("", _prefix_first)
LABEL_LAST = TagForm("label last", _label_last)
OTHER_MARK = TagForm("other mark", _other_mark)
PLAIN = TagForm("labels without B- and I-", _any_label)


def detect_form(counts: Mapping[str, int], label: str) -> TagForm:
    """Detect the form of a file's tags. Values that are of no form leave the usual one.

    counts (Mapping[str, int]): The tags, without white space around them, with their numbers.
    label (str): The label of tags that are a prefix alone.
    """
    inside = {tag: n for tag, n in counts.items() if tag != MISSING and tag.upper() != OUTSIDE}
    if 2 * sum(n for tag, n in inside.items() if USUAL.fits(tag)) >= sum(inside.values()):
        return USUAL
    bare = TagForm("prefixes without labels", lambda tag: _joined(tag, label, tag))
    for form in (LABEL_LAST, OTHER_MARK, bare):
        if all(map(form.fits, inside)) and any(form.usual(tag)[0] in "BI" for tag in inside):
            return form
    has_outside = len(inside) < sum(tag != MISSING for tag in counts)
    looks_other = any(USUAL.fits(tag) or OTHER_MARK.fits(tag) for tag in inside)
    if has_outside and not looks_other and all(map(PLAIN.fits, inside)):
        return PLAIN
    return USUAL
