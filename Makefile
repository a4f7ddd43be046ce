# Everything runs in .venv, which each target makes first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The MONAI Deploy SDK in an environment of its own over the first one: it needs older packages
# and slows the import of MONAI.
DEPLOY := .venv-deploy
DEPLOY_READY := $(DEPLOY)/.ready

.PHONY: demo test test-slow test-deploy lint bench install install-deploy clean
demo: $(READY)  ## make the demonstration data, train, evaluate, restore and report
	$(BIN)/mri-bundles demo

test: $(READY)  ## the tests that every change must pass
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" --durations 30 --durations-min 2

test-slow: $(READY)  ## the tests marked slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

test-deploy: $(DEPLOY_READY)  ## the tests of the MONAI Deploy application
	OMP_NUM_THREADS=1 $(DEPLOY)/bin/python -m pytest -m deploy tests/deploy

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell custom bundles tests benchmarks docs README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md

bench: $(READY)  ## every figure of docs/results/benchmarks.md
	$(BIN)/python -m benchmarks

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev,motion,preprocess,perceptual,tune]"
	touch $@

install-deploy: $(DEPLOY_READY)

$(DEPLOY_READY): $(READY) constraints-deploy.txt
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/python -m pip install --quiet --no-deps --requirement constraints-deploy.txt
	for folder in $(DEPLOY)/lib/python*/site-packages; do \
		$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $$folder/_main.pth; done
	touch $@

clean:
	rm -rf $(VENV) $(DEPLOY) bundles/*/data bundles/*/output
