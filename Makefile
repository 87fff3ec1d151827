# From a bare clone: `make demo` shows the main job, `make test` runs the whole test suite.
# Both can be repeated and are quick the second time. CONTRIBUTING.md says how to work without make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# What Qt needs on Debian and Ubuntu for a real window, and the virtual screen that the tests draw it on.
LIBRARIES := xvfb xauth libgl1 libegl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 \
	libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0

LOAD_QT := import ctypes, pathlib, PyQt6.QtWidgets as qt; \
	ctypes.CDLL(str(pathlib.Path(qt.__file__).parent / "Qt6/plugins/platforms/libqxcb.so"))

.PHONY: help demo test libraries clean
.NOTPARALLEL:

help:
	@echo 'make demo   install into $(VENV), then segment sample patients into ./brainseg-demo'
	@echo 'make test   install into $(VENV) with everything for tests, then check and test it all'
	@echo 'make clean  remove $(VENV) and everything else that was made here'

demo: $(VENV)/.base
	@echo '== Segmenting sample patients into ./brainseg-demo'
	$(BIN)/brainseg demo --output brainseg-demo --overwrite

# Every check runs, so that one run tells all that is wrong.
test: $(VENV)/.testing libraries
	@failed=''; \
	for check in 'ruff check' 'ruff format --check' 'mypy' 'python -m pytest'; do \
		echo "== $$check"; $(BIN)/$$check || failed="$$failed, $$check"; \
	done; \
	[ -z "$$failed" ] || { echo "== Not passed: $${failed#, }"; exit 1; }

# An installation is up to date when it is newer than what says what to install; that for tests includes the base.
$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/.python
	@echo '== Installing napari-brainseg into $(VENV) (the first time: one to some minutes, about 2 GB)'
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.testing: pyproject.toml constraints.txt | $(VENV)/.python
	@echo '== Installing napari-brainseg and its tests into $(VENV) (the first time: one to some minutes, about 2 GB)'
	$(PIP_INSTALL) -e '.[testing]'
	@touch $(VENV)/.base $@

# The pip that the virtual environment brings is what tells a whole one from one that was interrupted or is unusable.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed, but $(PYTHON) is not: name another one with make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'Python cannot make virtual environments here; on Debian type: apt-get install python3-venv'; exit 1; }
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo '== Making a virtual environment in $(VENV)'; $(PYTHON) -m venv --clear $(VENV); fi
	@touch $@

# Where packages cannot be installed, the libraries may be there all the same: whether Qt loads decides.
libraries:
	@command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || { \
		echo '== Not Debian: the libraries that Qt needs are taken to be there'; exit 0; }; \
	missing=''; \
	for package in $(LIBRARIES); do \
		dpkg-query -W -f '$${db:Status-Status}\n' $$package $${package}t64 2>/dev/null | grep -qx installed \
			|| missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then root=''; elif sudo -n true 2>/dev/null; then root='sudo -n'; else root=none; fi; \
	if [ "$$root" != none ]; then \
		echo "== Installing Debian packages:$$missing"; \
		$$root apt-get update && $$root env DEBIAN_FRONTEND=noninteractive \
			apt-get install --no-install-recommends -y $$missing && exit 0; \
	fi; \
	echo '== Debian packages are missing and could not be installed from here. As an administrator, type:'; \
	echo "apt-get update && apt-get install --no-install-recommends -y$$missing"; \
	{ command -v Xvfb || [ -n "$$DISPLAY" ]; } >/dev/null && $(BIN)/python -c '$(LOAD_QT)' 2>/dev/null || { \
		echo '== Qt does not load without them: then type make test again'; exit 1; }; \
	echo '== Qt loads without them, so the tests go on'

clean:
	rm -rf $(VENV) brainseg-demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
