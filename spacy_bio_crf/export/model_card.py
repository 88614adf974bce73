"""Model cards: the README.md of an exported checkpoint."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language

from ..pipes.bio_tagger import TokenTagger
from ..pipes.labeller import SequenceLabeller
from ..tags.targets import score_name

_PACKAGES = ("spacy_bio_crf", "spacy", "transformers", "torch")
_USE = """```python
from transformers import pipeline

find = pipeline("token-classification", FOLDER_OR_NAME, aggregation_strategy="first")
```"""
_USE_LABELS = """```python
from transformers import pipeline

label = pipeline("token-classification", FOLDER_OR_NAME)
```

Every sub-word gets a label. That of the first one of a word is the label of the word."""


def write_card(
    nlp: Language, pipe: SequenceLabeller, remarks: Sequence[str], license: str | None = None
) -> str:
    """Write a model card: Markdown, with the hub's metadata in front.

    remarks (Sequence[str]): What is different in transformers, in sentences.
    license (str | None): Of the weights; None takes that of the pipeline.
    """
    meta = nlp.meta
    target = pipe.target if isinstance(pipe, TokenTagger) else None
    kind = {None: "named-entity-recognition", "pos": "part-of-speech"}.get(target)
    data = {
        "language": "multilingual" if nlp.lang == "xx" else nlp.lang,
        # The hub's names of licenses, such as cc-by-sa-4.0, have no spaces; those of spaCy have.
        "license": (license or meta.get("license") or "unknown").lower().replace(" ", "-"),
        "library_name": "transformers",
        "pipeline_tag": "token-classification",
        "tags": ["token-classification", *([kind] if kind else []), "spacy", "spacy_bio_crf"],
    }
    title = f"{meta['lang']}_{meta['name']} {meta['version']}"
    parts = [
        f"---\n{srsly.yaml_dumps(data)}---",
        f"# {title}",
        meta.get("description")
        or ("Named-entity recognition." if target is None else "Labels of tokens."),
        f"Labels: {', '.join(f'`{label}`' for label in pipe.labels)}.",
    ]
    # As for spaCy's package, a source may be a name alone.
    sources = [x if isinstance(x, dict) else {"name": x} for x in meta.get("sources") or []]
    data_of = [source["name"] for source in sources if source.get("name")]
    train = nlp.config.get("paths", {}).get("train")
    if data_of or train:
        parts.append(f"Data: {', '.join(data_of or [Path(train).name])}.")
    # The aggregations of transformers make one entity of neighbors with one label.
    parts.append(_USE if target is None else _USE_LABELS)
    if remarks:
        parts += [
            "## Different from the pipeline in spaCy",
            "\n".join(f"* {line}" for line in remarks),
        ]
    performance = meta.get("performance", {})
    accuracy = None if target is None else performance.get(score_name(target))
    if accuracy is not None:
        parts += ["## Figures", f"Accuracy of the pipeline in spaCy: {100 * accuracy:.2f} %"]
    figures = _figures(performance) if target is None else ""
    if figures:
        parts += ["## Figures", "Of the pipeline in spaCy, in percent, per entity:", figures]
    versions = "\n".join(f"* {package} {version(package)}" for package in _PACKAGES)
    parts += ["## Versions", versions]
    return "\n\n".join(parts) + "\n"


def _figures(performance: dict[str, Any]) -> str:
    """A table of precision, recall and F1; empty if there are none."""
    rows: dict[str, dict[str, float]] = {}
    if performance.get("ents_f") is not None:
        rows["all"] = {x: performance.get(f"ents_{x}") or 0.0 for x in "prf"}
    rows |= performance.get("ents_per_type") or {}
    if not rows:
        return ""
    lines = ["| label | precision | recall | F1 |", "|---|---|---|---|"]
    lines += [
        f"| {label} | {100 * row['p']:.2f} | {100 * row['r']:.2f} | {100 * row['f']:.2f} |"
        for label, row in rows.items()
    ]
    return "\n".join(lines)
