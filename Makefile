# Everything runs in .venv, which each target makes first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow lint bench install clean
demo: $(READY)  ## make the demonstration data, train, evaluate, restore and report
	$(BIN)/mri-bundles demo

test: $(READY)  ## the tests that every change must pass
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(READY)  ## the tests marked slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell custom bundles tests benchmarks docs README.md CONTRIBUTING.md CHANGELOG.md

bench: $(READY)  ## every figure of docs/results/benchmarks.md
	$(BIN)/python -m benchmarks

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev,preprocess,perceptual,tune]"
	touch $@

clean:
	rm -rf $(VENV) bundles/*/data bundles/*/output
