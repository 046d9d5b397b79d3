# Everything runs in .venv, which is made on first use with nothing but Python (3.10 or later) and pip.
# On Linux and macOS. On Windows, in PowerShell, without make:
#   py -m venv .venv; .venv\Scripts\pip install -c constraints.txt torch; .venv\Scripts\pip install -c constraints.txt -e .
#   .venv\Scripts\vitrail demo --out vitrail-demo
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
OLDEST := .venv-oldest
TORCHVISION := .venv-torchvision
# What `make oldest` runs after the demo: models, states, concepts, files, samples; without a cap that later versions of
# transformers put on a model's logits.
SHORT := tests/lmm/test_model.py tests/extraction/test_reducing.py tests/concepts/test_learning.py tests/learners/test_codes.py tests/artifacts/test_manifest.py tests/samples/test_formats.py --deselect tests/lmm/test_model.py::test_logits_are_soft_capped_as_the_model_does_it
CORE := $(VENV)/.core
READY := $(VENV)/.ready

.PHONY: demo test check wheel-check docs picture families fuzz oldest torchvision clean bench bench-evaluate bench-commands bench-doubt bench-extract bench-following bench-idle bench-learn bench-lens bench-memory bench-monitor bench-named bench-real bench-recovery bench-scale bench-shared bench-shift bench-steer bench-viewer

## demo: what does the bundled model think of when it says "dog"? → vitrail-demo/report.html
demo: $(CORE)
	$(BIN)/vitrail demo --out vitrail-demo

## test: the whole suite, on two cores
test: $(READY)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile

## check: format, lint, types, and the direction of imports
check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vermin --target=3.10- --violations --no-tips --exclude hashlib.file_digest src
	$(BIN)/python -m pytest tests/test_project.py

## bench: what is fast and how fast → benchmarks/results/*.json
bench: $(READY)
	$(BIN)/python benchmarks/learn.py --no-converged
	$(BIN)/python benchmarks/extract.py --samples 128 --runs 3 --pairs 10

## bench-extract: extraction by every way, and what limits it, on the bundled model; alone on a quiet machine
bench-extract: $(READY)
	$(BIN)/python benchmarks/extract.py

## bench-evaluate: methods side by side on four words → benchmarks/results/evaluate.json
bench-evaluate: $(READY)
	$(BIN)/python benchmarks/evaluate.py

## bench-scale: the forms of learning, λ and membership, on six words → benchmarks/results/scale.json
bench-scale: $(READY)
	$(BIN)/python -m benchmarks.scale

## bench-named: what states, found and named concepts hold of Toyland's factors → benchmarks/results/named.json
bench-named: $(READY)
	$(BIN)/python benchmarks/named.py

## bench-lens: words of middle layers, by the unembedding and through lenses → benchmarks/results/lens.json
bench-lens: $(READY)
	$(BIN)/python -m benchmarks.lens

## bench-recovery: other ways to learn a dictionary, ten seeds each → benchmarks/results/recovery.json
bench-recovery: $(READY)
	$(BIN)/python -m benchmarks.recovery

## bench-shared: one dictionary over six words against six → benchmarks/results/shared.json
bench-shared: $(READY)
	$(BIN)/python -m benchmarks.shared

## bench-monitor: planted changes, how soon and by what name they are found → benchmarks/results/monitor.json
bench-monitor: $(READY)
	$(BIN)/python -m benchmarks.monitor

## bench-commands: how long every command of the documentation takes → benchmarks/results/commands.json
bench-commands: $(READY)
	$(BIN)/python -m benchmarks.commands

## bench-doubt: is what is said in the picture? Concepts against log-probabilities → benchmarks/results/doubt.json
bench-doubt: $(READY)
	$(BIN)/python -m benchmarks.doubt

## bench-following: a planted forgetting, and what following costs → benchmarks/results/following.json
bench-following: $(READY)
	$(BIN)/python -m benchmarks.following
	$(BIN)/python -m benchmarks.following --overhead

## bench-viewer: the viewer with 200 clients at once, and 100,000 points → benchmarks/results/viewer.json
bench-viewer: $(READY)
	$(BIN)/python -m benchmarks.viewer

## bench-shift: what three fine-tunes did to two words → benchmarks/results/shift.json
bench-shift: $(READY)
	$(BIN)/python benchmarks/shift.py

