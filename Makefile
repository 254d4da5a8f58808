# Two commands: `make run` does the main job, `make test` proves that all works.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/install-seconds
.DEFAULT_GOAL := help
.PHONY: help run test browser lab notebooks lint lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*##/ { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## train on the bundled corpus, speak, draw, report: about six minutes
	@$(BIN)/vqwn run $(if $(FRESH),--fresh) $(if $(STEPS),--steps $(STEPS))

test: $(READY) ## unit tests, then the notebooks in the fast preset
	$(BIN)/python -m pytest -q tests
	made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && VQWN_PRESET=tiny VQWN_RESULTS="$$made" \
	  $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=300 notebooks

browser: $(READY) ## widgets, notebooks, projector in a headless Chromium of the system
	$(BIN)/pip install -q --disable-pip-version-check -e .[browser]
	$(BIN)/python -m pytest -q tests/test_*browser.py

lab: $(READY) ## open JupyterLab at the first notebook
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

notebooks: $(READY) ## run the notebooks as they are committed, with their figures
	$(BIN)/python notebooks/rebuild.py

lint: $(READY) ## what CI says about style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --extra cpu --extra lab --extra test \
	  --no-emit-index-url --no-emit-find-links --no-annotate --upgrade \
	  --custom-compile-command "make lock" -o requirements.lock pyproject.toml

clean: ## remove the environment and the prepared stores; runs stay
	rm -rf $(VENV) data/stores build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew when the lock changes; a failed install leaves no mark, so that it is tried again.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:3]; sys.exit(0 if (3, 11, 4) <= v < (3, 14) else \
	  "Python %d.%d.%d is too old or too new: install 3.11, 3.12 or 3.13, then make PYTHON=python3.12 ..." % v)'
	@echo "installing into $(VENV), once: about 2.3 GB"
	@start=$$(date +%s) && $(PYTHON) -m venv $(VENV) \
	  && $(BIN)/pip install --disable-pip-version-check -r requirements.lock \
	  && $(BIN)/pip install -q --disable-pip-version-check --no-deps -e . \
	  && echo $$(( $$(date +%s) - start )) > $@
