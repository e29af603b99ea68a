# The two commands that matter: make migrate, make test.
# Recipes quote every path: the checkout may be in a folder with a space.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help migrate verify test test-server test-clone test-corpus test-rest docker-test test-faults test-isolation test-distributed test-site test-matrix dist bench docs site screenshots lint format lock clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1 \t\2/p' Makefile | expand -t 20

migrate: $(VENV)/.embedded  ## Set everything up and bring the database to the newest version
	$(BIN)/piccolo migrations forwards all

verify: $(VENV)/.embedded  ## Apply, revert and re-apply every migration, with rows in the tables
	$(BIN)/partman verify

test: $(VENV)/.dev  ## Run all tests
	$(BIN)/pytest $(PYTEST_ARGS) --durations 10 -m "not clone and not corpus and not docker and not site"

test-server: $(VENV)/.dev  ## Run the tests whose result may depend on the version of the server
	$(BIN)/pytest $(PYTEST_ARGS) -m "not same_on_every_version" tests/database tests/faults tests/foreign tests/isolation tests/runs

test-clone: $(VENV)/.dev  ## Test the README's installations in new clones
	$(BIN)/pytest $(PYTEST_ARGS) -m clone tests/test_*.py

test-corpus: $(VENV)/.dev  ## Rebuild the schemas of real packages, fetched by name; PARTMAN_EVERY_POINT=1 takes all
	$(BIN)/pytest $(PYTEST_ARGS) -m corpus tests/corpus

test-rest: site $(VENV)/.dev  ## Run test-site, test-corpus and test-clone in one run
	$(BIN)/pytest $(PYTEST_ARGS) -m "site or corpus or clone" tests/docs tests/browser tests/corpus tests/test_*.py

docker-test: $(VENV)/.dev  ## Build the image, start the compose file, and test its failures
	$(BIN)/pytest -m docker tests/docker

test-faults: $(VENV)/.dev  ## Kill a run, and drop its connection, after every statement
	PARTMAN_EVERY_POINT=1 $(BIN)/pytest $(PYTEST_ARGS) tests/faults tests/runs

test-isolation: $(VENV)/.dev  ## Remove each protection of the tenants; run 20,000 of their transactions
	PARTMAN_EVERY_POINT=1 $(BIN)/pytest $(PYTEST_ARGS) tests/isolation

test-distributed: $(VENV)/.dev  ## Distribute databases over the Citus cluster that PARTMAN_TEST_CITUS_URL names
	PARTMAN_EVERY_POINT=1 $(BIN)/pytest -n 0 tests/distributed

test-site: site $(VENV)/.dev  ## Build the documents' site; look at its pages, links and search
	$(BIN)/pytest $(PYTEST_ARGS) -m site tests/docs tests/browser

test-matrix: $(VENV)/.dev  ## Run the main tests on each Python that is installed, and with the lowest dependencies
	.ci/test-matrix

dist: $(VENV)/.dev  ## Build the source distribution, the wheel and the bill of materials, in dist/
	$(BIN)/python -m release.distributions dist

bench: $(VENV)/.dev  ## Compare with stock Piccolo and other tools, and tenant() with plain queries; see docs/performance.md
	$(BIN)/python -m benchmarks.migrations
	$(BIN)/python -m benchmarks.tenancy
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.readiness
	$(BIN)/python -m benchmarks.bulk_insert

docs: $(VENV)/.dev  ## Update the generated parts of the documents
	$(BIN)/python -m tests.docs.generate

site: $(VENV)/site/.done  ## Build the documents as a site, in build/documents/site/
	$(VENV)/site/bin/python -m website.pages build/documents
	cd build/documents && "$(CURDIR)/$(VENV)/site/bin/zensical" build --strict --clean

screenshots: $(VENV)/.dev  ## Update the screenshots in the documents; needs Chromium
	$(BIN)/pytest tests/browser/test_screenshots.py --screenshots

lint: $(VENV)/.dev  ## Check style, types, dependencies, Dockerfile, scripts and the compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry --no-ansi .
	$(BIN)/deptry --no-ansi --exclude '\.venv' --ignore DEP002,DEP004 tests benchmarks docs release
	$(BIN)/hadolint docker/Dockerfile docs/example/Dockerfile tests/docker/stand_ins/*.Dockerfile
	$(BIN)/shellcheck docker/startup.sh tests/docker/stand_ins/postgres-entrypoint.sh .ci/run .ci/on-postgresql-15 .ci/test-matrix
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/docker-compose.yml docker/citus-compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/migrations.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/partman-plan/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci .gitlab/partman-plan.yml
	$(BIN)/pre-commit validate-manifest .pre-commit-hooks.yaml

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev  ## Pin the newest allowed versions of all dependencies
	$(BIN)/uv pip compile $(LOCK) pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile $(LOCK) --extra embedded -c requirements/base.txt pyproject.toml -o requirements/embedded.txt
	$(BIN)/uv pip compile $(LOCK) --extra serve -c requirements/base.txt pyproject.toml -o requirements/serve.txt
	$(BIN)/uv pip compile $(LOCK) --extra dev -c requirements/embedded.txt -c requirements/serve.txt pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile $(LOCK) --no-deps requirements/corpus.in -o requirements/corpus.txt
	$(BIN)/uv pip compile $(LOCK) requirements/site.in -o requirements/site.txt
	$(BIN)/uv pip compile $(LOCK) requirements/build.in -o requirements/build.txt
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

clean:  ## Stop the embedded server; remove it, its data and the environment
	-test ! -x $(BIN)/partman || $(BIN)/partman server stop
	rm -rf $(VENV) .partman

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("partman needs Python 3.11 or newer: make migrate PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# A stamp file for each set of packages: it is installed again only when its list changes. --no-deps,
# because an older pip that resolves dependencies takes a newer release for a package with an extra,
# and has no hash for that release.
$(VENV)/.embedded $(VENV)/.dev: $(VENV)/.%: requirements/%.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/$*.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/python -m pip --quiet check
	@touch $@

# The site's builder has an environment of its own: nothing else needs its packages.
$(VENV)/site/.done: requirements/site.txt | $(BIN)/python
	$(BIN)/python -m venv --without-pip $(VENV)/site
	$(BIN)/python -m pip --python $(VENV)/site/bin/python install --quiet --no-deps --require-hashes -r requirements/site.txt
	@touch $@
