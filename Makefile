# Each target does its own set-up; it needs only python3 (3.11 or newer) with venv.
.DEFAULT_GOAL := help
.PHONY: help setup demo test explore coverage check format bench bench-receiver bench-backfill bench-analyzer bench-console profile-receiver fuzz screenshots servers train lock clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH := .venv-bench/.installed
UV = $(shell command -v uv || echo $(BIN)/uv)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $(ARGS) pyproject.toml
ARGS ?=

help:
	@echo "make setup | demo | test | explore | coverage | check | format | bench | bench-receiver | bench-backfill | bench-analyzer | bench-console | fuzz | screenshots | servers | train | lock | clean   (arguments: ARGS=...)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leadstream needs Python 3.11 or newer; say which with PYTHON=")'
	@$(PYTHON) -m venv .venv

.venv/.uv: | $(BIN)/python
	@command -v uv > /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(STAMP): requirements.lock pyproject.toml | .venv/.uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# The libraries that the analyzer is compared with, beside our own consumer in the same versions.
$(BENCH): requirements-bench.lock | $(STAMP)
	@test -d .venv-bench || $(BIN)/python -m venv .venv-bench
	@$(UV) pip install --quiet --python .venv-bench/bin/python --require-hashes --requirement requirements-bench.lock
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	@$(BIN)/leadstream demo $(ARGS)

# Three processes, each with its own servers: two leave the cores idle half of the time. ARGS="-n 0 tests/unit" takes one.
test: check
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# Not part of `test`, which always tries the same examples. Counterexamples are kept in `.hypothesis` and tried first.
explore: $(STAMP)
	@$(BIN)/python -m pytest -n 3 --dist loadfile -m hypothesis --hypothesis-profile explore $(ARGS)

# Not part of `test`: tracing slows every process under test.
coverage: $(STAMP)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered $(ARGS)

check: $(STAMP)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: $(STAMP) $(BENCH)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-receiver: $(STAMP)
	@$(BIN)/python -m tests.bench receiver $(ARGS)

bench-backfill: $(STAMP)
	@$(BIN)/python -m tests.bench backfill $(ARGS)

# ARGS="--only decode" measures one figure, "--messages 1000000" the full memory figure; "--profile backlog" profiles.
bench-analyzer: $(STAMP) $(BENCH)
	@$(BIN)/python -m tests.bench analyzer $(ARGS)

# ARGS="--contacts 1000000" for more contacts.
bench-console: $(STAMP)
	@$(BIN)/python -m tests.bench console $(ARGS)

profile-receiver: $(STAMP)
	@$(BIN)/python -m tests.bench receiver --profile $(ARGS)

# ARGS="normalise --seconds 600"; signature, parse and normalise for a minute each by default.
fuzz: $(STAMP)
	@$(BIN)/python -m tests.fuzz $(ARGS)

# A picture of every page of the console and of the demo; needs Chromium.
screenshots: $(STAMP)
	@$(BIN)/python -m tests.browser.screens docs

servers: $(STAMP)
	@$(BIN)/python deploy/local/servers $(ARGS)

# Fits the fallback's models, the local one where its encoder is installed: LABELLED=folder with files author-*.jsonl; DAY=2026-12-01 for the model card.
train: $(STAMP)
	@test -n "$(LABELLED)" || { echo "say which conversations: make train LABELLED=folder"; exit 2; }
	@$(BIN)/python -m services.analyzer.training "$(LABELLED)" $(if $(DAY),--day $(DAY)) --weights services/analyzer/analysis/fallback/weights.json --local-weights services/analyzer/analysis/local/weights.json --card docs/model-card.md

# Keeps the versions that still satisfy the requirements; ARGS=--upgrade takes the newest.
lock: | .venv/.uv
	@$(COMPILE) --extra dev --extra fuzz --output-file requirements.lock
	@$(COMPILE) --extra bench --output-file requirements-bench.lock

clean:
	@rm -rf .venv .venv-bench .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist *.egg-info
