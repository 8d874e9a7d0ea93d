# The daily commands. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON_BIN := .venv/bin/python
DATA ?= ./var
ARGS ?=
# Parallel test processes; the tests start real databases and servers, so few are enough.
JOBS ?= 2
# Tries for each parser of `make fuzz`.
EXAMPLES ?= 20000
CHECKED := src bench tests/support scripts/checks scripts/reasons.py

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  ARGS=… adds arguments to run, test and bench; DATA=… is the data directory of run (default ./var)."

.PHONY: setup
setup: ## install what Troth needs to run into .venv
	@scripts/setup

.PHONY: run
run: setup ## run a whole Troth on an embedded database, until Ctrl-C
	@exec .venv/bin/troth up --data $(DATA) $(ARGS)

.PHONY: setup-dev
setup-dev:
	@scripts/setup --dev

.PHONY: test
test: ## install what the tests need (Debian packages included), lint, and run every test
	@scripts/setup --dev --peers
	@$(MAKE) --no-print-directory lint
	$(PYTHON_BIN) -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

.PHONY: test-windows
test-windows: setup-dev ## the agent on Windows: gets Wine and Windows' Python, and runs it against Troth and a software TPM
	@scripts/setup --dev --windows
	$(PYTHON_BIN) -m mypy --strict --platform win32 --follow-imports silent --cache-dir .mypy_cache/win32 \
		src/troth/agent/system/windows.py src/troth/agent/keys/tpm/tbs.py
	$(PYTHON_BIN) -m pytest tests/clients/test_agent_windows.py $(ARGS)

.PHONY: lint
lint: setup-dev ## ruff, mypy --strict, the floors, the project's own checks
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy --strict $(CHECKED)
	.venv/bin/lint-imports
	$(PYTHON_BIN) -m scripts.checks

.PHONY: fmt
fmt: setup-dev ## format, and mend what ruff can mend
	$(PYTHON_BIN) -m ruff format .
	$(PYTHON_BIN) -m ruff check --fix .

.PHONY: reasons
reasons: setup-dev ## write docs/reason-codes.md from the registry
	$(PYTHON_BIN) -m scripts.reasons --write

.PHONY: lock
lock: setup-dev ## make requirements/*.txt anew from requirements/*.in
	scripts/lock

.PHONY: fuzz
fuzz: setup-dev ## every parser that takes outside bytes, longer than in the tests (EXAMPLES=20000)
	TROTH_FUZZ_EXAMPLES=$(EXAMPLES) $(PYTHON_BIN) -m pytest -n $(JOBS) --timeout 0 tests/unit/fuzz $(ARGS)

.PHONY: bench
bench: bench-gate bench-issue bench-acme bench-ocsp bench-crl bench-signal bench-enforce bench-policy bench-reevaluate bench-radius bench-accounting bench-idle ## every benchmark, one after the other

.PHONY: bench-gate
bench-gate: setup-dev ## issuances per second through the gate, durable
	$(PYTHON_BIN) -m bench.gate $(ARGS)

.PHONY: bench-acme
bench-acme: ## whole ACME orders per second and CPU per order, beside step-ca and Debian's pebble, like beside like
	@scripts/setup --dev --peers
	$(PYTHON_BIN) -m bench.acme $(ARGS)

.PHONY: bench-stored
bench-stored: setup-dev ## CPU per ACME order with 10^3 to 10^6 orders in the database (fills it: minutes)
	$(PYTHON_BIN) -m bench.acme_stored $(ARGS)

.PHONY: bench-ocsp
bench-ocsp: setup-dev ## OCSP answers per second
	$(PYTHON_BIN) -m bench.ocsp $(ARGS)

.PHONY: bench-issue
bench-issue: setup-dev ## one leaf beside one raw signature, and issuances per second through the gate
	$(PYTHON_BIN) -m bench.issue $(ARGS)

.PHONY: bench-crl
bench-crl: setup-dev ## CRLs of a million entries, and from a revocation to OCSP and CRL
	$(PYTHON_BIN) -m bench.crl $(ARGS)

.PHONY: bench-policy
bench-policy: setup-dev ## decisions per second in one process, and with each made durable
	$(PYTHON_BIN) -m bench.policy $(ARGS)

.PHONY: bench-reevaluate
bench-reevaluate: setup-dev ## 100,000 standings evaluated anew after another standing document
	$(PYTHON_BIN) -m bench.reevaluate $(ARGS)

.PHONY: bench-radius
bench-radius: ## CPU per EAP-TLS authentication beside Debian's FreeRADIUS, workers, memory, trials around holds
	@scripts/setup --dev --peers
	$(PYTHON_BIN) -m bench.radius $(ARGS)

.PHONY: bench-accounting
bench-accounting: setup-dev ## a month of a campus's accounting replayed: two million records
	$(PYTHON_BIN) -m bench.accounting $(ARGS)

.PHONY: bench-signal
bench-signal: setup-dev ## from an accepted signal to OCSP answering revoked, under load
	$(PYTHON_BIN) -m bench.signal $(ARGS)

.PHONY: bench-idle
bench-idle: setup-dev ## CPU and statements a second of a Troth that nobody asks anything, without and with RADIUS
	$(PYTHON_BIN) -m bench.idle $(ARGS)

.PHONY: bench-enforce
bench-enforce: setup-dev ## enforcement with 10,000 subjects: latency, a batch of 1,000, a silent and a broken feed
	$(PYTHON_BIN) -m bench.enforce $(ARGS)

.PHONY: clean
clean: ## remove .venv and caches (never the data directory)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
