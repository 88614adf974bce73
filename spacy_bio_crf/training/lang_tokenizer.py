"""The tokenizer of a pipeline's language, for configs that leave the language open."""

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from spacy.util import registry


def build_language_tokenizer() -> Callable[[Language], Any]:
    """Build the tokenizer of the pipeline's language: characters for Chinese, `spacy.Tokenizer.v1`
    for most others. Registered as spacy-bio-crf.LanguageTokenizer.v1.

    RETURNS (Callable[[Language], Any]): Makes a pipeline's tokenizer.
    """

    def make_tokenizer(nlp: Language) -> Any:
        chosen = {"tokenizer": type(nlp).default_config["nlp"]["tokenizer"]}
        return registry.resolve(chosen)["tokenizer"](nlp)

    return make_tokenizer
