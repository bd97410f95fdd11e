# Needs Python 3.11 or newer and make; everything else goes into .venv/ by itself.

# The first Python here that is new enough, unless one is named (make PYTHON=/opt/python3.13).
ifndef PYTHON
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	command -v $$python && break; done)
endif

# Servers and tools of the system that tests drive, as command=Debian package.
SYSTEM = redis-server=redis-server promtool=prometheus \
	prometheus-redis-exporter=prometheus-redis-exporter chromium=chromium

# Tests of what is pure.
UNIT = tests/unit/orderer tests/unit/ingestor tests/unit/relay tests/contract/test_layout.py \
	$(addprefix tests/unit/publisher/test_,entries.py leaving.py meter.py retention.py trial.py window.py)

VENV = .venv/bin/python
PIP = $(VENV) -m pip install -qq --disable-pip-version-check --require-hashes --requirement
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV) -m uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	pyproject.toml $(LOCK_ARGS)

# A half-made file is worse than none; and the steps of `check` keep their order under -j.
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help demo up passwords unit test simulate test-compose check lint format dashboards pictures bench bench-chat bench-wisdom bench-feeds bench-keys bench-fair bench-replicas bench-scrape bench-floods bench-changes bench-crowds bench-dashboards lock sbom system clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

demo: .venv/standalone ## Relay 100 000 messages here and check their order (MESSAGES=, RATE=, DEMO_ARGS=)
	@$(VENV) -m standalone demo $(if $(MESSAGES),--messages $(MESSAGES)) $(if $(RATE),--rate $(RATE)) $(DEMO_ARGS)

up: .venv/standalone ## Keep the whole stack running in this terminal until Ctrl-C (UP_ARGS=)
	@$(VENV) -m standalone up $(UP_ARGS)

passwords: ## Give each user of Redis in Docker a password of chance, in .env, where it has none
	@umask 077; touch .env; [ -z "$$(tail -c 1 .env)" ] || echo >>.env; \
	for name in $$(grep -o 'REDIS_PASSWORD_[A-Z]*' docker-compose.yml | sort -u | grep -v _ADMIN); do \
		grep -q "^$$name=." .env || \
		echo "$$name=$$(od -An -N 24 -t x1 /dev/urandom | tr -d ' \n')" >>.env; \
	done; chmod 600 .env

test: .venv/dev system ## Run the tests (TEST_ARGS=)
	@$(VENV) -m pytest -q --numprocesses 3 --dist worksteal $(TEST_ARGS)

unit: .venv/dev ## Run what needs no server and takes seconds: the pure modules' tests
	@$(VENV) -m pytest -q $(UNIT) $(TEST_ARGS)

simulate: .venv/dev ## Run the relay through simulated faults (SCHEDULES=1000 FIRST=0 SIMULATE_ARGS=)
	@$(VENV) -m tests.simulation $(if $(SCHEDULES),--schedules $(SCHEDULES)) \
		$(if $(FIRST),--first $(FIRST)) $(SIMULATE_ARGS)

test-compose: .venv/dev ## Run the tests of the stack in containers, where Docker answers (TEST_ARGS=)
	@SERIATIM_COMPOSE=1 $(VENV) -m pytest -q tests/compose $(TEST_ARGS)

check: lint test ## Run what CI runs: format, lint, types, tests

lint: .venv/dev ## Check format, lint and types only
	@$(VENV) -m ruff format --check --quiet .
	@$(VENV) -m ruff check --quiet .
	@$(VENV) -m mypy

format: .venv/dev ## Format the code and mend what the linter can mend
	@$(VENV) -m ruff check --fix --quiet . || true
	@$(VENV) -m ruff format .

dashboards: .venv/dev ## Generate grafana/dashboards/*.json and the runbook's page anew
	@$(VENV) -m grafana.dashboards

pictures: .venv/dev ## Draw the README's picture of the relay at work anew, with the system's Chromium
	@$(VENV) -m tests.pictures

bench: .venv/dev ## Measure the relay against simpler ways (BENCH_ARGS=)
	@$(VENV) -m tests.bench $(BENCH_ARGS)

bench-chat: .venv/dev ## Measure the chat beside its rivals (BENCH_ARGS=)
	@$(VENV) -m tests.bench.chat $(BENCH_ARGS)

