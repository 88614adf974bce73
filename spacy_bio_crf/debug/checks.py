"""All checks: how severe each one's findings are, what they mean and what to do."""

from dataclasses import dataclass

SEVERITIES = ("info", "warning", "error")  # in rising order
# 1 and 2 are taken: a command that can't run, and wrong usage.
EXIT_CODES = {"info": 0, "warning": 3, "error": 4}
# Headings and greetings of fewer tokens occur everywhere.
FEW_TOKENS = 5


@dataclass(frozen=True)
class Check:
    """What a finding means."""

    severity: str
    meaning: str  # what was counted
    advice: str  # the consequence, or what to do


GROUPS: dict[str, dict[str, Check]] = {
    "What the reader found, in files other than `.spacy`": {
        "repaired_tags": Check(
            "warning",
            "tags that break their scheme, repaired",
            "check that each repair is what was meant; `convert --repair discard` drops them",
        ),
        "misaligned_entities": Check(
            "warning",
            "entities that do not fit the tokens of the reader",
            "their tokens count as unannotated; `convert --misaligned` has other policies",
        ),
        "overlapping_entities": Check(
            "warning",
            "entities that give way to others on the same tokens",
            "a token has one tag; `convert --overlaps` says which entity stays",
        ),
        "dropped_entities": Check(
            "warning",
            "entities on empty tokens or white space alone, left out",
            "correct the annotation",
        ),
        "dropped": Check("warning", "left out by the reader", "check that nothing is missing"),
        "remarks": Check("info", "noticed by the reader", ""),
    },
    "Annotation": {
        "no_documents": Check(
            "error", "no document at all", "there is nothing to learn from or score"
        ),
        "no_entities": Check("error", "documents, and not one entity", "nothing can be learned"),
        "no_labels": Check("error", "documents, and not one label", "nothing can be learned"),
        "most_gold_lost": Check(
            "error",
            "entities, or labels of tokens, that do not fit the tokens, more than half of all",
            "training loses them: set `nlp.lang` and `nlp.tokenizer` so that tokens end where "
            "entities do",
        ),
        "no_annotation": Check(
            "warning", "documents without any annotation", "they teach nothing and are not scored"
        ),
        "empty_documents": Check("info", "documents without a token", "they are ignored"),
        "missing_tokens": Check(
            "info", "tokens without annotation", "they are trained as unknown, never as O"
        ),
        "partly_annotated": Check(
            "info",
            "documents in which some labels alone are annotated",
            "their other tokens may have any other label, in training and in scores",
        ),
        "rare_labels": Check(
            "warning",
            "labels that are too rare in the training data",
            "annotate more, or leave such labels out with `convert --drop`",
        ),
        "unlearnt_labels": Check(
            "warning",
            "labels that the training data lack",
            "they are never predicted, so they count as missed",
        ),
        "absent_labels": Check(
            "info",
            "labels of the training data that are absent here",
            "nothing is measured for them",
        ),
        "unknown_labels": Check(
            "error",
            "entities, or tokens, with labels that the trained model lacks",
            "they are added when its training is resumed; without that it stops with an error",
        ),
        "unused_tags": Check(
            "info", "tags of the scheme that no training document has", "nothing teaches them"
        ),
        "white_space_edges": Check(
            "warning",
            "entities that begin or end with white space",
            "no such entity is ever predicted, so they count as missed",
        ),
        "contradictions": Check(
            "error",
            "documents with a span that is an entity and known to be wrong",
            "training stops with an error",
        ),
        "neighbours": Check(
            "info",
            "entities right behind another one of their label",
            "only B- separates them: do not convert through a scheme without it",
        ),
        "overlaps_in_group": Check(
            "warning",
            "entities that share tokens with a longer one of their group of labels",
            "the longer one is learned; the component's option `groups` parts labels that overlap",
        ),
        "overlapping_spans": Check(
            "info",
            "spans in doc.spans that share tokens with other spans of their group",
            "bio_ner learns from doc.ents, unless `gold_spans_key` names such a group",
        ),
    },
    "Characters": {
        "tokens_with_spaces": Check(
            "info",
            "tokens with white space inside",
            "a column file separated by spaces splits them",
        ),
        "white_space_tokens": Check(
            "info", "tokens of white space alone", "they are never part of an entity's edge"
        ),
        "invisible_tokens": Check(
            "info",
            "tokens of invisible characters alone",
            "many encoders have no sub-word for them",
        ),
        "hidden_characters": Check(
            "info",
            "tokens with zero-width or control characters beside visible ones",
            "they look like other tokens but differ from them",
        ),
        "undecodable_tokens": Check(
            "info",
            "tokens with U+FFFD or a private-use character",
            "the text was decoded or extracted wrongly",
        ),
    },
    "With `--model`: the pipeline's tokens, sub-words and windows": {
        "retokenized_entities": Check(
            "warning",
            "entities that do not fit the tokens of the pipeline's tokenizer",
            "bio_ner's option `misaligned` says what becomes of them in training",
        ),
        "retokenized_labels": Check(
            "warning",
            "labels of tokens that do not fit the tokens of the pipeline's tokenizer",
            "the tokens in their place count as unannotated",
        ),
        "high_learning_rate": Check(
            "warning",
            "learning rate that no pre-trained transformer survives",
            "use about 2e-4 for small encoders and 2e-5 to 5e-5 for base-size ones",
        ),
        "tokens_without_subwords": Check(
            "info", "tokens without a sub-word", "they are neither trained nor tagged"
        ),
        "entities_without_subwords": Check(
            "warning",
            "entities without a single sub-word",
            "they are neither trained nor found; choose another encoder",
        ),
        "entity_edges_without_subwords": Check(
            "warning",
            "entities whose first or last token has no sub-word",
            "they are found without that token, and so count as wrong",
        ),
        "unknown_subwords": Check(
            "info", "tokens with an unknown sub-word", "the encoder can't distinguish them"
        ),
        "entities_with_unknown_subwords": Check(
            "warning",
            "entities in which every sub-word is unknown",
            "only their context identifies them; choose an encoder that knows the script",
        ),
        "long_documents": Check(
            "info", "documents longer than one window", "they are cut into overlapping windows"
        ),
        "entities_across_cores": Check(
            "info",
            "entities whose sub-words are taken from two windows",
            "both windows show the whole entity; it is decoded once",
        ),
        "entities_cut": Check(
            "warning",
            "entities that no window shows as a whole",
            "use a longer `overlap` than the longest entity",
        ),
        "words_cut": Check(
            "info", "cuts inside a token", "the token is longer than a window has room for"
        ),
        "no_tokenizer": Check(
            "info",
            "encoder that has no tokenizer of its own",
            "sub-words and windows are not checked",
        ),
    },
    "Repeated texts": {
        "shared_documents": Check(
            "warning",
            f"documents of {FEW_TOKENS} or more tokens that also occur in train",
            "scores on them are too good",
        ),
        "shared_short_documents": Check(
            "info", f"documents of fewer than {FEW_TOKENS} tokens that also occur in train", ""
        ),
        "shared_sentences": Check(
            "info",
            f"sentences of {FEW_TOKENS} or more tokens, of other documents, "
            "that also occur in train",
            "scores may be too good",
        ),
        "repeated_documents": Check(
            "info", "documents that occurred before in this part", "they count several times"
        ),
        "conflicting_annotation": Check(
            "warning",
            "documents whose annotation differs from an earlier one of the same text",
            "correct one of the two",
        ),
    },
}
CHECKS = {name: check for group in GROUPS.values() for name, check in group.items()}
