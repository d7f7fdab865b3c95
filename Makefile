# Everything runs in .venv, which `make setup` makes and which is made again when pyproject.toml changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test lint format docs bench build clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Without a screen (Linux only: macOS and Windows have no DISPLAY) work goes to a virtual one.
SCREEN := 1600x1000x24
HEADLESS := $(shell [ "$$(uname)" = Linux ] && [ -z "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ] && echo yes)

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */make \1\t/' | expand -t 14

$(READY): pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh
	@touch $@

setup: $(READY)  ## make the environment (.venv)

run: $(READY)  ## open napari with a sample slide; without a display do the whole job by itself
ifeq ($(HEADLESS),yes)
	@echo "==> No display: doing the job in a virtual one"
	@xvfb-run -a -s "-screen 0 $(SCREEN)" $(BIN)/python -m napari_pathseg.gui.demo --close
else
	@$(BIN)/python -m napari_pathseg.gui.demo
endif

lint: $(READY)  ## style, types and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .venv/.import-linter

test: lint  ## lint and all tests, those of the viewer in a virtual display
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadgroup

format: $(READY)  ## rewrite the code in the project's form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/.docs: $(READY)
	@echo "==> Installing what builds the documentation"
	@$(BIN)/python -m pip install --progress-bar off -qq --editable ".[docs]"
	@touch $@

docs: .venv/.docs  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

.venv/.bench: $(READY)
	@echo "==> Installing what is measured against"
	@$(BIN)/python -m pip install --progress-bar off -qq --editable ".[benchmark]"
	@echo "==> Other readers of slides, in an environment of their own"
	@$(BIN)/python -m venv .venv/readers
	@.venv/readers/bin/python -m pip install --progress-bar off -qq "napari-wsi[openslide]" openslide-bin tiffslide
	@touch $@

bench: .venv/.bench  ## measure times and memory (docs/benchmarks.md)
ifeq ($(HEADLESS),yes)
	PATHSEG_READERS=.venv/readers/bin/python xvfb-run -a -s "-screen 0 $(SCREEN)" $(BIN)/python -m pytest tests/benchmarks -s
else
	PATHSEG_READERS=.venv/readers/bin/python $(BIN)/python -m pytest tests/benchmarks -s
endif

build: $(READY)  ## make the wheel and the source archive in dist/
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build

clean:  ## remove what was made, the environment too
	rm -rf .venv build dist site out .mypy_cache .ruff_cache .pytest_cache .hypothesis
