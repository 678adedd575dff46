# make demo: a trained, evaluated separator from a bare machine. make test: the tests; make test-fast:
# those that take less than some seconds.
# make fuzz: seeded damage to every kind of file; CASES=2000 SEED=7 for more, or for others.
PYTHON ?= python3
VENV ?= .venv
CASES ?= 500
SEED ?= 0
BIN := $(VENV)/bin

# Set in many containers: every start of Python would then compile the dependencies anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: env demo test test-fast lint types fuzz docs clean
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder

env: $(VENV)/.installed

# --no-compile: most modules of the dependencies are never imported; the others are compiled when
# they are: most of them at the end, once for all processes.
# tinysoundfont is installed without its dependencies: they are for live playing (PortAudio).
$(VENV)/.installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -e '.[tests]'
	$(BIN)/python -m pip install --quiet --no-deps 'tinysoundfont>=0.3.6'
	$(BIN)/python -c 'import asteroid_scoresup.engine, asteroid_scoresup.report'
	touch $@

demo: env
	bash egs/slakh/run.sh --python "$(BIN)/python" --preset mini --tag demo

lint: env
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: env
	$(BIN)/python -m mypy

# Test processes that run side by side, each with one thread; a file of tests stays in one process.
# All tests: one process more than there are cores, since tests of the recipe wait for its scripts.
test: JOBS ?= $(shell $(BIN)/python -c "import os; print(os.cpu_count() + 1)")
test-fast: JOBS ?= auto

test: lint types
	$(PYTEST)

test-fast: lint
	$(PYTEST) -m "not slow"

fuzz: env
	$(BIN)/python tests/fuzz --cases $(CASES) --seed $(SEED)

docs: env
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

clean:
	rm -rf egs/slakh/data egs/slakh/exp docs/_build
