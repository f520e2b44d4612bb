# The developer's whole interface. CI runs `make test` and nothing else.
SHELL = /bin/sh
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help scale-sim rolling operations-check test-versions scale-model scale-size acl-check read-only-root audit sbom demo test check proto fmt lint manifests golden cuda test-cuda bench-engine bench-queue attack soak bulk-soak siege test-inputs fuzz test-builds test-clients test-cuts test-page train-tiny bench-gateway k8s-check k8s-write alerts-check observability-check

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

# Without S3 and C2PA, which the demo does not use: a third of the build.
demo: ## Build, start the whole fleet, speak one sentence into out/hello.wav, stop
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --release -p csm-cli --no-default-features
	$(TARGET)/release/csm demo

# Binaries and tests are built by one selection: alone, the binaries would resolve fewer features of their dependencies,
# and half of those would be built twice.
test: ## Everything that CI runs: format, lints, unit and whole-system tests, client libraries that install fast, manifests
	@scripts/need.sh cargo cc cmake redis-server cargo-nextest flite pocketsphinx ffmpeg python3
	@$(MAKE) --no-print-directory lint manifests scale-model
	$(CARGO) build --locked --workspace --bins --tests --examples
	@rm -f $(TARGET)/nextest/ci/junit.xml
	$(CARGO) nextest run --locked --workspace --profile ci; result=$$?; \
	scripts/slowest.sh $(TARGET)/nextest/ci/junit.xml; \
	for list in text split; do \
		.venv/k8s/bin/python -B tests/inputs/$$list.py --speaker $(TARGET)/debug/examples/spoken || result=1; \
	done; \
	.venv/k8s/bin/python -B tests/observability/trace.py --light --bin $(TARGET)/debug --model cli/tiny/model || result=1; \
	CSM_CLIENTS_CACHE=$(TARGET)/clients tests/clients/run.py --light --bin $(TARGET)/debug --model cli/tiny/model || result=1; \
	$(CARGO) deny --version >/dev/null 2>&1 || \
		scripts/not-checked.sh 'cargo-deny is not installed: bans, licences and sources of the dependencies'; \
	exit $$result

check: ## Check the format, the lints and the unit tests of the crates that differ from BASE=HEAD
	@scripts/need.sh cargo cc cmake redis-server cargo-nextest
	@scripts/check.sh $(BASE)

proto: ## Make the gateway's gRPC code of gateway/proto
	CARGO_TARGET_DIR=$(TARGET)/proto $(CARGO) run --quiet --manifest-path scripts/proto/Cargo.toml

fmt: ## Format the code
	$(CARGO) fmt --all

# Advisories change by the day and need the network, so they are no gate: `cargo deny check advisories`.
lint: ## Check the format, the lints and, where cargo-deny is installed, the dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check bans licenses sources; \
	else scripts/not-checked.sh 'cargo-deny is not installed: bans, licences and sources of the dependencies'; fi

manifests: k8s-check alerts-check ## Check k8s/ and its alerts, and docker-compose.yml if docker compose is installed
	@scripts/check-manifests.sh

k8s-check: .venv/k8s/installed ## Render all of k8s/, check it by schemas and the sources, and plant faults; seconds, no cluster
	@.venv/k8s/bin/python -B tests/k8s/check.py

k8s-write: .venv/k8s/installed ## Make the PrometheusRule of the rule file, and the dashboards of their panels
	@.venv/k8s/bin/python -B tests/k8s/generated.py --write

alerts-check: .venv/k8s/installed ## Check the alerts with promtool: each fires on a planted fault, none on a healthy fleet; seconds
	@scripts/need.sh promtool
	@.venv/k8s/bin/python -B tests/observability/alert_tests.py

observability-check: .venv/k8s/installed ## Each panel's and alert's query on a real fleet under a real Prometheus, and a job's trace, as tables; 2 minutes
	@scripts/need.sh cargo cc cmake redis-server promtool
	$(CARGO) build --locked --release --workspace --bin csm-gateway --bin csm-worker
	@.venv/k8s/bin/python -B tests/observability/live.py --bin $(TARGET)/release --model cli/tiny/model
	@.venv/k8s/bin/python -B tests/observability/trace.py --bin $(TARGET)/release --model cli/tiny/model

