"""Forked processes after torch and tokenizers have used threads."""

import os
from collections.abc import Callable

import pytest

from tests.support.paths import PROJECT_PATH

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_forked_processes_tokenize_without_a_warning(run_python: Callable[..., str], monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    script = """
import os, sys
sys.stderr = sys.stdout
os.dup2(1, 2)
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tests.support.tokenizers_zoo import tokenizer
from spacy_bio_crf.pipes.forks import install_fork_guards
from spacy_bio_crf.subwords.tokenizer import SubwordTokenizer

install_fork_guards()
ours = SubwordTokenizer(tokenizer("bert_cased"))
batch = [Doc(Vocab(), words=["do", "n't", str(i)]) for i in range(100)]
expected = [s.ids.tolist() for s in ours(batch)]
child = os.fork()
if child == 0:
    os._exit(0 if [s.ids.tolist() for s in ours(batch)] == expected else 1)
assert os.waitpid(child, 0)[1] == 0
assert "TOKENIZERS_PARALLELISM" not in os.environ
"""
    assert "parallelism" not in run_python(script, PYTHONPATH=PROJECT_PATH)


@needs_fork
def test_a_setting_of_the_user_stays(run_python: Callable[..., str]):
    script = """
import os
from spacy_bio_crf.pipes.forks import install_fork_guards
install_fork_guards()
child = os.fork()
if child == 0:
    os._exit(0 if os.environ["TOKENIZERS_PARALLELISM"] == "true" else 1)
assert os.waitpid(child, 0)[1] == 0
print(os.environ["TOKENIZERS_PARALLELISM"])
"""
    out = run_python(script, PYTHONPATH=PROJECT_PATH, TOKENIZERS_PARALLELISM="true")
    assert out.strip() == "true"


@needs_fork
def test_forked_processes_compute_on_one_thread(run_python: Callable[..., str]):
    script = """
import os, torch
from spacy_bio_crf.pipes.forks import install_fork_guards
install_fork_guards()
torch.set_num_threads(2)
(torch.ones(1000, 1000) @ torch.ones(1000, 1000)).exp().sum()
child = os.fork()
if child == 0:
    (torch.ones(1000, 1000) @ torch.ones(1000, 1000)).exp().sum()
    os._exit(torch.get_num_threads())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.get_num_threads())
"""
    assert run_python(script, PYTHONPATH=PROJECT_PATH, OMP_NUM_THREADS="2").split() == ["1", "2"]
