# Every target sets up what it needs: a bare machine with Python 3.11 or newer and make is enough.
# `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready
WORKERS ?= 2
BROWSER_SAID := $(VENV)/.browser-tests.txt
LINT_SAID := $(VENV)/.lint.txt
SPACE := $(VENV)/space

export GRADIO_ANALYTICS_ENABLED := False

.DEFAULT_GOAL := help
.PHONY: help run test space browser-tests other-tests lint-aside lint format emoji browser clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(RUN_READY) ## Start the explorer; it prints its address
	$(BIN)/python app.py

# The tests need nothing from a model hub, and must not reach for one. Those in a browser, which wait much, go beside the
# others, who give way (`nice`): some measure how soon the page answers. All have one thread: programs of several threads
# would wait for each other's. What `make lint` and the tests in a browser say comes last, each in one piece.
test: export HF_HUB_OFFLINE := 1
test: export OMP_NUM_THREADS := 1
test: browser ## Run `make lint` and every test, those in a browser included, side by side (WORKERS=2 at once)
	@$(MAKE) --no-print-directory --keep-going --jobs=3 browser-tests other-tests lint-aside; code=$$?; \
		cat $(LINT_SAID) $(BROWSER_SAID); \
		test $$code = 0 || echo "Something has failed: each of the three parts, above, ends with what."; exit $$code

lint-aside:
	@nice $(MAKE) --no-print-directory lint >$(LINT_SAID) 2>&1

# by their folder: to collect the other tests imports all that they use
browser-tests:
	@CHROMIUM="$$(cat $(VENV)/.chromium)" $(BIN)/pytest tests/browser tests/hosting >$(BROWSER_SAID) 2>&1

other-tests:
	nice $(BIN)/pytest --ignore=tests/browser --ignore=tests/hosting -n $(WORKERS) --dist loadfile --no-loadscope-reorder

space: browser ## Try the checkout as a Space, in an environment of requirements.txt alone
	$(BIN)/python -m venv $(SPACE)
	$(SPACE)/bin/python -m pip install -r requirements.txt
	SPACE_PYTHON=$(abspath $(SPACE))/bin/python CHROMIUM="$$(cat $(VENV)/.chromium)" $(BIN)/pytest tests/hosting/test_space.py

lint: $(DEV_READY) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_READY) ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

emoji: $(DEV_READY) ## Rebuild the bundled emoji model (hours on a CPU)
	$(BIN)/python -m age_core.emoji all

# Only caches: build/ and runs/ can hold hours of training, and .venv is costly to install again.
clean: ## Remove the tools' caches
	rm -rf .pytest_cache .mypy_cache .ruff_cache .gradio
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A venv that failed halfway has a python but no pip, and would look finished to the next run: remove it.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "AGE Explorer needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "No virtual environment could be made (on Debian: apt-get install python3-venv)" >&2; exit 1; }

$(RUN_READY): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install -r requirements.txt
	@touch $@

$(DEV_READY): requirements.txt requirements-build.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install -r requirements-dev.txt
	@touch $(RUN_READY) $@

# Leaves the path of a Chromium that starts in .venv/.chromium. Being on the PATH is not enough: on Ubuntu the
# package is a stub that needs snap. Playwright's own build is asked for last, as its download is the largest.
browser: $(DEV_READY)
	@find_chromium() { \
		for name in "$$CHROMIUM" chromium chromium-browser google-chrome "$$($(BIN)/python -c \
			'from playwright.sync_api import sync_playwright as s; p = s().start(); print(p.chromium.executable_path); p.stop()')"; do \
			path="$$(command -v "$$name")" && "$$path" --version >/dev/null 2>&1 && echo "$$path" >$(VENV)/.chromium && return; \
		done; \
		return 1; \
	}; \
	find_chromium && exit; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "No Chromium found: installing it with apt-get"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
		find_chromium && exit; \
	fi; \
	echo "No Chromium found: installing Playwright's"; \
	$(BIN)/playwright install chromium; \
	find_chromium || { echo "The browser tests need Chromium: install it, or set CHROMIUM=/path/to/chromium" >&2; exit 1; }
