# make demo   installs crossrec into .venv and runs the main job (DATA=folder: on logs of your own)
# make test   installs the development tools into .venv and runs ruff, mypy and the tests
# make bench  runs every benchmark
PYTHON ?= python3
DATA ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt

.PHONY: demo test lint bench clean

demo: .venv/demo-installed
	$(BIN)/python examples/demo.py --out demo $(if $(DATA),--data $(DATA))

test: lint
	$(BIN)/python -m pytest -n 2

lint: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/test-installed
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("crossrec needs Python 3.11 or newer: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/demo-installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[plots]'
	touch $@

.venv/test-installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	touch $@ .venv/demo-installed

clean:
	rm -rf .venv demo build src/*.egg-info
