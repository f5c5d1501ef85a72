# make        set up the environment and run the main job on the default configuration
# make test   set up the environment and run the tests
# make check-states  what the states are worth, bar by bar (ARGUMENTS="--only speed" for a part)
# make selftest  recover known states and known rates, and see through three samples without any
# make check-kinetics  the kinetics against known truths, coverage of intervals, degenerate inputs, speed
# make verify  recheck the checksums of finished results
# make check-survival  what the workflow survives: kills, bad input, fuzz, a second run to the byte, SLURM
#                      (45 min; in parts: ARGUMENTS="--only kills --folder /scratch/survival", which also goes on again)
# make test-slurm  the workflow through a real SLURM cluster of one node, started for the purpose
# make bench-md  speed and accuracy of the compiled potential, bar by bar, 20 min (ARGUMENTS='--only speed' for a part)
# make bench-training  a step of training with compiled gradients beside mace-torch's own
# make bench-sizes DATA='*/labelled.extxyz'  what wider potentials and longer cutoffs buy, and cost
# make reference  keep the small results of a finished main job in results/reference, with their commit
# make quick  the same jobs on a protocol of a few minutes, for a first look
# make new SYSTEM=name CIF=file  a commented entry for a new electrolyte, in config/name.yaml
# make check-inputs  the bars of bringing your own structure or trajectory: worked entries end to end, broken files
# make inspect FILE='run*.dump'  what would be understood of a trajectory, and what is missing
# make evaluate MODEL=file DATA=frames.extxyz [TEACHER=chgnet]  a potential of your own beside your own DFT
# make finetune MODEL=file DATA='dft.extxyz …' [OUTPUT=own.safetensors] [REPLAY=frames.extxyz]  train a MACE further on your own DFT
# make card MODEL=student.safetensors DATA='frames.extxyz …'  the whole evaluation of a student, with its model card
# make check-potential  every bar of the embedded potential (ARGUMENTS="--only contacts" or --quick for a part)
# make crosscheck  the reactive flux of the finished main job through deeptime and PyEMMA, in an environment of their own

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3

# Snakemake and what it starts must find this environment first, and no other.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME

.PHONY: all finished setup quick test test-slurm check-survival selftest check-states check-kinetics bench-md bench-training bench-sizes inspect verify report check-report potential crosscheck lint clean

all: setup
	snakemake || { $(MAKE) --no-print-directory finished; exit 1; }

# After a failure: compare and report the systems that did finish, and name those that did not.
finished: setup
	snakemake finished --quiet all --config finished_only=True --allowed-rules finished compare_systems build_report

setup: $(STAMP)

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "getsei needs Python 3.11; found $$($(PYTHON) --version). Say which with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip==26.3
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $$(grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

quick: setup
	snakemake --configfile config/quick.yaml

test: setup
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile

check-kinetics: setup
	OMP_NUM_THREADS=1 python benchmarks/check_kinetics.py

check-states: setup
	OMP_NUM_THREADS=1 python benchmarks/check_states.py $(ARGUMENTS)

selftest: setup
	OMP_NUM_THREADS=1 PYTHONPATH=scripts python -m getsei.selftest

inspect: setup
	@PYTHONPATH=scripts python -m getsei.trajectory.inspect $(FILE) $(OPTIONS)

test-slurm: setup
	OMP_NUM_THREADS=1 PYTHONPATH=scripts python benchmarks/check_slurm.py

check-survival: setup
	OMP_NUM_THREADS=1 python benchmarks/check_survival.py $(ARGUMENTS)

verify: setup
	PYTHONPATH=scripts python -m getsei.crate $$(ls results/*/ro-crate-metadata.json)

bench-md: setup
	OMP_NUM_THREADS=1 python benchmarks/bench_md.py $(ARGUMENTS)

bench-training: setup
	OMP_NUM_THREADS=1 python benchmarks/training_speed.py $(ARGUMENTS)

bench-sizes: setup
	OMP_NUM_THREADS=1 python benchmarks/potential_sizes.py $(DATA) $(ARGUMENTS)

report: setup
	snakemake build_report

check-report: setup
	OMP_NUM_THREADS=1 python benchmarks/check_report.py

.PHONY: reference
reference: setup
	python benchmarks/reference_results.py

.PHONY: new check-inputs
new: setup
	@PYTHONPATH=scripts $(BIN)/python -m getsei.proposal "$(SYSTEM)" "$(CIF)" "$(METAL)"

check-inputs: setup
	OMP_NUM_THREADS=1 python benchmarks/check_inputs.py

potential: setup
	snakemake potential

.PHONY: evaluate card check-potential
evaluate: setup
	@OMP_NUM_THREADS=1 PYTHONPATH=scripts python -m getsei.evaluate "$(MODEL)" $(DATA) $(if $(TEACHER),--teacher "$(TEACHER)") $(OPTIONS)

.PHONY: finetune
finetune: setup
	@OMP_NUM_THREADS=1 PYTHONPATH=scripts python -m getsei.finetune "$(MODEL)" $(DATA) $(if $(REPLAY),--replay $(REPLAY)) $(if $(OUTPUT),--output "$(OUTPUT)") $(OPTIONS)

card: setup
	snakemake evaluate_potential --config "potential_training={student: '$(MODEL)', labelled: [$$(echo $(DATA) | sed "s/ /, /g")]}"

check-potential: setup
	OMP_NUM_THREADS=1 python benchmarks/check_potential.py $(ARGUMENTS)

crosscheck: setup .venv-crosscheck/.installed
	snakemake crosscheck

.venv-crosscheck/.installed: envs/crosscheck_kinetics.txt
	$(PYTHON) -m venv .venv-crosscheck
	.venv-crosscheck/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

clean:
	rm -rf $(VENV) .venv-crosscheck .snakemake
