"""Named-entity recognition as BIO tagging in spaCy pipelines, with a softmax or a CRF head."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipes.bio_ner import BioNer
    from .pipes.bio_tagger import TokenTagger
    from .tags.spans import Span
    from .tags.tagset import TagSet

__version__ = "0.2.0"
__all__ = ["BioNer", "Span", "TagSet", "TokenTagger", "__version__"]

# Imported at first use: spaCy imports this package to find the entry points of a registry.
_MODULES = {
    "BioNer": "pipes.bio_ner",
    "Span": "tags.spans",
    "TagSet": "tags.tagset",
    "TokenTagger": "pipes.bio_tagger",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
