# adpkv: everything a person or a pipeline runs. `make` alone says what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.adpkv-ready
TORCH  := .venv-torch/.adpkv-ready
FAST   := .venv-fast/.adpkv-ready

# What carries the collectives of the tests' real jobs: auto, which is shared memory here; mpi; or
# quick, shared memory by quick.c.
COLLECTIVES ?= auto

# On all cores; those that start real ranks one after the other, in one process, beside the rest.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: help setup fast same-bytes run test test-browser test-torch check-examples check bench bench-compare instructions instructions-table soak soak-loaded alarms failures real hosts seeds kills-start kills-transports kills-hosts fuzz explore mutants gpu calibrate clean

help: ## say what there is (what `make` alone does)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv, with MPI and adpkv in it

fast: $(FAST) ## make .venv-fast, with adpkv compiled by mypyc in it; needs a C compiler

run: $(STAMP) ## run 200 requests on 8 real ranks
	$(BIN)/adpkv run quickstart

test: $(STAMP) ## run every test
	$(PYTEST)

test-torch: $(TORCH) ## the tests of programs over torch.distributed, in an environment with torch
	.venv-torch/bin/python -m pytest -n auto --maxprocesses 4 tests/rank_programs

test-browser: $(STAMP) ## look at reports in a real browser; installs Debian's where it may
	sh tests/browser/install.sh $(BIN)
	$(BIN)/python -m pytest --campaigns tests/browser

check: $(STAMP) ## format, lint, types, fast tests: before each commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -m "not real_ranks and not slow"

same-bytes: $(STAMP) $(FAST) ## the compiled build writes the same bytes: regressions, 300 experiments, the trace
	$(BIN)/python -m tests.compiled.compare $(SAME)

bench: $(STAMP) ## measure speed, each figure beside its reference
	$(BIN)/adpkv bench

bench-compare: $(STAMP) ## another revision and this checkout in turns; REV=HEAD~5 BENCH="trace polling"
	$(BIN)/python -m tests.speed.compare $(or $(REV),HEAD) $(if $(BENCH),--bench $(BENCH))

instructions: $(STAMP) ## fail if one of five runs takes a tenth more instructions than the table says
	$(BIN)/python -m tests.speed.instructions

instructions-table: $(STAMP) ## count them anew and write them into the table
	$(BIN)/python -m tests.speed.instructions --renew

soak: $(STAMP) ## ten minutes of random faults on 8 real ranks
	$(BIN)/adpkv run soak

soak-loaded: $(STAMP) ## the same beside twice as many busy processes as there are cores
	$(BIN)/python -m tests.real_ranks.loaded runs/soak-loaded configs/soak.yaml

alarms: $(STAMP) ## no false alarm with any number of ranks from 1 to 16; the tests take eight
	$(BIN)/python -m pytest --campaigns tests/real_ranks/test_mpi_false_alarms.py

failures: $(STAMP) ## ranks of eight fail in each phase, alone and together, under each policy; COLLECTIVES=mpi, quick
	$(BIN)/python -m pytest --campaigns --collectives $(COLLECTIVES) tests/real_ranks/test_mpi_rank_failures.py

kills-start: $(STAMP) ## ranks killed 200 times as a job starts or ends; the tests have eight
	ADPKV_KILLS=200 ADPKV_KILLS_SEED=$$$$ $(BIN)/python -m pytest --timeout 1800 tests/real_ranks/test_mpi_kills.py -k any_moment

real: $(STAMP) ## all that starts real ranks, also what make test leaves out; COLLECTIVES=mpi, quick
	$(BIN)/python -m pytest --campaigns --collectives $(COLLECTIVES) -m real_ranks

hosts: $(STAMP) ## as root: all tests over two hosts (namespaces); make test has one of each kind
	$(BIN)/python -m pytest --campaigns tests/hosts

seeds: $(STAMP) ## the seeds and cases that make test leaves out, as far as they start no real ranks
	$(BIN)/python -m pytest --campaigns -n auto -m "campaign and not real_ranks" \
		--ignore tests/browser

