# The two commands to know: `make run` runs PayFlux, `make test` passes the tests. Both set up everything they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# An environment that broke after it was made (a Python upgrade, an interrupted run) is made anew.
$(shell $(BIN)/payflux --version >/dev/null 2>&1 || rm -f $(VENV)/.run $(VENV)/.dev)

.DEFAULT_GOAL := help
.PHONY: help run test thorough check docs faults exports hostile smoke bench bench-full bench-detection bench-detection-full compare scenes rehearsal structure dashboard screens pictures site wheel lock clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run  ## run PayFlux with an embedded Valkey and simulated traffic
	@$(BIN)/payflux dev --simulate

test: check  ## check and test everything
	$(BIN)/pytest -n 4 --dist worksteal -m "not thorough" $(TESTS)

thorough: $(VENV)/.dev  ## the tests that compare rates or take long: a few minutes, two at a time
	$(BIN)/pytest -n 2 --dist worksteal -m thorough $(TESTS)

check: $(VENV)/.dev  ## formatting, lint, types, layers
	$(BIN)/ruff format --check src tests scripts benchmarks examples
	$(BIN)/ruff check src tests scripts benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/.dev  ## write the reference tables of the documentation from the declarations
	$(BIN)/python -m scripts.docs.tables

faults: $(VENV)/.dev  ## draw random histories of faults, many and others each time; takes a few minutes
	$(BIN)/pytest -n 2 --dist worksteal --hypothesis-profile faults tests/consume/test_faults_model.py

exports: $(VENV)/.dev  ## 20,000 events to each exporter while its destination is in every trouble; two minutes, a table
	$(BIN)/pytest -n 0 -m thorough tests/node/test_export_troubles.py
	@cat build/export-troubles.md

hostile: $(VENV)/.dev  ## bad JSON, bad framing, slow clients and strangers' entries, sixty rounds of others each; takes five minutes
	HOSTILE_ROUNDS=60 $(BIN)/pytest -n 2 --dist worksteal tests/hostile

smoke: $(VENV)/.dev  ## send 10,000 events through a node of its own and prove that each came out once
	$(BIN)/python -m scripts.smoke.run

bench: $(VENV)/.dev  ## measure against the floors of the same machine; needs nginx and redis-benchmark
	$(BIN)/python -m benchmarks.bench

bench-full: $(VENV)/.dev  ## every scenario, most of an hour; a summary in benchmarks/results, the rest in build/benchmarks
	$(BIN)/python -m benchmarks.bench --full

compare: $(VENV)/.dev  ## CPU of an event beside another commit: make compare BASE=REV; arguments in ARGS
	$(BIN)/python -m benchmarks.compare $(BASE) $(ARGS)

bench-detection: $(VENV)/.dev  ## what is found and how soon, beside other detectors; a quarter of an hour, goes on where it was
	$(BIN)/python -m benchmarks.detection.bench

bench-detection-full: $(VENV)/.dev  ## the same over four times as much traffic
	$(BIN)/python -m benchmarks.detection.bench --full

scenes: $(VENV)/.dev  ## every trouble of simulate with real Prometheus and Alertmanager, 90 minutes; some: make scenes SCENES="outage silence"
	$(BIN)/python -m scripts.scenes.run $(SCENES)

rehearsal: $(VENV)/.dev  ## the same without servers, in some minutes
	$(BIN)/python -m scripts.scenes.run --rehearse $(SCENES)

structure: $(VENV)/.dev  ## sizes of folders, files and functions, cycles, missing tests; BASE=REV beside them
	$(BIN)/python -m scripts.structure $(BASE)

dashboard: $(VENV)/.dev  ## write the Grafana dashboard anew
	$(BIN)/python -m scripts.dashboards.grafana deploy/grafana/dashboards/payflux.json

screens: $(VENV)/.dev  ## draw the pictures of terminals anew
	$(BIN)/python -m scripts.docs.screens docs/img/terminal

pictures: $(VENV)/.dev screens  ## draw the pictures of terminals and of the dashboard anew; needs prometheus, takes nine minutes
	$(BIN)/python -m scripts.dashboards.pictures docs/img

site: $(VENV)/.dev  ## build the documentation site into build/site
	$(BIN)/mkdocs build --strict

wheel: $(VENV)/.dev  ## build the wheel that is installed on servers, into dist
	$(BIN)/python -m build --no-isolation --wheel --outdir dist

lock:  ## compile the lock files anew; needs uv
	scripts/lock.sh

clean:  ## forget the environment and everything made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.run: requirements.lock pyproject.toml scripts/install.sh
	@scripts/install.sh "$(PYTHON)" $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml scripts/install.sh
	@scripts/install.sh "$(PYTHON)" $(VENV) requirements-dev.lock
	@touch $(VENV)/.run $@
