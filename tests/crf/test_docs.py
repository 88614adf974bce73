"""The engine as a public module: its page of documentation, and what importing it imports."""

import doctest
import re
from pathlib import Path

import pytest

from spacy_bio_crf import crf

PAGE = Path(__file__).parents[2] / "docs" / "crf.md"


def test_examples_of_the_page_run():
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    examples = doctest.DocTestParser().get_doctest("".join(blocks), {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 20
    failures: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(examples, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("name", [x for x in crf.__all__ if x != "ScoredPath"])
def test_each_function_has_an_example(name):
    assert re.search(rf"^(?:>>>|\.\.\.) .*\b{name}\(", PAGE.read_text(encoding="utf-8"), re.M)


def test_the_engine_is_usable_without_spacy(run_python):
    script = """
import sys
from spacy_bio_crf.crf import negative_log_likelihood, viterbi
print(sorted({"spacy", "thinc", "transformers"} & set(sys.modules)))
"""
    assert run_python(script).strip() == "[]"
