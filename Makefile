# The targets people use; `make help` lists them. Everything runs from .venv, which makes itself.

# Where it is set, each process of the many that tests and `make run` start compiles the app anew.
unexport PYTHONDONTWRITEBYTECODE
# Not ?=, because some shells and tools have a HOST of their own in the environment.
HOST := 127.0.0.1
PORT ?= 8000
PUBLIC_HOST ?=
ARGS ?=
# What says no to PHONE= and PROVIDER=, as does nothing at all.
OFF := 0 no off false
STAGE ?=
PHONE ?=
PROVIDER ?=
DATA ?=
API ?=
PYTHON ?=

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
# A version manager's shims exist and fail, and Debian's python3 may come without ensurepip: so each
# is tried, with what we need of it.
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
BIN := .venv/bin
# uv installs in a fifth of the time that pip takes, and pip installs uv.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
UV := $(BIN)/uv --quiet
# Says how a requirements.txt is made of its .in; what is pinned there stays, but with ARGS=--upgrade.
PIN := $(UV) pip compile --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make requirements'
# A worker for each core, up to where starting another costs more than it saves. The tests
# of a file that share something, such as a server, stay on one.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadgroup
# Touched when all else is done, so an interrupted setup is done again.
STAMP := .venv/.complete

.DEFAULT_GOAL := help
.PHONY: help setup requirements run reset upkeep listen audit user test deep check audit-deps clients engines browser deployed smoke fuzz load format openapi bench growth deploy package destroy rotate-key apple-secret clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | tr '@' '\t' | expand -t 18

setup: $(STAMP) ## Make .venv, or bring it up to date. PYTHON=python3.12 chooses which; make clean first.
	@:

$(STAMP): requirements-uv.txt requirements.txt requirements-layer.txt requirements-dev.txt
	@python=; for each in $(if $(PYTHON),"$(PYTHON)",$(PYTHONS)); do \
	  if "$$each" -c '$(USABLE)' >/dev/null 2>&1; then python=$$each; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "make setup: no Python 3.11 or newer that can make a virtualenv; tried: $(or $(PYTHON),$(PYTHONS)). Choose one: make setup PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "Making .venv; it takes a minute, once."; \
	$(BIN)/python -c '$(USABLE)' >/dev/null 2>&1 || "$$python" -m venv --clear .venv
	@$(PIP) install --root-user-action=ignore --require-hashes -r requirements-uv.txt
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@

requirements: $(STAMP) ## Pin what the requirements*.in ask for; ARGS=--upgrade, the newest of it.
	@for each in requirements-uv requirements requirements-layer requirements-dev tests/deployed/requirements; do \
	  $(PIN) $(ARGS) $$each.in -o $$each.txt || exit 1; \
	done

run: $(STAMP) ## Run the API on this machine, data and all. PHONE=1, PROVIDER=1; DATA=, PORT= too.
	@exec $(BIN)/python -m local.run --host '$(HOST)' --port '$(PORT)' --public-host '$(PUBLIC_HOST)' \
	  --data '$(DATA)' $(if $(filter-out $(OFF),$(PHONE)),--phone) $(if $(filter-out $(OFF),$(PROVIDER)),--provider)

reset: $(STAMP) ## Forget what `make run` keeps in .recorder, or in DATA=.
	@$(BIN)/python -m local.reset '$(DATA)'

upkeep: $(STAMP) ## Move what is due in the data of a `make run`, PORT= says which; or in AWS.
	@$(BIN)/python -m local.attach '$(PORT)' local.upkeep

user: $(STAMP) ## Find a user, suspend, lift or close them, there likewise. ARGS='find WHO'
	@$(BIN)/python -m local.attach '$(PORT)' ops.users $(ARGS)

listen: $(STAMP) ## Have listened to, there likewise, what this version has not listened to yet.
	@$(BIN)/python -m local.attach '$(PORT)' ops.listen $(ARGS)

audit: $(STAMP) ## Look for lost or orphaned data, there likewise.
	@$(BIN)/python -m local.attach '$(PORT)' ops.audit $(ARGS)

test: $(STAMP) ## Run the tests, but for the deep ones. ARGS='-k trash' picks some.
	@$(PYTEST) -m 'not deep and not browser' $(ARGS)

