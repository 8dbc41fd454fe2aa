# The two commands of the README, and what they stand on. A fresh machine needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
# Test files are compiled once for all workers and calls, also where Python is told to keep no compiled files.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
QUICK := -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not gpu"

.PHONY: demo test docs gallery quick test-all test-newest test-oldest lint dist clean

demo: $(INSTALLED)
	$(BIN)/reverie demo --out runs/demo --overwrite

# The site, in docs/_build/html: no network, warnings are errors, gallery scripts executed with short budgets.
docs: $(INSTALLED) $(VENV)/.installed-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W -n --keep-going -b html docs docs/_build/html

# Every page of the lectures with its full budget, an hour and a quarter of one core, its result stored in docs/lectures;
# then the site with every page executed, with short budgets: some ten minutes.
gallery: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/reverie lecture all --store --out docs/lectures
	REVERIE_GALLERY=all $(MAKE) docs

$(VENV)/.installed-docs: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

# Format, lint and types are checked beside the tests, in the time that a worker waits.
test:
	$(MAKE) --jobs=2 lint quick

quick: $(INSTALLED)
	$(PYTEST) $(BIN)/python $(QUICK)

test-all: lint
	$(PYTEST) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The bounds of pyproject.toml, tried: each makes an environment of its own, some gigabytes with the GPU libraries of torch.
test-newest:
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e ".[test,frames,hist,arviz,tensorboard]"
	$(PYTEST) .venv-newest/bin/python $(QUICK)

test-oldest:
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e ".[test]"
	$(PYTEST) .venv-oldest/bin/python $(QUICK)

lint: $(INSTALLED)
	$(BIN)/ruff format --check src tests benchmarks docs/conf.py
	$(BIN)/ruff check src tests benchmarks docs/conf.py
	$(BIN)/pyrefly check
	$(BIN)/lint-imports

# torch first and by its exact version, so that nothing else pulls a build with the GPU libraries of another machine.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(head -n 1 constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $(INSTALLED)

# What a user gets: both archives, made in an environment of its own; the wheel, installed into an empty one, must work.
dist:
	rm -rf dist .venv-dist
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/pip install --quiet --disable-pip-version-check build
	.venv-dist/bin/python -m build --outdir dist .
	rm -rf .venv-dist
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/pip install --quiet --disable-pip-version-check "$$(head -n 1 constraints.txt)"
	.venv-dist/bin/pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd dist && ../.venv-dist/bin/reverie --help && ../.venv-dist/bin/reverie doctor
	cd dist && ../.venv-dist/bin/reverie run gan ring --max-steps 200 --out run --overwrite --quiet

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest .venv-dist dist runs .pytest_cache .ruff_cache docs/_build docs/auto_gallery docs/auto_lectures docs/reference/*.rst \
		docs/reference/api docs/reference/modules
