# libsession. `make demo` shows it, `make test` checks all of it; both set up by themselves what they need.
#
#   make setup    installs what is missing: Debian packages, .venv, node_modules (the other targets do it, too)
#   make demo     three servers on loopback play the story of demo/README.md; DEMO_ONESHOT=1 exits by itself
#   make test     everything that CI runs; `make test-core`, `test-python`, `test-node` … are its parts
#   make torture  the scenarios of `make test`, long
#   make bench    every speed and memory target as a ratio to peers measured in the same run
#   make ready    formats, then make test

.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PYO3_PYTHON ?= $(CURDIR)/.venv/bin/python
export CARGO_TERM_QUIET ?= true
STAMPS := target/stamps
STEP := tools/step.sh
PYTHON := .venv/bin/python
LIB := $(CARGO_TARGET_DIR)/debug

.PHONY: default setup test torture bench demo ready clean
default: test

# --- set-up: what is there is left alone ---------------------------------------------------------------------------

PYTHON_REQUIREMENTS := bindings/python/requirements-dev.txt demo/python/requirements.txt

setup: $(STAMPS)/system $(STAMPS)/python $(STAMPS)/node $(STAMPS)/node-demo

$(STAMPS)/system: tools/setup.sh
	@tools/setup.sh
	@mkdir -p $(@D) && touch $@

$(STAMPS)/python: $(PYTHON_REQUIREMENTS) tools/venv.sh | $(STAMPS)/system
	@tools/venv.sh $(PYTHON_REQUIREMENTS)
	@touch $@

$(STAMPS)/node: bindings/node/package-lock.json tools/npm.sh | $(STAMPS)/system
	@tools/npm.sh bindings/node
	@touch $@

# What can't be built here is left out by who uses it, and said so there.
$(STAMPS)/node-disk: bindings/node/benches/disk/package-lock.json tools/npm.sh | $(STAMPS)/system
	@timeout 300 tools/npm.sh bindings/node/benches/disk || true
	@touch $@

$(STAMPS)/node-demo: demo/node/package-lock.json tools/npm.sh | $(STAMPS)/system
	@tools/npm.sh demo/node
	@touch $@

# --- what the tests and the demo run on: all of it in cargo's dev profile -------------------------------------------

.PHONY: build-c build-python build-node

build-c: setup
	@cargo build -q -p libsession-ffi --lib
	@ln -sf libsession.so $(LIB)/libsession.so.0

build-python: setup
	@VIRTUAL_ENV=$(CURDIR)/.venv tools/quiet.sh .venv/bin/maturin develop -m bindings/python/Cargo.toml

build-node: setup
	@tools/quiet.sh npm run --prefix bindings/node build:debug

# --- make test ------------------------------------------------------------------------------------------------------

TEST := check-format check-clippy check-version test-core test-python test-node test-conformance test-examples \
	test-docs test-install test-demo check-fresh
.PHONY: $(TEST)
SCHEDULES := -p libsession-core --features shuttle --test schedules

test: setup
	@for part in $(TEST); do $(STEP) $$part $(MAKE) -s --no-print-directory $$part || exit 1; done
	@echo "all tests passed"

check-format: setup
	cargo fmt --all --check

check-clippy: setup
	cargo clippy -q --workspace --all-targets -- -D warnings
	cargo clippy -q $(SCHEDULES) -- -D warnings

# Core, C interface and bindings have one version.
check-version: setup
	$(PYTHON) tests/smoke/version.py

# Core, C interface with its C and C++ programs, Rust runner; then what few threads do in the schedules that shuttle chooses.
test-core: setup
	cargo test -q --workspace
	cargo test -q $(SCHEDULES)

test-python: build-python
	cd bindings/python && ../../.venv/bin/python -m pytest

test-node: build-node $(STAMPS)/node-disk
	tools/quiet.sh npm test --silent --prefix bindings/node
	@echo "node: all tests passed"

