# `make` prints the targets. Variables: PYTHON (3.11 or newer), VENV, WORKERS (test processes).

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
# The environment of the demo, and that of everything.
RUNS := $(VENV)/.runs
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test slow bench docs drawings check format clean

help:  ## print the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

install: $(INSTALLED)  ## make the virtual environment with the pinned versions

$(RUNS): EXTRAS := plot
$(INSTALLED): EXTRAS := all,dev,docs
$(RUNS) $(INSTALLED): pyproject.toml constraints.txt setup.py $(wildcard $(addprefix src/lehr/native/*.,cpp h inc))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Lehr needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(RUNS) $@

demo: $(RUNS)  ## solve a 10x10 spin glass, exactly and by annealing, and draw what happened
	@rm -rf demo && mkdir demo
	$(BIN)/lehr generate ea --size 10 --seed 3 -o demo/ea.json
	$(BIN)/lehr exact demo/ea.json -o demo/ea.json
	$(BIN)/lehr solve demo/ea.json --out demo/run
	@find demo/run -name '*.png' -exec echo 'Picture: {}' \;

test: $(INSTALLED)  ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS)

slow: $(INSTALLED)  ## run the studies that take minutes
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

bench: $(INSTALLED)  ## measure training steps, with NetKet beside them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/speed.py

docs: $(INSTALLED)  ## build the site in build/site; a warning is an error
	$(BIN)/python docs/_site/gather.py build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python docs/_site/check.py build/site
	@echo 'Site: build/site/index.html'

drawings: $(INSTALLED)  ## draw the schematic pictures of the site anew
	$(BIN)/python docs/_site/drawings.py

check: $(INSTALLED)  ## lint, format, types
	$(BIN)/ruff check src tests benchmarks examples docs
	$(BIN)/ruff format --check src tests benchmarks examples docs
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED)  ## format the code
	$(BIN)/ruff check --fix src tests benchmarks examples docs
	$(BIN)/ruff format src tests benchmarks examples docs

clean:  ## remove the demo and the caches
	rm -rf demo build .pytest_cache .ruff_cache .hypothesis
