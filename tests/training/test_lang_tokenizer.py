"""The tokenizer of a pipeline's language."""

import pytest
import spacy

from spacy_bio_crf.training.lang_tokenizer import build_language_tokenizer


@pytest.mark.parametrize(
    ("lang", "text", "words"),
    [
        ("zh", "安娜住在里斯本", list("安娜住在里斯本")),
        ("en", "Ana doesn't run.", ["Ana", "does", "n't", "run", "."]),
        ("xx", "Ana runs.", ["Ana", "runs", "."]),
    ],
)
def test_texts_are_cut_as_by_spacy_s_own_pipeline(lang: str, text: str, words: list[str]):
    nlp = spacy.blank(lang)
    made = build_language_tokenizer()(nlp)
    assert type(made) is type(nlp.tokenizer)
    assert [token.text for token in made(text)] == words