# One story, four languages, the same log.
test-conformance: build-c build-python build-node
	cargo build -q -p libsession-runner-rust
	$(MAKE) -s -C tests/runners/c
	for table in memory file; do \
		RUNNER_PYTHON="$(PYTHON) tests/runners/python/runner.py" tests/runners/compare.sh --table $$table || exit 1; \
	done

test-examples: build-c build-python build-node
	LIB=$(LIB) PYTHON=$(PYTHON) tests/smoke/examples.sh

# The code of README.md runs and prints what it says.
test-docs: build-c build-python build-node
	LIB=$(LIB) $(PYTHON) tests/smoke/docs.py

# The packages install into empty places and say hello.
test-install: build-c build-python build-node
	PYTHON=$(PYTHON) tests/smoke/install.sh

test-demo:
	DEMO_ONESHOT=1 $(MAKE) -s demo

# Nothing that is generated is stale.
check-fresh:
	git diff --exit-code --stat -- include bindings/node/native.cjs bindings/node/native.d.ts

# --- the demo -------------------------------------------------------------------------------------------------------

demo: build-c build-python build-node target/demo/server
	@$(PYTHON) demo/play.py

target/demo/server: $(wildcard demo/c/* demo/shop/settings.[ch]) include/libsession.h
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O1 -g -Wall -Wextra -Werror -Iinclude $(filter %.c,$^) -o $@ \
		-L$(LIB) -lsession -lmicrohttpd -lpthread -Wl,-rpath,$(LIB)

# --- make bench: a table and a plot in target/bench ------------------------------------------------------------------

BENCH := $(CURDIR)/target/bench

bench: setup $(STAMPS)/node-disk
	@mkdir -p $(BENCH)
	cargo run --release -q --manifest-path core/benches/peers/Cargo.toml -- --json $(BENCH)/core.json --text $(BENCH)/core.txt
	cargo build --release -q -p libsession-ffi
	@ln -sf libsession.so $(CARGO_TARGET_DIR)/release/libsession.so.0
	$(CC) -O2 -Iinclude core/benches/c/bench.c -o $(BENCH)/c -L$(CARGO_TARGET_DIR)/release -lsession -lm
	LD_LIBRARY_PATH=$(CARGO_TARGET_DIR)/release $(BENCH)/c --json $(BENCH)/c.json
	@VIRTUAL_ENV=$(CURDIR)/.venv tools/quiet.sh .venv/bin/maturin develop --release -m bindings/python/Cargo.toml
	$(PYTHON) bindings/python/benches/bench.py --json $(BENCH)/python.json
	$(PYTHON) bindings/python/benches/shared.py --json $(BENCH)/python-shared.json
	@tools/quiet.sh npm run --prefix bindings/node build
	npm run --silent --prefix bindings/node bench -- --json $(BENCH)/node.json
	node bindings/node/benches/shared.mjs --json $(BENCH)/node-shared.json
	$(PYTHON) tools/bench_report.py $(BENCH)

# --- the rest -------------------------------------------------------------------------------------------------------

torture: build-c build-python build-node
	LSES_TORTURE=1 LIBSESSION_TORTURE=1 cargo test -q --workspace
	LSES_TORTURE=1 cargo test -q $(SCHEDULES) -- --show-output
	cd bindings/python && LIBSESSION_TORTURE=1 ../../.venv/bin/python -m pytest
	TORTURE=20 npm test --silent --prefix bindings/node
	$(MAKE) -s -C tests/runners/c
	for table in memory file; do LSES_TORTURE=1 \
		RUNNER_PYTHON="$(PYTHON) tests/runners/python/runner.py" tests/runners/compare.sh --table $$table || exit 1; \
	done

ready: setup
	cargo fmt --all
	@$(MAKE) --no-print-directory test

clean:
	rm -rf target .venv node_modules bindings/node/node_modules demo/node/node_modules
