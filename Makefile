# The one command runner; CI calls the same recipes. `make help` lists them.
#
# Each finished step of the set-up leaves a stamp in .venv, so that a second call is quick.
# Packages are installed by uv, itself installed into .venv, because it resolves and unpacks
# several times faster than pip; where uv cannot, pip does the same work more slowly. Nothing is
# compiled beforehand: Python keeps what it compiles of the modules that are imported, which is
# a small part of what is installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
TORCH ?= torch==2.13.0
AXE_VERSION ?= 4.14.1
OUT ?= sample-audit

# onnxruntime and onnxruntime-gpu share a module, so one of them is chosen and kept:
# `make audit EXTRA=gpu` chooses the second, and later calls stay with it.
EXTRA ?= $(if $(wildcard $(VENV)/lib/python3.*/site-packages/onnxruntime_gpu-*),gpu,cpu)
OTHER_RUNTIME := $(if $(filter gpu,$(EXTRA)),onnxruntime,onnxruntime-gpu)

WEASYPRINT_LIBRARIES := libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0

# $(call apt,packages): install Debian packages if this user may; fails quietly if not.
define apt
{ command -v apt-get > /dev/null || exit 1; \
  as=; [ "$$(id -u)" = 0 ] || { as="sudo -n"; $$as true 2> /dev/null || exit 1; }; \
  export DEBIAN_FRONTEND=noninteractive; \
  echo "Installing $(1)"; \
  $$as apt-get install -y -qq --no-install-recommends $(1) > /dev/null 2>&1 \
    || { $$as apt-get update -qq && $$as apt-get install -y -qq --no-install-recommends $(1) > /dev/null; }; }
endef

# $(call install,requirements): into .venv, with uv if it can.
define install
if [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(BIN)/python \
     $${PIP_INDEX_URL:+--default-index "$$PIP_INDEX_URL"} $(1); then :; \
else $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(1); fi
endef

# axe-core looks for what shuts people out of a page; one file of its package is all of it.
define AXE
{ command -v npm > /dev/null || exit 1; \
  cd $(VENV) && npm pack --silent axe-core@$(AXE_VERSION) > /dev/null 2>&1 \
    && tar -xzf axe-core-$(AXE_VERSION).tgz --strip-components=1 package/axe.min.js \
    && rm axe-core-$(AXE_VERSION).tgz; }
endef

.PHONY: help
help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | sort | expand -t 10

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	  echo "leap-audit needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11"; exit 1; }
	if $(BIN)/python -m pip --version > /dev/null 2>&1; then touch $@; exit 0; fi
	echo "Creating $(VENV)"
	rm -rf $(VENV)
	# Without ensurepip, which takes half a minute, where a pip outside can fill the environment.
	if $(PYTHON) -m venv --without-pip $(VENV) 2> /dev/null \
	   && $(PYTHON) -m pip --python $(BIN)/python install --quiet --no-compile pip uv > /dev/null 2>&1; then :; else
	  rm -rf $(VENV)
	  if ! $(PYTHON) -m venv $(VENV) > /dev/null 2>&1; then
	    ($(call apt,python3-venv)) || true
	    $(PYTHON) -m venv $(VENV) || {
	      echo "Python's venv module is missing; install the package python3-venv and run make again."; exit 1; }
	  fi
	  $(BIN)/python -m pip install --quiet --no-compile uv \
	    || echo "uv could not be installed; pip will do, more slowly."
	fi
	touch $@

$(VENV)/.package-$(EXTRA): pyproject.toml | $(VENV)/.made
	@echo "Installing leap-audit and what it needs ($(EXTRA))"
	rm -f $(VENV)/.package-*
	if ls -d $(VENV)/lib/python3.*/site-packages/$(subst -,_,$(OTHER_RUNTIME))-*.dist-info > /dev/null 2>&1; then
	  $(BIN)/python -m pip uninstall --quiet -y $(OTHER_RUNTIME); fi
	$(call install,-e '.[$(EXTRA)]')
	touch $@