.venv/k8s/installed: tests/k8s/requirements.txt tests/k8s/install.sh
	@scripts/need.sh python3
	@tests/k8s/install.sh .venv/k8s

scale-model: .venv/scale/installed ## Formulas of KEDA and HPA, and the simulated fleet, against hand-computed figures; seconds
	@.venv/scale/bin/python -B -m unittest discover -s tests/scale -p 'test_*.py'

scale-size: .venv/scale/installed ## Tables of docs/scale.md: Redis, shards, GPUs and money of large fleets, simulated; minutes
	@.venv/scale/bin/python -B tests/scale/simulate.py size

.venv/scale/installed: tests/scale/requirements.txt
	@scripts/need.sh python3
	@[ -x .venv/scale/bin/python ] || python3 -m venv .venv/scale
	@.venv/scale/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/scale/requirements.txt
	@touch $@

SCALE ?=
scale-sim: .venv/scale/installed ## A day on real processes under KEDA by polling, by push and the HPA: SCALE='--only hpa'; 11 minutes, idle machine
	@scripts/need.sh cargo cc cmake redis-server python3
	$(CARGO) build --locked --release --workspace --bin csm-gateway --bin csm-worker
	@.venv/scale/bin/python -B tests/scale/rig.py --bin $(TARGET)/release --model cli/tiny/model $(SCALE)

ROLLING ?=
rolling: .venv/rolling/installed ## Restart gateways, workers and Redis again and again under callers of every surface: ROLLING='--rounds 1'; 20 minutes
	@scripts/need.sh cargo cc cmake redis-server python3 haproxy
	$(CARGO) build --locked --release --workspace --bin csm-gateway --bin csm-worker
	@.venv/rolling/bin/python -B tests/rolling/run.py --bin $(TARGET)/release --model cli/tiny/model $(ROLLING)

.venv/rolling/installed: tests/rolling/requirements.txt
	@scripts/need.sh python3
	@[ -x .venv/rolling/bin/python ] || python3 -m venv .venv/rolling
	@.venv/rolling/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/rolling/requirements.txt
	@touch $@

operations-check: ## The procedures of docs/operations on real processes; 8 minutes
	@scripts/need.sh cargo cc cmake redis-server python3
	$(CARGO) build --locked --workspace --bin csm --bin csm-gateway --bin csm-worker
	@python3 -B tests/operations/procedures.py --bin $(TARGET)/debug --model cli/tiny/model

test-versions: ## Another commit's gateway and worker beside this tree's, on one Redis: OLD=COMMIT
	@scripts/need.sh cargo cc cmake redis-server python3
	@scripts/test-versions.sh $(OLD)

CAP ?= 89
cuda: ## The CUDA worker for compute capability CAP (89, the L4; 90, H100 and H200): 10 to 16 minutes on 2 cores, no GPU needed
	@scripts/need.sh cargo cc cmake
	@scripts/cuda/build.sh $(CAP)

test-cuda: ## The tests that need a CUDA device, on this machine's: CAP=
	@scripts/need.sh cargo cc cmake
	@scripts/cuda/test.sh $(CAP)

# The peers' Python. Another one that has the packages of tests/golden/requirements.txt: make bench-engine PYTHON=...
PYTHON ?= .venv/bin/python
BENCH_MODEL ?= .data/csm-1b-random
bench-engine: $(if $(filter .venv/%,$(PYTHON)),.venv/golden) ## The engine beside its peers, full size: docs/benchmarks/ gets the tables; 30 minutes, 16 GB
	@scripts/need.sh cargo cc cmake
	$(CARGO) build --locked --release -p csm-cli --config 'profile.release.package.candle-transformers.opt-level=3'
	[ -e $(BENCH_MODEL)/config.json ] || $(TARGET)/release/csm model make-random $(BENCH_MODEL)
	$(TARGET)/release/csm bench engine --model $(BENCH_MODEL) --weights q8_0,q4_k,f32 --python $(PYTHON) --docs docs/benchmarks
	$(TARGET)/release/csm bench quality --model $(BENCH_MODEL) --docs docs/benchmarks

