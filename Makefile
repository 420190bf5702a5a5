# Works on a machine with nothing but make and Python 3.11 or newer: the first target that needs it makes .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
WHOLE := --session-timeout 1800 # seconds for all tests of a suite; one test has the timeout of pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test check sim mutants soak e2e monitoring sandbox

help: ## List the targets.
	@echo "Targets (PYTHON=$(PYTHON) makes .venv, 3.11 or newer):"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) ## Try the controller in a sandbox on this machine: no cluster, no AWS account.
	$(BIN)/python -m tests.demo

test: $(INSTALLED) ## Run the fast tests; they need no cluster, no AWS account and no network but loopback.
	$(BIN)/python -m pytest tests/unit tests/contract tests/simulation -n 2 --dist loadfile --no-loadscope-reorder $(WHOLE)

SEEDS ?= 2000
EVERY ?= 1
sim: $(INSTALLED) ## Break all that can break in a simulation, at every call of many flows and in SEEDS random worlds.
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --every $(EVERY)

mutants: $(INSTALLED) ## Plant known bugs into a copy of the code and see that a test notices each; takes minutes.
	$(BIN)/python -m tests.mutants

soak: $(INSTALLED) ## Keep the controller busy for a minute: memory, threads, files and the queue have to stay flat.
	$(BIN)/python -m pytest tests/bench -rP

# Two files at once, each with a control plane of its own; in their order, as long ones come early.
e2e: $(INSTALLED) ## Run the tests against a real kube-apiserver; the first time it is downloaded or built with Go.
	$(BIN)/python -m tests.e2e.controlplane
	$(BIN)/python -m pytest tests/e2e tests/contract --control-plane -n 2 --dist loadfile --no-loadscope-reorder $(WHOLE)

monitoring: $(INSTALLED) ## Run monitoring.yaml and dashboard.json on a real Prometheus (Debian's is fetched by apt-get).
	$(BIN)/python -m tests.monitoring.programs
	$(BIN)/python -m pytest tests/monitoring $(WHOLE)

sandbox: $(INSTALLED) ## A real kube-apiserver, a stand-in for EKS and the controller, for your own kubectl, until Ctrl-C.
	$(BIN)/python -m tests.e2e.sandbox

check: $(INSTALLED) ## Check format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict *.py tests

# Made anew when a pin changes, so that nothing of an older set stays in it. The stamp comes last: an installation that
# was interrupted is not taken for a whole one.
$(INSTALLED): requirements.txt tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is something else: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Making .venv and installing the pinned packages of tests/requirements.txt ..."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@
