"""Logs for TensorBoard, where it is installed."""

from pathlib import Path
from typing import Any

from .runs import EpochRow

_FOLDER = "tensorboard"


class TensorBoard:
    """Writes what the history has to TensorBoard's own files; does nothing where it is not wanted.

    Parameters
    ----------
    folder : Path
        The run folder.
    wanted : bool
        Whether to write.
    epoch : int
        The epoch to go on after: later ones of a run before are dropped.
    """

    def __init__(self, folder: Path, wanted: bool, epoch: int) -> None:
        self._writer: Any = None
        if wanted:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / _FOLDER), purge_step=epoch + 1)

    def add(self, row: EpochRow) -> None:
        """Write a row."""
        if self._writer:
            for name, value in row.model_dump(exclude={"epoch", "seconds"}).items():
                if value is not None:
                    self._writer.add_scalar(name, value, row.epoch)
            self._writer.flush()


def check_tensorboard() -> None:
    """Refuse to go on where TensorBoard is not installed.

    Raises
    ------
    ValueError
        The message says how to install it.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "tensorboard is not installed: install it with 'pip install tensorboard', or train without its logs"
        ) from error
