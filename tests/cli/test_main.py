"""How the command line ends: exit codes, one-line errors, and an interrupt."""

import subprocess
import sys

import pytest

from napari_brainseg.cli import main


def test_python_m_shows_the_commands():
    process = subprocess.run(
        [sys.executable, "-m", "napari_brainseg", "--help"], capture_output=True, text=True, check=False
    )

    assert process.returncode == 0
    assert process.stderr == ""
    for word in ("cases", "segment", "train", "demo", "Not for diagnosis", "--debug"):
        assert word in process.stdout


@pytest.mark.parametrize("command", ["cases", "segment", "train", "demo"])
def test_every_command_explains_itself_and_its_options(brainseg, command):
    told = brainseg(command, "--help")

    assert told.code == 0
    assert "Usage: brainseg" in told.out
    options = [line.strip() for line in told.out.splitlines() if line.strip().startswith("--")]
    assert options
    assert told.err == ""


def test_an_unknown_command_is_a_usage_error(brainseg):
    told = brainseg("diagnose")

    assert told.code == 2
    assert "No such command 'diagnose'" in told.err


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, RuntimeError, MemoryError])
def test_an_error_is_one_line_and_exit_code_1(brainseg, monkeypatch, tmp_path, error):
    def fail(*_: object, **__: object) -> None:
        raise error("what went wrong [and where]")

    monkeypatch.setattr(sys.modules["napari_brainseg.cli.cases"], "find_cases", fail)
    told = brainseg("cases", tmp_path)

    assert (told.code, told.out) == (1, "")
    assert told.err == "brainseg: what went wrong [and where]\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 1440000000000 bytes.",
            "not enough memory here: smaller images, windows, batches, blurs and networks take less",
        ),
        ("shapes differ\nException raised from broadcast at shapes.cpp:9\nframe #0: c10::Error", "shapes differ"),
    ],
)
def test_an_error_of_pytorch_is_one_line_too(brainseg, monkeypatch, tmp_path, error, told):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(sys.modules["napari_brainseg.cli.cases"], "find_cases", fail)

    assert brainseg("cases", tmp_path).err == f"brainseg: {told}\n"


def test_what_the_system_says_of_a_file_is_told_in_words(brainseg, monkeypatch, tmp_path):
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "anna")

    monkeypatch.setattr(sys.modules["napari_brainseg.cli.cases"], "find_cases", fail)

    assert brainseg("cases", tmp_path).err == "brainseg: anna: permission denied\n"


def test_an_interrupt_is_one_word_and_exit_code_130(brainseg, monkeypatch, tmp_path):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["napari_brainseg.cli.cases"], "find_cases", interrupt)
    told = brainseg("cases", tmp_path)

    assert (told.code, told.out, told.err) == (130, "", "stopped\n")


PRESSED_WHILE_LOADING = """
import sys

class Press:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Press())
from napari_brainseg.cli import main
main(["cases"])
"""


def test_an_interrupt_while_the_commands_are_loaded_is_one_word_too():
    process = subprocess.run([sys.executable, "-c", PRESSED_WHILE_LOADING], capture_output=True, text=True, check=False)

    assert (process.returncode, process.stdout, process.stderr) == (130, "", "stopped\n")


@pytest.mark.parametrize("place", ["first", "last"])
def test_debug_shows_the_traceback(tmp_path, place):
    arguments = ["cases", str(tmp_path / "nowhere")]

    with pytest.raises(FileNotFoundError, match="does not exist"):
        main(["--debug", *arguments] if place == "first" else [*arguments, "--debug"])
