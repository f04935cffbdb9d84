# Everything runs in .venv, which each target makes or refreshes as it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --build-deps-for editable \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

FUZZ_SECONDS ?= 300

# The tests start our programs hundreds of times: each would compile them anew.
QUICKLY := env -u PYTHONDONTWRITEBYTECODE

.PHONY: run test test-faults test-compose test-ucs test-doctor fuzz lint bench dashboards preview protos lock wheels deb help

help:
	@echo "make run     start frontend, decision and quota on loopback"
	@echo "make test    run all tests (PYTEST_ARGS=... for pytest's own arguments)"
	@echo "make test-faults  the tests with killed, hanging and broken services, all rounds of them"
	@echo "make test-compose  build the images and test the containers, as root, with Debian's docker.io"
	@echo "make test-ucs  build the Debian packages, install them in a container with systemd, and test them there, as root; also all variants of the activation"
	@echo "make test-doctor  every pair of the doctor's corpus in a real Postfix"
	@echo "make fuzz    look for bytes that break the parser, for FUZZ_SECONDS (300)"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make bench   measure the services beside their peers (BENCH_ARGS=... for its own arguments)"
	@echo "make dashboards  write Grafana's dashboards anew from dashboards/"
	@echo "make preview  docs/query-preview.png: what the dashboards' queries answer (Debian's prometheus, chromium)"
	@echo "make protos  generate the gRPC code from protos/*.proto"
	@echo "make wheels  download the dependencies to deploy/wheels, for building the image without a package index"
	@echo "make deb     dist/deb: the Debian packages for UCS, and an apt repository of them"
	@echo "make lock    write requirements.lock and requirements-dev.lock anew from pyproject.toml"

run: $(VENV)/.run
	@exec $(BIN)/mtpolicyctl run

test: $(VENV)/.dev
	$(QUICKLY) $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

test-faults: $(VENV)/.dev
	MTPOLICYD_TEST_FULL=1 $(BIN)/python -m pytest tests/faults $(PYTEST_ARGS)

test-compose: $(VENV)/.dev
	$(BIN)/python -m pytest -m compose tests/compose $(PYTEST_ARGS)

test-ucs: $(VENV)/.dev
	MTPOLICYD_TEST_FULL=1 $(BIN)/python -m pytest -m 'ucs or full' tests/ucs $(PYTEST_ARGS)

test-doctor: $(VENV)/.dev
	MTPOLICYD_TEST_FULL=1 $(BIN)/python -m pytest tests/doctor $(PYTEST_ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.run $(FUZZ_SECONDS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.run
	$(BIN)/python -m bench --document docs/BENCHMARKS.md $(BENCH_ARGS)

dashboards: $(VENV)/.dev
	$(BIN)/python -m dashboards deploy/grafana/dashboards

preview: $(VENV)/.dev
	$(BIN)/python -m tests.monitoring.preview docs/query-preview.png

protos: $(VENV)/.dev
	$(BIN)/python -m tests.support.protos .

lock: $(VENV)/.dev
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

wheels: $(VENV)/.run
	$(PIP) download --require-hashes --only-binary :all: --dest deploy/wheels -r requirements.lock

deb: wheels
	deploy/ucs/build dist/deb $(BIN)/python

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The package itself is built by the locked hatchling: nothing is fetched without a hash.
$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "installing what the tests need into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
