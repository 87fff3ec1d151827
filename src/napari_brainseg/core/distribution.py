"""One training shared out over processes, as ``torchrun`` starts them: on several GPUs or machines."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from .config import TrainConfig
from .devices import Device
from .networks import read_weights
from .runs import owned, read_state

_T = TypeVar("_T")
_ENDED = "ended"
_LOST = "another process of this training ended"


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training; a training in one process is a team of one, for which nothing changes.

    Attributes
    ----------
    rank : int
        Number of this process; 0 leads: it alone writes and reports.
    size : int
        How many there are.
    board : torch.distributed.Store, optional
        Where each can leave word for the others.
    """

    rank: int = 0
    size: int = 1
    board: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Every item is one process's."""
        return items[self.rank :: self.size]

    def split(self, generator: Generator) -> Generator:
        """Draws of this process alone; the generator given goes on alike in all of them, however many they are."""
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return Generator().manual_seed(seed + self.rank)

    def gather(self, value: _T) -> list[_T]:
        """What all processes have, known to each; they wait for one another."""
        if self.size == 1:
            return [value]
        values: list[_T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return [value for value in values if value is not None]

    def whole(self, share: Tensor) -> Tensor:
        """What all processes have, one after another; in it, the gradient of what this one has is that of the team."""
        return share if self.size == 1 else _Whole.apply(share, self)  # type: ignore[no-untyped-call]

    def synchronised(self, network: nn.Module, device: Device) -> nn.Module:
        """Return the network with gradients and batch normalisation of the whole team's batch."""
        if self.size == 1:
            return network
        if device.name == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # in place: no layer of ours is one itself
            return DistributedDataParallel(network, [torch.cuda.current_device()])
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.__class__ = _TeamBatchNorm  # PyTorch's own needs CUDA
        return DistributedDataParallel(network)

    @torch.no_grad()
    def align(self, network: nn.Module) -> None:
        """Give all processes the weights and the statistics of the leading one."""
        if self.size > 1:
            for tensor in read_weights(network).values():
                whole = tensor.contiguous()
                distributed.broadcast(whole, 0)
                tensor.copy_(whole)


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, share: Tensor, team: Team) -> Tensor:
        context.team = team
        parts = [torch.empty_like(share) for _ in range(team.size)]
        distributed.all_gather(parts, share.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        team = context.team
        return gradient.chunk(team.size)[team.rank] * team.size, None  # of which the mean over the team is taken


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(value: Tensor) -> Tensor:
    total = value.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


class _TeamBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the whole team's batch, of which every process has as many pixels."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        plain = images.float()
        mean: Tensor = _Mean.apply(plain.mean((0, 2, 3)))  # type: ignore[no-untyped-call]
        centred = plain - mean.view(-1, 1, 1)
        variance: Tensor = _Mean.apply(centred.square().mean((0, 2, 3)))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            count = images.numel() // len(mean) * distributed.get_world_size()
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias.view(-1, 1, 1), centred, scale.view(-1, 1, 1)).to(images.dtype)


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
    board, rank, _ = next(rendezvous("env://"))
    backend = "nccl" if device.name == "cuda" else "gloo"
    distributed.init_process_group(backend, store=board, rank=rank, world_size=size)
    try:
        yield Team(rank, size, board)
    finally:
        distributed.destroy_process_group()


@contextmanager
def shared_end(team: Team, output: Path) -> Iterator[None]:
    """While the block runs, an error in one process ends all, and the others say what it was.

    Raises
    ------
    ConnectionError
        If another process ended.
    """
    try:
        yield
    except BaseException as error:
        if team.board is None:
            raise
        if not _is_lost(error):
            team.board.set(_ENDED, str(error) or type(error).__name__)
            raise
        word = _last_word(team, output)
        whole = f"{_LOST}: {word}; it can be resumed after the last epoch"
        raise ConnectionError(word if word.startswith(_LOST) else whole) from error


def _is_lost(error: BaseException) -> bool:
    """Whether it is the connection to another process that failed; Gloo has no exception of its own."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _last_word(team: Team, output: Path) -> str:
    state = None if team.leads else read_state(output)
    if state and state.status == "failed":  # the leading process, and the board may have gone with it
        return state.message
    with suppress(distributed.DistError):
        if team.board.check([_ENDED]):
            return str(team.board.get(_ENDED), "utf-8")
    return "it was killed, or its computer was"


@contextmanager
def writing_place(output: Path, team: Team) -> Iterator[Path]:
    """The run folder of the leading process, which owns it; what others would write goes to a folder that is removed.

    Raises
    ------
    OSError
        If another training is at the run folder.
    """
    if team.leads:
        with owned(output):
            yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