kills-transports: $(STAMP) ## 30 ranks killed over each transport, under shutdown and under shrink; KILLS="5 1 nixl"
	$(BIN)/python -m tests.real_ranks.transport_kills runs/kills-transports-$$$$ $(KILLS)

gpu: $(STAMP) ## all that needs GPUs, in named stages; STAGES="probe kernels" or nothing for a list
	$(BIN)/python -m tests.gpu.run runs/gpu $(STAGES)

calibrate: $(STAMP) ## real runs to calibrate on, then the errors of what is held out; CALIBRATE="--seconds 600"
	rm -rf runs/calibrate
	$(BIN)/python -m tests.calibration.campaign runs/calibrate $(CALIBRATE)
	$(BIN)/adpkv calibrate runs/calibrate/*-[0-9]*/ --output runs/calibrate/calibration.yaml

kills-hosts: $(STAMP) ## as root: 20 jobs over two hosts (namespaces), a rank of each killed somewhere
	$(BIN)/python -m tests.hosts.kills runs/kills-hosts

fuzz: $(STAMP) ## an hour of random experiments and bad input on all cores; FUZZ="--seconds 60 --seed 1"
	$(BIN)/python -m tests.fuzz $(FUZZ)

check-examples: $(TORCH) ## the mended programs of docs/examples under 10,000 schedules each
	.venv-torch/bin/python -m tests.rank_programs.examples 10000

mutants: $(STAMP) ## 79 small planted changes in core and executor: what notices each; MUTANTS="--for 600"
	$(BIN)/python -m tests.mutants --jobs $$(nproc) $(MUTANTS)

explore: $(STAMP) ## ten minutes of explore on all cores, each variant; EXPLORE="--for 1h" for more
	$(BIN)/adpkv explore explore $(or $(EXPLORE),--for 150s)
	$(BIN)/adpkv explore explore --set topology.attention=replicated $(or $(EXPLORE),--for 150s)
	$(BIN)/adpkv explore explore --set on_rank_failure=shrink --set recompute=true $(or $(EXPLORE),--for 150s)
	$(BIN)/adpkv explore explore --set kv_cache.reuse=true --set kv_cache.reuse_received=true $(or $(EXPLORE),--for 150s)

clean: ## take away what was made here, .venv too
	rm -rf $(VENV) .venv-fast .venv-torch build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is made last, so a set-up that broke off is done again.
$(STAMP): pyproject.toml launch/make_venv.sh adpkv/worlds/mpi/launcher/repair.py adpkv/worlds/mpi/launcher/mpirun.sh
	sh launch/make_venv.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[http,mpi,optimize,report,test,timeline,zstd]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'nixl-cu13>=1.5' \
		|| echo "make: no wheel of nixl for this machine: without transport nixl and its tests" >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ucx]' \
		|| echo "make: no wheel of ucxx for this machine: without transport ucx and its tests" >&2
	$(BIN)/adpkv doctor --repair
	touch $@

# torch is large, and nothing else needs it: it has an environment of its own.
$(TORCH): pyproject.toml launch/make_venv.sh
	sh launch/make_venv.sh $(PYTHON) .venv-torch
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check \
		'torch==2.13.0' hypothesis pytest pytest-timeout pytest-xdist -e .
	touch $@

# Not editable: a compiled adpkv is a copy, and is made anew when its sources are newer.
$(FAST): pyproject.toml launch/make_venv.sh $(wildcard launch/*.py launch/*.h) launch/mypyc.ini $(shell find adpkv configs -name '*.py' -o -name '*.[ch]' -o -name '*.yaml')
	sh launch/make_venv.sh $(PYTHON) .venv-fast
	rm -f .venv-fast/build.log
	ADPKV_COMPILE=1 .venv-fast/bin/python -m pip install --quiet --disable-pip-version-check \
		--log .venv-fast/build.log --upgrade --force-reinstall --no-deps .
	@sed -n 's/^.*adpkv, compiled: /make fast: /p' .venv-fast/build.log
	.venv-fast/bin/python -m pip install --quiet --disable-pip-version-check \
		'adpkv[http,mpi,optimize,report,timeline,zstd]'
	.venv-fast/bin/adpkv doctor --repair
	touch $@
