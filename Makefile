# make demo   a film by the demo model, output/demo.mp4
# make test   everything, in an environment of its own; host tests where there is a ComfyUI
# make bench  our transformer against diffusers'

PYTHON ?= python3
# Behind a company's proxy only the system knows its certificates; uv changed the name of this setting.
export UV_SYSTEM_CERTS ?= true
export UV_NATIVE_TLS ?= true
# Or every process of the tests compiles torch and its like anew: 20 seconds in place of 6.
export PYTHONDONTWRITEBYTECODE :=
BIN := .venv/bin
# Where host tests look too: $COMFYUI_PATH, the ComfyUI that this pack lies in, ~/ComfyUI.
COMFYUI := $(firstword $(wildcard $(addsuffix /main.py,$(COMFYUI_PATH) ../.. $(HOME)/ComfyUI)))
# The oldest and the newest one, beside that of the ComfyUI above: tests/browser opens the pack in all.
FRONTENDS := 1.35.9 1.58.1
# Only for tests: the types of web/timeline, and what a screen reader makes of it.
NPM := typescript@5.9 axe-core@4.14

.PHONY: demo test bench setup venv

demo: venv
	@$(BIN)/uv pip install --python $(BIN)/python -r pyproject.toml --extra cli
	@$(BIN)/python -m helios_core generate --schedule demo/film.txt --length 297 --force -o output/demo.mp4

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

bench: setup
	PYTHONPATH=. $(BIN)/python benchmarks/forward.py

setup: venv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r tests/requirements.txt \
		$(if $(COMFYUI),-r $(dir $(COMFYUI))requirements.txt)
	@for v in $(FRONTENDS); do test -d .venv/frontend-$$v || $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--no-deps --target .venv/frontend-$$v comfyui-frontend-package==$$v || echo "no frontend $$v to test with"; done
	@test -d .venv/npm || npm install --prefix .venv/npm --silent --no-audit --no-fund $(NPM) \
		|| echo "no npm: types and accessibility of the timeline will not be checked"

venv:
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
