# packtap: what a person types.
#
#   make demo    the main job on this machine: no scooter, no server, no root
#   make test    everything is tested, with real servers (installs what is missing)
#   make check   format, lint, types, import contracts
#   make bench   figures of this machine
#   make boot    the services under a real systemd, as root, into tests/BOOT.md
#   make install-boot  deploy/install.sh under a real systemd, as root, into tests/INSTALL.md
#   make fuzz    coverage-guided fuzzing, into tests/fuzz/FUZZ.md (SECONDS=60 for each target)
#   make score   how good the detectors are, into tests/SCORE.md (SCENARIOS: folders of captures;
#                OWN: random scooters a family of our own simulation, a minute each)
#   make faults  every fault many times on the whole chain, into tests/FAULTS.md (half an hour;
#                ONLY=agent,noise: these rows, to the terminal; ROUNDS= in each row; SEED=)
#   make grafana-types  the committed dashboards against the types of @grafana/schema (npm)
#   make anchors what others lose of a burst whose process is killed at once

PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
# Tests wait more than they compute: more of them than cores at a time.
JOBS ?= 4
SECONDS ?= 60
SCENARIOS ?= tests/scenarios
OWN ?= 3
# What the fault bench needs and packtap does not: another clock for a process, another gateway.
FAULT_VENV := .venv-faults
SEED ?= 1
ROUNDS ?=
ONLY ?=

.PHONY: demo test check bench fuzz score boot install-boot faults grafana-types anchors format lock clean help

help:
	@sed -n 's/^#   /  /p' Makefile

demo: $(VENV)/.demo
	@$(BIN)/packtap demo $(DEMO_ARGS)

test: $(VENV)/.dev
	@tests/install_servers.sh
	$(BIN)/python -m pytest -n $(JOBS) tests/protocol --cov=ninebot_bms --cov-branch --cov-report=term
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/agent tests/fuzz tests/system

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python tests/bench/bench_framer.py
	$(BIN)/python tests/bench/bench_path.py
	$(BIN)/python tests/bench/bench_checks.py
	$(BIN)/python tests/bench/bench_web.py
	$(BIN)/python tests/bench/bench_page.py
	$(BIN)/python tests/bench/bench_sharing.py --seconds 600

score: $(VENV)/.dev
	-$(BIN)/python tests/score.py --own $(OWN) $(SCENARIOS) > tests/SCORE.md
	@sed -n '/^##/,$$p' tests/SCORE.md

boot: $(VENV)/.dev
	@{ echo '# What systemd does with the services'; echo; \
	  echo 'Printed by `make boot` (tests/boot/recipe.py says what that is). The power-off ends every process'; \
	  echo 'at once; what they had handed to the kernel is kept by the host of the container, which stays up.'; \
	  echo 'The kernel, and with it the id of the boot, is the same in both boots.'; echo; \
	  $(BIN)/python tests/boot/recipe.py; } > tests/BOOT.md.part; code=$$?; \
	  cat tests/BOOT.md.part; [ $$code = 2 ] || mv tests/BOOT.md.part tests/BOOT.md; exit $$code

install-boot: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python -m boot.install_recipe > tests/INSTALL.md.part; code=$$?; cat tests/INSTALL.md.part; \
	  [ $$code = 2 ] || mv tests/INSTALL.md.part tests/INSTALL.md; rm -f tests/INSTALL.md.part; exit $$code

# atheris has wheels for x86_64 only, so it stands apart from what the tests need.
fuzz: $(VENV)/.dev requirements-fuzz.lock
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	$(BIN)/python tests/fuzz/run.py $(SECONDS) | tee tests/fuzz/FUZZ.md
	@! grep -q '| 1 |$$' tests/fuzz/FUZZ.md

# Written beside the page first: a bench that is ended early leaves the page as it was.
FAULTS = nice -n 5 $(BIN)/python tests/system/chain_faults_long.py --seed $(SEED) \
  $(if $(ROUNDS),--rounds $(ROUNDS)) --jobs $(JOBS) --theirs $(FAULT_VENV)/bin/python \
  --faketime $$(find $(FAULT_VENV)/ -name libfaketime.so.1 | head -n 1)

faults: $(VENV)/.dev $(FAULT_VENV)/.done
	@tests/install_servers.sh
ifeq ($(ONLY),)
	$(FAULTS) > $(FAULT_VENV)/FAULTS.md; code=$$?; mv $(FAULT_VENV)/FAULTS.md tests/FAULTS.md; exit $$code
else
	$(FAULTS) --only "$(ONLY)"
endif

anchors: $(VENV)/.dev $(FAULT_VENV)/.done
	@tests/install_servers.sh
	$(BIN)/python tests/system/anchors.py --theirs $(FAULT_VENV)/bin/python

$(FAULT_VENV)/.done: requirements-faults.lock | $(BIN)/pip
	@echo "Installing what the fault bench compares with into $(FAULT_VENV) ..."
	@$(PY) -m venv $(FAULT_VENV)
	@$(FAULT_VENV)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-faults.lock
	@touch $@

grafana-types:
	@sh tests/grafana/check_types.sh

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/pip:
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "packtap needs Python 3.11 or newer; $(PY) is $$($(PY) --version 2>&1). Try: make PY=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(PY) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian and Raspberry Pi OS: sudo apt install python3-venv"; exit 2; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PY) -m venv $(VENV)

# The demo needs the packages of requirements.lock, development those of requirements-dev.lock; both
# are pinned by hash. The package itself is built by the locked build tool, nothing is fetched twice.
$(VENV)/.demo: requirements.lock pyproject.toml | $(BIN)/pip
	@echo "Installing packtap with what the demo needs ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/pip
	@echo "Installing packtap with what its tests need ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Needs uv on the PATH (pip install uv). The lock files name versions and hashes, no addresses.
lock:
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --extra demo --group build \
	  --generate-hashes --no-header --no-annotate -o requirements.lock
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --extra demo --group build --group dev \
	  --generate-hashes --no-header --no-annotate -o requirements-dev.lock
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --extra web --extra cli --group build \
	  -c requirements.lock --generate-hashes --no-header --no-annotate -o deploy/requirements.lock
	uv pip compile -q --group fuzz --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate -o requirements-fuzz.lock
	uv pip compile -q --group faults --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate -o requirements-faults.lock

clean:
	rm -rf $(VENV) $(FAULT_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
