"""Weights that a run keeps on its way, where a disk has damaged them."""

import re
from pathlib import Path

import pytest
import torch

from napari_brainseg.core.checkpoints import load_best, save_best


@pytest.mark.parametrize("content", ["half", "another network", "gone"])
def test_best_weights_that_cannot_be_read_are_named(tmp_path: Path, content: str) -> None:
    network = torch.nn.Linear(2, 2)
    save_best(tmp_path, network if content != "another network" else torch.nn.Linear(3, 2))
    path = tmp_path / "best.safetensors"
    if content == "half":
        path.write_bytes(path.read_bytes()[:50])
    elif content == "gone":
        path.unlink()
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is gone or damaged: .*, train anew"):
        load_best(tmp_path, network)