## bench-learn: learning against the solvers in use, and out of core, at full size: half an hour and more
bench-learn: $(READY)
	$(BIN)/python benchmarks/learn.py
	$(BIN)/python benchmarks/learn_big.py

## bench-memory: 2,000 photographs of 12 megapixels within 1.5 GB beside the model; 20,000 small ones in no more than 2,000
bench-memory: $(READY)
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/memory.py --photographs 2000 20000 --width 112 --out benchmarks/results/memory_many.json

## bench-idle: the share of time in which the model is idle, for photographs of 12 megapixels → benchmarks/results/idle.json
bench-idle: $(READY)
	$(BIN)/python -m benchmarks.idle

## bench-steer: steering: tasks, methods side by side → benchmarks/results/steer.json
bench-steer: $(READY)
	$(BIN)/python -m benchmarks.steer

## bench-real: a small real model, trained on Flickr8k in the folder DATA → benchmarks/results/real.json: hours
bench-real: $(READY)
	test -d "$(DATA)/Images" || { echo "make bench-real DATA=folder of Flickr8k" >&2; exit 2; }
	$(PIP) -e '.[real]'
	$(BIN)/python -m benchmarks.real --data "$(DATA)"

## fuzz: ten minutes of files that nobody meant to write, fed to every reader
fuzz: $(READY)
	$(PIP) -e '.[fuzz]' || echo "without atheris: files are changed at random"
	$(BIN)/python benchmarks/fuzz.py --minutes 10

## families: proves every family of models again without torchvision, and writes docs/families.md: ten minutes
families: $(READY)
	VITRAIL_FAMILIES=docs/families.json $(BIN)/python -m pytest tests/families/test_families.py tests/families/test_open_clip.py
	$(BIN)/python docs/generate.py

## torchvision: every architecture and family of models with torchvision and timm, in an environment of its own, for
## docs/families.md; videos as a whole, open_clip, and weights of torchao, which is loud: half an hour; TORCH="torch==… torchvision==…" where others than the newest are wanted
torchvision: TORCH ?= torch torchvision
torchvision: $(READY)
	test -d $(TORCHVISION) || $(PYTHON) -m venv $(TORCHVISION)
	grep -v '^torch==' constraints.txt > $(TORCHVISION)/constraints.txt
	$(TORCHVISION)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(TORCHVISION)/bin/python -m pip install --quiet --disable-pip-version-check -c $(TORCHVISION)/constraints.txt -e '.[peft,video,open-clip]' pytest hypothesis beartype num2words torchao timm
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(TORCHVISION)/bin/python -m families.census --again
	VITRAIL_FAMILIES=docs/families.json OMP_NUM_THREADS=2 $(TORCHVISION)/bin/python -m pytest -p no:cacheprovider -W default tests/families/test_videos.py tests/families/test_families.py tests/families/test_open_clip.py tests/families/test_placement.py::test_weights_that_were_quantised_by_torchao_are_read
	$(BIN)/python docs/generate.py

## oldest: the demo and some tests with the lowest versions that pyproject.toml states, in an environment of its own;
## OTHER="torch=2.13.0" where a lowest version has no build for this machine
oldest: $(READY)
	test -d $(OLDEST) || $(PYTHON) -m venv $(OLDEST)
	$(BIN)/python tools/oldest.py $(OTHER) > $(OLDEST)/lowest.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/lowest.txt torch
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/lowest.txt '.[peft]' pytest hypothesis beartype
	OMP_NUM_THREADS=1 $(OLDEST)/bin/vitrail demo --out $(OLDEST)/demo
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -p no:cacheprovider -W default $(SHORT)

## docs: the pages that are generated, the notebooks run, and the site of all pages → build/site; a warning is an error
docs: $(READY)
	$(PIP) -e '.[docs]'
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/notebooks.py
	$(BIN)/zensical build --strict --clean

## picture: the pictures of the README, from today's pages; needs chromium
picture: $(READY)
	$(BIN)/python docs/pictures.py

## wheel-check: builds a wheel, installs it alone in an empty environment, and runs the demo there
wheel-check: $(CORE)
	$(BIN)/python tools/wheel_check.py

clean:
	rm -rf $(VENV) $(OLDEST) build vitrail-demo

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# What the demo needs. torch first and from the constraints: asked for by another package, the newest build with CUDA
# would be taken.
$(CORE): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	touch $(CORE)

# What tests, checks, pages and benchmarks need.
$(READY): $(CORE)
	$(PIP) -e '.[dev]'
	touch $(READY)
