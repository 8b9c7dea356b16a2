# Everything sets itself up on a fresh clone with Python 3.11 to 3.13, and is quick the second time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CODE := app agents api config tests
# More than the usual two cores: most tests of real processes wait for them.
WORKERS ?= 3
ARGS ?=
# Without compiled files every process reads 20,000 lines of source again: half a second for each command.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-cluster install check format bench soak proof load load-page screenshots docs audit lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Everything on this machine, embedded, with the demo; Ctrl-C ends it
	@exec $(BIN)/scorekeeper up --demo $(ARGS)

test: $(VENV)/.development ## The whole test suite, on real Kafka, Redis and PostgreSQL where they can be had
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-cluster: $(VENV)/.development ## The faults once more, on a Redis Cluster of three shards
	@SCOREKEEPER_TEST_REDIS=cluster $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/faults $(ARGS)

install: $(VENV)/.development ## Create .venv with the hash-locked requirements

check: $(VENV)/.development ## Format, lint, types and import contracts
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.development ## Format the code
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

bench: $(VENV)/.development ## Measure, beside what a user would pick instead (long; nothing else should run)
	@scripts/bench $(ARGS)

soak: $(VENV)/.development ## Random faults for ten minutes, then every goal compared (ARGS="--minutes N --seed N")
	@$(BIN)/python -m tests.faults.soak $(ARGS)

proof: $(VENV)/.development ## Hundreds of faults over two million messages, and a table of what differs (ARGS="--scale 0.05")
	@$(BIN)/python -m tests.faults.campaign $(ARGS)

docs: $(VENV)/.development ## Build the documentation, strictly, into build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

audit: $(VENV)/.development ## Known vulnerabilities, licences of all dependencies, and a bill of materials (build/sbom.json)
	@scripts/audit

load: $(VENV)/.development ## 500 clients of the event stream for ten minutes, cut off again and again (ARGS="--clients N --seconds S")
	@$(BIN)/python -m tests.stream_load $(ARGS)

load-page: $(VENV)/.development ## 200 goals that change 20 times a second with 50 pages open: what it costs (nothing else should run)
	@$(BIN)/python -m tests.page_load $(ARGS)

screenshots: $(VENV)/.development ## Pictures of the dashboard's views
	@$(BIN)/python -m tests.screenshots $(ARGS)

lock: $(VENV)/.development ## Renew the hash-locked requirements
	@scripts/lock

clean: ## Remove the environment and all local data
	rm -rf $(VENV) .venv-bench .cache .scorekeeper build *.egg-info

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@scripts/install runtime
	@touch $@

$(VENV)/.development: $(VENV)/.runtime requirements/development.txt
	@scripts/install development
	@touch $@