# WeasyPrint loads Pango and HarfBuzz from the system; pip cannot bring them.
$(VENV)/.libraries: | $(VENV)/.package-$(EXTRA)
	@strict="$(BIN)/python -W error:HarfBuzz -c 'import weasyprint'"
	if ! eval "$$strict" > /dev/null 2>&1; then
	  ($(call apt,$(WEASYPRINT_LIBRARIES))) || true
	  if ! eval "$$strict" > /dev/null 2>&1; then
	    echo "The PDF report needs these system libraries, which could not be installed here:"
	    echo "    $(WEASYPRINT_LIBRARIES)"
	    echo "On Debian or Ubuntu: sudo apt-get install $(WEASYPRINT_LIBRARIES)"
	    echo "Elsewhere: Pango 1.44 or newer and HarfBuzz with its subset library."
	    $(BIN)/python -c 'import weasyprint' > /dev/null 2>&1 || exit 1
	    echo "WeasyPrint loads all the same; going on."
	  fi
	fi
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.package-$(EXTRA) $(VENV)/.libraries $(VENV)/.torch
	@echo "Installing the development tools"
	$(call install,-e '.[$(EXTRA)$(comma)dev]')
	command -v pdftotext > /dev/null || ($(call apt,poppler-utils)) \
	  || echo "poppler-utils is missing: the tests that read the PDF will be skipped."
	command -v chromium google-chrome > /dev/null || ($(call apt,chromium)) \
	  || echo "chromium is missing: the tests of the page in a browser will be skipped."
	test -s $(VENV)/axe.min.js || ($(AXE)) \
	  || echo "axe-core is missing (npm brings it): the tests with it will be skipped."
	touch $@
comma := ,

.PHONY: audit
audit: $(VENV)/.package-$(EXTRA) $(VENV)/.libraries  ## set up, audit the bundled sample model, say where the report is
	@$(BIN)/leap-audit sample_models/digits_shortcut.onnx --classes sample_models/digits.txt \
	  --samples sample_models/pictures/plain --samples sample_models/pictures/marked \
	  --top-classes 1 --out $(OUT)
	echo
	echo "The report:  $(abspath $(OUT))/report.html"
	echo "For print:   $(abspath $(OUT))/report.pdf"

.PHONY: setup
setup: $(VENV)/.dev  ## set up everything that the tests need

.PHONY: lint
lint: $(VENV)/.dev  ## ruff and mypy
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers $(JOBS)

.PHONY: format
format: $(VENV)/.dev  ## put the code into its one format
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test
test: $(VENV)/.dev lint  ## lint, then every test
	@$(BIN)/pytest -n $(JOBS) --dist loadgroup

# By pip, which knows of the places where builds without CUDA lie; uv then finds it there.
$(VENV)/.torch: | $(VENV)/.made
	@echo "Installing $(TORCH)"
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check '$(TORCH)'
	touch $@

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## read 5000 broken files (half an hour); SEED=7 for others
	@$(BIN)/python -m tools.fuzz --count $(or $(COUNT),5000) --seed $(or $(SEED),0) --jobs $(JOBS)

.PHONY: samples
samples: $(VENV)/.dev  ## train the sample models again (minutes)
	@$(BIN)/python sample_models/build.py

.PHONY: operators
operators: $(VENV)/.dev  ## write docs/operators.md again (a minute)
	@$(BIN)/python -m tools.operators_page

.PHONY: options
options: $(VENV)/.dev  ## write docs/options.md again
	@$(BIN)/python -m tools.options

.PHONY: producers
producers: $(VENV)/.dev  ## write the table of producers in docs/bring-any-model.md again
	@$(BIN)/python -m tools.producers_page

.PHONY: wheel
wheel: $(VENV)/.made  ## build the wheel and the source archive into dist/
	@$(call install,'build>=1.2' 'hatchling>=1.27')
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	ls dist

$(VENV)/.docs: pyproject.toml | $(VENV)/.package-$(EXTRA)
	@echo "Installing what builds the site"
	$(call install,-e '.[$(EXTRA)$(comma)docs]')
	touch $@

.PHONY: docs
docs: $(VENV)/.docs  ## build the site of the documentation into build/site, strictly
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	echo "The site:  $(abspath build/site)/index.html"

.PHONY: sample
sample: $(VENV)/.dev  ## write the sample report and the pictures of the README again (minutes)
	@$(BIN)/python -m tools.front_door
	$(BIN)/python -m tools.overlap

.PHONY: schema
schema: $(VENV)/.dev  ## write docs/audit.schema.json again
	@$(BIN)/python -m tools.audit_schema

.PHONY: mutants
mutants: $(VENV)/.dev  ## change the package in small ways and say which changes no test notices
	@$(BIN)/python -m tools.mutants --jobs $(JOBS)

.PHONY: clean
clean:  ## remove the environment, caches and build results
	@rm -rf $(VENV) build dist $(OUT) .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