bench-wisdom: .venv/dev ## Measure wisdom's fan-out and takeover (BENCH_ARGS=)
	@$(VENV) -m tests.bench.wisdom $(BENCH_ARGS)

bench-feeds: .venv/dev ## Measure what many feeds cost (BENCH_ARGS="1:5000 100:5000")
	@$(VENV) -m tests.bench.feeds $(BENCH_ARGS)

bench-fair: .venv/dev ## Measure what feeds that share a lane notice of each other (BENCH_ARGS=)
	@$(VENV) -m tests.bench.fair $(BENCH_ARGS)

bench-replicas: .venv/dev ## Kill one of three replicas of each service under many feeds (BENCH_ARGS=)
	@$(VENV) -m tests.bench.replicas $(BENCH_ARGS)

bench-scrape: .venv/dev ## Measure what a scrape of a thousand feeds' metrics costs (BENCH_ARGS=)
	@$(VENV) -m tests.bench.scrape $(BENCH_ARGS)

bench-keys: .venv/dev ## Measure what thousands of keys cost the orderer (BENCH_ARGS="CHECKOUT . --rounds 5")
	@$(VENV) -m tests.bench.keys $(BENCH_ARGS)

bench-floods: .venv/dev ## Fill Redis in every way, and measure what the neighbours notice (BENCH_ARGS=)
	@$(VENV) -m tests.bench.floods $(BENCH_ARGS)

bench-changes: .venv/dev ## Change settings of the stack in containers under load, count what is lost (BENCH_ARGS=)
	@$(VENV) -m tests.bench.changes $(BENCH_ARGS)

bench-crowds: .venv/dev ## Let crowds do all that they may, and tell the most memory of each service (BENCH_ARGS=)
	@$(VENV) -m tests.bench.crowds $(BENCH_ARGS)

bench-dashboards: .venv/dev ## Measure what the dashboards' queries take with 1 000 feeds (BENCH_ARGS="CHECKOUT . --feeds 100")
	@$(VENV) -m tests.bench.dashboards $(BENCH_ARGS)

lock: .venv/dev ## Compile requirements/*.txt anew from pyproject.toml (LOCK_ARGS=--upgrade)
	@$(LOCK) --all-extras --output-file requirements/dev.txt
	@$(LOCK) --extra standalone --constraint requirements/dev.txt --output-file requirements/standalone.txt
	@$(LOCK) --constraint requirements/dev.txt --output-file requirements/runtime.txt

sbom: .venv/standalone ## Print what an image is made of (CycloneDX)
	@$(VENV) -m standalone.sbom

clean: ## Remove .venv/, caches, and what the stack stored here
	rm -rf .venv .seriatim .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: one for all, made once, brought up to date when a requirements file changes.

.venv/standalone: requirements/standalone.txt $(VENV)
	@echo "Installing $< into .venv/"
	@$(PIP) $<
	@touch $@

.venv/dev: requirements/dev.txt $(VENV)
	@echo "Installing $< into .venv/"
	@$(PIP) $<
	@touch $@ .venv/standalone

$(VENV):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not Python 3.11 or newer" >&2; exit 1; }
	@echo "Creating .venv/ with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call apt-install,$(notdir $(PYTHON))-venv,exit 1;)
	@$(PYTHON) -m venv --clear .venv

# Debian's packages, where we may install them; otherwise say so and do $(2). An installed server
# would start as a service: RUNLEVEL=1 keeps init scripts from it, and systemd is told afterwards.
apt-install = { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing Debian packages:" $(1) && \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 && \
		apt-get update -qq </dev/null >/dev/null && \
		apt-get install -qq --no-install-recommends $(1) </dev/null >/dev/null; \
	then \
		[ ! -d /run/systemd/system ] || for package in $(1); do \
			systemctl disable --quiet --now $$package 2>/dev/null || true; done; \
	else \
		echo "Not installed:" $(1) "(on Debian: apt-get install" $(1)")" >&2; $(2) \
	fi; }

# Tests whose command is missing are skipped, or fail if CI=true.
system: ## Install the servers that tests drive, as root on Debian
	@missing=; for pair in $(SYSTEM); do \
		command -v "$${pair%%=*}" >/dev/null || missing="$$missing $${pair#*=}"; \
	done; \
	[ -z "$$missing" ] || $(call apt-install,$$missing,echo "The tests that need them are skipped." >&2;)
