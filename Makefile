# `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
EXTRAS ?= jax,test,embed,report,baselines
# One quick look: a few minutes on two cores. Longer training is train.py without --epochs.
TRAIN_FLAGS ?= --batch-size 64 --lr 5e-4 --epochs 6

.DEFAULT_GOAL := help
COVERAGE ?= --cov
# One quick round for each interpreter: engines, the convolution, flags, bricks, files, short runs with their log.
QUICK ?= tests/engines/test_engine.py tests/graph/test_same_conv.py tests/runs/test_flags.py tests/graph/bricks tests/base/test_atomic.py tests/training/test_tensorboard.py
# Hours of training for each row of the tables that does not end by itself.
BUDGET ?= 1
.PHONY: help train test test-quick test-without-jax test-quick-without-jax test-slow lint bench table1 table2 figures clean

help:  ## this list
	@grep -E '^[a-z0-9 -]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

$(VENV)/train: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -e ".[jax]"
	touch $@

$(VENV)/test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -e ".[$(EXTRAS)]"
	touch $@

train: $(VENV)/train  ## install, train on the embedded digits, draw samples
	mkdir -p $(RUNS)
	$(VENV)/bin/python train.py --output-dir $(RUNS) $(TRAIN_FLAGS)
	$(VENV)/bin/python sample.py "$$(ls -td $(RUNS)/*/ | head -n 1)checkpoint.h5" --output-dir $(RUNS)
	@echo "Look at $(RUNS)/samples.png, and at the pictures in $$(ls -td $(RUNS)/*/ | head -n 1)"

test: $(VENV)/test lint  ## install, check style and types, run the tests, say how much of dpm/ they reach
	$(VENV)/bin/python -m pytest -n auto --dist loadfile $(COVERAGE)

test-quick: $(VENV)/test  ## some minutes of them, which touch every engine
	$(VENV)/bin/python -m pytest -n auto --dist loadfile $(QUICK)

test-without-jax test-quick-without-jax:  ## the same where JAX is not installed; all of them take more than an hour
	$(MAKE) $(@:-without-jax=) VENV=$(VENV)-nojax EXTRAS=test,embed,report,baselines

test-slow: $(VENV)/test  ## the long reproductions, about two hours
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/test  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/test  ## times and memory, beside torch where it is installed
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(VENV)/bin/python -m benchmarks.bench

table1 table2 figures: $(VENV)/test  ## the paper's tables and figures, as far as BUDGET hours a row go; they resume
	$(VENV)/bin/python -m dpm reproduce $@ --budget $(BUDGET)

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
