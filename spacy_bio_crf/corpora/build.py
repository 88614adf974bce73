"""Build spaCy Docs from what the readers yield."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from ..gold.misfits import fit_to_tokens
from ..tags.spans import Span as TokenSpan
from .overlaps import without_overlaps
from .passages import ConvertError, Lost, Misaligned, Passage, Sentence, Summary

NO_TOKENS = "sentence without tokens"
NO_TEXT = "text without tokens"
BLANK_ENTITY = "entity on white space alone"
OVERLAPPING = "entity that overlaps another (the {rule} one stays)"
REPEATED = "entity given twice"
TRIMMED = "entities had white space at a border, which was cut off"


@dataclass(frozen=True)
class Builder:
    """Builds Docs and counts what goes into them.

    vocab (Vocab): The Docs' vocabulary.
    tokenize (Callable[[str], Doc]): The tokenizer for texts that come without tokens.
    n_sents (int | None): How many sentences a Doc has at the most, which never go past the end of a
        document; None: one Doc for each document.
    rename (Mapping[str, str | None]): New names of labels; None drops the label's entities.
    misaligned (str): The policy for entities that don't fit tokens (`misaligned.POLICIES`).
    overlaps (str): The rule for entities that share tokens (`overlaps.OVERLAPS`).
    summary (Summary): Gets the counts.
    """

    vocab: Vocab
    tokenize: Callable[[str], Doc]
    n_sents: int | None
    rename: Mapping[str, str | None]
    misaligned: str
    overlaps: str
    summary: Summary

    def build(self, records: Iterable[Sentence | Passage | Doc]) -> Iterator[tuple[int, Doc]]:
        """Put sentences together to Docs; make one Doc of every passage; take Docs as they are.

        records (Iterable[Sentence | Passage | Doc]): The records, in order.
        YIELDS (tuple[int, Doc]): The number of the document it belongs to, and a Doc with entities
            (missing where nobody annotated), sentence starts as far as they are known and, in
            `user_data`, "source" (file name and line) and, if the document has a name,
            "document_id".
        """
        group: list[Sentence] = []
        document, document_id = -1, ""
        for record in records:
            if isinstance(record, Sentence):
                if group and (record.starts_document or len(group) == self.n_sents):
                    yield document, self._of_sentences(group, document_id)
                    group = []
                if record.starts_document:
                    document, document_id = document + 1, record.document_id
                self.summary.sentences += 1
                if record.words:
                    group.append(self._chosen(record))
                else:
                    self.summary.dropped[NO_TOKENS] += 1
            elif isinstance(record, Passage):
                document += record.starts_document
                doc = self._of_passage(record)
                if doc is not None:
                    yield document, doc
            else:
                # Docs that were cut from one document say so by its name.
                name = record.user_data.get("document_id", "")
                document += not name or name != document_id
                document_id = name
                if len(record):
                    yield document, self._renamed(record)
                else:
                    self.summary.dropped[NO_TEXT] += 1
        if group:
            yield document, self._of_sentences(group, document_id)

    def _chosen(self, sentence: Sentence) -> Sentence:
        """The sentence with its labels renamed, and without overlaps."""
        place = f"{sentence.path}, line {sentence.line}"
        named = [(s, e, self._name(label)) for s, e, label in sentence.spans]
        spans = [(s, e, name) for s, e, name in named if name is not None]
        texts = [" ".join(sentence.words[s:e]) for s, e, _ in spans]
        kept = self._without_overlaps(spans, texts, [place] * len(spans))
        return replace(sentence, spans=[spans[i] for i in kept])

    def _name(self, label: str) -> str | None:
        """A label's new name, None if it is to be dropped; counts it."""
        self.summary.labels_read[label] += 1
        name = self.rename.get(label, label)
        if name is None:
            self.summary.dropped[f"label {label}"] += 1
        return name

    def _without_overlaps(
        self, spans: list[TokenSpan], texts: list[str], places: list[str]
    ) -> list[int]:
        """Indices of the spans that stay."""
        try:
            chosen = without_overlaps(spans, rule=self.overlaps)
        except ValueError as err:
            message, index = err.args
            raise ConvertError(
                f"{places[index]}: {message}; use --overlaps longest or first to keep one of them"
            ) from None
        if chosen.repeated:
            self.summary.dropped[REPEATED] += chosen.repeated
        if chosen.overlapping:
            what = OVERLAPPING.format(rule=self.overlaps)
            self.summary.dropped[what] += len(chosen.overlapping)
            self.summary.lost += [
                Lost(places[i], texts[i], spans[i][2], what) for i in chosen.overlapping
            ]
        return chosen.kept

    def _of_sentences(self, group: list[Sentence], document_id: str) -> Doc:
        words = list(chain.from_iterable(s.words for s in group))
        spaces = list(chain.from_iterable(s.spaces or [True] * len(s.words) for s in group))
        spaces[-1] = False
        sent_starts: list[bool | int | None] = [i == 0 for s in group for i in range(len(s.words))]
        doc = Doc(self.vocab, words=words, spaces=spaces, sent_starts=sent_starts)
        # spaCy's Corpus keeps the tokens of such a Doc; others it tokenises again from their text.
        doc.has_unknown_spaces = any(s.spaces is None for s in group)
        ents, missing = [], []
        offset = 0
        for sentence in group:
            ents += [Span(doc, offset + s, offset + e, label) for s, e, label in sentence.spans]
            missing += [offset + i for i in sentence.missing]
            offset += len(sentence.words)
        return self._annotated(doc, ents, missing, group[0], document_id)

    def _of_passage(self, passage: Passage) -> Doc | None:
        named = [(s, self._name(s.label)) for s in passage.spans]
        given = [s._replace(label=name) for s, name in named if name is not None]
        doc = self._tokens(passage)
        if doc is None:
            self.summary.dropped[NO_TEXT] += 1
            return None
        try:
            fit = fit_to_tokens(doc, [s[:3] for s in given], policy=self.misaligned)
        except ValueError as err:
            raise ConvertError(f"{passage.place}: {err}") from None
        for i in fit.misaligned:
            text = passage.text[given[i].start : given[i].end]
            self.summary.misaligned.append(Misaligned(given[i].place, text, given[i].label))
        if fit.blank:
            self.summary.dropped[BLANK_ENTITY] += len(fit.blank)
            self.summary.lost += [
                Lost(s.place, passage.text[s.start : s.end], s.label, BLANK_ENTITY)
                for s in (given[i] for i in fit.blank)
            ]
        if fit.trimmed:
            self.summary.remarks[TRIMMED] += len(fit.trimmed)
        texts = [doc[start:end].text for start, end, _ in fit.spans]
        kept = self._without_overlaps(fit.spans, texts, [given[i].place for i in fit.origins])
        spans = [fit.spans[i] for i in kept]
        missing = set(fit.missing)
        for start, end in passage.missing:
            missing.update(t.i for t in doc if t.idx < end and t.idx + len(t) > start)
        for start, end, _ in spans:
            missing.difference_update(range(start, end))
        ents = [Span(doc, *span) for span in spans]
        return self._annotated(doc, ents, sorted(missing), passage, passage.document_id)

    def _tokens(self, passage: Passage) -> Doc | None:
        """The passage's tokens; None if it has none."""
        if passage.words is None:
            doc = self.tokenize(passage.text)
        else:
            doc = Doc(self.vocab, words=passage.words, spaces=passage.spaces)
            doc.has_unknown_spaces = passage.unknown_spaces
        if not len(doc):
            return None
        if passage.sent_starts is not None:
            for token in doc:
                token.is_sent_start = token.i == 0 or token.idx in passage.sent_starts
            self.summary.sentences += sum(t.is_sent_start is True for t in doc)
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
        changed, outside = [], []
        for ent in doc.ents:
            name = self._name(ent.label_)
            if name is None:
                outside.append(ent)
            elif name != ent.label_:
                changed.append(
                    Span(doc, ent.start, ent.end, name, kb_id=ent.kb_id_, span_id=ent.id_)
                )
        if changed or outside:
            doc.set_ents(changed, outside=outside, default="unmodified")
        if doc.has_annotation("SENT_START"):
            self.summary.sentences += len(list(doc.sents))
        return self._counted(doc)

    def _counted(self, doc: Doc) -> Doc:
        self.summary.documents += 1
        self.summary.tokens += len(doc)
        self.summary.missing += sum(token.ent_iob == 0 for token in doc)
        self.summary.entities.update(ent.label_ for ent in doc.ents)
        return doc
