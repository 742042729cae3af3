# The two commands of the README: `make demo` and `make test`. Each does all the set-up it needs, first and alone.
# Needs make and a Python >= 3.11 with its venv module; uv, node and compilers are not needed.

VENV ?= .venv
BIN := $(VENV)/bin
BENCH_VENV ?= .venv-bench

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)
endif

# pyright comes whole inside its wheel; without this it would ask a registry for a newer one
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYTHONUTF8 := 1
# tests start Python hundreds of times; where the environment forbids it to keep what it has compiled, each of them
# would compile everything it imports, which doubles what it takes to start
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test soak mutate test-floors test-wheel docs check setup setup-dev setup-bench bench bench-sandbox lint types layers deps dead changelog \
	format lock env-example public-api clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.DEFAULT_GOAL := help
.NOTPARALLEL: # two targets never fill one environment at the same time

demo: setup ## one bKash payment and a refund through the local sandbox, from a fresh clone
	@$(BIN)/vextrus-pay demo

# A file's tests stay in one process; each process has its own PostgreSQL and Redis.
test: setup-dev ## all tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

test-floors: setup-dev ## the tests at the oldest versions pyproject.toml allows
	$(BIN)/python scripts/test_floors.py

test-wheel: setup-dev ## every quick suite against the built wheel
	WHEEL_SUITES=all $(BIN)/python -m pytest tests/packaging/test_against_wheel.py -rP

docs: setup-dev ## the docs site in build/site, and the tables and pictures of docs/ that the code writes
	$(BIN)/python -m scripts.docs

soak: setup-dev ## hours of crashes and faults, counted in docs/soak.md; make soak HOURS=2
	$(BIN)/python scripts/soak.py --hours $(or $(HOURS),1)

check: lint types layers deps dead changelog ## every static check

bench: setup-bench ## speed against the peers; make bench ONLY=P1,P12 for some goals
	$(BENCH_VENV)/bin/python -m bench $(if $(ONLY),--only $(ONLY))

bench-sandbox: setup ## the sandbox under load, and its dashboard with 100,000 payments; five minutes
	$(BIN)/python -m bench.sandbox_load $(ARGS)

mutate: setup-dev ## change the money code line by line and see that a test notices; make mutate ONLY=money
	$(BIN)/python scripts/mutate.py $(if $(ONLY),--only $(ONLY))

setup: ## .venv with the CLI and the sandbox, from the hashed lock
	$(call made_from,$(VENV),run)

setup-dev: ## .venv with everything for the checks and tests too
	$(call made_from,$(VENV),dev)

setup-bench:
	$(call made_from,$(BENCH_VENV),bench)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/lint_source.py

types: setup-dev
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --strict --python-version 3.11 scripts
	$(BIN)/python scripts/verify_types.py

layers: setup-dev
	@# a cached answer would forget that a module has come or gone
	$(BIN)/lint-imports --no-cache

deps: setup-dev
	$(BIN)/deptry .

dead: setup-dev
	$(BIN)/vulture $(wildcard src sandbox tests bench scripts)

changelog: setup-dev
	$(BIN)/python scripts/check_changelog.py

format: setup-dev ## sort imports, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup-dev ## regenerate the hashed locks; make lock UPGRADE=1 takes the newest versions
	$(BIN)/python scripts/lock.py $(if $(UPGRADE),--upgrade)

env-example: setup-dev ## regenerate .env.example from the config models
	$(BIN)/python scripts/env_example.py

public-api: setup-dev ## regenerate the snapshot of public names
	$(BIN)/python scripts/public_api.py --write

clean: ## remove what make made, the environments included
	rm -rf $(VENV) $(BENCH_VENV) .venv-floors build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage htmlcov
	find src sandbox tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

define made_from
@if [ -z "$(PYTHON)" ]; then \
	echo "Python 3.11 or newer is needed and none is on the PATH; name one: make PYTHON=/path/to/python3" >&2; exit 1; fi
@$(PYTHON) scripts/setup_env.py --venv $(1) --lock requirements/$(2).txt
endef
