# The two commands of the README: `make all_tables` and `make test`. Everything else is for developers.
PYTHON ?= python3
WORLD ?= mini
TARGET ?= all_tables
CORES ?= all

# A misspelt world or target is one line, before anything is made.
near = $(shell $(PYTHON) -c 'import difflib, sys; name, *known = sys.argv[1:]; near = difflib.get_close_matches(name, known, 3, 0.5); \
	print(f"did you mean {chr(32).join(near)}?" if near else f"known: {chr(32).join(known)}")' '$(1)' $(2))
WORLDS := $(filter-out claims experiments figures,$(basename $(notdir $(wildcard config/*.yaml))))
ifeq ($(filter $(WORLD),$(WORLDS)),)
$(error tipcap: unknown world '$(WORLD)'; $(call near,$(WORLD),$(WORLDS)))
endif

BIN := .venv/bin
INSTALLED := .venv/.installed
# greedy: the exact scheduler takes a tenth of the processor when hundreds of jobs are ready
# every job that ends makes Snakemake look at all open ones again once per timespan: at its 1 s, 15 % of a processor
SNAKEMAKE = $(BIN)/snakemake --configfile config/$(WORLD).yaml --cores $(CORES) --rerun-incomplete --scheduler greedy \
	--max-jobs-per-timespan 300/3s
# files in the order of tests/conftest.py, each whole in one process
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: all_tables row plan unlock test test-quick test-whole rehearsal slurm-test check check-types check-rest format golden reference models captioners ui docs notebook lock clean gpu-check

all_tables: $(INSTALLED)
	@$(SNAKEMAKE) -- $(TARGET)

# One row of a table: make row TABLE=VI ROW='L: 4'
row: $(INSTALLED)
	@file="$$($(BIN)/tipcap plan --world config/$(WORLD).yaml --table "$$TABLE" --row "$$ROW" --target)" \
		&& $(SNAKEMAKE) -- "$$file"

plan: $(INSTALLED)
	$(SNAKEMAKE) --dry-run --quiet rules -- $(TARGET)

# After a hard kill or a power cut, which leave Snakemake's lock behind.
unlock: $(INSTALLED)
	$(SNAKEMAKE) --unlock

test: check
	$(PYTEST) --durations 10

# For daily work: what starts neither Java nor Snakemake.
test-quick: $(INSTALLED)
	$(PYTEST) -m "not slow and not slurm and not whole"

# All published captions through SPICE, of which `test` takes a sample: after a change of SPICE, Java or the jars. And the
# rehearsal, killed at 20 random moments.
test-whole: $(INSTALLED)
	$(BIN)/python -m pytest -m whole

# The paper's world on small files in the published formats, which it writes and serves here: downloads and Table II,
# or what TARGET names. Its files (2.3 GB, the models' true sizes) stay in .rehearsal.
rehearsal: $(INSTALLED)
	$(BIN)/python -m tests.rehearsal.run --cores $(CORES) $(if $(filter file,$(origin TARGET)),,$(TARGET))

# On a cluster that it starts on this machine, as root; Debian's packages are installed where they are missing.
slurm-test: $(INSTALLED)
	$(BIN)/python tests/slurm/cluster.py $(BIN)/python -m pytest -m slurm tests/slurm

# mypy without its cache takes as long as all others together, so it runs beside them.
check: $(INSTALLED)
	+$(MAKE) --no-print-directory --jobs 2 --output-sync check-types check-rest

check-types: $(INSTALLED)
	$(BIN)/mypy

check-rest: $(INSTALLED)
	$(BIN)/ruff format --check tipcap tests benchmarks docs
	$(BIN)/ruff check tipcap tests benchmarks docs
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

format: $(INSTALLED)
	$(BIN)/ruff format tipcap tests benchmarks docs
	$(BIN)/ruff check --fix tipcap tests benchmarks docs
	$(BIN)/snakefmt Snakefile workflow

# Files that tests compare with, written anew: look at the difference before committing it.
golden: $(INSTALLED)
	$(BIN)/python -m tests.golden

# The tables that `make all_tables WORLD=mini-full TARGET="all table_prompts table_baselines"` has made, kept for tests to
# compare with, and the README's tables of scores.
reference: $(INSTALLED)
	$(BIN)/python -m tests.reference

# The mini world's encoders and language model, trained anew into resources/models.
models: $(INSTALLED)
	rm -rf resources/models results/mini/encoder results/mini/language_model
	$(SNAKEMAKE) -- pretrained
	mkdir -p resources/models
	cp -r results/mini/encoder results/mini/language_model resources/models

# The captioners and sample pictures that ship, from a finished run: make all_tables WORLD=mini-full TARGET="all table_prompts".
captioners: $(INSTALLED)
	$(BIN)/python -m tests.captioners

# On a machine with a GPU, in under four minutes, from a copy of the repository: needs no .venv but what
# benchmarks/gpu_check.py names. OPTIONS=--tiny tries it on the CPU.
gpu-check:
	$(PYTHON) benchmarks/gpu_check.py $(OPTIONS)

ui: $(INSTALLED)
	$(BIN)/tipcap ui --world $(WORLD)

# The documentation's site, into site/: open site/index.html.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo site/index.html

# The notebook's outputs, written anew: look at the difference before committing it.
notebook: $(INSTALLED)
	$(BIN)/python -m tests.notebook

lock: $(INSTALLED)
	$(BIN)/pip freeze --exclude-editable | sed -E 's/\+cpu$$//' \
		| grep -viE '^(nvidia|triton|cuda)' > requirements.lock

clean:
	rm -rf site results/mini results/tiny results/rehearsal .rehearsal .snakemake

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("tipcap: expected Python 3.11 or newer, found " + sys.version.split()[0] + "; set PYTHON=python3.11") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.DEFAULT:
	$(error tipcap: unknown target '$@'; $(call near,$@,$(shell sed -n 's/^\([a-z_-]*\):.*/\1/p' Makefile)))
