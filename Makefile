# Every target sets itself up: it needs only Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/C71

unexport PYTHONDONTWRITEBYTECODE  # modules are compiled once, not in every process

.DEFAULT_GOAL := help
.PHONY: help run test system slow check bench atlas groups setup clean

help:            ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

.venv/ready: pyproject.toml constraints.txt
	@echo "Setting up .venv (a few minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: .venv/ready  ## create .venv with pinned versions

run: .venv/ready    ## the main job: addition mod 71 from prediction to verdict
	$(BIN)/marginlens run C71 --out $(RUN) --overwrite

test: .venv/ready   ## the tests, about five minutes on two cores
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

system: .venv/ready ## tests of whole processes and trainings: commands, GAP, browsers, clusters
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m 'system and not slow'

slow: .venv/ready   ## the longer checks
	$(BIN)/python -m pytest -m slow

check: .venv/ready  ## style, types, import contracts, documentation coverage
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: .venv/ready  ## our speed against the textbook's; irreps against the order
	@failed=0; for name in engine curves irreps; do \
	  $(BIN)/python benchmarks/$$name.py || failed=1; done; exit $$failed

.venv/gap: .venv/ready
	@echo "Installing GAP into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gap]'
	@touch $@

atlas: .venv/gap    ## all groups to order 63, with GAP
	$(BIN)/marginlens atlas --max-order 63 --out atlas

groups: atlas    ## the same, as the table that comes with the package
	$(BIN)/python -c 'from marginlens.atlas import pack_atlas; \
	  pack_atlas("atlas", "src/marginlens/atlas/groups.parquet")'

clean:           ## remove what was set up
	rm -rf .venv build src/*.egg-info
