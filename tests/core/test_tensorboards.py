"""Logs for TensorBoard, written through what stands in for it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from napari_brainseg.core.runs import EpochRow
from napari_brainseg.core.tensorboards import TensorBoard

ROW = EpochRow(epoch=3, seconds=9, loss=0.5, learning_rate=0.01, validation_dice=0.8)


def test_what_the_history_has_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            logged.append((folder, purge_step))

        def add_scalar(self, *values: Any) -> None:
            logged.append(values)

        def flush(self) -> None:
            pass

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    TensorBoard(tmp_path, True, 2).add(ROW)
    assert logged == [
        (str(tmp_path / "tensorboard"), 3),
        ("loss", 0.5, 3),
        ("learning_rate", 0.01, 3),
        ("validation_dice", 0.8, 3),
    ]


def test_nothing_is_logged_where_it_is_not_wanted(tmp_path: Path) -> None:
    TensorBoard(tmp_path, False, 2).add(ROW)
    assert not list(tmp_path.iterdir())
