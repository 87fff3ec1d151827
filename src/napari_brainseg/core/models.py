"""Trained models: loading and saving."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from .files import atomic_path, refuse_existing, write_text
from .model_folders import (
    DEFAULT_MODEL,
    INFO_FILE,
    SCHEMA_VERSION,
    WEIGHTS_FILE,
    ModelInfo,
    file_sha256,
    model_folder,
    read_model_info,
)
from .networks import SpaceToDepth, create_network, read_weights, write_weights


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A network with its weights, and all that is known of it."""

    info: ModelInfo
    network: SpaceToDepth


def load_model(name: str | Path = DEFAULT_MODEL) -> TrainedModel:
    """Load a trained model on the CPU, ready to segment.

    Parameters
    ----------
    name : str or Path
        A model folder, or the name of a shipped model.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If a file of it is damaged, or it was written by a newer version.
    """
    folder = model_folder(name)
    info = read_model_info(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the model cannot be used without it")
    if file_sha256(path) != info.provenance.weights_sha256:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one in {INFO_FILE}")
    network = create_network(info.model.architecture)
    try:
        write_weights(network, load_file(path))
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"{path} does not fit the network that {INFO_FILE} describes") from error
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainedModel(info, network)


def save_model(model: TrainedModel, folder: Path | str, *, overwrite: bool = False) -> TrainedModel:
    """Write a model folder: the weights first, as float16, and ``model.json`` last.

    Returns
    -------
    TrainedModel
        The same model, its provenance completed with versions and the weights' SHA-256.

    Raises
    ------
    FileExistsError
        If there is a model already and `overwrite` is not set.
    OSError
        If a file cannot be written, as on a full disk; the message names it, and there is no model that was not there.
    """
    folder = Path(folder)
    if not overwrite:
        refuse_existing(folder, [INFO_FILE])
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: _stored(tensor) for name, tensor in read_weights(model.network).items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save(state))
        digest = file_sha256(temporary)
        (folder / INFO_FILE).unlink(missing_ok=True)  # no moment with new weights under an old description
    provenance = model.info.provenance.model_copy(update={"weights_sha256": digest, "versions": versions()})
    info = model.info.model_copy(update={"schema_version": SCHEMA_VERSION, "provenance": provenance})
    write_text(folder / INFO_FILE, info.model_dump_json(indent=1) + "\n")
    return TrainedModel(info, model.network)


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    packages = ("napari-brainseg", "torch", "monai", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _stored(tensor: Tensor) -> Tensor:
    return (tensor.detach().half() if tensor.is_floating_point() else tensor).contiguous().cpu()
