# Two commands from clone to running: `make run`, `make test`. Everything else is for the people who work on it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PLUGINS := $(wildcard plugins/*/pyproject.toml)
WORKERS ?= 2

.PHONY: help run test acceptance torture lint format lock docs bench clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(INSTALLED): requirements.lock pyproject.toml $(PLUGINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tapi-agent needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . $(PLUGINS:%/pyproject.toml=-e %)
	@touch $@

run: $(INSTALLED) ## install into .venv and play the demo
	@$(BIN)/tapi-agent demo

test: $(INSTALLED) ## the whole suite with branch coverage; starts its own PostgreSQL and Valkey
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

acceptance: $(INSTALLED) ## the long proofs at full size, with their figures; half an hour on an idle machine
	$(BIN)/python -m pytest -n 0 -m acceptance -s -p no:randomly

torture: $(INSTALLED) ## every fault of usage metering, hundreds of times; an hour; SEED=n repeats a run
	$(BIN)/python -m pytest -n 0 -m "" -p no:randomly tests/torture tests/power tests/e2e/test_backlog.py $(if $(SEED),--seed $(SEED))

lint: $(INSTALLED) ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

docs: $(INSTALLED) ## write what is generated: config templates, settings reference, license states, schema, packs
	$(BIN)/python -m tapi_agent.settings.generate
	$(BIN)/python tests/unit/licensing/test_states_document.py
	$(BIN)/python tests/unit/licensing/test_states_picture.py
	$(BIN)/python tests/migration/test_schema_document.py
	$(BIN)/python tests/unit/catalog/test_packs_document.py

bench: $(INSTALLED) ## measure what must be fast; the machine should be idle
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/licensing_memory.py
	$(BIN)/python benchmarks/licensing_refresh.py 2>/dev/null
	$(BIN)/python benchmarks/clock_steps.py
	$(BIN)/python benchmarks/entitlements.py
	$(BIN)/python benchmarks/usage.py 2>/dev/null

lock: $(INSTALLED) ## pin every dependency anew, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --all-extras --upgrade pyproject.toml -o requirements.lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
