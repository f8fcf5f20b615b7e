# `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
EXTRAS ?= jax,test,embed,report,baselines,figures,docs
# A first look, which takes a few minutes on two cores. For longer training run train.py without --epochs.
TRAIN_FLAGS ?= --objective balanced-then-K --lr 3e-3 --clip-norm 0 --batch-size 128 --epochs 52 --ext-every-n 52 --model-args n_layers_conv=1,n_hidden_conv=4,n_temporal_basis=30

.DEFAULT_GOAL := help
# A quick round for each interpreter: engines, the convolution, flags, bricks, files, short runs with their log.
QUICK ?= tests/engines/test_engine.py tests/graph/test_same_conv.py tests/runs/test_flags.py tests/graph/bricks tests/base/test_atomic.py tests/training/test_tensorboard.py
# Hours of training for each row of the tables that does not end by itself.
BUDGET ?= 1
# The chapter that `make lecture` opens, such as 01-graph; index is the list of all.
CHAPTER ?= index
# uv, where it is installed, takes seconds for what takes pip minutes; pip knows indexes that uv does not.
INSTALL = install() { $(if $(shell command -v uv),uv pip install --quiet --python $(VENV)/bin/python "$$@" ||) $(VENV)/bin/pip install --quiet "$$@"; }; install
SPHINX = $(VENV)/bin/sphinx-build -q -c docs -d build/doctrees
.PHONY: help train test test-rest test-all test-quick test-all-without-jax test-quick-without-jax test-slow lint bench bench-gpu table1 table2 figures docs slides lecture clean

help:  ## list the targets
	@grep -E '^[a-z0-9 -]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

$(VENV)/train: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[jax,report]"
	touch $@

$(VENV)/test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[$(EXTRAS)]"
	touch $@

$(VENV)/docs: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[docs]"
	touch $@

train: $(VENV)/train  ## install, train on the embedded digits, draw samples
	mkdir -p $(RUNS)
	$(VENV)/bin/python train.py --output-dir $(RUNS) $(TRAIN_FLAGS)
	$(VENV)/bin/python sample.py "$$(ls -td $(RUNS)/*/ | head -n 1)checkpoint.h5" --output-dir $(RUNS)
	@echo "Look at $(RUNS)/samples.png, and at the plots in $$(ls -td $(RUNS)/*/ | head -n 1)plots"

test: $(VENV)/test lint  ## install, check style and types, run the fast part of the tests (some minutes)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --part fast

test-rest: $(VENV)/test  ## run the tests that are not in the fast part
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --part rest

test-all: $(VENV)/test lint  ## run all tests, and report how much of dpm/ they cover
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --cov

test-quick: $(VENV)/test  ## run a few tests that use every engine
	$(VENV)/bin/python -m pytest -n auto --dist loadfile $(QUICK)

test-all-without-jax test-quick-without-jax:  ## the same without JAX; all tests then take more than an hour
	$(MAKE) $(@:-without-jax=) VENV=$(VENV)-nojax EXTRAS=test,embed,report,baselines,figures

test-slow: $(VENV)/test  ## run the long reproductions (about two hours)
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/test  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --num-workers auto

bench: $(VENV)/test  ## measure time and memory, next to torch if it is installed
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(VENV)/bin/python -m benchmarks.bench

bench-gpu: $(VENV)/test  ## compare and time everything on an accelerator, next to torch if it is installed
	$(VENV)/bin/python -m benchmarks.gpu

table1 table2 figures: $(VENV)/test  ## reproduce the paper's tables and figures with BUDGET hours per row; they resume
	$(VENV)/bin/python -m dpm reproduce $@ --budget $(BUDGET)

docs: $(VENV)/docs  ## run the book and build the documentation: build/docs/index.html
	$(SPHINX) -W --keep-going . build/docs
	@echo "Open build/docs/index.html"

slides: docs  ## the chapters as slides: build/lecture/index.html
	$(SPHINX) -b revealjs . build/lecture $(wildcard docs/book/*.md)

lecture: slides  ## open the slides in the browser; CHAPTER=01-graph opens one chapter
	$(VENV)/bin/python -m webbrowser "file://$(CURDIR)/build/lecture/docs/book/$(CHAPTER).html"

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
