"""Docs from the units that readers yield: renaming, alignment, overlaps, annotation."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from spacy.tokens import Doc, Span, SpanGroup
from spacy.vocab import Vocab

from ..errors import ConvertError
from ..gold.misfits import Fit, fit_to_tokens
from ..tags.spans import LABELS_ANNOTATED, LEFT_ASIDE, MISSING_SUFFIX, SCORES, EntIob
from ..tags.spans import Span as TokenSpan
from .options import ConvertOptions
from .overlaps import without_overlaps
from .passages import Misaligned, Passage, Sentence, Summary, TextSpan, Unit
from .token_attributes import CHUNKS, set_attributes

NO_TOKENS = "sentence without tokens"
NO_TEXT = "text without tokens"
BLANK_ENTITY = "entity on white space alone"
OVERLAPPING = "entity that overlaps another (the {rule} one stays)"
NO_INCORRECT = "rejected entity that does not fit the tokens"
LAYERED = "entities share tokens with others, and are in doc.spans['{key}'] (`layers`)"
REPEATED = "entity given twice"
TRIMMED_LABEL = "labels had white space at a border, which was cut off"
SPLIT = "borders of entities inside a token, which was split there"
TRIMMED = "entities had white space at a border, which was cut off"


@dataclass(frozen=True)
class Builder:
    """Builds Docs and counts their contents.

    vocab (Vocab): The Docs' vocabulary.
    tokenize (Callable[[str], Doc]): The tokenizer for texts that come without tokens.
    options (ConvertOptions): `n_sents`, `group_docs`, `rename`, `drop`, `misaligned`, `overlaps`
        `layers` and `labels_annotated` are read.
    summary (Summary): Gets the counts.
    """

    vocab: Vocab
    tokenize: Callable[[str], Doc]
    options: ConvertOptions
    summary: Summary

    @cached_property
    def _names(self) -> dict[str, str | None]:
        """New names of labels; None drops the label's entities."""
        return {**self.options.rename, **dict.fromkeys(self.options.drop)}

    def build(self, units: Iterable[Unit]) -> Iterator[tuple[int, Doc]]:
        """Group sentences into Docs, make one Doc of each passage, and take Docs as they are.

        YIELDS (tuple[int, Doc]): The number of the document it belongs to, and a Doc with entities
            (missing where unannotated), sentence starts as far as they are known and, in
            `user_data`, "source" (file name and line) and, if the document has a name,
            "document_id".
        """
        most = None if self.options.group_docs else self.options.n_sents
        group: list[_Flat] = []
        document, document_id = -1, ""
        for unit in units:
            if isinstance(unit, ConvertError):
                if not self.options.skip_bad:
                    raise unit
                self.summary.skipped.append(str(unit))
            elif isinstance(unit, Sentence):
                if group and (unit.starts_document or len(group) == most):
                    yield document, self._of_sentences(group, document_id)
                    group = []
                if unit.starts_document:
                    document, document_id = document + 1, unit.document_id
                self.summary.sentences += 1
                if unit.words:
                    group.append(self._chosen(unit))
                else:
                    self.summary.dropped[NO_TOKENS] += 1
            elif isinstance(unit, Passage):
                document += unit.starts_document
                doc = self._of_passage(unit)
                if doc is not None:
                    yield document, doc
            else:
                # Docs that were cut from one document have its name.
                name = unit.user_data.get("document_id", "")
                document += not name or name != document_id
                document_id = name
                if len(unit):
                    yield document, self._renamed(unit)
                else:
                    self.summary.dropped[NO_TEXT] += 1
        if group:
            yield document, self._of_sentences(group, document_id)

    def _chosen(self, sentence: Sentence) -> "_Flat":
        """The sentence with its labels renamed, and what is left of it without overlaps."""
        place = f"{sentence.path}, line {sentence.line}"
        named = [(s, e, self._name(label)) for s, e, label in sentence.spans]
        spans = [(s, e, name) for s, e, name in named if name is not None]
        texts = [" ".join(sentence.words[s:e]) for s, e, _ in spans]
        kept, uncovered = self._without_overlaps(spans, texts, [place] * len(spans))
        missing = sorted({*sentence.missing, *uncovered})
        return _Flat(replace(sentence, spans=spans), [spans[i] for i in kept], missing)

    def _name(self, label: str) -> str | None:
        """A label's new name, None if it is to be dropped; counts it."""
        if label != label.strip() and not label.isspace():
            self.summary.remarks[TRIMMED_LABEL] += 1
            label = label.strip()
        self.summary.labels_read[label] += 1
        name = self._names.get(label, label)
        if name is None:
            self.summary.dropped[f"label {label}"] += 1
        return name

    def _without_overlaps(
        self, spans: list[TokenSpan], texts: list[str], places: list[str]
    ) -> tuple[list[int], set[int]]:
        """Indices of the spans that stay, and the tokens that only the others have.

        Nobody knows whether these are in an entity.
        """
        rule = self.options.overlaps
        try:
            chosen = without_overlaps(spans, rule=rule)
        except ValueError as err:
            message, index = err.args
            raise ConvertError(
                f"{places[index]}: {message}; set `overlaps` to longest or first to keep one"
            ) from None
        if chosen.repeated:
            self.summary.dropped[REPEATED] += chosen.repeated
        if self.options.layers and chosen.overlapping:
            remark = LAYERED.format(key=self.options.gold_spans_key)
            self.summary.remarks[remark] += len(chosen.overlapping)
        for i in chosen.overlapping if not self.options.layers else ():
            reason = OVERLAPPING.format(rule=rule)
            self.summary.lose(reason, place=places[i], text=texts[i], label=spans[i][2])
        uncovered = {token for i in chosen.overlapping for token in range(*spans[i][:2])}
        for i in chosen.kept:
            uncovered.difference_update(range(*spans[i][:2]))
        return chosen.kept, uncovered

    def _of_sentences(self, flat: "list[_Flat]", document_id: str) -> Doc:
        group = [one.sentence for one in flat]
        words = list(chain.from_iterable(s.words for s in group))
        spaces = list(chain.from_iterable(s.spaces or [True] * len(s.words) for s in group))
        spaces[-1] = group[-1].final_space
        sent_starts: list[bool | int | None] = []
        for s in group:
            sent_starts += [None if s.unknown_starts else i == 0 for i in range(len(s.words))]
        doc = Doc(self.vocab, words=words, spaces=spaces, sent_starts=sent_starts)
        # spaCy's Corpus keeps the tokens of such a Doc; it tokenizes the text of others again.
        doc.has_unknown_spaces = any(s.spaces is None for s in group)
        ents, missing = [], []
        layers: list[TokenSpan] = []
        unknown: list[TokenSpan] = []
        offset = 0
        for one in flat:
            ents += [Span(doc, offset + s, offset + e, label) for s, e, label in one.spans]
            missing += [offset + i for i in one.missing]
            layers += [(offset + s, offset + e, label) for s, e, label in one.sentence.spans]
            unknown += [(offset + i, offset + i + 1, "") for i in one.sentence.missing]
            offset += len(one.sentence.words)
        self._set_layers(doc, layers, unknown)
        chunks = set_attributes(doc, group)
        if chunks is not None:
            doc.spans[CHUNKS] = chunks
        return self._annotated(doc, ents, missing, group[0], document_id)

    def _of_passage(self, passage: Passage) -> Doc | None:
        named = [(s, self._name(s.label)) for s in passage.spans]
        given = [s._replace(label=name) for s, name in named if name is not None]
        doc = self._tokens(passage, given)
        if doc is None:
            self.summary.dropped[NO_TEXT] += 1
            return None
        try:
            fit = fit_to_tokens(doc, [s[:3] for s in given], policy=self.options.misaligned)
        except ValueError as err:
            raise ConvertError(f"{passage.place}: {err}") from None
        if passage.words is not None:
            _keep_white_space(doc, given, fit)
        for i in fit.misaligned:
            text = passage.text[given[i].start : given[i].end]
            self.summary.misaligned.append(Misaligned(given[i].place, text, given[i].label))
        for span in (given[i] for i in fit.blank):
            text = passage.text[span.start : span.end]
            self.summary.lose(BLANK_ENTITY, place=span.place, text=text, label=span.label)
        if fit.trimmed:
            self.summary.remarks[TRIMMED] += len(fit.trimmed)
        texts = [doc[start:end].text for start, end, _ in fit.spans]
        places = [given[i].place for i in fit.origins]
        kept, missing = self._without_overlaps(fit.spans, texts, places)
        spans = [fit.spans[i] for i in kept]
        missing.update(fit.missing)
        starts = [token.idx for token in doc]
        ends = [token.idx + len(token) for token in doc]

        def touched(start: int, end: int) -> tuple[int, int]:
            return bisect_right(ends, start), bisect_left(starts, end)

        unknown = [(*touched(start, end), "") for start, end in passage.missing]
        missing.update(i for start, end, _ in unknown for i in range(start, end))
        lost = [given[i] for i in fit.misaligned if i not in fit.origins]
        unknown += [(*touched(span.start, span.end), span.label) for span in lost]
        self._set_layers(doc, fit.spans, unknown)
        for start, end, _ in spans:
            missing.difference_update(range(start, end))
        ents = [Span(doc, *span) for span in spans]
        self._set_incorrect(doc, passage)
        if left_aside := set(fit.misaligned) - set(fit.origins):
            doc.user_data[LEFT_ASIDE] = len(left_aside)
        return self._annotated(doc, ents, sorted(missing), passage, passage.document_id)

    def _set_layers(
        self, doc: Doc, spans: Sequence[TokenSpan], unknown: Sequence[TokenSpan]
    ) -> None:
        """Set the gold group of `layers`, and that of the spans without annotation."""
        if self.options.layers:
            key = self.options.gold_spans_key
            doc.spans[key] = [Span(doc, *span) for span in sorted(set(spans))]
            left = sorted({span for span in unknown if span[0] < span[1]})
            if left:
                doc.spans[key + MISSING_SUFFIX] = [Span(doc, *span) for span in left]

    def _set_incorrect(self, doc: Doc, passage: Passage) -> None:
        named = [(*s[:2], self._names.get(s.label, s.label)) for s in passage.incorrect]
        spans = [(start, end, name) for start, end, name in named if name is not None]
        if spans:
            fit = fit_to_tokens(doc, spans, policy="missing")
            key = self.options.incorrect_spans_key
            if fit.spans:
                doc.spans[key] = [Span(doc, *span) for span in fit.spans]
            if fit.misaligned or fit.blank:
                self.summary.dropped[NO_INCORRECT] += len(fit.misaligned) + len(fit.blank)

    def _tokens(self, passage: Passage, spans: list[TextSpan]) -> Doc | None:
        """The passage's tokens, split at the borders of spans if asked for; None without tokens."""
        doc = None
        words, spaces = passage.words, passage.spaces
        if words is None or spaces is None:
            doc = self.tokenize(passage.text)
            words, spaces = [t.text for t in doc], [bool(t.whitespace_) for t in doc]
        if self.options.split_tokens:
            n_words = len(words)
            words, spaces = _split(words, spaces, _borders(passage.text, spans))
            if len(words) > n_words:
                self.summary.remarks[SPLIT] += len(words) - n_words
                doc = None
        if not words:
            return None
        if doc is None:
            starts: list[bool | int | None] | None = None
            if passage.sent_starts is not None:
                ends = accumulate(len(w) + s for w, s in zip(words, spaces, strict=True))
                starts = [passage.sent_starts.get(at, False) for at in [0, *ends][:-1]]
                self.summary.sentences += starts.count(True)
            # A token's setter looks at the whole Doc.
            doc = Doc(self.vocab, words=words, spaces=spaces, sent_starts=starts)
            doc.has_unknown_spaces = passage.unknown_spaces
        return doc

    def _annotated(
        self, doc: Doc, ents: list[Span], missing: list[int], first: Sentence | Passage, name: str
    ) -> Doc:
        doc.set_ents(ents, missing=[Span(doc, i, i + 1) for i in missing])
        doc.user_data["source"] = f"{first.path.name}:{first.line}"
        if name:
            doc.user_data["document_id"] = name
        return self._counted(doc)

    def _renamed(self, doc: Doc) -> Doc:
        """A Doc as it came, but for its labels. Links to a knowledge base stay."""
        names: dict[TokenSpan, str | None] = {}  # an entity in two places is one, and counts once

        def name_of(span: Span) -> str | None:
            key = span.start, span.end, span.label_
            if span.label and key not in names:
                names[key] = self._name(span.label_)
            return names.get(key, "")

        changed, outside = [], []
        for ent in doc.ents:
            name = name_of(ent)
            if name is None:
                outside.append(ent)
            elif name != ent.label_:
                changed.append(_relabeled(ent, name))
        if changed or outside:
            doc.set_ents(changed, outside=outside, default="unmodified")
        gold, incorrect = self.options.gold_spans_key, self.options.incorrect_spans_key
        for key in (gold, gold + MISSING_SUFFIX, incorrect):
            if key in doc.spans:
                group = doc.spans[key]
                doc.spans[key] = _renamed_group(group, [name_of(span) for span in group])
        if (labels := doc.user_data.get(LABELS_ANNOTATED)) is not None:
            doc.user_data[LABELS_ANNOTATED] = [y for x in labels if (y := self._names.get(x, x))]
        if doc.has_annotation("SENT_START"):
            self.summary.sentences += len(list(doc.sents))
        return self._counted(doc)

    def _counted(self, doc: Doc) -> Doc:
        self.summary.documents += 1
        self.summary.tokens += len(doc)
        self.summary.missing += sum(token.ent_iob == EntIob.MISSING for token in doc)
        layers = self.options.layers and self.options.gold_spans_key in doc.spans
        found = doc.spans[self.options.gold_spans_key] if layers else doc.ents
        self.summary.entities.update(span.label_ for span in found)
        if self.options.labels_annotated:
            doc.user_data[LABELS_ANNOTATED] = list(self.options.labels_annotated)
        return doc


