# make book, make test: both start from nothing but python3 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is ready for exactly this lock and this pyproject.toml: keyed by their content, so a checkout reinstalls nothing.
READY := $(VENV)/.ready-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')

# A page is called by the first word of its notebook: notebooks/table04_linear_probing.ipynb -> table04.
NOTEBOOKS := $(wildcard notebooks/*.ipynb book/*.ipynb)
EXECUTED := $(addprefix _build/,$(NOTEBOOKS))
page = $(firstword $(subst _, ,$(basename $(notdir $(1)))))
PAGES := $(foreach notebook,$(NOTEBOOKS),notebooks/$(call page,$(notebook)))

# What a page is made of (a change re-runs it) and what the site is made of (a change rebuilds it).
PAGE_SOURCES := requirements.lock $(shell find radlib results/published -type f ! -path '*/__pycache__/*' 2>/dev/null)
SITE_SOURCES := _config.yml _toc.yml $(shell find book -type f)
SITE := _build/html/index.html

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test lint lock clean env $(PAGES)

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z].*:.*## / {printf "  make %-20s %s\n", $$1, $$2}' Makefile
	@for page in $(PAGES); do printf "  make %-20s %s\n" $$page "run this page again (ARGS=\"--data-root DIR\" for your data) and rebuild the site"; done

book: $(SITE) ## run the notebooks that are out of date and build the site
	@echo "The book is ready: open file://$(abspath $(SITE))"

test: env lint ## static checks, then every test
	@echo "Running the tests (some minutes on two cores) ..."
	@OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: env ## ruff, mypy, and notebooks without outputs
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(if $(NOTEBOOKS),$(BIN)/nbstripout --keep-id --verify $(NOTEBOOKS))

$(PAGES): env
	@$(BIN)/radlib run $(notdir $@) $(ARGS)
	@$(MAKE) --no-print-directory book

_build/%.ipynb: %.ipynb $(PAGE_SOURCES) | env
	@echo "Running $< ..."
	@$(BIN)/radlib run $(call page,$<)

# The ledger of claims reads the Results that the other pages leave.
_build/book/claims.ipynb: $(filter _build/notebooks/%,$(EXECUTED))

# The site is built from a copy of the pages with the executed notebooks in place of the bare ones, and beside its place:
# a build that is killed has written index.html first, and would pass for a whole site.
$(SITE): $(SITE_SOURCES) $(EXECUTED) | env
	@echo "Building the site (some seconds) ..."
	@rm -rf _build/stage _build/made _build/html _build/.doctrees
	@mkdir -p _build/stage/notebooks
	@cp -R _config.yml _toc.yml book _build/stage/
	@for notebook in $(NOTEBOOKS); do cp _build/$$notebook _build/stage/$$notebook; done
	@$(BIN)/jupyter-book build _build/stage --path-output _build/made -W --keep-going -q >/dev/null
	@touch _build/made/_build/html/index.html
	@mv _build/made/_build/html _build/html

env: $(READY) ## the Python environment in .venv, from requirements.lock

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "radlib needs Python 3.11 or newer and '$(PYTHON)' is not; name another one, e.g. 'make PYTHON=python3.12'."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments; install its venv module (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@ls $(VENV)/.ready-* >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@rm -f $(VENV)/.ready-*
	@echo "Installing requirements.lock into $(VENV) (the first time about 7 GB and some minutes, most of it torch) ..."
	@$(BIN)/python -m pip install -qq -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

lock: env ## resolve pyproject.toml's ranges into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --custom-compile-command "make lock" --quiet --output-file requirements.lock

clean: ## remove what was built; the environment and the caches of features stay
	@rm -rf _build
