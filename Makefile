# Every command of the README. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup run test check bench load pictures phase3-drill client lock browser redis clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP) ## the environment .venv with every extra

$(STAMP): requirements.lock pyproject.toml .ci/setup.sh
	@VENV=$(VENV) bash .ci/setup.sh
	@touch $@

run: $(STAMP) ## both stacks side by side, sample traffic, live page (Ctrl-C ends it)
	@$(BIN)/migrate up

browser: ## Chromium from the system's packages, where it is missing (the browser tests need it)
	@bash .ci/package.sh Chromium chromium chromium chromium-browser google-chrome

redis: ## a Redis or Valkey server from the system's packages, where it is missing (the broker tests start their own)
	@bash .ci/package.sh Redis redis-server redis-server valkey-server

test: $(STAMP) browser redis ## every test, browser included
	@bash .ci/tests.sh $(BIN)/python $(PYTEST_ARGS)

check: $(STAMP) ## lint, types, import contracts, freshness of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/lint-imports --no-cache --config sse_service/.importlinter
	$(BIN)/python docs/generate.py --check

bench: $(STAMP) ## benchmarks, as ratios against a peer measured in the same run
	$(BIN)/python -m loadtests.bench $(BENCH_ARGS)

load: $(STAMP) ## both stacks under the same load, in turn: table and page (needs `migrate up --detach`)
	@$(BIN)/python -m loadtests.compare $(LOAD_ARGS)

pictures: $(STAMP) browser ## the pictures of the documents again, from the real thing (fonts for Japanese, Korean, Arabic help)
	@$(BIN)/python docs/pictures/record.py $(PICTURES)

phase3-drill: $(STAMP) browser redis ## prove that sse_service builds and passes its tests once the rest is deleted
	@VENV=$(VENV) bash .ci/phase3-drill.sh

client: ## build the drop-in client again, check its types, pack it into dist/ (needs Node.js and npm)
	cd sse_service/client && npm ci && npm run build && npm run check
	mkdir -p dist && npm pack ./sse_service/client --pack-destination dist

lock: $(STAMP) ## resolve requirements.lock again from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --no-annotate -q -o requirements.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist bench-results .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
