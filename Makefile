# Two commands: `make run` does the main job, `make test` proves that all works.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/install-seconds
JOBS ?= 2
# Tiny trainings are bound by Python: a process per core and a thread per process is fastest.
ONE_THREAD := MALLOC_ARENA_MAX=2 OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --durations 15
# The environment is installed from scratch where it was moved or copied with this folder, where its
# Python is gone, or where PYTHON is given and is another version.
VERSION := -c 'import sys; print(sys.version_info[:2])'
WANTED := $(if $(filter file,$(origin PYTHON)),$(BIN)/python,$(PYTHON))
STALE := $(shell test -e $(BIN)/pip && { test ! -e $(BIN)/vqwn || \
  grep -qF -e "$$(pwd -P)/$(BIN)/" -e "$$(cd $(BIN) && pwd -P)/" $(BIN)/vqwn; } && \
  version=$$($(BIN)/python $(VERSION) 2>&1) && test "$$version" = "$$($(WANTED) $(VERSION) 2>&1)" || echo yes)
export KERAS_BACKEND := tensorflow
.DEFAULT_GOAL := help
.PHONY: help install run test test-notebooks test-slow browser lab notebooks site lint lock clean stale

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*##/ { printf "make %-14s %s\n", $$1, $$2 }' Makefile

install: $(READY) ## install into .venv, and nothing else

run: $(READY) ## train on the bundled corpus, synthesise, measure, report: about eight minutes
	@$(BIN)/vqwn run $(if $(PRESET),--preset $(PRESET)) $(if $(FRESH),--fresh) \
	  $(if $(STEPS),--steps $(STEPS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JUDGED),--judged $(JUDGED))

test: $(READY) ## unit tests, then the notebooks in the fast preset: about a quarter of an hour
	$(PYTEST) tests
	$(MAKE) test-notebooks

test-notebooks: $(READY) ## the notebooks in the fast preset
	made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && VQWN_PRESET=tiny VQWN_RESULTS="$$made" \
	  $(PYTEST) --nbmake --nbmake-timeout=300 notebooks

test-slow: $(READY) ## the tests of mathematics that take minutes
	$(PYTEST) -m slow tests

browser: $(READY) ## widgets, notebooks, projector in a headless Chromium of the system
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .[browser]
	$(BIN)/python -m pytest -q -m browser tests

lab: $(READY) ## open JupyterLab at the first notebook
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" notebooks/00_start_here.ipynb

notebooks: $(READY) ## run the notebooks as they are committed, with their figures
	$(BIN)/python notebooks/rebuild.py

site: $(READY) ## make the pages in docs; with LIVE=1 their widgets again, too: ten minutes
	$(BIN)/python -m scripts.make_site $(if $(LIVE),--live $(filter-out 1,$(LIVE)))

lint: $(READY) ## style, types, declared dependencies, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/deptry .
	$(BIN)/codespell

lock: ## update requirements.lock from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 $(addprefix --extra ,cpu lab eval test dev) \
	  --no-emit-index-url --no-emit-find-links --no-annotate --upgrade \
	  --custom-compile-command "make lock" -o requirements.lock pyproject.toml
	for version in 3.11 3.12 3.13; do uv pip install -q --dry-run --only-binary :all: \
	  --python-version $$version --target build/lock -r requirements.lock || exit; done

clean: ## remove the environment and the prepared stores; runs stay
	rm -rf $(VENV) data/stores build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Updated when the lock changes; a failed install leaves no mark, so that it is tried again.
$(READY): requirements.lock pyproject.toml $(if $(STALE),stale)
	@$(if $(STALE),$(PYTHON),$(BIN)/python) -c 'import sys; v = sys.version_info[:3]; sys.exit(0 if (3, 11, 4) <= v < (3, 14) else \
	  "Python %d.%d.%d is too old or too new: install 3.11, 3.12 or 3.13, then make PYTHON=python3.12 ..." % v)'
	@echo "installing into $(VENV), once: about 2.7 GB"
	@start=$$(date +%s) $(if $(STALE),&& $(PYTHON) -m venv --clear $(VENV)) \
	  && $(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock \
	  && $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . \
	  && echo $$(( $$(date +%s) - start )) > $@
