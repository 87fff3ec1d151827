from typing import Any

import pytest
import torch

from napari_brainseg.core import devices
from napari_brainseg.core.config import DeviceName
from napari_brainseg.core.devices import Device, choose_device, choose_training_device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be on a machine with these devices."""

    def pretend(*, cuda: bool = False, mps: bool = False, gpu_bfloat16: bool = True, cpu_bfloat16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "GeForce 9999")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: gpu_bfloat16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, probe, lambda: cpu_bfloat16, raising=False)

    return pretend


@pytest.mark.parametrize(
    ("there", "name", "chosen", "reason"),
    [
        pytest.param({"cuda": True, "mps": True}, "auto", "cuda", "the fastest here: GeForce 9999", id="CUDA first"),
        pytest.param({"mps": True}, "auto", "mps", "the fastest here", id="then Apple"),
        pytest.param({}, "auto", "cpu", "no CUDA or Apple GPU found; the CPU has bfloat16", id="then CPU"),
        pytest.param({"cuda": True}, "cpu", "cpu", "chosen by the user; the CPU has bfloat16", id="CPU by name"),
        pytest.param({"cuda": True, "mps": True}, "mps", "mps", "chosen by the user", id="Apple by name"),
        pytest.param({"cuda": True}, "cuda", "cuda", "chosen by the user: GeForce 9999", id="CUDA by name"),
    ],
)
def test_device_is_chosen_for_a_reason(
    machine, there: dict[str, bool], name: DeviceName, chosen: str, reason: str
) -> None:
    machine(**there)
    device = choose_device(name)
    assert device.name == chosen
    assert device.reason.startswith(reason)


@pytest.mark.parametrize(
    ("there", "name", "available"),
    [
        pytest.param({}, "cuda", "cpu", id="no CUDA"),
        pytest.param({}, "mps", "cpu", id="no Apple"),
        pytest.param({"mps": True}, "cuda", "mps, cpu", id="Apple instead"),
    ],
)
def test_device_that_is_not_there_is_refused(machine, there: dict[str, bool], name: DeviceName, available: str) -> None:
    machine(**there)
    with pytest.raises(ValueError, match=f"the device '{name}' is not available here; available: {available}$"):
        choose_device(name)


@pytest.mark.parametrize(
    ("there", "dtype", "label"),
    [
        pytest.param({"cuda": True}, torch.bfloat16, "CUDA GPU, bfloat16", id="new NVIDIA"),
        pytest.param({"cuda": True, "gpu_bfloat16": False}, torch.float16, "CUDA GPU, float16", id="old NVIDIA"),
        pytest.param({"mps": True}, torch.float32, "Apple GPU, float32", id="Apple"),
        pytest.param({}, torch.bfloat16, "CPU, bfloat16", id="new CPU"),
        pytest.param({"cpu_bfloat16": False}, torch.float32, "CPU, float32", id="old CPU"),
    ],
)
def test_precision_is_what_the_device_is_fast_at(
    machine, there: dict[str, bool], dtype: torch.dtype, label: str
) -> None:
    machine(**there)
    device = choose_device()
    assert device.dtype == dtype
    assert str(device) == label


@pytest.mark.parametrize("bfloat16", [True, False])
def test_network_computes_at_the_precision_of_the_device(machine, bfloat16: bool) -> None:
    machine(cpu_bfloat16=bfloat16)
    layer, image = torch.nn.Conv2d(1, 1, 3), torch.rand(1, 1, 8, 8)
    with choose_device("cpu").autocast():
        assert layer(image).dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    assert layer(image).dtype == torch.float32


def test_no_number_of_threads_brings_back_the_usual_one() -> None:
    usual = torch.get_num_threads()
    choose_device("cpu", threads=usual + 1)
    assert torch.get_num_threads() == usual + 1
    choose_device("cpu")
    assert torch.get_num_threads() == usual


@pytest.mark.parametrize(
    ("has_bfloat16", "precision", "dtype"),
    [
        (True, "auto", torch.bfloat16),
        (True, "bfloat16", torch.bfloat16),
        (True, "float32", torch.float32),
        (False, "auto", torch.float32),
        (False, "float32", torch.float32),
    ],
)
def test_cpu_trains_in_bfloat16_only_with_the_instructions(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, precision: Any, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: has_bfloat16)
    assert choose_training_device("cpu", precision=precision).dtype == dtype


@pytest.mark.parametrize(
    ("has_bfloat16", "precision", "allowed"),
    [(False, "bfloat16", "auto, float32$"), (True, "float16", "auto, float32, bfloat16$")],
)
def test_precision_that_would_be_slow_or_wrong_is_refused(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, precision: Any, allowed: str
) -> None:
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: has_bfloat16)
    with pytest.raises(ValueError, match=f"does not train in {precision} here; allowed are {allowed}"):
        choose_training_device("cpu", precision=precision)


@pytest.mark.parametrize(
    ("fastest", "precision", "dtype"),
    [
        (torch.bfloat16, "auto", torch.bfloat16),
        (torch.float16, "auto", torch.float32),  # small gradients vanish
        (torch.float16, "float16", torch.float16),
        (torch.bfloat16, "float16", torch.float16),
    ],
)
def test_gpu_trains_in_float16_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, fastest: torch.dtype, precision: Any, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(devices, "choose_device", lambda *_: Device("cuda", fastest, "pretended"))
    assert choose_training_device("auto", precision=precision).dtype == dtype