deep: $(STAMP) ## Run all tests, with as much as it takes of what there can be more of.
	@HYPOTHESIS_PROFILE=deep $(PYTEST) -m 'not browser' $(ARGS)

check: $(STAMP) ## Do all that CI does: format, lint, types, template, tests.
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/cfn-lint ops/template.yaml
	@$(PYTEST) -m 'not browser'

audit-deps: $(STAMP) ## Ask PyPI whether a dependency has a known vulnerability. It needs the network.
	@$(BIN)/pip-audit --strict --progress-spinner off --require-hashes --disable-pip \
	  -r requirements-uv.txt -r requirements-dev.txt

clients: $(STAMP) ## Generate clients from docs/openapi.json, compile and drive them. Node, Java and Maven if here.
	@$(BIN)/python -m tests.clients

fuzz: $(STAMP) ## Ask a running API all that its document allows, and worse. ARGS='--seconds 3600'
	@$(BIN)/python -m tests.fuzz $(ARGS)

load: $(STAMP) ## Have 50 people use a `make run` for a minute. ARGS='--clients 10 --seconds 20'
	@$(BIN)/python -m tests.load $(ARGS)

bench: STAGE = dev
bench: package ## Measure the app beside others that answer the same, for docs/performance.md.
	@$(UV) venv --allow-existing .bench
	@$(UV) pip install --python .bench/bin/python --require-hashes -r benchmarks/requirements.txt
	@.bench/bin/python -m benchmarks $(ARGS)

growth: $(STAMP) ## Count what requests cost over 10 to 10,000 recordings, for docs/performance.md.
	@$(BIN)/python -m tests.growth

engines: $(STAMP) ## Run the suite on DynamoDB Local (Java, Maven) and on versitygw (Go).
	@$(BIN)/python -m tests.engines $(ARGS)

browser: $(STAMP) ## Have Chromium record, listen and upload. ARGS=--pictures makes docs/pictures anew.
	@$(BIN)/python -m tests.browser $(ARGS)

deployed: $(STAMP) ## Deploy a stage on an emulator of AWS, and drive it. ARGS=--grants, ARGS=--chalice
	@$(BIN)/python -m tests.deployed $(ARGS)

smoke: $(STAMP) ## Drive the main job at any address: make smoke API=https://….amazonaws.com/prod
	@$(BIN)/python -m tests.deployed.smoke '$(API)'

format: $(STAMP) ## Format the code, and mend what the linter can.
	@$(BIN)/python -m ruff check --fix --quiet . || true
	@$(BIN)/python -m ruff format .

openapi: $(STAMP) ## Write docs/openapi.json from the code.
	@$(BIN)/python -m local.openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

deploy: $(STAMP) ## Make or update a stage on AWS. STAGE= says which of .chalice/config.json.
	@$(BIN)/python ops/provision.py --stage '$(STAGE)' $(ARGS)
	@$(BIN)/python -m ops.layer --stage '$(STAGE)'
	@$(BIN)/python -m ops.package --stage '$(STAGE)' --zip-only
	@PYTHONDONTWRITEBYTECODE=1 $(BIN)/chalice deploy --stage '$(STAGE)'
	@$(BIN)/python -m ops.finish --stage '$(STAGE)'

package: $(STAMP) ## Write a stage as one template and its code to out/, for a pipeline. STAGE= likewise.
	@$(BIN)/python -m ops.package --stage '$(STAGE)'

destroy: $(STAMP) ## Take a stage off AWS. Its data stays, unless DATA=delete, and somebody says so.
	@$(BIN)/python -m ops.destroy --stage '$(STAGE)' --data '$(or $(DATA),keep)'

rotate-key: $(STAMP) ## Replace the key that signs tokens, on AWS. STAGE= says where.
	@$(BIN)/python -m ops.rotate_key --stage '$(STAGE)' $(ARGS)

apple-secret: $(STAMP) ## Make what Apple knows a stage by; twice a year. STAGE= says where.
	@$(BIN)/python -m ops.apple_secret --stage '$(STAGE)' $(ARGS)

clean: ## Remove what make and the tools made.
	@rm -rf .venv .bench .deployed .recorder out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
