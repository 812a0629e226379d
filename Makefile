# Lethe. `make` lists the targets; `make demo` and `make test` are all a newcomer needs.

VENV        := .venv
PY          := $(VENV)/bin/python
INSTALLED   := $(VENV)/.installed
PACKAGES    := db recsys retrieval llm unlearning pipelines
PYTHON      ?= >=3.11
DATA        ?= $(LETHE_BENCH_DATA)
GRID        ?= $(foreach way,bounded_ascent-guided resisted_ascent-guided refusal-guided bounded_ascent-random,--method $(way) --attack $(way)) --people 60
BENCH       ?= $(filter-out forgetting tracer concepts concept_forks catalogue datasets recbole_default recbole_sasrec,$(sort $(patsubst benchmarks/%.py,%,$(wildcard benchmarks/[a-z]*.py))))

# A uv that knows dependency groups, or else a private copy of uv in .uv (never the system's Python).
UV          := $(shell uv pip install --help 2>/dev/null | grep -q -e --group && command -v uv || echo .uv/bin/uv)

# uv does not read pip's settings; what pip finds beside its index (a CPU build of torch, say) uv should find too.
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint layout types arrow shape format bench bench-concepts bench-forgetting bench-tracer nightly pins clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## make .venv and install everything into it, at the pinned versions

.uv/bin/uv:
	rm -rf .uv
	python3 -m venv .uv && .uv/bin/python -m pip install --quiet uv \
	  || { rm -rf .uv; python3 -m pip install --quiet --target .uv uv; }

# Compiled once: else every process compiles what it imports where bytecode may not be written (half of a `lethe forget`).
# `uv pip install` reads the override of RecBole's ray pin from [tool.uv] in pyproject.toml.
$(INSTALLED): pyproject.toml constraints.txt | $(filter .uv/bin/uv,$(UV))
	test -x $(PY) || $(UV) venv --python '$(PYTHON)' $(VENV)
	$(UV) pip install --python $(PY) --constraints constraints.txt --build-constraints constraints.txt \
	  --compile-bytecode --editable '.[postgres]' --group dev
	$(PY) -m compileall -q $(PACKAGES)
	@touch $@

demo: $(INSTALLED)  ## the whole story on ml-100k, in demo-root/
	LETHE_ROOT=demo-root $(VENV)/bin/lethe demo

test: $(INSTALLED)  ## the tests (without the nightly ones), two at a time
	$(PY) -m pytest -rfEs -n 2 --dist loadfile

# Five parts, so that `make -k check` tells everything that is wrong at once.
check: lint layout types arrow shape  ## lint, format, types, import arrow, doctests, shape of the code
lint: $(INSTALLED)
	$(VENV)/bin/ruff check
layout: $(INSTALLED)
	$(VENV)/bin/ruff format --check
types: $(INSTALLED)
	$(VENV)/bin/mypy
arrow: $(INSTALLED)
	$(VENV)/bin/lint-imports
shape: $(INSTALLED)
	$(PY) -m pytest --doctest-modules --ignore=db/migrations $(PACKAGES) tests/test_shape.py

format: $(INSTALLED)  ## put the code into the form that check wants
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: $(INSTALLED)  ## the benchmarks: make bench [BENCH="name ..."] [DATA=DIR] [QUICK=1]; JSON in bench-out/
	@mkdir -p bench-out; failed=; for name in $(BENCH); do echo "== $$name"; set --; \
	  if [ -n "$(DATA)" ] && grep -q '"--data"' benchmarks/$$name.py; then set -- --data "$(DATA)"; fi; \
	  $(PY) -m benchmarks.$$name $(if $(QUICK),--quick) "$$@" --out bench-out/$$name.json \
	  || failed="$$failed $$name"; done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

# Its finished parts are kept: run it again until it ends with 0. The page in docs/results is written when nothing is left.
bench-forgetting: $(INSTALLED)  ## ways to forget, and the page of it: [QUICK=1] [MINUTES=55] [DATA=DIR]; 75: parts are left
	$(PY) -m benchmarks.forgetting $(if $(QUICK),--quick,--page docs/results/forgetting.md) $(if $(DATA),--data "$(DATA)") \
	  $(if $(MINUTES),--minutes $(MINUTES)) --out bench-out/forgetting

bench-concepts: $(INSTALLED)  ## ways to forget a concept in the model, and the page of it: WORK=DIR [MINUTES=55] [GRID="--method ..."]; 75: cells are left
	$(PY) -m benchmarks.concepts --work $(WORK) $(if $(MINUTES),--minutes $(MINUTES)) --page docs/results/concepts.md -- $(GRID)

bench-tracer: $(INSTALLED)  ## ways to move a concept's ids, and the page of it: [QUICK=1] [MINUTES=55]; 75: cells are left
	$(PY) -m benchmarks.tracer $(if $(QUICK),--quick,--page docs/results/tracer.md) $(if $(MINUTES),--minutes $(MINUTES)) \
	  --out bench-out/tracer

nightly: $(INSTALLED)  ## what is too heavy for make test: the nightly tests, then every benchmark in its quick form
	$(PY) -m pytest -m nightly -rfEs
	$(MAKE) bench QUICK=1

# What is installed decides the versions; --universal adds what other systems need beside it (CUDA, say).
pins: $(INSTALLED)  ## write constraints.txt anew from what is installed in .venv
	$(UV) pip freeze --python $(PY) --exclude-editable | sed 's/+.*//' > installed.tmp
	{ grep '^#' constraints.txt; echo 'hatchling>=1.27' | env -u UV_FIND_LINKS $(UV) pip compile --quiet --universal \
	  --python-version 3.11 --no-annotate --no-header --extra postgres --group pyproject.toml:dev \
	  --constraints installed.tmp pyproject.toml -; } > constraints.tmp
	mv constraints.tmp constraints.txt && rm installed.tmp

clean:  ## remove what setup, check and bench made (a Lethe root is never touched)
	rm -rf $(VENV) .uv bench-out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find $(PACKAGES) tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
