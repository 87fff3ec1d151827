"""One training shared out over processes, as ``torchrun`` starts them: on several GPUs or machines."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Generator, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .config import TrainConfig
from .devices import Device
from .networks import read_weights

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training; a training in one process is a team of one, for which nothing changes.

    Attributes
    ----------
    rank : int
        Number of this process; 0 leads: it alone writes and reports.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Every item is one process's."""
        return items[self.rank :: self.size]

    def split(self, generator: Generator) -> Generator:
        """Draws of this process alone; the generator given stays the same in all of them."""
        if self.size == 1:
            return generator
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return Generator().manual_seed(seed + self.rank)

    def gather(self, value: _T) -> list[_T]:
        """What all processes have, known to each; they wait for one another."""
        if self.size == 1:
            return [value]
        values: list[_T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return [value for value in values if value is not None]

    def synchronised(self, network: nn.Module, device: Device) -> nn.Module:
        """Return the network with gradients that are the mean over the team; batch normalisation, too, on CUDA."""
        if self.size == 1:
            return network
        if device.name != "cuda":
            return DistributedDataParallel(network)
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # in place: no layer of ours is one itself
        return DistributedDataParallel(network, [torch.cuda.current_device()])

    @torch.no_grad()
    def align(self, network: nn.Module) -> None:
        """Give all processes the weights and the statistics of the leading one."""
        if self.size > 1:
            for tensor in read_weights(network).values():
                whole = tensor.contiguous()
                distributed.broadcast(whole, 0)
                tensor.copy_(whole)


@contextmanager
def joined_team(config: TrainConfig, device: Device) -> Iterator[Team]:
    """While the block runs, the processes that were started together know one another.

    Raises
    ------
    ValueError
        If the batch cannot be shared out evenly.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    if config.batch_size % size or config.batch_size < 2 * size:
        raise ValueError(
            f"a batch of {config.batch_size} cannot be shared out over {size} processes: choose a multiple of {size}, "
            f"at least {2 * size}"
        )
    if device.name == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device.name == "cuda" else "gloo")
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


@contextmanager
def writing_place(output: Path, team: Team) -> Iterator[Path]:
    """The run folder of the leading process; what others would write goes to a folder that is removed."""
    if team.leads:
        yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
