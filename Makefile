# Three commands do everything on a machine that has Python 3.11, git and make:
#   make install   create the environment, .venv
#   make demo      create the environment, search the quickstart study, write its report
#   make test      create the environment, lint, check types, run the tests
#
# On Linux the default wheel of torch brings CUDA, some gigabytes of it. Where that is not wanted, let
# PIP_EXTRA_INDEX_URL name PyTorch's index of CPU wheels: the same version from there is preferred.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
# Workers and test processes share the cores: more threads in each only get in each other's way.
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test clean

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/miras search studies/quickstart.yaml
	$(BIN)/miras report runs/quickstart

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2

# torch first and alone, so that nothing else can ask for another version of it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("miras needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