DURATION ?= 600
JOBS ?= 20000
SEED ?= 1
SOAK ?=
soak: ## Kill, pause and cut off a whole fleet under load and check every job: DURATION= (seconds) JOBS= SEED= SOAK=--secure
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --release --workspace --bin csm-soak --bin csm-gateway --bin csm-worker
	@$(TARGET)/release/csm-soak --duration $(DURATION) --jobs $(JOBS) --seed $(SEED) $(SOAK)

acl-check: ## A fleet over TLS under the rules of Redis' users: who uses which command, and what is refused; 2 minutes
	@scripts/need.sh cargo cc cmake redis-server openssl python3
	$(CARGO) build --locked --release --workspace --bin csm --bin csm-gateway --bin csm-worker
	@python3 -B tests/secure/acl_check.py --bin $(TARGET)/release

read-only-root: .venv/k8s/installed ## Gateway and worker as the pods of k8s/, with a root file system that cannot be written; Linux, root
	@scripts/need.sh cargo cc cmake redis-server openssl
	$(CARGO) build --locked --release --workspace --bin csm --bin csm-gateway --bin csm-worker
	@.venv/k8s/bin/python -B tests/secure/read_only_root.py --bin $(TARGET)/release

audit: ## Compare Cargo.lock with the advisories of RustSec, by cargo-audit and cargo-deny; needs the network
	@scripts/need.sh cargo cargo-audit cargo-deny
	$(CARGO) audit
	$(CARGO) deny --locked check advisories

sbom: ## Write a bill of materials of each program into out/sbom (CycloneDX, JSON)
	@scripts/need.sh cargo cargo-cyclonedx
	@scripts/sbom.sh out/sbom

BULK ?=
bulk-soak: ## Kill gateways, workers and Redis under one batch and count every line: BULK='--lines 100000 --seed 1'; 2 minutes
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --release --workspace --bin csm-bulk-soak --bin csm-gateway --bin csm-worker
	@$(TARGET)/release/csm-bulk-soak $(BULK)

# Thousands of connections need more open files than most shells allow. SIEGE: more arguments, see `csm-siege --help`.
SIEGE ?=
siege: ## Attack a gateway in 512 MiB beside an honest caller: SIEGE='--only NAME --seconds 10 --memory 512MiB'; 10 minutes
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --release --workspace --bin csm-siege --bin csm-gateway --bin csm-worker
	@ulimit -n "$$(ulimit -Hn)" && $(TARGET)/release/csm-siege $(SIEGE)

# An interrupted training goes on when it is started again.
DEVICE ?= cpu
train-tiny: ## Train the toy voice from nothing into .data/tiny: DEVICE=cuda SEED=; hours on 2 cores
	@scripts/need.sh cc python3 flite flite-dev wordnet
	[ -x .venv/train/bin/python ] || python3 -m venv .venv/train
	.venv/train/bin/python -m pip install --quiet --requirement train/requirements.txt
	DEVICE=$(DEVICE) SEED=$(SEED) PYTHON=.venv/train/bin/python train/train.sh .data/train-tiny .data/tiny

test-inputs: .venv/inputs/installed ## Recordings of everyday kinds beside ffmpeg; written texts beside NeMo and WeTextProcessing, and long ones: 6 minutes
	@scripts/need.sh cargo cc cmake ffmpeg sox
	$(CARGO) build --locked --release --workspace --example spoken --example read_audio
	@.venv/inputs/bin/python -B tests/inputs/audio.py $(TARGET)/release/examples/read_audio
	@.venv/inputs/bin/python -B tests/inputs/text.py --speaker $(TARGET)/release/examples/spoken
	@.venv/inputs/bin/python -B tests/inputs/split.py --speaker $(TARGET)/release/examples/spoken -v
	@.venv/inputs/bin/python -B tests/inputs/speed.py --speaker $(TARGET)/release/examples/spoken

.venv/inputs/installed: tests/inputs/requirements.txt
	@scripts/need.sh python3
	@[ -x .venv/inputs/bin/python ] || python3 -m venv .venv/inputs
	@.venv/inputs/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

