# make demo: train, test, export and run a real classifier.  make test: the fast tests.  make check: style, types, layers.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-gpu test-versions check dist sbom clean

BIN := .venv/bin
TEST_WORKERS ?= 2
PYTEST_ARGS ?=
PINNED := pyproject.toml $(addprefix requirements/,constraints.txt demo-data.txt install.sh check_opencv.py)

# Nothing here may use the network after the installation, and two workers must not use all cores each.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1 YOLO_OFFLINE=true YOLO_AUTOINSTALL=false WANDB_MODE=offline
PYTEST = env $(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist loadfile --junitxml=build/tests.xml $(PYTEST_ARGS)

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.test-ready  ## .venv with every extra and the development tools

demo: .venv/.demo-ready  ## train, test, export and deploy an EfficientNet on real digits
	@env $(OFFLINE) $(BIN)/python examples/mnist_demo.py

test: .venv/.test-ready  ## the fast tests
	@$(PYTEST) -m "not slow"
	@echo "make test: the fast tests passed (all but those marked slow; make test-all runs these too). Results: build/tests.xml"

test-all: .venv/.test-ready  ## every test
	@$(PYTEST)
	@echo "make test-all: every test passed. Results: build/tests.xml"

test-gpu:  ## the tests on a GPU, with the python that is active (PyTorch for its card is the user's choice)
	PYTHONPATH=src python3 -m pytest tests/gpu -m gpu -p no:cacheprovider

test-versions: .venv/.test-ready  ## the engines' tests with the oldest and the newest release of their upstreams
	@env $(OFFLINE) $(BIN)/python tests/versions/run.py $(ENGINES)
	@echo "make test-versions: every release of tests/versions/versions.txt passed."

check: .venv/.test-ready  ## ruff format, ruff check, mypy, import-linter, pip check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pip check
	@echo "make check: format, style, types, layers and requirements are clean."

dist: .venv/.test-ready  ## the wheel and the source archive, in dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist
	@echo "make dist: the wheel and the source archive are in dist/."

sbom: .venv/.test-ready build/tools/.ready  ## the packages of .venv with their licences, as CycloneDX in build/sbom.json
	@build/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.json $(BIN)/python
	@echo "make sbom: build/sbom.json lists the packages of .venv."

clean:  ## remove everything that was generated, including the virtual environment
	rm -rf .venv build dist demo runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an install is repeated only if its inputs have changed. The tests' environment includes the demo's.
.venv/.test-ready: $(PINNED)
	@requirements/install.sh test
	@touch .venv/.demo-ready $@

build/tools/.ready: requirements/tools.txt
	@$(BIN)/python -m venv --clear build/tools
	@build/tools/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

.venv/.demo-ready: $(PINNED)
	@requirements/install.sh demo
	@touch $@
