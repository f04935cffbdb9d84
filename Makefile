# Everything runs in .venv, which each target makes or refreshes as it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.PHONY: run test lint protos lock help

help:
	@echo "make run    start frontend, decision and quota on loopback"
	@echo "make test   run all tests"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make protos generate the gRPC code from protos/*.proto"
	@echo "make lock   write requirements*.lock anew from pyproject.toml"

run: $(VENV)/.run
	@exec $(BIN)/mtpolicyctl run

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

protos: $(VENV)/.dev
	$(BIN)/python -m grpc_tools.protoc -I. \
	    --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	    --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. protos/decision.proto protos/quota.proto

lock: $(VENV)/.dev
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	    --strip-extras --allow-unsafe --all-build-deps --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	    --strip-extras --allow-unsafe --all-build-deps --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The package itself is built by the locked hatchling: nothing is fetched without a hash.
$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
