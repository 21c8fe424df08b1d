# Two commands for newcomers: `make demo` and `make test`. The rest is for those who change things.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)
ARGS ?=
# Tests wait for processes, so there is a worker more for every two processors; more than eight
# would only make more copies of what is dear.
WORKERS := -n $(shell n=$$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2)); echo $$((n < 1 ? 1 : n < 8 ? n : 8)))
# Hundreds of processes start in the tests: each would compile again all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo quick test check bench soak kills lock clean
.DEFAULT_GOAL := help

help:  ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: $(READY)  ## Take the guided tour (ARGS=--once ends after it)
	@$(BIN)/sealgate demo $(ARGS)

quick: $(READY)  ## Run the tests that start no process
	@$(BIN)/python -m pytest -q $(WORKERS) -m "not e2e" $(ARGS)

test: $(READY)  ## Run every test, on every core (ARGS="tests/audit -x": some)
	@$(BIN)/python -m pytest -q $(WORKERS) $(ARGS)

check: $(READY)  ## Lint, type-check and hold the import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY)  ## Measure speed beside what else one could pick
	@$(BIN)/python -m tests.bench $(ARGS)

soak: $(READY)  ## Run the long kill and fault loops
	@SOAK=1 $(BIN)/python -m pytest -q -m soak $(ARGS)

kills: $(READY)  ## Kill the process at each step of each change (ARGS=--faults lets writes fail)
	@$(BIN)/python -m tests.kills $(ARGS)

lock: $(READY)  ## Make the lock files anew (hashes, no addresses)
	@bash .ci/lock

clean:  ## Remove the environment and the demo folder
	rm -rf $(VENV) .sealgate-demo

$(READY): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
