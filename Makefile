# adpkv: everything a person or a pipeline runs. `make run` is the way in.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.adpkv-ready

# On all cores; those that start real ranks one after the other, in one process, beside the rest.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: setup run test check bench soak soak-loaded alarms clean

setup: $(STAMP)

run: $(STAMP)
	$(BIN)/adpkv run configs/quickstart.yaml

test: $(STAMP)
	$(PYTEST)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -m "not mpi and not slow"

bench: $(STAMP)
	$(BIN)/adpkv bench

soak: $(STAMP)
	$(BIN)/adpkv run configs/soak.yaml

# The same beside twice as many busy processes as there are cores.
soak-loaded: $(STAMP)
	$(BIN)/python -m tests.mpi.loaded runs/soak-loaded configs/soak.yaml

# No false alarm with any number of ranks from 1 to 16; the tests take four of them.
alarms: $(STAMP)
	ADPKV_ALARMS_AT_EVERY_NUMBER_OF_RANKS=1 $(BIN)/python -m pytest tests/mpi/test_mpi_false_alarms.py -k no_meeting

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is made last, so a set-up that broke off is done again.
$(STAMP): pyproject.toml launch/make_venv.sh launch/prepare_env.py launch/mpirun.sh
	sh launch/make_venv.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[http,mpi,test]'
	$(BIN)/python launch/prepare_env.py
	touch $@
