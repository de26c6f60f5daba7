# make book, make test: both start from nothing but python3 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is ready for exactly this lock and this pyproject.toml: keyed by their content, so a checkout reinstalls nothing.
READY := $(VENV)/.ready-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')

# A page is called by the first word of its notebook: notebooks/table04_linear_probing.ipynb -> table04.
NOTEBOOKS := $(wildcard notebooks/*.ipynb book/*.ipynb)
# Those that take longest begin first, so that none of them is alone at the end.
LONGEST := $(foreach page,table01 table04 table06 figure2 table09 table05 differences table07 table08,$(wildcard notebooks/$(page)_*.ipynb book/$(page).ipynb))
EXECUTED := $(addprefix _build/,$(LONGEST) $(filter-out $(LONGEST),$(NOTEBOOKS)))
page = $(firstword $(subst _, ,$(basename $(notdir $(1)))))
PAGES := $(foreach notebook,$(NOTEBOOKS),notebooks/$(call page,$(notebook)))

# What a page is made of (a change re-runs it) and what the site is made of (a change rebuilds it).
PAGE_SOURCES := requirements.lock $(shell find radlib standins results/published -type f ! -path '*/__pycache__/*' 2>/dev/null)
SITE_SOURCES := workflow/site.sh _config.yml _toc.yml CHANGELOG.md CITATION.cff $(shell find book -type f)
SITE := _build/html/index.html

# How many notebooks run at once: one for each 4 GB that are free, four at most, never more than there are cores, between which
# they share these. make JOBS=1 runs them one by one.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
FREE_KB := $(shell awk '/^MemAvailable/ {print $$2}' /proc/meminfo 2>/dev/null || echo 0)
JOBS ?= $(shell awk -v cores=$(CORES) -v kb=$(or $(FREE_KB),0) 'BEGIN {n = int(kb / 4e6); if (n > 4) n = 4; if (n > cores) n = cores; print n < 1 ? 1 : n}')
THREADS := $(shell echo $$(( $(CORES) / $(JOBS) > 0 ? $(CORES) / $(JOBS) : 1 )))

SCALE := .venv-scale/.ready-$(shell cksum 2>/dev/null <workflow/requirements.lock | tr ' ' '-')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book pages test lint lock licences clean env scale $(PAGES)

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z].*:.*## / {printf "  make %-20s %s\n", $$1, $$2}' Makefile
	@for page in $(PAGES); do printf "  make %-20s %s\n" $$page "run this page again (ARGS=\"--data-root DIR\" for your data) and rebuild the site"; done

book: env ## run the notebooks that are out of date, some at once, and build the site
	@$(MAKE) --no-print-directory --keep-going -j $(JOBS) JOBS=$(JOBS) pages || { \
		echo "Notebooks failed, see above; the others are kept in _build/, and so is the site of before. make book goes on from there."; exit 1; }
	@$(MAKE) --no-print-directory $(SITE)
	@echo "The book is ready: open file://$(abspath $(SITE))"

pages: $(EXECUTED)

test: env lint ## static checks, then every test
	@echo "Running the tests (some minutes on two cores) ..."
	@OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python tests/run.py $(ARGS)

lint: env ## ruff, mypy, and notebooks without outputs
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(if $(NOTEBOOKS),$(BIN)/nbstripout --keep-id --verify $(NOTEBOOKS))

$(PAGES): env
	@$(BIN)/radlib run $(notdir $@) $(ARGS)
	@$(MAKE) --no-print-directory book

# What a notebook prints goes to a file, since several print at once; of one that fails the last line is shown, which names the cell.
_build/%.ipynb: %.ipynb $(PAGE_SOURCES) | env
	@mkdir -p _build/logs
	@echo "Running $< ..."
	@log=_build/logs/$(call page,$<).log; began=$$(date +%s); \
	if OMP_NUM_THREADS=$(THREADS) $(BIN)/radlib run $(call page,$<) >$$log 2>&1; then \
		echo "$< took $$(( $$(date +%s) - began )) s"; \
	else \
		tr '\r' '\n' <$$log | tail -n 1 >&2; echo "$< failed; all that it printed is in $$log" >&2; exit 1; \
	fi

# These pages read the Results that the others leave; that of the differences only those of few shots.
$(filter-out %/differences.ipynb,$(filter _build/book/%,$(EXECUTED))): $(filter _build/notebooks/%,$(EXECUTED))
$(filter %/differences.ipynb,$(EXECUTED)): $(filter %/figure2_few_shot.ipynb,$(EXECUTED))

$(SITE): $(SITE_SOURCES) $(EXECUTED) | env
	@echo "Building the site (some seconds) ..."
	@workflow/site.sh "$(abspath $(BIN))/jupyter-book"

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

scale: $(SCALE) ## Snakemake, to run the book as jobs (book/scale_out.md), in .venv-scale

$(SCALE):
	@rm -rf .venv-scale && $(PYTHON) -m venv .venv-scale
	@echo "Installing workflow/requirements.lock into .venv-scale ..."
	@.venv-scale/bin/python -m pip install -qq -r workflow/requirements.lock
	@touch $@

lock: env ## resolve pyproject.toml's ranges into requirements.lock and workflow/requirements.lock
	@$(BIN)/uv pip compile --group pyproject.toml:scale --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" --quiet --output-file workflow/requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --custom-compile-command "make lock" --quiet --output-file requirements.lock
	@{ echo '# What Binder installs: the versions of requirements.lock without what only development and GPUs need. make lock writes it.'; \
	echo '--extra-index-url https://download.pytorch.org/whl/cpu'; \
	$(BIN)/uv pip compile pyproject.toml --constraints requirements.lock --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--no-header --no-annotate --quiet | sed -E '/^(nvidia-|cuda-|triton==)/d; s/^(torch|torchvision)==([0-9.]+)/\1==\2+cpu/'; } >.binder/requirements.txt

LICENCES := $(BIN)/uv tool run pip-licenses@5.5.5 --from=mixed --with-system --format=markdown --ignore-packages radlib --python

licences: env scale ## list the packages of both environments with their licences in book/licences.md (needs the network)
	@{ sed '/^| /,$$d' book/licences.md; $(LICENCES) $(BIN)/python; \
	printf '\n## Snakemake\n\nThe environment that `make scale` installs, from `workflow/requirements.lock`.\n\n'; \
	$(LICENCES) .venv-scale/bin/python; } | sed -E 's/ {2,}/ /g; s/-{4,}/---/g' >$@.md && mv $@.md book

clean: ## remove what was built; the environment and the caches of features stay
	@rm -rf _build
