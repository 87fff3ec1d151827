"""Where to compute, at which precision, and why."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .config import DeviceName, PrecisionName

_USUAL_THREADS = torch.get_num_threads()
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory", "alloc_failed", "allocation_failed")
_NO_ALGORITHM = "unable to find an engine to execute this computation"
"""What cuDNN says where there is no memory to convolve in."""


@dataclass(frozen=True, slots=True)
class Device:
    """A place to compute.

    Attributes
    ----------
    name : str
        PyTorch's name: "cuda", "mps" or "cpu".
    dtype : torch.dtype
        Precision of the network's arithmetic.
    reason : str
        Why this one, for a person.
    """

    name: str
    dtype: torch.dtype
    reason: str

    def __str__(self) -> str:
        label = {"cuda": "CUDA GPU", "mps": "Apple GPU", "cpu": "CPU"}[self.name]
        return f"{label}, {str(self.dtype).removeprefix('torch.')}"

    @property
    def prepares_on(self) -> str:
        """PyTorch's name of where batches are made and varied: for some of that it has nothing on Apple GPUs."""
        return "cpu" if self.name == "mps" else self.name

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which networks compute at this precision."""
        return torch.autocast(self.name, self.dtype, enabled=self.dtype != torch.float32)


def choose_device(name: DeviceName = "auto", threads: int = 0) -> Device:
    """Where to compute.

    Parameters
    ----------
    name : {"auto", "cuda", "mps", "cpu"}
        auto takes an NVIDIA GPU, else an Apple GPU, else the CPU.
    threads : int
        CPU threads for all that follows; 0 leaves PyTorch's choice.

    Raises
    ------
    ValueError
        If a device is asked for by name that this machine or this PyTorch does not have.
    """
    torch.set_num_threads(threads or _USUAL_THREADS)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name != "auto" and not available[name]:
        here = ", ".join(key for key, there in available.items() if there)
        raise ValueError(f"the device {name!r} is not available here; available: {here}")
    chosen = name if name != "auto" else next(key for key, there in available.items() if there)
    wish = "chosen by the user" if name != "auto" else "the fastest here"
    if chosen == "cuda":
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        return Device(chosen, dtype, f"{wish}: {torch.cuda.get_device_name()}")
    if chosen == "mps":
        return Device(chosen, torch.float32, wish)
    wish = wish if name != "auto" else "no CUDA or Apple GPU found"
    if _cpu_has_bfloat16():
        return Device(chosen, torch.bfloat16, f"{wish}; the CPU has bfloat16 instructions")
    return Device(chosen, torch.float32, f"{wish}; the CPU has no bfloat16 instructions")


def choose_training_device(name: DeviceName = "auto", threads: int = 0, precision: PrecisionName = "auto") -> Device:
    """Where to train, and at which precision; float16, in which small gradients vanish, only where it is asked for.

    Raises
    ------
    ValueError
        If there is no such device, or it cannot train at this precision in reasonable time.
    """
    device = choose_device(name, threads)
    fastest = torch.float32 if device.dtype == torch.float16 else device.dtype
    fit = {"auto": fastest, "float32": torch.float32}
    if fastest == torch.bfloat16:
        fit["bfloat16"] = fastest
    if device.name == "cuda":
        fit["float16"] = torch.float16
    if precision not in fit:
        raise ValueError(f"the {device} does not train in {precision} here; allowed are {', '.join(fit)}")
    return replace(device, dtype=fit[precision])


@contextmanager
def repeatable(device: Device) -> Iterator[None]:
    """While the block runs, the same convolutions give the same result each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = before or device.name == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def aside(device: Device, make: Callable[[], tuple[Tensor, ...]]) -> Callable[[], tuple[Tensor, ...]]:
    """Return `make` as another thread should call it, so that on a GPU it computes beside what goes on there.

    In the same stream each of its copies to the GPU would wait for the step of training before it.
    """
    if device.name != "cuda":
        return make
    # on the GPU of this process: the other thread would take the first
    here, stream = torch.cuda.current_stream(), torch.cuda.Stream()

    def made() -> tuple[Tensor, ...]:
        with torch.cuda.stream(stream):
            tensors = make()
        stream.synchronize()
        for tensor in tensors:
            if tensor.is_cuda:
                tensor.record_stream(here)  # where it is used: until then nothing else takes its memory
        return tensors

    return made


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether PyTorch lacked memory: on the CPU and on Apple GPUs that has no exception of its own."""
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return any(phrase in said for phrase in (*_OUT_OF_MEMORY, _NO_ALGORITHM))


def free_memory() -> None:
    """Give back the GPU memory that PyTorch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _cpu_has_bfloat16() -> bool:
    """Without the instructions bfloat16 is emulated, and slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