def _relabeled(span: Span, label: str) -> Span:
    return Span(span.doc, span.start, span.end, label, kb_id=span.kb_id_, span_id=span.id_)


def _renamed_group(group: SpanGroup, names: Sequence[str | None]) -> SpanGroup:
    """A group of spans with these labels, without those whose name is None."""
    named = zip(group, names, strict=True)
    spans = [_relabeled(span, name) for span, name in named if name is not None]
    attrs = dict(group.attrs)
    if SCORES in attrs and len(attrs[SCORES]) == len(names):
        attrs[SCORES] = [
            x for x, name in zip(attrs[SCORES], names, strict=True) if name is not None
        ]
    return SpanGroup(group.doc, name=group.name, attrs=attrs, spans=spans)


def _borders(text: str, spans: Sequence[TextSpan]) -> list[int]:
    """The borders of entities, in order, without the white space at them."""
    borders: set[int] = set()
    for span in spans:
        content = text[span.start : span.end]
        borders.add(span.start + len(content) - len(content.lstrip()))
        borders.add(span.end - len(content) + len(content.rstrip()))
    return sorted(borders)


def _split(
    words: Sequence[str], spaces: Sequence[bool], borders: Sequence[int]
) -> tuple[list[str], list[bool]]:
    """Split words at these characters of their text."""
    new_words: list[str] = []
    new_spaces: list[bool] = []
    at = 0
    for word, space in zip(words, spaces, strict=True):
        first, last = bisect_right(borders, at), bisect_left(borders, at + len(word))
        cuts = [0, *(border - at for border in borders[first:last]), len(word)]
        new_words += [word[start:end] for start, end in pairwise(cuts)]
        new_spaces += [False] * (len(cuts) - 2) + [space]
        at += len(word) + space
    return new_words, new_spaces


def _keep_white_space(doc: Doc, given: Sequence[TextSpan], fit: Fit) -> None:
    """Undo the trimming of entities that are whole tokens of a text that came with tokens."""
    for i in [*fit.trimmed, *fit.blank]:
        whole = doc.char_span(given[i].start, given[i].end)
        if whole is None:
            continue
        span = (whole.start, whole.end, given[i].label)
        if i in fit.blank:
            fit.blank.remove(i)
            at = sum(origin < i for origin in fit.origins)
            fit.origins.insert(at, i)
            fit.spans.insert(at, span)
        else:
            fit.trimmed.remove(i)
            fit.spans[fit.origins.index(i)] = span


class _Flat(NamedTuple):
    """A sentence with all its entities, and the entities and unannotated words of `doc.ents`."""

    sentence: Sentence
    spans: list[TokenSpan]
    missing: list[int]
