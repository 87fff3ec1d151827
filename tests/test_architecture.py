"""Who may import whom. Imports are tried in fresh processes, because this one has everything loaded."""

import ast
import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "napari_brainseg"
INTERFACES = {"magicgui", "napari", "PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy", "superqt", "typer"}
TENSORS = {"monai", "torch"}
DRAWING = {"jinja2", "matplotlib"}
TENSOR_MODULES = {
    "augmentation",
    "augmentation_sheets",
    "batches",
    "checkpoints",
    "contributions",
    "devices",
    "distribution",
    "losses",
    "encoders",
    "label_errors",
    "models",
    "networks",
    "optimisation",
    "preprocessing",
    "queue_search",
    "saliency",
    "sampling",
    "segmentation",
    "signal_measurement",
    "training",
    "training_loop",
    "training_plans",
    "validation",
}
"""Modules of core that may load torch; opening and listing cases, forms and command-line flags need none of them."""

VAGUE_NAMES = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
NOT_FOR = {"core": ("cli", "plugin"), "cli": ("plugin",), "plugin": ("cli",)}


def core_modules() -> set[str]:
    return {file.stem for file in (SOURCE / "core").glob("[!_]*.py")}


def loaded_by(code: str) -> set[str]:
    """Names of the top-level packages that a fresh process has loaded after running the code."""
    code += "\nimport json, sys; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stdout.splitlines()[-1]))


def imports_of(file: Path) -> set[str]:
    """Absolute names of what a module of the package imports, inside functions too."""
    package = ".".join(file.relative_to(SOURCE.parent).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    return names


def test_core_loads_no_interface():
    code = "\n".join(f"import napari_brainseg.core.{name}" for name in sorted(core_modules()))

    assert not loaded_by(code) & INTERFACES


def test_only_modules_that_make_tensors_load_torch():
    code = "\n".join(f"import napari_brainseg.core.{name}" for name in sorted(core_modules() - TENSOR_MODULES))

    assert not loaded_by(code) & TENSORS


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import napari_brainseg", id="package"),
        pytest.param("import napari_brainseg.plugin.layers", id="reader"),
        pytest.param(
            "import sys\n"
            "from napari_brainseg.cli import main\n"
            "sys.argv = ['brainseg', '--help']\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code",
            id="brainseg --help",
        ),
        pytest.param("import napari_brainseg.cli.commands", id="all commands"),
    ],
)
def test_start_loads_neither_torch_nor_what_draws(code):
    assert not loaded_by(code) & (TENSORS | DRAWING)


@pytest.mark.parametrize("room", NOT_FOR)
def test_rooms_import_only_downwards(room):
    files = list((SOURCE / room).rglob("*.py"))
    forbidden = tuple(f"napari_brainseg.{other}." for other in NOT_FOR[room])

    assert files
    for file in files:
        upwards = {name for name in imports_of(file) if f"{name}.".startswith(forbidden)}
        assert not upwards, f"{file.relative_to(SOURCE)} imports {sorted(upwards)}"


def test_values_that_hold_arrays_are_the_same_only_if_they_are_one():
    """Comparing arrays gives an array, so that == and hash of what holds them would raise."""
    values = {
        value
        for name in sorted(core_modules())
        for value in vars(importlib.import_module(f"napari_brainseg.core.{name}")).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    holders = {value for value in values if any("ndarray" in str(field.type) for field in dataclasses.fields(value))}

    assert {"Volume", "Segmentation", "Truth"} <= {value.__name__ for value in holders}
    assert not {value.__name__ for value in holders if value.__eq__ is not object.__eq__}


def test_modules_are_named_for_what_they_do():
    names = {path.stem for path in SOURCE.rglob("*") if path.suffix == ".py" or path.is_dir()}

    assert not names & VAGUE_NAMES
