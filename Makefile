# The developer's whole interface. CI runs `make test` and nothing else.
SHELL = /bin/sh
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test fmt lint manifests golden

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## Build, start the whole fleet, speak one sentence into out/hello.wav, stop
	@scripts/need.sh cargo cc redis-server
	$(CARGO) build --locked --release -p csm-cli
	$(TARGET)/release/csm demo

# Binaries and tests are built by one selection: alone, the binaries would resolve fewer features of their dependencies,
# and half of those would be built twice.
test: ## Everything that CI runs: format, lints, unit and whole-system tests, manifests
	@scripts/need.sh cargo cc redis-server cargo-nextest
	@$(MAKE) --no-print-directory lint manifests
	$(CARGO) build --locked --workspace --bins --tests
	$(CARGO) nextest run --locked --workspace --profile ci

fmt: ## Format the code
	$(CARGO) fmt --all

# Advisories change by the day and need the network, so they are no gate: `cargo deny check advisories`.
lint: ## Check the format, the lints and, where cargo-deny is installed, the dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check bans licenses sources; \
	else echo 'cargo-deny is not installed: bans, licences and sources of the dependencies are not checked'; fi

manifests: ## Check docker-compose.yml and k8s/ with the tools that are installed
	@scripts/check-manifests.sh

golden: .venv/golden ## Make the golden values with PyTorch and compare them (WRITE=1 replaces them); Python >= 3.11
	.venv/bin/python tests/golden/make_golden.py $(if $(WRITE),,--check)

.venv/golden: tests/golden/requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement tests/golden/requirements.txt
	touch .venv/golden
