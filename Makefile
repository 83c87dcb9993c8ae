PYTHON := .venv/bin/python
# uv takes half pip's time, but does not read pip's settings, such as another registry.
UV := $(shell command -v uv 2>/dev/null)
install = { $(if $(UV),$(UV) pip install --quiet --compile-bytecode --python $(1) $(2) ||,) \
  $(1) -m pip --disable-pip-version-check install --quiet --use-pep517 $(2); }
STAMP := .venv/.installed
# TensorFlow 2.14 needs NumPy 1 and JAX NumPy 2, so JAX has an environment of its own.
JAX_STAMP := .venv-jax/.installed
# The codec without TensorFlow is for newer Pythons, too; where there is none, it is tested in .venv.
NEWER := python3.14 python3.13 python3.12 $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python)
PORTABLE_STAMP := .venv-portable/.installed
# Packages of npm for tests of the codec in a web page; without npm these tests are skipped.
NODE_STAMP := .node/.installed

.PHONY: demo test test-portable lint clean

demo: $(STAMP)
	$(PYTHON) -m experiments.demo

# A file's tests share their models, so one process runs them all.
PARALLEL := -n 2 --dist=loadfile

test: lint $(JAX_STAMP) $(PORTABLE_STAMP) $(NODE_STAMP)
	@if [ -x .venv-portable/bin/python ]; then \
	  $(MAKE) --no-print-directory test-portable && \
	  $(PYTHON) -m pytest $(PARALLEL) --ignore=tests/portable tests; \
	else $(PYTHON) -m pytest $(PARALLEL) tests; fi

# The directory of the other tests has a conftest.py that imports TensorFlow.
test-portable: $(PORTABLE_STAMP)
	.venv-portable/bin/python -m pytest $(PARALLEL) --confcutdir=tests/portable tests/portable

lint: $(STAMP)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

# Leaves .venv, .venv-jax, .venv-portable, .node and trained models alone.
clean:
	rm -rf build dist *.egg-info demo_output .pytest_cache .ruff_cache
	find . \( -name '.venv*' -o -name .node \) -prune -o -name __pycache__ -prune -exec rm -rf {} +

# A Python that is found may still not run, or lack venv or ensurepip: try each.
$(STAMP): requirements.lock setup.py
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
	  for python in python3.11 python3.10 python3.9; do \
	    $$python -c 'import ensurepip, venv' >/dev/null 2>&1 && exec $$python -m venv --clear .venv; \
	  done; \
	  command -v uv >/dev/null 2>&1 && rm -rf .venv && exec uv venv --python 3.11 --seed .venv; \
	  echo 'Needs Python 3.11, 3.10 or 3.9 with its venv module on PATH, or uv, which fetches one:' \
	    'pip install uv; or on Debian: apt-get install python3.11 python3.11-venv' >&2; \
	  exit 1; }
	@echo 'Installing requirements.lock into .venv; the first time this takes some minutes.'
	$(call install,$(PYTHON),-r requirements.lock)
	$(call install,$(PYTHON),--no-deps --no-build-isolation -e .)
	@touch $@

$(JAX_STAMP): experiments/pjrt/requirements.txt | $(STAMP)
	$(PYTHON) -m venv --clear .venv-jax
	$(call install,.venv-jax/bin/python,-r $<)
	@touch $@

$(PORTABLE_STAMP): setup.py
	@mkdir -p .venv-portable
	@for python in $(NEWER); do \
	  $$python -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
	  $$python -m venv --clear .venv-portable; \
	  $(call install,.venv-portable/bin/python,-e '.[serve]' jsonschema pytest pytest-xdist); \
	  exit; \
	done; echo 'No Python newer than 3.11 with its venv module: the codec is tested in .venv alone.'
	@touch $@

$(NODE_STAMP): bmshj_minnen/web/package.json
	@mkdir -p .node
	@cp $< .node/
	@if command -v npm >/dev/null 2>&1; then \
	  npm install --prefix .node --ignore-scripts --no-package-lock --no-audit --no-fund --silent || \
	    echo 'npm cannot install onnxruntime-web: some tests of the codec in a web page are skipped.'; \
	else echo 'No npm: tests of the codec in a web page are skipped.'; fi
	@touch $@
