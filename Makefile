# Everything sets itself up in .venv first; `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.ready
DVC := PATH="$(BIN):$$PATH" $(BIN)/dvc
# WORKERS processes share the tests; tests/marks.py says which tests stay together and which are left out of check
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: configured help setup repro flows weights ablation extras bench bench-gpu check test coverage faults soak audit lint revisions format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter; CONFIG=configs/NAME.yaml chooses a configuration for repro and flows."

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, " + sys.executable + " is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	@echo "installing into $(VENV): a few minutes, about 7 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# ptlflow asks for opencv-python, whose files need libGL; the headless build has the same files without it
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt opencv-python-headless
	@touch $(READY)

configured: $(READY)
	@if [ -n "$(CONFIG)" ]; then $(BIN)/ta2net params $(CONFIG) --out params.yaml; fi

repro: configured ## run the whole pipeline (dvc repro) and print what it found
	$(DVC) repro
	@$(BIN)/ta2net summary

flows: configured ## run the pipeline up to the flow store
	$(DVC) repro flows

weights: $(READY) ## train the network for real video again, on varied impacts: ta2net/networks/weights/real.safetensors
	$(BIN)/ta2net params configs/builtin.yaml --out data/builtin/params.yaml
	for stage in impacts catalog flows train evaluate; do \
		$(BIN)/python -m stages.$$stage --params data/builtin/params.yaml || exit; done
	$(BIN)/python -m stages.weights --params data/builtin/params.yaml --out ta2net/networks/weights/real.safetensors \
		--command "make weights"

ablation: flows ## what each part of the network is worth: 18 training runs, some 50 minutes on two cores
	$(DVC) repro --force --single-item stages/dvc.yaml:ablation

extras: flows ## what each extra of the training recipe is worth: 30 training runs, the better part of an hour
	$(BIN)/python -m stages.study --study configs/studies/extras.yaml --work data/extras --out docs/extras

bench: $(READY) ## measure ours against what one would do otherwise; benchmarks/results.json
	$(BIN)/python -m benchmarks

bench-gpu: $(READY) ## the same for a CUDA GPU, some ten minutes; benchmarks/results_gpu.json
	$(BIN)/python -m benchmarks.gpu

check: lint ## check format, style and types, and run the fast tests: under a minute
	$(PYTEST) -m "not slow and not kill and not dvc and not network and not browser and not gpu"

test: $(READY) ## run all tests
	$(PYTEST)

coverage: $(READY) ## run all tests and say which lines they do not reach; coverage.xml
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=xml

faults: $(READY) ## kill everything by the hundred, try all bad inputs, a quarter of an hour; benchmarks/faults.json
	$(BIN)/python -m tests.faults

soak: $(READY) ## thousands of clips, a million rows, hours of film, odd bytes by the thousand, under an hour; benchmarks/soak.json
	$(BIN)/python -m tests.soak
	$(BIN)/python -m pytest tests/bad_input/test_fuzz.py --hypothesis-profile long --timeout 3600

audit: $(READY) ## look up known holes in what is installed
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

lint: $(READY) ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

revisions: $(READY) ## record the code's revisions after a change of what it computes
	$(BIN)/python -m tests.revisions

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## delete what the pipeline made (the environment stays)
	rm -rf data .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info .coverage coverage.xml
