# Everything here needs Python >= 3.11 and nothing else; the rest is fetched into .venv.
# Override the interpreter with `make PYTHON=/path/to/python test`.

SHELL := /bin/sh
VENV := .venv
STAMP := $(VENV)/.stamp
BIN := $(VENV)/bin
PYTHON ?=
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
MAJOR ?= 18
MAJOR_TESTS ?= tests/compat tests/run tests/verify
MUTATIONS ?=
SOAK_RUNS ?= 20
SOAK_CASES ?= 100000
CHECKED := $(wildcard compat codemods verify examples tests benchmarks)
# Checked on its own: beside the packages it would be taken for a part of the Alembic library.
CHECKED_ALONE := $(wildcard alembic/env.py)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup lint format test proofs test-major mutations soak demo bench clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' Makefile | \
	while IFS='|' read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

setup: $(STAMP)  ## Create .venv with everything that development needs

# Candidates are run, not only found: a version manager may have put shims into PATH that fail.
$(STAMP): pyproject.toml constraints.txt
	@set -eu; \
	usable() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	has_venv() { "$$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }; \
	if ! usable $(BIN)/python || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		found=; without_venv=; \
		for candidate in $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python /usr/bin/python3); do \
			usable "$$candidate" || continue; \
			if has_venv "$$candidate"; then found=$$candidate; break; fi; \
			[ -n "$$without_venv" ] || without_venv=$$candidate; \
		done; \
		if [ -z "$$found" ] && [ -n "$$without_venv" ]; then \
			version=$$("$$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
			echo "error: $$without_venv ($$version) cannot create virtual environments: its ensurepip module is missing." >&2; \
			echo "       On Debian and Ubuntu: apt-get install python$$version-venv (or python3-venv)." >&2; \
			exit 1; \
		elif [ -z "$$found" ]; then \
			echo "error: no Python >= 3.11 found$(if $(PYTHON), at PYTHON=$(PYTHON))." >&2; \
			echo "       Install one (on Debian and Ubuntu: apt-get install python3 python3-venv)," >&2; \
			echo "       or name one: make PYTHON=/path/to/python3.11 ..." >&2; \
			exit 1; \
		fi; \
		echo "Creating $(VENV) with $$found ($$("$$found" --version 2>&1))"; \
		rm -rf $(VENV); \
		"$$found" -m venv $(VENV); \
	fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: $(STAMP)  ## Check style and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy $(CHECKED)
	$(if $(CHECKED_ALONE),$(BIN)/python -m mypy $(CHECKED_ALONE))

format: $(STAMP)  ## Format the code, sort the imports
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

test: $(STAMP)  ## Run the tests, e.g. make test PYTEST_ARGS="-k copy -x"
	$(BIN)/python -m pytest -n auto -m "not proof" $(PYTEST_ARGS)

proofs: $(STAMP)  ## Run the long tests: random migrations, a whole sample database, autogenerate
	$(BIN)/python -m pytest -n auto -m "proof or examples" --hypothesis-profile proof $(PYTEST_ARGS)

# What runs SQL; the rest of the suite rewrites files, whatever the server.
test-major: $(STAMP)  ## Run what depends on the server on another one, e.g. make test-major MAJOR=16
	env -u DATABASE_URL COMPAT_POSTGRES_MAJOR=$(MAJOR) \
	$(BIN)/python -m pytest -n auto -m "not proof" $(MAJOR_TESTS) $(PYTEST_ARGS)

# And a table under constant writes, verified again and again: one false alarm would be too many.
soak: $(STAMP)  ## Play random migrations beside a twin of the legacy table, for about an hour
	@seed=$${TWIN_SEED:-$$(date +%s)}; echo "TWIN_SEED=$$seed"; \
	TWIN_SEED=$$seed TWIN_CASES=$(SOAK_CASES) \
	$(BIN)/python -m pytest -n auto tests/compat/test_twins.py $(PYTEST_ARGS)
	VERIFY_RUNS=$(SOAK_RUNS) $(BIN)/python -m pytest -s tests/verify/test_live.py $(PYTEST_ARGS)

mutations: $(STAMP)  ## Mutate what is generated: does compat-verify see each? e.g. MUTATIONS=half
	$(BIN)/python -m tests.verify.mutations $(MUTATIONS)

demo: $(STAMP)  ## Run the whole journey on a real PostgreSQL
	$(BIN)/compat demo $(DEMO_ARGS)

bench: $(STAMP)  ## Measure the view against the native table
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean:  ## Remove everything that can be made again
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
