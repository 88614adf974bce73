"""The README's examples run and print what it says; the tables of options are the code's."""

import contextlib
import inspect
import io
import re

import pytest
from thinc.api import Config

from spacy_bio_crf.encoders.shared import build_shared_encoder
from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder
from spacy_bio_crf.heads.emitter import build_crf_head, build_softmax_head
from spacy_bio_crf.model import build_bio_tagger
from spacy_bio_crf.pipes.bio_encoder import DEFAULT_ENCODER_CONFIG
from spacy_bio_crf.pipes.bio_ner import DEFAULT_CONFIG
from spacy_bio_crf.pipes.bio_tagger import DEFAULT_TAGGER_CONFIG
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf8")
OPTIONS = (ROOT / "docs" / "options.md").read_text(encoding="utf8")
EXAMPLE = re.compile(
    r"<!-- run -->\n```python\n(.*?)```\n\n<!-- output -->\n```\n(.*?)```", re.DOTALL
)


def test_examples_print_what_the_readme_says(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / "assets" / "encoder").exists():
        pytest.skip("assets/encoder is not there: `make setup` fetches it")
    monkeypatch.chdir(ROOT)
    examples = EXAMPLE.findall(README)
    assert len(examples) == README.count("<!-- run -->") >= 4
    names: dict = {}
    for code, expected in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        assert printed.getvalue() == expected


def table(heading: str) -> dict[str, str]:
    """Options and defaults of the table after a line with `heading`."""
    rows = OPTIONS[OPTIONS.index(heading) :].split("\n\n")[1].splitlines()[2:]
    return {
        option.strip("` "): default.strip("` ")
        for option, default in (row.split("|")[1:3] for row in rows)
    }


def written(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def defaults(function: object) -> dict[str, str]:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return {p.name: written(p.default) for p in parameters if p.default is not p.empty}


def factory_options(factory: dict) -> dict[str, str]:
    options = {k: written(v) for k, v in factory.items() if k not in ("model", "scorer")}
    return {**options, "scorer": factory["scorer"]["@scorers"]}


def test_tables_of_options_are_complete_and_right() -> None:
    tagger = Config().from_str(DEFAULT_TAGGER_CONFIG)["bio_tagger"]
    assert table("`[components.bio_tagger]`, the factory") == factory_options(tagger)
    factory = Config().from_str(DEFAULT_CONFIG)["bio_ner"]
    assert table("`[components.bio_ner]`, the factory") == factory_options(factory)
    assert table("`[components.bio_ner.model]`, ") == defaults(build_bio_tagger)
    heads = table("`[components.bio_ner.model.head]`")
    assert heads == {**defaults(build_softmax_head), **defaults(build_crf_head)}
    encoder = {"name": written(factory["model"]["encoder"]["name"])}
    encoder.update(defaults(build_transformer_encoder))
    assert table("`[components.bio_ner.model.encoder]`") == encoder
    owner = Config().from_str(DEFAULT_ENCODER_CONFIG)["bio_encoder"]
    assert owner.pop("model") == factory["model"]["encoder"]
    assert table("`[components.bio_encoder]`, the factory") == {k: written(owner[k]) for k in owner}
    assert table("`spacy-bio-crf.SharedEncoder.v1`:") == defaults(build_shared_encoder)
