# `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
EXTRAS ?= jax,test,embed,report,baselines
# One quick look: a few minutes on two cores. Longer training is train.py without --epochs.
TRAIN_FLAGS ?= --batch-size 64 --lr 5e-4 --epochs 6

.DEFAULT_GOAL := help
.PHONY: help train test coverage test-without-jax test-slow lint bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(VENV)/train: setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -e ".[jax]"
	touch $@

$(VENV)/test: setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -e ".[$(EXTRAS)]"
	touch $@

train: $(VENV)/train  ## install, train on the embedded digits, draw samples
	mkdir -p $(RUNS)
	$(VENV)/bin/python train.py --output-dir $(RUNS) $(TRAIN_FLAGS)
	$(VENV)/bin/python sample.py "$$(ls -td $(RUNS)/*/ | head -n 1)checkpoint.h5" --output-dir $(RUNS)
	@echo "Look at $(RUNS)/samples.png, and at the pictures in $$(ls -td $(RUNS)/*/ | head -n 1)"

test: $(VENV)/test lint  ## install, check style and types, run the tests
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

coverage: $(VENV)/test  ## the tests, and how much of dpm/ they reach by branches; half as long again
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --cov

test-without-jax:  ## the same tests where JAX is not installed
	$(MAKE) test VENV=.venv-nojax EXTRAS=test,embed,report,baselines

test-slow: $(VENV)/test  ## the long reproductions, about two hours
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/test  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/test  ## times and memory, beside torch where it is installed
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(VENV)/bin/python -m benchmarks.bench

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
