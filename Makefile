# Two commands for a newcomer: `make demo` and `make test`. Everything is kept inside this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Processes for the tests: two for two cores, and more for those that often wait.
WORKERS := 2
UNIT_WORKERS := 4
PACKAGES := packages/incident-sandbox packages/incident-docker-proxy
COMPOSE := .tests/bin/docker-compose
# Airflow's command line writes a configuration file into its home the first time it is used.
export AIRFLOW_HOME := $(CURDIR)/.demo/cli
export AIRFLOW__CORE__LOAD_EXAMPLES := False
# Where Python may not keep what it has compiled, each start of Airflow takes seconds longer.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test test-unit faults compose-test check lint layers types format lock build docs diagrams pictures clean

help:
	@echo "make demo        an incident from alert to summary, on this machine (ONCE=1: end by itself; RUNS=5: five of them)"
	@echo "make test        lint, types and all tests"
	@echo "make faults      every call to Slack x every fault, kill -9 of everything, secrets: a matrix and counts (an hour)"
	@echo "make compose-test  the whole stack of docker-compose.yaml, its services killed one by one (half an hour)"
	@echo "make test-unit   the tests that run no DAG, no command, no container and no browser"
	@echo "make check       lint, layers of imports, and types"
	@echo "make docs        the documentation, into site/ (warnings are errors; make diagrams, make pictures: what is in it)"
	@echo "make lock        update constraints.txt from the pyproject.toml files"
	@echo "make build       wheels and sdists of the three distributions"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(PACKAGES:=/pyproject.toml) constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv \
		|| { echo "The package index cannot be reached: the first run needs it."; exit 1; }
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q -c constraints.txt $(PACKAGES:%=-e %) -e '.[dev,docs]' \
		|| { echo "The packages could not be installed; the lines above say why."; exit 1; }
	@touch $@

demo: install
	@$(BIN)/airflow incident demo $(if $(ONCE),--once) $(if $(RUNS),--runs $(RUNS))

test: check
	$(BIN)/pytest -n $(UNIT_WORKERS) --dist loadfile tests/unit tests/cli
	$(BIN)/pytest -n $(WORKERS) --dist worksteal tests/dags tests/faults
	$(BIN)/pytest -n $(WORKERS) --dist loadfile tests/docs tests/packaging tests/containers tests/e2e tests/browser

test-unit: install
	$(BIN)/pytest -q -n $(UNIT_WORKERS) --dist loadfile tests/unit

compose-test: install $(COMPOSE)
	$(BIN)/pytest -v -s tests/compose $(if $(KEYWORDS),-k '$(KEYWORDS)')

$(COMPOSE): tests/compose/requirements.txt | $(INSTALLED)
	@tests/compose/fetch_compose.sh $(BIN)/python $@

faults: install
	FAULTS=whole $(BIN)/pytest -q tests/faults

check: lint layers types

layers: install
	$(BIN)/lint-imports

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:
	$(BIN)/uv pip compile pyproject.toml $(PACKAGES:=/pyproject.toml) --all-extras --no-emit-package incident-sandbox --no-emit-package incident-docker-proxy --universal --python-version 3.11 \
		--no-annotate --no-header -q -o constraints.txt

build: install
	rm -rf dist
	for package in . $(PACKAGES); do $(BIN)/python -m build --outdir dist $$package || exit 1; done
	$(BIN)/twine check --strict dist/*

docs: install
	$(BIN)/sphinx-build -q -W --keep-going -n -b html docs site

diagrams: install
	$(BIN)/python docs/draw_diagrams.py

pictures: install
	$(BIN)/python docs/take_pictures.py

clean:
	rm -rf $(VENV) .demo .tests dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