SECONDS ?= 60
FUZZ ?= json-bodies recordings texts socket-messages redis-records hub-listings
fuzz: ## Feed damaged inputs to everything that reads bytes from outside: SECONDS= (each) FUZZ= (targets) SEED=
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --workspace --bin csm-fuzz
	@for target in $(FUZZ); do $(TARGET)/debug/csm-fuzz --target $$target --seconds $(SECONDS) --seed $(SEED) || exit 1; done

test-builds: ## Cut jobs off and let two other builds of the worker take over: one goes on, one begins anew
	@scripts/need.sh cargo cc cmake redis-server cargo-nextest
	@scripts/test-builds.sh

# The packages are pinned and installed into target/clients. CLIENTS: more arguments, see tests/clients/README.md.
CLIENTS ?=
test-clients: ## Real client libraries against a real fleet, as a table: CLIENTS='--light' '--only openai-python'; 10 minutes
	@scripts/need.sh cargo cc cmake redis-server ffmpeg python3
	$(CARGO) build --locked --release --workspace --bin csm-gateway --bin csm-worker
	CSM_CLIENTS_CACHE=$(TARGET)/clients tests/clients/run.py --bin $(TARGET)/release --model cli/tiny/model $(CLIENTS)

test-cuts: ## Workers and gateways killed at random places of speech, on every surface; 30 minutes
	@scripts/need.sh cargo cc cmake redis-server python3
	$(CARGO) build --locked --release --workspace --bin csm-gateway --bin csm-worker
	[ -x .venv/cuts/bin/python ] || python3 -m venv .venv/cuts
	.venv/cuts/bin/python -m pip install --quiet --requirement tests/clients/examples/requirements.txt
	.venv/cuts/bin/python -B tests/clients/cuts.py --bin $(TARGET)/release --model cli/tiny/model $(CUTS)

test-page: ## The page in a headless Chromium, on a fleet of its own; screenshots go to target/page
	@scripts/need.sh cargo cc cmake redis-server python3 chromium
	$(CARGO) build --locked --release --workspace --bin csm-gateway --bin csm-worker
	[ -x .venv/page/bin/python ] || python3 -m venv .venv/page
	.venv/page/bin/python -m pip install --quiet --requirement tests/page/requirements.txt
	PYTHON=.venv/page/bin/python tests/page/run.sh $(TARGET)/release cli/tiny/model $(TARGET)/page

bench-queue: ## The queue beside BullMQ, apalis-redis and Celery, and on long backlogs; needs node and python3, 10 minutes
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --release --workspace --bin csm-bench-queue
	bench/peers/queue/run.sh setup
	$(TARGET)/release/csm-bench-queue

bench-gateway: ## Live audio through Redis and the gateway, paced frames in place of a model: docs/benchmarks/ gets the tables; 6 minutes
	@scripts/need.sh cargo cc cmake redis-server
	$(CARGO) build --locked --release --workspace --bin csm-bench-gateway --bin csm-gateway
	$(TARGET)/release/csm-bench-gateway --docs docs/benchmarks

attack: $(if $(filter .venv/%,$(PYTHON)),.venv/attack) ## What the builtin mark survives, and what is mistaken for it: docs/benchmarks/ gets the tables; 15 minutes
	@scripts/need.sh cargo cc cmake ffmpeg espeak-ng
	$(CARGO) build --locked --release --workspace --bin csm-attack
	$(TARGET)/release/csm-attack --python $(PYTHON) --csv $(TARGET)/attack/null.csv --docs docs/benchmarks

golden: .venv/golden ## Make the golden values with PyTorch and compare them (WRITE=1 replaces them); Python >= 3.11
	.venv/bin/python tests/golden/make_golden.py $(if $(WRITE),,--check)

.venv/golden: tests/golden/requirements.txt
	@scripts/need.sh python3
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement tests/golden/requirements.txt
	touch .venv/golden

.venv/attack: bench/attack/requirements.txt
	@scripts/need.sh python3
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement bench/attack/requirements.txt
	touch .venv/attack
