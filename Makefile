# Works on a machine with nothing but make and Python 3.11 or newer: the first target that needs it makes .venv.
PYTHON ?= python3
BIN := .venv/bin
FOR_DEMO := .venv/.installed-for-demo
KOPF := .cache/bench/.installed
INSTALLED := .venv/.installed
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)".*/\1/p' config.py)
IMAGE ?= fargate-operator:$(VERSION)
FAST = tests/unit tests/contract tests/simulation -n 2 --dist loadfile --no-loadscope-reorder $(WHOLE)
WHOLE := --session-timeout 1800 # seconds for all tests of a suite; one test has the timeout of pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test pythons check sim mutants soak bench e2e monitoring sandbox lock sbom image

help: ## List the targets.
	@echo "Targets (PYTHON=$(PYTHON) makes .venv, 3.11 or newer):"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(FOR_DEMO) ## Try the operator in a sandbox on this machine: no cluster, no AWS account.
	$(BIN)/python -m tests.demo

test: $(INSTALLED) ## Run the fast tests; they need no cluster, no AWS account and no network but loopback.
	$(BIN)/python -m pytest $(FAST)

# Each with an environment of its own in .cache; of those that are not there nothing is said to have passed.
MINOR = import sys; print(sys.version_info[:2])
PYTHONS ?= python3.11 python3.12 python3.13 python3.14
pythons: ## Run the fast tests on each of PYTHONS that is installed, beside the one that make test runs on.
	@set -e; for python in $(PYTHONS); do \
	  at=.cache/$${python##*/}; \
	  if ! command -v $$python > /dev/null || ! $$python -c 'import ensurepip' 2> /dev/null; then \
	    echo "$$python is not there"; continue; \
	  fi; \
	  if [ "$$($$python -c '$(MINOR)')" = "$$($(BIN)/python -c '$(MINOR)' 2> /dev/null)" ]; then \
	    echo "$$python is what make test runs on"; continue; \
	  fi; \
	  $$python -m venv --clear $$at; \
	  $$at/bin/python $(PIP) --require-hashes --requirement requirements.lock; \
	  $$at/bin/python $(PIP) --requirement tests/requirements.txt; \
	  echo "with $$python:"; \
	  $$at/bin/python -m pytest $(FAST); \
	done

SEEDS ?= 2000
EVERY ?= 1
sim: $(INSTALLED) ## Break all that can break in a simulation, at every call of many flows and in SEEDS random worlds.
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --every $(EVERY)

mutants: $(INSTALLED) ## Plant known bugs into a copy of the code and see that a test notices each; takes minutes.
	$(BIN)/python -m tests.mutants

soak: $(INSTALLED) ## Keep the operator busy for a minute: memory, threads, files and the queue have to stay flat.
	$(BIN)/python -m pytest tests/bench -rP

bench: $(INSTALLED) $(KOPF) ## Compare speed and memory with the original and the least possible, BENCH="--only burst" for a part.
	$(BIN)/python -m tests.e2e.controlplane
	$(BIN)/python -m tests.bench.compare $(BENCH)

# Two files at once, each with a control plane of its own; in their order, as long ones come early.
e2e: $(INSTALLED) ## Run the tests against a real kube-apiserver; the first time it is downloaded or built with Go.
	$(BIN)/python -m tests.e2e.controlplane
	$(BIN)/python -m pytest tests/e2e tests/contract --control-plane -n 2 --dist loadfile --no-loadscope-reorder $(WHOLE)

monitoring: $(INSTALLED) ## Run monitoring.yaml and dashboard.json on a real Prometheus (Debian's is fetched by apt-get).
	$(BIN)/python -m tests.monitoring.programs
	$(BIN)/python -m pytest tests/monitoring $(WHOLE)

sandbox: $(INSTALLED) ## A real kube-apiserver, a stand-in for EKS and the operator, for your own kubectl, until Ctrl-C.
	$(BIN)/python -m tests.e2e.sandbox

check: $(INSTALLED) ## Check format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict *.py tests .ci/*.py

# What is pinned already stays as it is, unless UPGRADE says otherwise: --upgrade, or --upgrade-package botocore.
lock: ## Write requirements.lock anew: all that runs in production, with the hashes of its files.
	@$(call tools,lock)
	.cache/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-build \
	  --custom-compile-command 'make lock' $(UPGRADE) --output-file requirements.lock requirements.txt

# The packages as the image has them, in an environment of their own, so that what lists them is not in the list.
RUNS := .cache/runs
sbom: ## Write sbom.json (CycloneDX): the packages that the image holds, their versions and licences.
	@$(call tools,sbom)
	@$(PYTHON) -m venv --clear --without-pip $(RUNS)
	@.cache/sbom/bin/python -m pip --python $(RUNS)/bin/python install --quiet --no-compile --require-hashes \
	  --only-binary :all: --requirement requirements.lock
	@PYTHONPATH=. $(PYTHON) .ci/prune.py $(RUNS)/lib/python3*/site-packages
	@printf '[project]\nname = "fargate-operator"\nversion = "$(VERSION)"\nlicense = "Apache-2.0"\ndependencies = [%s]\n' \
	  "$$(sed -n 's/^[^#].*/"&",/p' requirements.txt)" > .cache/sbom.toml
	@.cache/sbom/bin/cyclonedx-py environment --pyproject .cache/sbom.toml --output-reproducible \
	  --output-file sbom.json $(RUNS)/bin/python
	@echo "sbom.json lists what $(IMAGE) holds beside its base."

# Of the same commit and DIGEST (of the base) comes the same image, layer for layer: see SECURITY.md.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
image: ## Build the image IMAGE with docker, podman or buildah, whichever is there.
	@for tool in docker podman buildah; do \
	  if $$tool info > /dev/null 2>&1; then \
	    set -- build --build-arg SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(if $(DIGEST),--build-arg DIGEST=$(DIGEST)); \
	    [ $$tool = docker ] || set -- "$$@" --timestamp $(SOURCE_DATE_EPOCH); \
	    echo "$$tool $$* --tag $(IMAGE) ."; exec $$tool "$$@" --tag $(IMAGE) .; \
	  fi; \
	done; \
	echo "An image is built by docker, podman or buildah, and none of them works here: install or start one." >&2; exit 1

# Made anew when a pin changes, so that nothing of an older set stays in it. The stamps come last: an installation that
# was interrupted is not taken for a whole one. The demo is for those who only look: it goes without the test tools.
$(FOR_DEMO): requirements.txt requirements.lock tests/requirements-demo.txt
	@$(call install,tests/requirements-demo.txt)
	@touch $@

$(INSTALLED): requirements.txt requirements.lock tests/requirements-demo.txt tests/requirements.txt
	@$(call install,tests/requirements.txt)
	@touch $(FOR_DEMO) $@

# The framework of the original in an environment of its own: the controller and its tests never have it.
$(KOPF): tests/bench/kopf-requirements.txt
	@$(PYTHON) -m venv --clear .cache/bench && .cache/bench/bin/python $(PIP) --requirement $<
	@touch $@

# The lock first: what is tried here is what runs in production, to the version. What a start does not need is not
# compiled, and pip is heard only where it fails.
PIP = -m pip install --quiet --no-compile --disable-pip-version-check
define install
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "Python 3.11 or newer is needed, $(PYTHON) is something else: make PYTHON=python3.11 ..." >&2; exit 1; }; \
echo "Making .venv and installing the pinned packages of $(1); this takes a minute or less ..."; \
$(PYTHON) -m venv --clear .venv && \
$(BIN)/python $(PIP) --require-hashes --requirement requirements.lock && \
$(BIN)/python $(PIP) --requirement $(1)
endef

# A tool of the release in an environment of its own: tests and image never have it.
define tools
$(PYTHON) -m venv --clear .cache/$(1) && .cache/$(1)/bin/python $(PIP) --requirement .ci/$(1)-requirements.txt
endef
