# The two commands: `make demo` shows what this is, `make test` checks that it works.
# Both need Python 3.10 or newer, and the network for the first set-up alone.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
NEXT := .venv-next
NEXT_STAMP := $(NEXT)/.installed
HEADS := softmax crf

# Threads that wait for each other sleep, and leave their cores to others (docs/install.md).
export OMP_WAIT_POLICY ?= passive
export GOMP_SPINCOUNT ?= 1000

# An old pip would install what has no wheel by setup.py itself.
export PIP_USE_PEP517 := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-next test-long lint docs notebooks format clean

help:
	@echo "make demo     set up, train and evaluate both heads on the project's corpus, compare them"
	@echo "make test     set up, then make lint and pytest; what .ci/run does"
	@echo "make test-next  the tests with the newest versions, transformers 5 among them, in $(NEXT)"
	@echo "make test-long  what takes long (threads, kills), and property tests with 20,000 examples each: hours"
	@echo "make lint     ruff, mypy, who imports whom, sizes and names of modules"
	@echo "make docs     build the documentation's site in site/"
	@echo "make notebooks  the tutorials as notebooks in site/notebooks, and run them"
	@echo "make format   let ruff put the code into form"
	@echo "make setup    virtual environment $(VENV) with pinned versions, and the encoder's weights"
	@echo "make clean    remove what the workflows made; the environment and the encoder stay"
	@echo "PYTHON=python3.12 make ... picks the interpreter"

# A second run finds the stamp and is quick; new dependencies or versions install again.
$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 10) or sys.exit("Python 3.10 or newer is needed, $(PYTHON) is %d.%d: PYTHON=python3.11 make ..." % v[:2])'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet torch==2.13.0
	$(PY) -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

$(NEXT_STAMP): setup.py constraints-next.txt
	test -x $(NEXT)/bin/python || $(PYTHON) -m venv $(NEXT)
	$(NEXT)/bin/python -m pip install --quiet -c constraints-next.txt torch
	$(NEXT)/bin/python -m pip install --quiet -c constraints-next.txt -e ".[test]"
	touch $@

setup: $(STAMP)
	$(PY) scripts/fetch_encoder.py minilm e5

demo: setup
	for head in $(HEADS); do $(PY) -m spacy project run all . --vars.head $$head || exit 1; done
	$(PY) scripts/summary.py $(HEADS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) scripts/check_house.py

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# As a reader runs them: one after the other, in one folder.
notebooks: setup
	rm -rf site/notebooks
	$(PY) scripts/write_notebooks.py site/notebooks
	cd site/notebooks && PATH="$(abspath $(VENV))/bin:$$PATH" python -m pytest -p no:cacheprovider --nbmake *.ipynb

# Every file has a worker to itself, so that what a file makes for its tests is made once.
test: setup lint
	$(PY) -m pytest --numprocesses auto --dist loadfile -m "not long"

# With both environments at hand, pipelines cross from one to the other.
test-next: $(NEXT_STAMP)
	$(NEXT)/bin/python scripts/fetch_encoder.py minilm e5
	$(if $(wildcard $(PY)),BIO_NER_OTHER_PYTHON=$(abspath $(PY))) \
		$(NEXT)/bin/python -m pytest --numprocesses auto --dist loadfile -m "not long"

test-long: setup
	$(PY) -m pip install --quiet -c constraints.txt -e ".[spark]"
	$(PY) -m pytest --numprocesses auto -m long
	BIO_NER_EXAMPLES=20000 $(PY) -m pytest --numprocesses auto -m hypothesis

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean: $(STAMP)
	$(PY) -m spacy project run clean .
