# `make train` and `make test` set up all they need on a machine with python3 (>= 3.11, with venv) and make.
PYTHON ?= python3
BIN := .venv/bin
RUN_TIME := .venv/.installed
DEVELOPMENT := .venv/.installed-dev
SIDE_BY_SIDE := -n auto --maxprocesses 8 --dist loadfile

.PHONY: train test test-all lint coverage clean

train: $(RUN_TIME)
	$(BIN)/striate train

test: lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-all: lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m ""

lint: $(DEVELOPMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

coverage: $(DEVELOPMENT)
	$(BIN)/python -m pytest --cov --cov-report=term-missing

$(RUN_TIME): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Striate needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --editable .
	touch $@

$(DEVELOPMENT): $(RUN_TIME)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
